"""An order in, what it is worth in its account's base currency out, or the denial that says what is missing."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Verdict, denied
from oms_kernel.domain.errors import InvalidNumber
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.money import ONE, ZERO, multiply, notional, ratio
from oms_kernel.domain.order import Side

HUNDRED = Decimal(100)
BEYOND = Decimal("Infinity")
NO_RATES: Mapping[str, Decimal] = {}


class OrderValue(msgspec.Struct, frozen=True):
    """What an order is worth: its whole quantity at `price`, by `rate` in `currency`, the base currency."""

    amount: Decimal
    price: Decimal
    rate: Decimal
    currency: str

    def of_one(self, multiplier: Decimal) -> Decimal:
        """What one unit is worth."""
        return multiply(multiply(abs(self.price), multiplier), self.rate)

    def inputs(self, intent: OrderIntent) -> dict[str, Decimal]:
        """The figures that the value was made from."""
        return {
            "quantity": intent.request.quantity,
            "price": self.price,
            "multiplier": intent.instrument.multiplier,
            "fx_rate": self.rate,
        }


def value_of(
    rule: str,
    intent: OrderIntent,
    view: RuleView,
    rates: Mapping[str, Decimal] = NO_RATES,
    collar_percent: Decimal = ZERO,
) -> OrderValue | Verdict:
    """The order's value; a denial `no_fx_rate`, `no_price` or, beyond every number, `rule` when there is none.

    The price is the limit, else the trigger, else the opposite quote; a SELL counts at the bid when that is higher,
    because that is where it would trade. An order that may trade at any price counts `collar_percent` higher.
    rates: what a currency is worth, before `view.fx_rate`.
    """
    base = view.account(intent.request.account_id).base_currency
    currency = intent.instrument.currency
    rate = rate_into(view, currency, base, rates)
    if rate is None:
        return denied(rule, "no_fx_rate", f"there is no rate from {currency} to {base}: no parameter and no quote")
    price = _price(intent, view)
    if price is None:
        return denied(rule, "no_price", f"there is no fresh quote to value {intent.instrument.symbol} with")
    try:
        if collar_percent and intent.request.limit_price is None:
            price = ratio(multiply(price, HUNDRED + collar_percent), HUNDRED)
        amount = _amount(intent, intent.request.quantity, price, rate)
    except InvalidNumber:
        return denied(rule, rule, "the order's value has more digits than any limit")
    return OrderValue(amount=amount, price=price, rate=rate, currency=base)


def rate_into(view: RuleView, currency: str, base: str, rates: Mapping[str, Decimal] = NO_RATES) -> Decimal | None:
    """Units of `base` for one unit of `currency`: by the parameters, else by a fresh quote; None: neither has it."""
    if currency == base:
        return ONE
    return rates.get(currency) or view.fx_rate(currency, base)


def value_before(intent: OrderIntent, rate: Decimal) -> Decimal:
    """What the order that is modified counted with; 0 for a new one, infinite beyond every number."""
    order = intent.replaces
    if intent.kind is not RequestKind.REPLACE or order is None or order.reservation.price is None:
        return ZERO
    try:
        return _amount(intent, order.quantity, order.reservation.price, rate)
    except InvalidNumber:
        return BEYOND


def _price(intent: OrderIntent, view: RuleView) -> Decimal | None:
    price = intent.price
    if price is not None and intent.request.side is Side.SELL:
        quote = view.market.fresh(intent.instrument.instrument_id)
        if quote is not None and quote.bid is not None:
            return max(price, quote.bid)
    return price


def _amount(intent: OrderIntent, quantity: Decimal, price: Decimal, rate: Decimal) -> Decimal:
    return notional(multiply(quantity, intent.instrument.multiplier), abs(price), rate)
