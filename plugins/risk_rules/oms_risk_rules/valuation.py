"""An instrument in, what one unit of it is worth in a scope's currency out, or which price or rate is missing."""

from decimal import Decimal

import msgspec

from oms_kernel.contracts.rules import Exposures, RuleView
from oms_kernel.domain.decision import Verdict, denied
from oms_kernel.domain.errors import InvalidNumber
from oms_kernel.domain.ids import InstrumentId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.money import ONE, ZERO, add, multiply, quantise
from oms_kernel.domain.scope import Scope
from oms_risk_rules.measuring import accounts_of


class Missing(msgspec.Struct, frozen=True):
    """What a rule lacks: the code of its denial and the sentence for people."""

    code: str
    text: str

    def denies(self, rule: str) -> Verdict:
        """The denial of a rule for want of it."""
        return denied(rule, self.code, self.text)


MIXED_CURRENCIES = Missing(
    "no_base_currency",
    "the accounts of the limit's scope have different base currencies: set the limit for each account",
)
CURRENCY_LENGTH = 3
NO_EQUITY = Missing("no_equity", "the account's equity is not known: a price or a rate of what it holds is missing")


def unit_value(view: RuleView, instrument: Instrument, currency: str) -> Decimal | Missing:
    """Mark x multiplier x rate of one unit, exact, in a currency."""
    mark = view.mark(instrument.instrument_id)
    if mark is None:
        return Missing("no_quote", f"there is no fresh quote to value {instrument.symbol} with")
    rate = rate_of(view, instrument, currency)
    if isinstance(rate, Missing):
        return rate
    value = abs(mark)
    if instrument.multiplier != ONE:
        value = multiply(value, instrument.multiplier)
    return value if rate is ONE else multiply(value, rate)


def rate_of(view: RuleView, instrument: Instrument, currency: str) -> Decimal | Missing:
    """What one unit of the instrument's currency is worth; exactly ONE for the same currency."""
    if instrument.currency == currency:
        return ONE
    rate = view.fx_rate(instrument.currency, currency)
    if rate is None:
        return Missing("no_fx_rate", f"there is no rate from {instrument.currency} to {currency}")
    return rate


def unit_value_of(view: RuleView, instrument_id: InstrumentId, currency: str) -> Decimal | Missing:
    """The same for an instrument by its id."""
    instrument = view.instrument(instrument_id)
    if instrument is None:
        return Missing("no_instrument", f"instrument {instrument_id} is not known")
    return unit_value(view, instrument, currency)


def unvalued(view: RuleView, exposures: Exposures) -> Missing:
    """What is missing of a scope's exposures, in words."""
    instrument = view.instrument(InstrumentId(exposures.missing)) if exposures.missing else None
    if instrument is not None:
        return Missing("no_quote", f"there is no fresh quote to value {instrument.symbol} with")
    if len(exposures.missing) == CURRENCY_LENGTH:
        return Missing("no_fx_rate", f"there is no rate for {exposures.missing}")
    return Missing("no_quote", f"a price is missing to value what is held: {exposures.missing or 'not said which'}")


def equity_of(view: RuleView, scope: Scope) -> Decimal | None:
    """The equity of the scope's accounts together, a strategy's: of its accounts; None: one of them is not known."""
    total = ZERO
    for account_id in accounts_of(scope, view):
        equity = view.equity(account_id)
        if equity is None:
            return None
        total = add(total, equity)
    return total


def figure(value: Decimal) -> Decimal | None:
    """A value as verdicts show it, to 12 digits after the point; None: it has more digits than any amount may have."""
    try:
        return quantise(value)
    except InvalidNumber:
        return None


def shown(values: dict[str, Decimal]) -> dict[str, Decimal]:
    """The inputs of a verdict, those left out that have more digits than any amount."""
    try:
        return {name: quantise(value) for name, value in values.items()}
    except InvalidNumber:
        figures = {name: figure(value) for name, value in values.items()}
        return {name: value for name, value in figures.items() if value is not None}
