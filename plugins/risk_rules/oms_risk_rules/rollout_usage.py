"""Accepted orders and new terms in, what each algorithm version did on a risk day out: orders, value by currency."""

from datetime import timedelta
from decimal import Decimal

import msgspec

from oms_kernel.contracts.rules import RuleView
from oms_kernel.domain.events import OrderAccepted, Recorded, ReplaceRequested
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.money import ONE, ZERO, add, multiply, notional, subtract
from oms_kernel.domain.order import Reservation
from oms_kernel.domain.scope import Scope
from oms_kernel.recent import Recent
from oms_risk_rules.order_value import rate_into

HORIZON = timedelta(hours=26)
"""Longer than any risk day, one on which clocks are set back included."""

VersionDay = tuple[str, str]
"""Version and risk day, ISO."""


class DayUse(msgspec.Struct, frozen=True):
    """What a version did on a day; amounts by currency."""

    orders: int = 0
    amounts: tuple[tuple[str, Decimal], ...] = ()

    def plus(self, orders: int, currency: str, amount: Decimal) -> "DayUse":
        """The usage with more orders and value."""
        amounts = dict(self.amounts)
        amounts[currency] = add(amounts.get(currency, ZERO), amount)
        return DayUse(self.orders + orders, tuple(sorted(amounts.items())))


class Placed(msgspec.Struct, frozen=True):
    """One order of a version: what it counts with, in its currency."""

    version: str
    day: str
    currency: str
    multiplier: Decimal
    amount: Decimal


State = Recent[VersionDay | OrderId, DayUse | Placed]
"""By version and day: the usage. By order id: what the order counts with."""

NOTHING = DayUse()


def used_by(state: State, version: str, day: str, order_id: OrderId | None) -> tuple[DayUse, Placed | None]:
    """(the version's usage of the day, what this order counts with in it when it is known already)."""
    found, own = state.get((version, day)), state.get(order_id) if order_id is not None else None
    usage = found[1] if found is not None and isinstance(found[1], DayUse) else NOTHING
    return usage, own[1] if own is not None and isinstance(own[1], Placed) and own[1].day == day else None


def worth(used: DayUse, view: RuleView, currency: str) -> Decimal | None:
    """What was used, in one currency; None: a rate is missing."""
    total = ZERO
    for paid_in, amount in used.amounts:
        rate = rate_into(view, paid_in, currency)
        if rate is None:
            return None
        total = add(total, amount if rate == ONE else multiply(amount, rate))
    return total


def after(state: State, event: Recorded, scope: Scope) -> State:
    """The state after an event; as it was for an order that has no version or lies outside of the scope."""
    happened, at = event.event, event.recorded_at
    if isinstance(happened, OrderAccepted):
        request = happened.request
        covered = scope.covers(request.account_id, request.strategy_id, request.instrument_id)
        if request.algo_version is None or not covered:
            return state
        amount = _amount(request.quantity, happened.reservation, happened.multiplier)
        placed = Placed(request.algo_version, happened.risk_date, happened.currency, happened.multiplier, amount)
        return _used(state.put(happened.order_id, at, placed), event, placed, 1, amount)
    if isinstance(happened, ReplaceRequested):
        known = state.get(happened.order_id)
        if known is None or not isinstance(known[1], Placed):
            return state
        placed = known[1]
        amount = _amount(happened.quantity, happened.reservation, placed.multiplier)
        if amount <= placed.amount:
            return state
        grown = msgspec.structs.replace(placed, amount=amount)
        return _used(state.put(happened.order_id, at, grown), event, placed, 0, subtract(amount, placed.amount))
    return state


def _used(state: State, event: Recorded, placed: Placed, orders: int, amount: Decimal) -> State:
    key = (placed.version, placed.day)
    found = state.get(key)
    usage = found[1] if found is not None and isinstance(found[1], DayUse) else NOTHING
    return state.put(key, event.recorded_at, usage.plus(orders, placed.currency, amount))


def _amount(quantity: Decimal, reservation: Reservation, multiplier: Decimal) -> Decimal:
    return notional(multiply(quantity, multiplier), abs(reservation.price)) if reservation.price is not None else ZERO
