"""The verdicts of this package's rules: a denial says what was observed, which limit it met, in which unit."""

from decimal import Decimal

from oms_kernel.domain.decision import Outcome, Verdict, denied
from oms_kernel.domain.market import Quote
from oms_kernel.domain.money import to_text


def exceeded(
    rule: str,
    code: str,
    text: str,
    observed: Decimal,
    limit: Decimal,
    unit: str,
) -> Verdict:
    """DENY with figures: `text` says what was measured, the sentence goes on with the figures."""
    sentence = f"{text} {to_text(observed)} {unit} is above the limit of {to_text(limit)} {unit}"
    return denied(rule, code, sentence, observed=observed, limit=limit, unit=unit)


def compared(rule: str, outcome: Outcome, observed: Decimal, limit: Decimal, quote: Quote, price: Decimal) -> Verdict:
    """PASS or DENY of a deviation in percent from a price of a quote."""
    above = "is above" if outcome is Outcome.DENY else "keeps"
    return Verdict(
        rule=rule,
        outcome=outcome,
        code=rule if outcome is Outcome.DENY else "",
        message=f"{to_text(observed)} % away from {to_text(price)} {above} the limit of {to_text(limit)} %"
        if outcome is Outcome.DENY
        else "",
        observed=observed,
        limit=limit,
        unit="%",
        quote_price=price,
        quote_at=quote.data_at,
    )
