"""An order in, DENY out when the scope would have too many open orders, or orders worth too much."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView, Usage
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.money import ZERO, add, multiply, subtract
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_risk_rules.measuring import Per, measured, parts
from oms_risk_rules.reach import on_side
from oms_risk_rules.room import at_most, kept, overstepped
from oms_risk_rules.used import used
from oms_risk_rules.valuation import MIXED_CURRENCIES, Missing, rate_of, shown

PerField = Annotated[
    Per, described("Whether each account is measured by itself, or all accounts of the scope together")
]


class CountLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limit for the number of open orders."""

    max_orders: Annotated[int, described("Most orders that may be open at once, this one included", "orders", ge=1)] = (
        200
    )
    per: PerField = Per.SCOPE


class ValueLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limit for the value of open orders."""

    max_value: Annotated[
        Decimal, described("Largest value of all open orders together, this one included", "base currency", gt=0)
    ]
    per: PerField = Per.SCOPE


class OpenOrderCount:
    """Denies an order that would be one more than `max_orders` open ones of the scope.

    Open is what may still trade: new, held, working, in doubt. A modification is no further order, and an order of a
    liquidation is let through.
    """

    name: ClassVar[str] = "open_order_count"
    title: ClassVar[str] = "Most open orders"
    Params: ClassVar[type[msgspec.Struct]] = CountLimit
    rank: ClassVar[int] = 80
    takes_scope: ClassVar[bool] = True
    source: ClassVar[str] = "RTS 6 Art. 15(2); UMIR 7.1"

    def __init__(self, params: CountLimit, scope: Scope = EVERYTHING) -> None:
        self.limit = Decimal(params.max_orders)
        self.per = params.per
        self.scope = scope
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at the limit; observed counts the order itself."""
        if intent.kind is RequestKind.REPLACE or intent.request.liquidation_id is not None:
            return self.passed
        scope = measured(self.per, self.scope, intent.request.account_id)
        observed = Decimal(view.open_totals(scope).orders + 1)
        if observed <= self.limit:
            return kept(self.name, observed, self.limit, "orders", {})
        return overstepped(
            self.name,
            "an open order count of",
            observed,
            self.limit,
            "orders",
            {},
            "an order after another has ended",
        )

    def usage(self, view: RuleView, state: Any) -> Iterator[Usage]:
        """How many orders are open."""
        for part in parts(self.per, self.scope, view):
            yield from used(Decimal(view.open_totals(part).orders), self.limit, "orders", part)


class OpenOrderValue:
    """Denies an order with which the open orders of the scope are worth more than `max_value`.

    Each order counts with what may still trade of it (of a modified one the larger total), at its limit, else its
    trigger, else the quote at its acceptance, in the base currency; buys and sells add up. A modification that does
    not raise its order's value passes, and so does an order that can only bring the position nearer to zero. An order
    without a price denies with `no_price`, a currency without a rate with `no_fx_rate`.
    """

    name: ClassVar[str] = "open_order_value"
    title: ClassVar[str] = "Largest value of all open orders"
    Params: ClassVar[type[msgspec.Struct]] = ValueLimit
    rank: ClassVar[int] = 80
    takes_scope: ClassVar[bool] = True
    source: ClassVar[str] = "RTS 6 Art. 15(2): sent orders count at once; UMIR 7.1"

    def __init__(self, params: ValueLimit, scope: Scope = EVERYTHING) -> None:
        self.limit = params.max_value
        self.per = params.per
        self.scope = scope
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at the limit; observed is the value of all open orders with this one."""
        request, price = intent.request, intent.price
        if _adds_nothing(intent) or view.reduces(request, intent.open_quantity):
            return self.passed
        scope = measured(self.per, self.scope, request.account_id)
        currency = view.base_currency(scope)
        if currency is None:
            return MIXED_CURRENCIES.denies(self.name)
        rate = rate_of(view, intent.instrument, currency)
        if isinstance(rate, Missing):
            return rate.denies(self.name)
        if price is None:
            return Missing("no_price", f"there is no fresh quote to value {intent.instrument.symbol} with").denies(
                self.name
            )
        unit = multiply(multiply(abs(price), intent.instrument.multiplier), rate)
        open_value = view.open_totals(scope).value
        if open_value is None:
            return Missing("no_price", "an open order of the scope has no price or no rate to value it with").denies(
                self.name
            )
        added = multiply(unit, intent.open_quantity)
        inputs = shown({"open": open_value, "order": added})
        observed = add(open_value, added)
        if observed <= self.limit:
            return kept(self.name, observed, self.limit, currency, inputs)
        closing = max(
            on_side(view.worst_case(request.account_id, request.instrument_id), request.side).copy_negate(), ZERO
        )
        room = at_most(intent, subtract(self.limit, open_value), unit, closing)
        return overstepped(self.name, "the value of all open orders of", observed, self.limit, currency, inputs, room)

    def usage(self, view: RuleView, state: Any) -> Iterator[Usage]:
        """What the open orders are worth."""
        for part in parts(self.per, self.scope, view):
            currency, value = view.base_currency(part), view.open_totals(part).value
            if currency is not None and value is not None:
                yield from used(value, self.limit, currency, part)


def _adds_nothing(intent: OrderIntent) -> bool:
    """Whether new terms of an order are worth no more than the present ones."""
    order = intent.replaces
    if order is None or order.reservation.price is None or intent.price is None:
        return False
    before = multiply(order.worst_case_quantity, abs(order.reservation.price))
    return multiply(intent.open_quantity, abs(intent.price)) <= before
