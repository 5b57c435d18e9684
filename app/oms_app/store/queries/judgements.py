"""What all rules said at each moment of an order's life, and which verdicts hold the orders that wait for a person."""

from collections.abc import Sequence

import msgspec

from oms_app.store import log_rows
from oms_app.store.queries.orders import OrderView, order_events
from oms_app.store.rows import scope_of
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain import events as ev
from oms_kernel.domain.decision import Verdict
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.order import Order

Judging = ev.OrderAccepted | ev.OrderDenied | ev.ReplaceRequested | ev.ReplaceDenied | ev.HoldReleased
JUDGING = (ev.OrderAccepted, ev.OrderDenied, ev.ReplaceRequested, ev.ReplaceDenied, ev.HoldReleased)
"""The events that hold verdicts."""
OUTCOMES: dict[str, str] = {
    "order_accepted": "ACCEPTED",
    "order_denied": "DENIED",
    "replace_requested": "ACCEPTED",
    "replace_denied": "DENIED",
    "hold_released": "APPROVED",
}


class Waiting(msgspec.Struct, frozen=True):
    """A held order: the verdicts that hold it by its latest judgement, and the principals who asked for its terms."""

    order: Order
    verdicts: tuple[Verdict, ...]
    requested_by: tuple[str, ...]


def judgements(unit: RowsUnit, order_id: OrderId) -> list[tuple[ev.Recorded, Judging]]:
    """Every judgement of an order, the first one first."""
    return [
        (recorded, recorded.event) for recorded in order_events(unit, order_id) if isinstance(recorded.event, JUDGING)
    ]


def judgement_word(event: Judging) -> str:
    """What came of the judgement: ACCEPTED, HELD, DENIED or APPROVED."""
    is_held = isinstance(event, ev.OrderAccepted) and event.held
    return "HELD" if is_held else OUTCOMES[event.kind]


def waiting_orders(unit: RowsUnit, views: Sequence[OrderView]) -> list[Waiting]:
    """These held orders with what holds each."""
    orders = [view.order for view in views]
    ids = [order.order_id for order in orders]
    latest: dict[OrderId, ev.OrderAccepted | ev.ReplaceRequested] = {}
    askers: dict[OrderId, dict[str, None]] = {order_id: {} for order_id in ids}
    for recorded in log_rows.events_of_orders(unit.connection, scope_of(unit), ids) if ids else ():
        event = recorded.event
        if isinstance(event, (ev.OrderAccepted, ev.ReplaceRequested)):
            latest[event.order_id] = event
            askers[event.order_id][event.principal] = None
    return [
        Waiting(
            order=order,
            verdicts=tuple(one for one in latest[order.order_id].verdicts if one.holds),
            requested_by=tuple(askers[order.order_id]),
        )
        for order in orders
    ]
