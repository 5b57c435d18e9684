"""What a broker's report means: a report and the book in, the events that book it out; a repeated one says nothing.

A report that cannot be booked raises Unbookable, and the host keeps it raw. Executions are in `oms_kernel.executions`.
"""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from oms_kernel.contracts import broker as br
from oms_kernel.domain import events as ev
from oms_kernel.domain.book import Book
from oms_kernel.domain.ids import WireId
from oms_kernel.domain.lifecycle import (
    TERMINAL,
    Evidence,
    OrderStatus,
    RequestKind,
    RequestStatus,
    Word,
    is_open_request,
)
from oms_kernel.domain.money import ZERO, bounded, to_text
from oms_kernel.domain.order import Order
from oms_kernel.executions import (
    AT_BROKER,
    BrokerAccountOwner,
    Events,
    Unbookable,
    about,
    alert_person,
    book_bust,
    book_correction,
    book_fee,
    book_fill,
    fill_alerts,
)
from oms_kernel.view import LedgerView

__all__ = ["BrokerAccountOwner", "Events", "Unbookable", "apply_report", "doubt", "not_at_broker", "refuse"]


def apply_report(view: LedgerView, book: Book, owner: BrokerAccountOwner, report: br.AnyReport) -> Events:
    """The events that book a report; none for one that says nothing new. Raises Unbookable or InvalidNumber.

    Whatever could fail later is checked here, so that the events fold without an error.
    """
    if owner.account_id not in book.accounts:
        raise Unbookable(f"trading account {owner.account_id} is not open in this ledger")
    order = book.find_order(report.broker_account_id, report.wire_id, report.broker_order_id)
    if order is not None and order.broker_account_id != report.broker_account_id:
        raise Unbookable(f"the order belongs to another broker account than {report.broker_account_id}")
    handler = _HANDLERS[type(report)]
    return handler(view, book, owner, order, report)


def doubt(order: Order, kind: RequestKind, reason: str) -> Events:
    """The events that put a sent request in doubt; none when it was settled meanwhile."""
    status = order.place if kind is RequestKind.PLACE else (order.replace.status if order.replace else None)
    if not order.is_active or status is not RequestStatus.SENT:
        return ()
    base = about(order)
    return (
        ev.RequestInDoubt(request_kind=kind, reason=reason, **base),
        ev.AlertRaised(
            severity=ev.Severity.CRITICAL,
            source="submission",
            text=f"a {kind.lower()} of order {order.order_id} is in doubt: {reason}",
            what_to_do="Wait for the reconciliation, or look the order up at the broker.",
            **base,
        ),
    )


def refuse(order: Order, kind: RequestKind, reason: str, at: datetime) -> Events:
    """The events of a connector's definite Refused."""
    base = about(order)
    if kind is RequestKind.PLACE and order.place in (RequestStatus.SENT, RequestStatus.IN_DOUBT):
        return (
            ev.OrderRejected(
                evidence=Evidence.BROKER, reason_code="refused_by_connector", reason=reason, broker_at=at, **base
            ),
        )
    if kind is RequestKind.REPLACE and order.replace is not None and is_open_request(order.replace.status):
        return (ev.ReplaceRefused(evidence=Evidence.BROKER, reason=reason, broker_at=at, **base),)
    if kind is RequestKind.CANCEL and is_open_request(order.cancel):
        return (ev.CancelRefused(reason=reason, broker_at=at, **base),)
    return ()


