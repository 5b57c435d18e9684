"""How one order changes: a broker's word or a signal in, the stored order with status, requests and evidence out."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from oms_kernel.domain import events as ev
from oms_kernel.domain.ids import BrokerOrderId
from oms_kernel.domain.lifecycle import (
    TERMINAL,
    Evidence,
    OrderStatus,
    RequestKind,
    RequestStatus,
    Signal,
    Word,
    is_open_request,
    next_request,
    next_status,
)
from oms_kernel.domain.order import Order

if TYPE_CHECKING:
    from oms_kernel.domain.book import Book


def _end_requests(order: Order, status: OrderStatus) -> dict[str, Any]:
    """The requests of an order that reached a terminal status."""
    ended: dict[str, Any] = {}
    if is_open_request(order.place):
        signal = Signal.REFUSE if status is OrderStatus.REJECTED else Signal.END
        ended["place"] = next_request(RequestKind.PLACE, order.place, signal)
    if order.replace is not None and is_open_request(order.replace.status):
        closed = next_request(RequestKind.REPLACE, order.replace.status, Signal.END)
        ended["replace"] = msgspec.structs.replace(order.replace, status=closed)
    if order.cancel is not None and is_open_request(order.cancel):
        signal = Signal.END if status is OrderStatus.CANCELED else Signal.REFUSE
        ended["cancel"] = next_request(RequestKind.CANCEL, order.cancel, signal)
    return ended


def _prove(order: Order) -> dict[str, Any]:
    """Any report of an order proves its place."""
    return {"place": next_request(RequestKind.PLACE, order.place, Signal.PROVE)}


_PROVES_PLACE = frozenset({Word.ACKNOWLEDGED, Word.FILLED_PART, Word.FILLED_WHOLE, Word.FOUND_ALIVE, Word.UNFILLED})
_HOW_IT_ENDED = ("evidence", "reason_code", "reason")


def move(book: Book, order: Order, word: Word, recorded: ev.Recorded, **changes: Any) -> None:
    """Store the order after a word: new status, proved place, ended requests and evidence when it is terminal.

    A word that does not change a terminal status (reordered, repeated) leaves how the order ended as it was told first.
    """
    status = next_status(order.status, word)
    updates: dict[str, Any] = {}
    if status is OrderStatus.FILLED:
        updates.update(_terms_proved_by_fills(order, changes.get("filled_quantity", order.filled_quantity)))
    if status in TERMINAL:
        updates = {**_end_requests(order, status), **updates}
    if word in _PROVES_PLACE:
        updates.update(_prove(order))
    if status in TERMINAL and status is order.status:
        changes = {name: value for name, value in changes.items() if name not in _HOW_IT_ENDED}
    elif status is OrderStatus.FILLED:
        ended_before = order.status if order.status in TERMINAL and order.evidence is Evidence.BROKER else None
        changes.update(evidence=Evidence.BROKER, reason_code=None, reason=None, ended_before=ended_before)
    elif status in TERMINAL:
        changes.setdefault("evidence", Evidence.BROKER)
    else:
        changes.update(evidence=None)
        if order.status in TERMINAL:
            changes.update(reason_code=None, reason=None)
    put(book, order, recorded, status=status, **{**updates, **changes})


def _terms_proved_by_fills(order: Order, filled_quantity: Decimal) -> dict[str, Any]:
    """The new terms of a sent replace that raised the total, once executions reached it: they must be in force."""
    replace = order.replace
    if replace is None or replace.status not in (RequestStatus.SENT, RequestStatus.IN_DOUBT):
        return {}
    if not order.quantity < replace.quantity <= filled_quantity:
        return {}
    proved = next_request(RequestKind.REPLACE, replace.status, Signal.PROVE)
    return {
        "quantity": replace.quantity,
        "limit_price": replace.limit_price,
        "stop_price": replace.stop_price,
        "trail_amount": replace.trail_amount,
        "trail_percent": replace.trail_percent,
        "reservation": replace.reservation,
        "terms_wire_id": replace.wire_id,
        "replace": msgspec.structs.replace(replace, status=proved),
    }


def put(book: Book, order: Order, recorded: ev.Recorded, **updates: Any) -> None:
    """Store the order with these changes, its version and its time."""
    book.put_order(msgspec.structs.replace(order, updated_at=recorded.recorded_at, version=recorded.seq, **updates))


def with_broker_id(book: Book, order: Order, broker_order_id: BrokerOrderId | None) -> dict[str, Any]:
    """Remember a broker id of the order; all that it ever had stay known."""
    if broker_order_id is None or broker_order_id in order.broker_order_ids:
        return {}
    book.broker_orders[order.broker_account_id, broker_order_id] = order.order_id
    return {"broker_order_ids": (*order.broker_order_ids, broker_order_id)}
