"""A limit order in, DENY out when its price is far from the market and its quantity looks like the market's price."""

from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Verdict, denied, passed
from oms_kernel.domain.money import ZERO, is_multiple, subtract, to_text
from oms_risk_rules.verdicts import percent


class Swap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From where on a price is far from the market, and up to where a quantity is near it."""

    far_percent: Annotated[
        Decimal, described("From which deviation on a limit price is far from the mid price", "%", gt=0, le=1000)
    ] = Decimal(50)
    near_percent: Annotated[
        Decimal, described("Up to which deviation the quantity could be the price that was meant", "%", gt=0, le=100)
    ] = Decimal(10)


class SwappedPriceQuantity:
    """Denies a limit order in which price and quantity seem to have changed places.

    The limit price deviates from the mid price by more than `far_percent`, the quantity, read as a price, by at most
    `near_percent`, and the price would be a quantity: whole lots. An order that repeats its quantity in
    `confirmed_quantity` is meant and passes. An order without a limit price passes; without a fresh two-sided quote
    or a last price: `no_quote`.
    """

    name: ClassVar[str] = "swapped_price_quantity"
    title: ClassVar[str] = "Price and quantity not in each other's place"
    source: ClassVar[str] = "SEC 15c3-5(c)(1)(ii); the order of 8 December 2005 for J-Com shares at the Tokyo exchange"
    rank: ClassVar[int] = 50
    Params: ClassVar[type[msgspec.Struct]] = Swap

    def __init__(self, params: Swap) -> None:
        self.far = params.far_percent
        self.near = params.near_percent
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at `far_percent`, and beyond `near_percent`."""
        request = intent.request
        price, quantity = request.limit_price, request.quantity
        if price is None or request.confirmed_quantity == quantity:
            return self.passed
        mark = view.mark(request.instrument_id)
        if mark is None or mark <= ZERO:
            return denied(self.name, "no_quote", f"there is no fresh quote of {intent.instrument.symbol}")
        observed = _deviation(price, mark)
        inputs = {"limit_price": price, "quantity": quantity, "market": mark}
        if (
            observed <= self.far
            or _deviation(quantity, mark) > self.near
            or not is_multiple(price, intent.instrument.lot_size)
        ):
            return passed(self.name, observed=observed, limit=self.far, unit="%", inputs=inputs)
        text = f"a price of {to_text(price)} for {to_text(quantity)} units, where the market is at {to_text(mark)}"
        return denied(
            self.name,
            self.name,
            f"{text}: price and quantity seem to be swapped",
            observed=observed,
            limit=self.far,
            unit="%",
            inputs=inputs,
            would_pass=f"{to_text(price)} units at {to_text(quantity)}, or confirmed_quantity {to_text(quantity)}",
        )


def _deviation(value: Decimal, mark: Decimal) -> Decimal:
    return percent(abs(subtract(value, mark)), mark)
