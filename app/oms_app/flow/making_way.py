"""Verdicts in, the orders that have to make way for another one cancelled or reduced, in the transaction that decides.

Guarantee: orders of the same instrument only lose quantity here, before the order that they make way for is told of,
so that their cancels go out first. What is held, or only tried by a shadow limit, moves nothing.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from oms_app.flow.desk import Turn
from oms_app.flow.errors import NoSession
from oms_app.flow.routing import capabilities_of
from oms_kernel import engine
from oms_kernel.domain.decision import Decision, Outcome, RuleSeverity, Verdict
from oms_kernel.domain.errors import InvalidRequest, OrderConflict
from oms_kernel.domain.events import Event
from oms_kernel.domain.ids import InstrumentId, OrderId
from oms_kernel.domain.order import Order


def make_way(
    turn: Turn, decision: Decision, instrument_id: InstrumentId, *, held: bool = False, request_id: str = ""
) -> None:
    """Cancel or reduce the other orders that the verdicts name; call it before the decision's own event is recorded.

    What is denied moves others only where the denying verdict says so itself, and what is held moves nothing yet.
    """
    for verdict, order_id, total in _asked(decision) if not held else ():
        order = turn.batch.book.orders.get(order_id)
        if order is None or order_id == decision.order_id or order.request.instrument_id != instrument_id:
            continue
        _shrink(turn, order, total, f"limit:{verdict.rule}", request_id)


def shrink_own(turn: Turn, decision: Decision, *, held: bool = False, request_id: str = "") -> None:
    """Reduce the accepted order itself where a verdict says so; call it after its event is recorded."""
    for verdict, order_id, total in _asked(decision) if not held else ():
        if order_id == decision.order_id and decision.accepted:
            _shrink(turn, turn.batch.book.orders[order_id], total, f"limit:{verdict.rule}", request_id)


def _asked(decision: Decision) -> Iterator[tuple[Verdict, OrderId, Decimal]]:
    wanted = Outcome.PASS if decision.accepted else Outcome.DENY
    for verdict in decision.verdicts:
        if verdict.makes_way and verdict.outcome is wanted and verdict.severity is not RuleSeverity.SHADOW:
            for order_id, total in verdict.makes_way.items():
                yield verdict, order_id, total


def _shrink(turn: Turn, order: Order, total: Decimal, principal: str, request_id: str) -> None:
    """Bring an order's total down; one that cannot be reduced any more, or to nothing, is cancelled."""
    if not order.is_active or order.is_external or total >= order.quantity:
        return
    if total > order.filled_quantity:
        try:
            turn.batch.record(*_reduced(turn, order, total, principal, request_id))
        except (OrderConflict, InvalidRequest, NoSession):
            pass  # the broker cannot reduce it, or another request is under way: it goes as a whole
        else:
            return
    turn.batch.record(*engine.cancel(order, principal=principal, request_id=request_id))


def _reduced(turn: Turn, order: Order, total: Decimal, principal: str, request_id: str) -> Sequence[Event]:
    _, events = engine.replace(
        turn.view,
        order,
        engine.NewTerms(quantity=total),
        instrument=turn.catalogue.instruments[order.request.instrument_id],
        capabilities=capabilities_of(turn, order),
        rules=(),
        states=turn.batch.memories,
        send_before=turn.batch.now + turn.desk.send_window,
        limits_version=turn.config.limits_version,
        principal=principal,
        request_id=request_id,
    )
    return events
