"""Events of orders with a locate in, how much of each locate is in use out; counted until an order's end is proved."""

from decimal import Decimal

import msgspec

from oms_kernel.domain.events import (
    Event,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    Recorded,
    ReplaceRefused,
    ReplaceRequested,
)
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.money import ZERO, add, subtract
from oms_kernel.domain.order import Side
from oms_kernel.recent import Recent


class LocateUse(msgspec.Struct, frozen=True):
    """One order and its locate: its total, the total that is asked for, what is filled, whether the rest ended."""

    locate_id: str
    total: Decimal
    asked: Decimal = ZERO
    filled: Decimal = ZERO
    has_ended: bool = False

    @property
    def used(self) -> Decimal:
        """How much of the locate the order may still need, or needed."""
        return self.filled if self.has_ended else max(self.total, self.asked, self.filled)


Locates = Recent[tuple[str, str], "LocateUse | Decimal"]
"""("order", id) -> its use, and ("locate", id) -> what all orders use of it."""

ENDED = frozenset({OrderCanceled, OrderExpired, OrderRejected})
FOLDED: frozenset[type[Event]] = frozenset(
    {OrderAccepted, ReplaceRequested, OrderReplaced, ReplaceRefused, OrderFilled, *ENDED}
)


def in_use(state: Locates, locate_id: str, *, but: OrderId) -> Decimal:
    """How much of a locate is used by all orders but one."""
    used = _sum(state, locate_id)
    own = _use(state, but)
    return subtract(used, own.used) if own is not None and own.locate_id == locate_id else used


def folded(state: Locates, event: Recorded) -> Locates:
    """The uses after an event."""
    told = event.event
    if isinstance(told, OrderAccepted):
        request = told.request
        if request.side is not Side.SELL or request.locate_id is None:
            return state
        return _put(state, event, told.order_id, None, LocateUse(request.locate_id, request.quantity))
    order_id = event.order_id
    before = _use(state, order_id) if order_id is not None and type(told) in FOLDED else None
    if order_id is None or before is None:
        return state
    return _put(state, event, order_id, before, _after(before, told))


def _after(use: LocateUse, told: Event) -> LocateUse:
    change = msgspec.structs.replace
    if isinstance(told, ReplaceRequested):
        return change(use, asked=told.quantity)
    if isinstance(told, OrderReplaced):
        return change(use, total=told.quantity, asked=ZERO)
    if isinstance(told, ReplaceRefused):
        return change(use, asked=ZERO)
    if isinstance(told, OrderFilled):
        return change(use, filled=add(use.filled, told.fill.quantity))
    return change(use, has_ended=True)


def _put(state: Locates, event: Recorded, order_id: OrderId, before: LocateUse | None, after: LocateUse) -> Locates:
    more = subtract(after.used, before.used if before is not None else ZERO)
    with_order = state.put(("order", order_id), event.recorded_at, after)
    used = add(_sum(state, after.locate_id), more)
    return with_order.put(("locate", after.locate_id), event.recorded_at, used)


def _use(state: Locates, order_id: OrderId) -> LocateUse | None:
    found = state.get(("order", order_id))
    return found[1] if found is not None and isinstance(found[1], LocateUse) else None


def _sum(state: Locates, locate_id: str) -> Decimal:
    found = state.get(("locate", locate_id))
    return found[1] if found is not None and isinstance(found[1], Decimal) else ZERO
