"""An order in, DENY out when it is worth less than its venue takes, unless it closes what the account holds."""

from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Outcome, Verdict, denied
from oms_kernel.domain.errors import InvalidNumber
from oms_kernel.domain.money import EXACT, ONE, ZERO, multiply, notional, to_text

Least = Annotated[Decimal, described("Least value of an order at this venue", "instrument's currency", gt=0)]


class LeastValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The least value of one order."""

    min_notional: Annotated[
        Decimal, described("Least value of one order: quantity x price x multiplier", "instrument's currency", gt=0)
    ]
    by_venue: Annotated[dict[str, Least], described("Other minima for some venues", "instrument's currency")] = {}
    closing_passes: Annotated[bool, described("Let an order pass that only reduces a position")] = True


class MinOrderNotional:
    """Denies an order, new or modified, that is worth less than its venue takes.

    Value: quantity x price x multiplier in the instrument's currency, at the limit, else the trigger, else the
    opposite quote; without one `no_price`. What only reduces a position passes, so that a small rest can be closed;
    `closing_passes` turns that off for venues that refuse it. Tick and lot are checked before any rule.
    """

    name: ClassVar[str] = "min_order_notional"
    title: ClassVar[str] = "Least value of one order"
    source: ClassVar[str] = "The venue's rule on the least value of an order"
    rank: ClassVar[int] = 50
    Params: ClassVar[type[msgspec.Struct]] = LeastValue

    def __init__(self, params: LeastValue) -> None:
        self.params = params

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS down to and at the limit."""
        params, instrument = self.params, intent.instrument
        least = params.by_venue.get(instrument.venue, params.min_notional)
        if intent.price is None:
            return denied(self.name, "no_price", f"there is no fresh quote to value {instrument.symbol} with")
        price = abs(intent.price)
        try:
            value = notional(intent.request.quantity, price, instrument.multiplier)
        except InvalidNumber:
            return denied(self.name, self.name, "the order's value has more digits than any limit")
        if value >= least:
            return self._verdict(Outcome.PASS, value, least, intent)
        if params.closing_passes and view.reduces(intent.request, intent.open_quantity):
            return self._verdict(Outcome.PASS, value, least, intent)
        return self._verdict(Outcome.DENY, value, least, intent)

    def _verdict(self, outcome: Outcome, value: Decimal, least: Decimal, intent: OrderIntent) -> Verdict:
        unit, is_denied = intent.instrument.currency, outcome is Outcome.DENY
        sentence = f"the order's value of {to_text(value)} {unit} is below the venue's least of {to_text(least)} {unit}"
        return Verdict(
            rule=self.name,
            outcome=outcome,
            code=self.name if is_denied else "",
            message=sentence if is_denied else "",
            observed=value,
            limit=least,
            unit=unit,
            inputs={"quantity": intent.request.quantity, "price": intent.price or ZERO},
            would_pass=_least_quantity(intent, least) if is_denied else "",
            is_floor=True,
        )


def _least_quantity(intent: OrderIntent, least: Decimal) -> str:
    lot = intent.instrument.lot_size
    one_lot = multiply(multiply(abs(intent.price or ZERO), intent.instrument.multiplier), lot)
    if one_lot <= ZERO:
        return ""
    lots = EXACT.divide_int(least, one_lot)
    if multiply(lots, one_lot) < least:
        lots += ONE
    return f"a quantity of at least {to_text(multiply(lots, lot))}"