def not_at_broker(order: Order, as_of: datetime, *, needed: int = 2) -> Events:
    """The events of one complete query that did not show a doubtful place or replace: the second one is evidence.

    The caller has made sure that the connection which carried the request was closed, or its lease ended, more than
    the maximum pause before each query. For a replace "not shown" means shown with the old terms.
    """
    if not order.in_doubt or not order.is_active:
        return ()
    base = about(order)
    placing = order.place is RequestStatus.IN_DOUBT
    queried = ev.DoubtQueried(request_kind=RequestKind.PLACE if placing else RequestKind.REPLACE, as_of=as_of, **base)
    if order.queries_negative + 1 < needed:
        return (queried,)
    what = "the order" if placing else "the new terms"
    text = f"{needed} complete queries of the broker, the last as of {as_of.isoformat()}, do not show {what}"
    if not placing:
        return (queried, ev.ReplaceRefused(evidence=Evidence.QUERY, reason=text, broker_at=as_of, **base))
    rejected = ev.OrderRejected(
        evidence=Evidence.QUERY, reason_code="NOT_AT_BROKER", reason=text, broker_at=as_of, **base
    )
    return (queried, rejected)


def _ended_without_the_brokers_word(order: Order) -> bool:
    return order.status in TERMINAL and order.evidence is not Evidence.BROKER


def _found_alive(owner: BrokerAccountOwner, order: Order, told: dict[str, Any]) -> Events:
    text = f"the broker works order {order.order_id}, which had ended {order.status} on {order.evidence}"
    what = "Cancel it, or keep it knowingly; its exposure counts again."
    return (
        ev.OrderAcknowledged(word=Word.FOUND_ALIVE, **told),
        alert_person(owner, order, ev.Severity.CRITICAL, text, what),
    )


def _external(owner: BrokerAccountOwner, report: br.Report) -> Events:
    """A word about an order that this ledger never placed."""
    name = report.broker_order_id or report.wire_id
    text = f"the broker speaks of order {name}, which is not ours ({type(report).__name__})"
    return (alert_person(owner, None, ev.Severity.WARNING, text, "Find out who placed it at the broker."),)


def _acknowledged(
    view: LedgerView, book: Book, owner: BrokerAccountOwner, order: Order | None, report: br.Acknowledged
) -> Events:
    if order is None:
        return _external(owner, report)
    told: dict[str, Any] = {
        "broker_order_id": report.broker_order_id,
        "wire_id": report.wire_id,
        "broker_at": report.broker_at,
        **about(order),
    }
    if _ended_without_the_brokers_word(order):
        return _found_alive(owner, order, told)
    known = report.broker_order_id is None or report.broker_order_id in order.broker_order_ids
    if known and (order.status in TERMINAL or order.status is OrderStatus.WORKING):
        return ()
    return (ev.OrderAcknowledged(**told),)


def _replaced(
    view: LedgerView, book: Book, owner: BrokerAccountOwner, order: Order | None, report: br.Replaced
) -> Events:
    if order is None:
        return _external(owner, report)
    for number in (report.quantity, report.limit_price, report.stop_price):
        if number is not None:
            bounded(number)
    if report.quantity <= 0:
        raise Unbookable(f"order {order.order_id} was replaced to the quantity {to_text(report.quantity)}")
    alive: Events = ()
    if _ended_without_the_brokers_word(order):
        named = {"broker_order_id": report.broker_order_id, "wire_id": report.wire_id, "broker_at": report.broker_at}
        alive = _found_alive(owner, order, {**named, **about(order)})
    elif order.status in TERMINAL:
        return ()
    if _came_before(order, report.wire_id, order.terms_wire_id):
        return alive
    settled = order.replace if _settles(order, report) else None
    terms = settled or order
    limit_price = report.limit_price if report.limit_price is not None else terms.limit_price
    stop_price = report.stop_price if report.stop_price is not None else terms.stop_price
    same = (order.quantity, order.limit_price, order.stop_price) == (report.quantity, limit_price, stop_price)
    if settled is None and same:
        return alive
    total = report.quantity if settled is not None else max(report.quantity, _other_total(order))
    event = ev.OrderReplaced(
        quantity=report.quantity,
        limit_price=limit_price,
        stop_price=stop_price,
        trail_amount=terms.trail_amount,
        trail_percent=terms.trail_percent,
        word=Word.FILLED_WHOLE if total <= order.filled_quantity else Word.ACKNOWLEDGED,
        settles=settled is not None,
        broker_order_id=report.broker_order_id,
        broker_at=report.broker_at,
        **about(order),
    )
    if settled is not None and is_open_request(settled.status):
        return (*alive, event)
    text = f"the broker changed order {order.order_id} without being asked"
    if settled is not None:
        text = f"the broker changed order {order.order_id} although that change had been taken for refused"
    alert = alert_person(owner, order, ev.Severity.WARNING, text, "Find out who changed it at the broker.")
    return (*alive, event, alert)


