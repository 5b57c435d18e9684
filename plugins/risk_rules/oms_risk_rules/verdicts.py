"""The verdicts of this package's rules: a denial says what was observed, which limit it met, and what would pass."""

from datetime import datetime
from decimal import Decimal

from oms_kernel.domain.decision import Outcome, Verdict, denied
from oms_kernel.domain.errors import InvalidNumber
from oms_kernel.domain.money import EXACT, ZERO, multiply, ratio, to_text

MOST = Decimal(10) ** 17
"""What stands for a ratio with more digits than a figure may have."""
HUNDRED = Decimal(100)


def exceeded(
    rule: str,
    code: str,
    text: str,
    observed: Decimal,
    limit: Decimal,
    unit: str,
    *,
    inputs: dict[str, Decimal] | None = None,
    would_pass: str = "",
    bound_by: str = "the limit",
) -> Verdict:
    """DENY with figures: `text` says what was measured and `bound_by` what bounds it, the sentence adds the figures."""
    sentence = f"{text} {to_text(observed)} {unit} is above {bound_by} of {to_text(limit)} {unit}"
    return denied(rule, code, sentence, observed=observed, limit=limit, unit=unit, inputs=inputs, would_pass=would_pass)


def compared(
    rule: str,
    outcome: Outcome,
    observed: Decimal,
    limit: Decimal,
    unit: str,
    price: Decimal,
    at: datetime,
    would_pass: str = "",
) -> Verdict:
    """PASS or DENY of a distance from a price of a quote."""
    message = ""
    if outcome is Outcome.DENY:
        message = f"{to_text(observed)} {unit} away from {to_text(price)} is above the limit of {to_text(limit)} {unit}"
    return Verdict(
        rule=rule,
        outcome=outcome,
        code=rule if outcome is Outcome.DENY else "",
        message=message,
        observed=observed,
        limit=limit,
        unit=unit,
        quote_price=price,
        quote_at=at,
        would_pass=would_pass,
    )


def times(part: Decimal, whole: Decimal) -> Decimal:
    """part / whole to 12 digits; 10^17 with the sign of `part` beyond that. whole > 0."""
    try:
        return ratio(part, whole)
    except InvalidNumber:
        return MOST.copy_sign(part)


def percent(part: Decimal, whole: Decimal) -> Decimal:
    """part in percent of whole, as `times`."""
    return times(multiply(part, HUNDRED), whole)


def whole_lots(limit: Decimal, value_of_one: Decimal, lot_size: Decimal) -> Decimal:
    """The largest quantity in whole lots whose value is at most the limit; 0 when not even one lot is."""
    if limit <= ZERO or value_of_one <= ZERO:
        return ZERO
    return multiply(EXACT.divide_int(limit, multiply(value_of_one, lot_size)), lot_size)


def at_most(quantity: Decimal) -> str:
    """What would pass, in words; nothing when no quantity would."""
    return f"a quantity of at most {to_text(quantity)}" if quantity > ZERO else ""
