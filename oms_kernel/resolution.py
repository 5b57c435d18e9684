"""What a person found out about an order that the platform cannot settle: its outcome in, the events that book it out.

Only an order in doubt, or one that a break of the reconciliation names, is settled by a person's word; for every other
the broker's word decides. Executions are never told this way: they are booked under the broker's execution id.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from oms_kernel.domain import events as ev
from oms_kernel.domain.book import Book
from oms_kernel.domain.breaks import BreakType
from oms_kernel.domain.errors import InvalidRequest, OrderConflict
from oms_kernel.domain.ids import BrokerOrderId
from oms_kernel.domain.lifecycle import Evidence, RequestStatus, Word
from oms_kernel.domain.order import Order


class Finding(StrEnum):
    """What a person saw at the broker."""

    NOT_AT_BROKER = "NOT_AT_BROKER"
    """The broker never had the order."""
    WORKING = "WORKING"
    """The broker has the order and it works."""
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    REPLACED = "REPLACED"
    """The new terms of the doubtful change are in force."""
    NOT_REPLACED = "NOT_REPLACED"
    """The old terms are in force."""


_ENDS: dict[Finding, type[ev.OrderEnded]] = {
    Finding.NOT_AT_BROKER: ev.OrderRejected,
    Finding.REJECTED: ev.OrderRejected,
    Finding.CANCELED: ev.OrderCanceled,
    Finding.EXPIRED: ev.OrderExpired,
}
_OF_A_REPLACE = (Finding.REPLACED, Finding.NOT_REPLACED)
_OPENS_TO_PERSONS = (BreakType.PHANTOM_ORDER, BreakType.STALE)


def resolve(
    book: Book,
    order: Order,
    finding: Finding,
    *,
    principal: str,
    at: datetime,
    broker_order_id: BrokerOrderId | None = None,
) -> tuple[ev.Event, ...]:
    """The events of a person's finding. Raises OrderConflict when it cannot be, InvalidRequest when it lacks something.

    broker_order_id: the broker's id of an order found WORKING that we do not know yet.
    """
    _require_open_question(book, order, finding)
    base: dict[str, Any] = {"account_id": order.request.account_id, "order_id": order.order_id}
    if finding in _ENDS:
        reason = f"{principal} found it at the broker: {finding}"
        ended = _ENDS[finding](
            evidence=Evidence.PERSON, reason_code=finding.value, reason=reason, principal=principal, **base
        )
        return (ended,)
    if finding is Finding.WORKING:
        if broker_order_id is None and not order.broker_order_ids:
            raise InvalidRequest("give the broker's id of the order that you found", field="broker_order_id")
        found = ev.OrderAcknowledged(
            word=Word.ACKNOWLEDGED, broker_order_id=broker_order_id, broker_at=at, principal=principal, **base
        )
        return (found,)
    assert order.replace is not None
    if finding is Finding.NOT_REPLACED:
        text = f"{principal} found the old terms at the broker"
        refused = ev.ReplaceRefused(evidence=Evidence.PERSON, reason=text, broker_at=at, principal=principal, **base)
        return (refused,)
    terms = order.replace
    replaced = ev.OrderReplaced(
        quantity=terms.quantity,
        limit_price=terms.limit_price,
        stop_price=terms.stop_price,
        trail_amount=terms.trail_amount,
        trail_percent=terms.trail_percent,
        word=Word.FILLED_WHOLE if terms.quantity <= order.filled_quantity else Word.ACKNOWLEDGED,
        broker_order_id=broker_order_id,
        broker_at=at,
        principal=principal,
        **base,
    )
    return (replaced,)


def is_open_to_persons(book: Book, order: Order) -> bool:
    """Whether a person's finding may settle the order: it is in doubt, or an open break names it."""
    if not order.is_active:
        return False
    keys = ((break_type, order.broker_account_id, order.order_id) for break_type in _OPENS_TO_PERSONS)
    opened = {key for key, _ in book.open_breaks.entries(order.broker_account_id)}
    return order.in_doubt or any(key in opened for key in keys)


def _require_open_question(book: Book, order: Order, finding: Finding) -> None:
    if not order.is_active:
        raise OrderConflict(f"the order is {order.state}: there is nothing to resolve")
    if not is_open_to_persons(book, order):
        raise OrderConflict("the order is not in doubt and no break names it; the broker's word settles it")
    replacing = order.replace is not None and order.replace.status is RequestStatus.IN_DOUBT
    if finding in _OF_A_REPLACE and not replacing:
        raise OrderConflict("no change of the order is in doubt", field="finding")
    if finding is Finding.WORKING and order.place is not RequestStatus.IN_DOUBT:
        raise OrderConflict("that the order is at the broker is proved already", field="finding")
    if finding is Finding.NOT_AT_BROKER and (order.place is RequestStatus.DONE or order.filled_quantity):
        raise OrderConflict("the broker has acknowledged or filled the order: it was there", field="finding")