def _settles(order: Order, report: br.Replaced) -> bool:
    """Whether the report is the outcome of the order's own replace: by its id, else by the terms it asked for."""
    replace = order.replace
    if replace is None or replace.status in (RequestStatus.REQUESTED, RequestStatus.DONE):
        return False
    if report.wire_id is not None and report.wire_id == replace.wire_id:
        return True
    price = report.limit_price if report.limit_price is not None else replace.limit_price
    return (report.quantity, price) == (replace.quantity, replace.limit_price)


def _came_before(order: Order, named: WireId | None, present: WireId | None) -> bool:
    """Whether a report names a request of the order that was sent before the present one: it is repeated or late.

    Brokers that name every report by the order's first id leave this open.
    """
    later = order.wire_ids[1:]
    if named not in later or present not in later:
        return False
    return later.index(named) < later.index(present)


def _other_total(order: Order) -> Decimal:
    """The total that an open replace may still bring."""
    return order.replace.quantity if order.replace is not None and is_open_request(order.replace.status) else ZERO


def _replace_refused(
    view: LedgerView, book: Book, owner: BrokerAccountOwner, order: Order | None, report: br.ReplaceRefused
) -> Events:
    if order is None:
        return _external(owner, report)
    if order.replace is None or order.replace.status not in AT_BROKER:
        return ()
    if _came_before(order, report.wire_id, order.replace.wire_id):
        return ()
    refused = ev.ReplaceRefused(
        evidence=Evidence.BROKER, reason=report.reason, broker_at=report.broker_at, **about(order)
    )
    over_fill = order.is_active and order.filled_quantity > order.quantity
    return (refused, *fill_alerts(book, owner, order, late=False, over_fill=over_fill))


def _cancel_refused(
    view: LedgerView, book: Book, owner: BrokerAccountOwner, order: Order | None, report: br.CancelRefused
) -> Events:
    if order is None:
        return _external(owner, report)
    if order.cancel is not RequestStatus.SENT:
        return ()
    return (ev.CancelRefused(reason=report.reason, broker_at=report.broker_at, **about(order)),)


_ENDS: dict[type, tuple[type[ev.OrderEnded], str]] = {
    br.Canceled: (ev.OrderCanceled, "canceled_by_broker"),
    br.Rejected: (ev.OrderRejected, "rejected_by_broker"),
    br.Expired: (ev.OrderExpired, "expired_at_broker"),
}


def _ended(
    view: LedgerView,
    book: Book,
    owner: BrokerAccountOwner,
    order: Order | None,
    report: br.Canceled | br.Rejected | br.Expired,
) -> Events:
    if order is None:
        return _external(owner, report)
    if order.status in TERMINAL:
        return ()
    cls, code = _ENDS[type(report)]
    if cls is ev.OrderCanceled and is_open_request(order.cancel):
        code = "canceled_on_request"
    event = cls(
        evidence=Evidence.BROKER,
        reason_code=code,
        reason=report.reason,
        broker_order_id=report.broker_order_id,
        broker_at=report.broker_at,
        **about(order),
    )
    return (event,)


_HANDLERS: dict[type, Callable[..., Events]] = {
    br.Acknowledged: _acknowledged,
    br.Filled: book_fill,
    br.FeeReported: book_fee,
    br.Corrected: book_correction,
    br.Busted: book_bust,
    br.Replaced: _replaced,
    br.ReplaceRefused: _replace_refused,
    br.CancelRefused: _cancel_refused,
    br.Canceled: _ended,
    br.Rejected: _ended,
    br.Expired: _ended,
}
