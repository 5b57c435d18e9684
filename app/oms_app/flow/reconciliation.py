"""The broker's own state in, the book brought up to it: missed reports booked, doubts settled by evidence only.

A failed part proves nothing and changes nothing. "Not shown" counts only for a complete query of a broker that declares
one, and only for what an earlier connection carried, after the maximum pause; twice.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from oms_app.flow.booking import book
from oms_app.flow.desk import Turn
from oms_kernel.contracts import broker as br
from oms_kernel.domain.ids import ConnectionId
from oms_kernel.domain.lifecycle import RequestStatus
from oms_kernel.domain.order import Order
from oms_kernel.settlement import not_at_broker

Parts = Mapping[br.SnapshotPart, br.PartResult]


def is_complete(parts: Parts, required: frozenset[br.SnapshotPart]) -> bool:
    """Whether every part that the connector declares required was answered in full."""
    return all(part in parts and parts[part].complete for part in required)


def book_snapshot(turn: Turn, connection_id: ConnectionId, parts: Parts) -> None:
    """Book what the broker's state shows and we have not heard: executions first, then the words on orders."""
    executions = parts.get(br.SnapshotPart.EXECUTIONS)
    if executions is not None and executions.complete:
        book(turn, connection_id, [item for item in executions.items if isinstance(item, br.Filled)])
    orders = parts.get(br.SnapshotPart.ORDERS)
    if orders is not None and orders.complete:
        for item in orders.items:
            if isinstance(item, br.OrderSnapshot):
                book(turn, connection_id, _words(turn, item, orders.as_of))


def settle_doubts(
    turn: Turn,
    connection_id: ConnectionId,
    orders: br.PartResult,
    capabilities: br.BrokerCapabilities,
    *,
    carried_before: datetime,
) -> None:
    """Count one complete query against each doubtful request that it does not show; the second settles it.

    carried_before: only requests sent before this moment count (the present connection began then, and the maximum
    pause has passed since). Beyond the query's horizon nothing is settled.
    """
    if not orders.complete or capabilities.evidence is not br.EvidenceQuery.COMPLETE:
        return
    shown = {
        order.order_id: item
        for item in orders.items
        if isinstance(item, br.OrderSnapshot)
        and (order := turn.batch.book.find_order(item.broker_account_id, item.wire_id, item.broker_order_id))
    }
    for order in doubtful(turn, connection_id):
        replace_sent_at = order.replace.sent_at if order.replace is not None else None
        sent_at = order.sent_at if order.place is RequestStatus.IN_DOUBT else replace_sent_at
        if sent_at is None or sent_at >= carried_before or _beyond_horizon(sent_at, orders, capabilities):
            continue
        if order.queried_at is not None and order.queried_at >= orders.as_of:
            continue
        if _is_disproved(order, shown.get(order.order_id)):
            turn.batch.record(*not_at_broker(order, orders.as_of))


def doubtful(turn: Turn, connection_id: ConnectionId) -> list[Order]:
    """The connection's orders with a place or replace in doubt."""
    book_ = turn.batch.book
    unsettled = (book_.orders[order_id] for order_id, _ in list(book_.unsettled.entries(connection_id)))
    return [order for order in unsettled if order.in_doubt]


def _words(turn: Turn, item: br.OrderSnapshot, as_of: datetime) -> list[br.AnyReport]:
    """The reports that an order's snapshot amounts to."""
    order = turn.batch.book.find_order(item.broker_account_id, item.wire_id, item.broker_order_id)
    if order is None:
        return []
    named: dict[str, Any] = {
        "broker_account_id": item.broker_account_id,
        "broker_at": as_of,
        "wire_id": item.wire_id,
        "broker_order_id": item.broker_order_id,
    }
    words: list[br.AnyReport] = []
    if order.place is not RequestStatus.DONE or item.status == "WORKING":
        words.append(br.Acknowledged(**named))
    if _shows_new_terms(order, item):
        words.append(
            br.Replaced(quantity=item.quantity, limit_price=item.limit_price, stop_price=item.stop_price, **named)
        )
    ended = _ENDED.get(item.status)
    if ended is not None:
        words.append(ended(reason=item.reason, **named))
    return words


_ENDED: dict[str, type[br.Canceled] | type[br.Rejected] | type[br.Expired]] = {
    "CANCELED": br.Canceled,
    "REJECTED": br.Rejected,
    "EXPIRED": br.Expired,
}


def _shows_new_terms(order: Order, item: br.OrderSnapshot) -> bool:
    """Whether the broker shows exactly what an open replace asked for, and that differs from the old terms."""
    replace = order.replace
    if replace is None or replace.status not in (RequestStatus.SENT, RequestStatus.IN_DOUBT):
        return False
    new = (replace.quantity, replace.limit_price, replace.stop_price)
    old = (order.quantity, order.limit_price, order.stop_price)
    return (item.quantity, item.limit_price, item.stop_price) == new and new != old


def _is_disproved(order: Order, item: br.OrderSnapshot | None) -> bool:
    """Whether this answer speaks against the doubtful request: a place not shown, a replace shown with the old terms.

    A change that the answer cannot show (a trail) is neither proved nor disproved by it.
    """
    if order.place is RequestStatus.IN_DOUBT:
        return item is None
    if item is None or order.replace is None:
        return False
    old = (order.quantity, order.limit_price, order.stop_price)
    new = (order.replace.quantity, order.replace.limit_price, order.replace.stop_price)
    return (item.quantity, item.limit_price, item.stop_price) == old != new


def _beyond_horizon(sent_at: datetime, orders: br.PartResult, capabilities: br.BrokerCapabilities) -> bool:
    if orders.since is not None and sent_at < orders.since:
        return True
    horizon: timedelta | None = capabilities.evidence_horizon
    return horizon is not None and orders.as_of - sent_at > horizon
