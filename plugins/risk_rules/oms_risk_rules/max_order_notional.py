"""An order in, DENY out when its value in the account's base currency is above the limit or cannot be computed."""

from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Verdict, denied, passed
from oms_kernel.domain.errors import InvalidNumber
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.money import ONE, ZERO, multiply, notional
from oms_kernel.domain.order import Side
from oms_risk_rules.verdicts import exceeded

Rate = Annotated[Decimal, described("Units of the account's base currency for one unit of this currency", gt=0)]


class NotionalLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limit for one order's value."""

    max_notional: Annotated[
        Decimal, described("Largest value of one order: quantity x price x multiplier", "base currency", gt=0)
    ]
    fx_rates: Annotated[
        dict[str, Rate], described("Rate of each currency other than the base currency that may be traded", "rate")
    ] = {}


class MaxOrderNotional:
    """Denies an order, new or modified, whose value is above `max_notional`.

    The price is the limit, else the trigger, else the opposite quote; a SELL is valued at the bid when that is higher
    than its limit, because that is where it would trade. No price: `no_price`. An instrument in another currency than
    the account's without a rate: `no_fx_rate`. A modification that does not raise the order's value passes.
    """

    name: ClassVar[str] = "max_order_notional"
    title: ClassVar[str] = "Largest value of one order"
    Params: ClassVar[type[msgspec.Struct]] = NotionalLimit

    def __init__(self, params: NotionalLimit) -> None:
        self.limit = params.max_notional
        self.rates = params.fx_rates
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at the limit."""
        base = view.account(intent.request.account_id).base_currency
        currency = intent.instrument.currency
        rate = ONE if currency == base else self.rates.get(currency)
        if rate is None:
            return denied(self.name, "no_fx_rate", f"there is no rate from {currency} to {base} in fx_rates")
        price = _price(intent, view)
        if price is None:
            return denied(self.name, "no_price", f"there is no fresh quote to value {intent.instrument.symbol} with")
        try:
            value = _value(intent, intent.request.quantity, price, rate)
        except InvalidNumber:
            return denied(self.name, self.name, "the order's value has more digits than any limit")
        if value <= self.limit or value <= _value_before(intent, rate):
            return self.passed
        return exceeded(self.name, self.name, "the order's value of", value, self.limit, base)


def _price(intent: OrderIntent, view: RuleView) -> Decimal | None:
    price = intent.price
    if price is not None and intent.request.side is Side.SELL:
        quote = view.market.fresh(intent.instrument.instrument_id)
        if quote is not None and quote.bid is not None:
            return max(price, quote.bid)
    return price


def _value_before(intent: OrderIntent, rate: Decimal) -> Decimal:
    """What the order that is modified counted with; 0 for a new one."""
    order = intent.replaces
    if intent.kind is not RequestKind.REPLACE or order is None or order.reservation.price is None:
        return ZERO
    return _value(intent, order.quantity, order.reservation.price, rate)


def _value(intent: OrderIntent, quantity: Decimal, price: Decimal, rate: Decimal) -> Decimal:
    return notional(multiply(quantity, intent.instrument.multiplier), abs(price), rate)
