"""What a broker's report means: a report and the book in, the events that book it out; each execution id once.

Nothing is dropped: fills after the end of an order, of more than its quantity, or of orders that are not ours are
booked and alerted. A report that cannot be booked raises Unbookable, and the host keeps it raw.
"""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from oms_kernel.contracts import broker as br
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.book import Book
from oms_kernel.domain.errors import KernelError
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.ids import AccountId, BrokerAccountId, ExecId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.lifecycle import (
    TERMINAL,
    Evidence,
    OrderStatus,
    RequestKind,
    RequestStatus,
    Word,
    is_open_request,
)
from oms_kernel.domain.money import ZERO, add, bounded, notional, subtract, to_text
from oms_kernel.domain.order import EXTERNAL_BOOK, Order
from oms_kernel.view import LedgerView

Events = tuple[ev.Event, ...]


class Unbookable(KernelError):
    """A report that contradicts the book or names what the platform does not know; it is kept raw for a person."""

    code = "unbookable"


class BrokerAccountOwner(msgspec.Struct, frozen=True):
    """Whose trading account a broker account's reports belong to."""

    broker_account_id: BrokerAccountId
    account_id: AccountId


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
    base = _about(order)
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
    base = _about(order)
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
    base = _about(order)
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


def _about(order: Order) -> dict[str, Any]:
    return {"account_id": order.request.account_id, "order_id": order.order_id}


def _alert(
    owner: BrokerAccountOwner, order: Order | None, severity: ev.Severity, text: str, what: str
) -> ev.AlertRaised:
    return ev.AlertRaised(
        account_id=owner.account_id,
        order_id=order.order_id if order else None,
        severity=severity,
        source="booking",
        text=text,
        what_to_do=what,
    )


def _ended_without_the_brokers_word(order: Order) -> bool:
    return order.status in TERMINAL and order.evidence is not Evidence.BROKER


def _found_alive(owner: BrokerAccountOwner, order: Order, told: dict[str, Any]) -> Events:
    text = f"the broker works order {order.order_id}, which had ended {order.status} on {order.evidence}"
    what = "Cancel it, or keep it knowingly; its exposure counts again."
    return (
        ev.OrderAcknowledged(word=Word.FOUND_ALIVE, **told),
        _alert(owner, order, ev.Severity.CRITICAL, text, what),
    )


def _external(owner: BrokerAccountOwner, report: br.Report) -> Events:
    """A word about an order that this ledger never placed."""
    name = report.broker_order_id or report.wire_id
    text = f"the broker speaks of order {name}, which is not ours ({type(report).__name__})"
    return (_alert(owner, None, ev.Severity.WARNING, text, "Find out who placed it at the broker."),)


def _acknowledged(
    view: LedgerView, book: Book, owner: BrokerAccountOwner, order: Order | None, report: br.Acknowledged
) -> Events:
    if order is None:
        return _external(owner, report)
    told: dict[str, Any] = {
        "broker_order_id": report.broker_order_id,
        "wire_id": report.wire_id,
        "broker_at": report.broker_at,
        **_about(order),
    }
    if _ended_without_the_brokers_word(order):
        return _found_alive(owner, order, told)
    known = report.broker_order_id is None or report.broker_order_id in order.broker_order_ids
    if known and (order.status in TERMINAL or order.status is OrderStatus.WORKING):
        return ()
    return (ev.OrderAcknowledged(**told),)


def _filled(view: LedgerView, book: Book, owner: BrokerAccountOwner, order: Order | None, report: br.Filled) -> Events:
    _require_numbers(report.exec_id, report.quantity, report.price, report.fee)
    booked = book.execution(report.broker_account_id, report.exec_id)
    if booked is not None:
        return _repeated(book, booked, report)
    instrument = view.instrument(report.instrument_id)
    if instrument is None:
        raise Unbookable(f"execution {report.exec_id} is of an instrument that the platform does not know")
    if order is not None and (order.request.instrument_id, order.request.side) != (report.instrument_id, report.side):
        raise Unbookable(f"execution {report.exec_id} is of another instrument or side than its order")
    fill = _fill(view, owner, order, report, instrument)
    _require_values(fill)
    if order is None:
        text = f"execution {report.exec_id} belongs to an order that is not ours; it is booked as EXTERNAL"
        filled = ev.OrderFilled(
            account_id=owner.account_id, fill=fill, word=Word.FILLED_PART, fee_known=report.fee is not None
        )
        return (filled, _alert(owner, None, ev.Severity.WARNING, text, "Find out who traded at the broker."))
    total = _total_while_open(order)
    filled_quantity = add(order.filled_quantity, report.quantity)
    late = order.status in TERMINAL
    over_fill = filled_quantity > _total_at_broker(order)
    event = ev.OrderFilled(
        fill=fill,
        word=Word.FILLED_WHOLE if filled_quantity >= total else Word.FILLED_PART,
        late=late,
        over_fill=over_fill,
        fee_known=report.fee is not None,
        broker_order_id=report.broker_order_id,
        **_about(order),
    )
    return (event, *_fill_alerts(book, owner, order, late=late and not over_fill, over_fill=over_fill))


def _total_while_open(order: Order) -> Decimal:
    """The total at which executions alone make the order FILLED: the larger one while a replace is open."""
    if order.replace is None or not is_open_request(order.replace.status):
        return order.quantity
    return max(order.quantity, order.replace.quantity)


def _total_at_broker(order: Order) -> Decimal:
    """The largest total that the broker may hold the order for; a replace that was not sent is not known there."""
    if order.replace is None or order.replace.status not in _AT_BROKER:
        return order.quantity
    return max(order.quantity, order.replace.quantity)


_AT_BROKER = (RequestStatus.SENT, RequestStatus.IN_DOUBT)


def _require_numbers(exec_id: ExecId, quantity: Decimal, price: Decimal, fee: Decimal | None) -> None:
    """Nothing, when an execution's figures can be booked; else InvalidNumber or Unbookable."""
    for number in (quantity, price, fee):
        if number is not None:
            bounded(number)
    if quantity <= 0:
        raise Unbookable(f"execution {exec_id} has the quantity {to_text(quantity)}")


def _require_values(fill: Fill) -> None:
    """Nothing, when the fill's value can be booked; else InvalidNumber."""
    bounded(fill.cash_change)
    notional(fill.quantity, fill.price)


def _repeated(book: Book, booked: Fill, report: br.Filled) -> Events:
    """The events of an execution that is booked: at most the fee that was not known then."""
    figures = (report.quantity, report.price)
    known = ((booked.quantity, booked.price), *(book.superseded.get((booked.broker_account_id, booked.exec_id)) or ()))
    same_kind = (booked.side, booked.instrument_id) == (report.side, report.instrument_id)
    if not same_kind or figures not in known:
        raise Unbookable(f"execution {report.exec_id} was booked before with other figures")
    if booked.fee_known or report.fee is None:
        return ()
    return (_fee_attached(booked, report.fee),)


def _fee_attached(booked: Fill, fee: Decimal) -> ev.FeeAttached:
    return ev.FeeAttached(
        account_id=booked.account_id,
        order_id=booked.order_id,
        broker_account_id=booked.broker_account_id,
        exec_id=booked.exec_id,
        fee=fee,
    )


def _fill_alerts(book: Book, owner: BrokerAccountOwner, order: Order, *, late: bool, over_fill: bool) -> Events:
    if over_fill:
        text = f"order {order.order_id} was filled beyond its quantity {to_text(order.quantity)}"
        alert = _alert(
            owner, order, ev.Severity.CRITICAL, text, "Compare with the broker; release REDUCE_ONLY when it is right."
        )
        if book.accounts[owner.account_id].trading_state is TradingState.ACTIVE:
            stop = ev.TradingStateChanged(
                account_id=owner.account_id,
                trading_state=TradingState.REDUCE_ONLY,
                reason_code="over_fill",
                principal="system:booking",
            )
            return (alert, stop)
        return (alert,)
    if late:
        text = f"order {order.order_id} was filled after it had ended {order.status}"
        return (_alert(owner, order, ev.Severity.WARNING, text, "Check the position; the fill is booked."),)
    return ()


def _fill(
    view: LedgerView, owner: BrokerAccountOwner, order: Order | None, report: br.Filled, instrument: Instrument
) -> Fill:
    return Fill(
        exec_id=report.exec_id,
        order_id=order.order_id if order else None,
        account_id=order.request.account_id if order else owner.account_id,
        broker_account_id=report.broker_account_id,
        instrument_id=report.instrument_id,
        book=order.book if order else EXTERNAL_BOOK,
        side=report.side,
        quantity=report.quantity,
        price=report.price,
        currency=instrument.currency,
        multiplier=instrument.multiplier,
        executed_at=report.broker_at,
        trading_date=view.calendar(instrument).trading_date(report.broker_at).isoformat(),
        risk_date=view.risk_date(owner.account_id),
        fee=report.fee if report.fee is not None else ZERO,
        fee_known=report.fee is not None,
        liquidity=report.liquidity,
    )


def _fee_reported(
    view: LedgerView, book: Book, owner: BrokerAccountOwner, order: Order | None, report: br.FeeReported
) -> Events:
    booked = book.execution(report.broker_account_id, report.exec_id)
    if booked is None:
        raise Unbookable(f"a fee came for execution {report.exec_id}, which is not booked")
    bounded(report.fee)
    if booked.fee_known and booked.fee == report.fee:
        return ()
    return (_fee_attached(booked, report.fee),)


def _restatement(book: Book, report: br.Corrected | br.Busted, restatement_id: ExecId) -> Fill | None:
    """The execution to restate, or None when this restatement is booked already. Raises Unbookable.

    A restatement may name the execution or the last correction of it.
    """
    account = report.broker_account_id
    restated = book.restatements.get((account, restatement_id))
    if restated is not None:
        if restated != (book.restatements.get((account, report.exec_id)) or report.exec_id):
            raise Unbookable(f"{restatement_id} restates execution {report.exec_id}, but did restate {restated}")
        return None
    if (account, restatement_id) in book.executions and restatement_id != report.exec_id:
        raise Unbookable(f"{restatement_id} restates execution {report.exec_id}, but is an execution itself")
    booked = book.execution(account, report.exec_id)
    if booked is None:
        raise Unbookable(f"{restatement_id} restates execution {report.exec_id}, which is not booked")
    return booked


def _corrected(
    view: LedgerView, book: Book, owner: BrokerAccountOwner, order: Order | None, report: br.Corrected
) -> Events:
    booked = _restatement(book, report, report.correction_id)
    if booked is None:
        return ()
    if booked.busted:
        raise Unbookable(f"{report.correction_id} corrects execution {report.exec_id}, which was busted before")
    _require_numbers(report.exec_id, report.quantity, report.price, report.fee)
    fee = report.fee if report.fee is not None else booked.fee
    _require_values(msgspec.structs.replace(booked, quantity=report.quantity, price=report.price, fee=fee))
    of_order = book.orders.get(booked.order_id) if booked.order_id else None
    event = ev.ExecutionCorrected(
        account_id=booked.account_id,
        order_id=booked.order_id,
        broker_account_id=report.broker_account_id,
        exec_id=booked.exec_id,
        correction_id=report.correction_id,
        quantity=report.quantity,
        price=report.price,
        fee=fee,
        word=_word_after(of_order, booked, report.quantity),
    )
    text = f"the broker corrected execution {report.exec_id}; positions and cash are restated"
    alert = _alert(owner, of_order, ev.Severity.WARNING, text, "Check what was decided on the old figures.")
    if of_order is None or report.quantity <= booked.quantity:
        return (event, alert)
    filled = add(subtract(of_order.filled_quantity, booked.quantity), report.quantity)
    over_fill = filled > _total_at_broker(of_order)
    return (event, alert, *_fill_alerts(book, owner, of_order, late=False, over_fill=over_fill))


def _busted(view: LedgerView, book: Book, owner: BrokerAccountOwner, order: Order | None, report: br.Busted) -> Events:
    booked = _restatement(book, report, report.bust_id)
    if booked is None or booked.busted:
        return ()
    of_order = book.orders.get(booked.order_id) if booked.order_id else None
    event = ev.ExecutionBusted(
        account_id=booked.account_id,
        order_id=booked.order_id,
        broker_account_id=report.broker_account_id,
        exec_id=booked.exec_id,
        bust_id=report.bust_id,
        word=_word_after(of_order, booked, ZERO),
    )
    text = f"the broker busted execution {report.exec_id}; positions and cash are restated"
    return (event, _alert(owner, of_order, ev.Severity.WARNING, text, "Check the position and the order's rest."))


def _word_after(order: Order | None, booked: Fill, quantity: Decimal) -> Word | None:
    """What a restated quantity says about its order; None when it says nothing."""
    if order is None:
        return None
    filled = add(subtract(order.filled_quantity, booked.quantity), quantity)
    if order.status is OrderStatus.FILLED and filled < order.quantity:
        return Word.UNFILLED
    if order.status is not OrderStatus.FILLED and filled >= _total_while_open(order):
        return Word.FILLED_WHOLE
    return None


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
        alive = _found_alive(owner, order, {**named, **_about(order)})
    elif order.status in TERMINAL:
        return ()
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
        **_about(order),
    )
    if settled is not None and is_open_request(settled.status):
        return (*alive, event)
    text = f"the broker changed order {order.order_id} without being asked"
    if settled is not None:
        text = f"the broker changed order {order.order_id} although that change had been taken for refused"
    alert = _alert(owner, order, ev.Severity.WARNING, text, "Find out who changed it at the broker.")
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


def _other_total(order: Order) -> Decimal:
    """The total that an open replace may still bring."""
    return order.replace.quantity if order.replace is not None and is_open_request(order.replace.status) else ZERO


def _replace_refused(
    view: LedgerView, book: Book, owner: BrokerAccountOwner, order: Order | None, report: br.ReplaceRefused
) -> Events:
    if order is None:
        return _external(owner, report)
    if order.replace is None or order.replace.status not in _AT_BROKER:
        return ()
    refused = ev.ReplaceRefused(
        evidence=Evidence.BROKER, reason=report.reason, broker_at=report.broker_at, **_about(order)
    )
    over_fill = order.is_active and order.filled_quantity > order.quantity
    return (refused, *_fill_alerts(book, owner, order, late=False, over_fill=over_fill))


def _cancel_refused(
    view: LedgerView, book: Book, owner: BrokerAccountOwner, order: Order | None, report: br.CancelRefused
) -> Events:
    if order is None:
        return _external(owner, report)
    if order.cancel is not RequestStatus.SENT:
        return ()
    return (ev.CancelRefused(reason=report.reason, broker_at=report.broker_at, **_about(order)),)


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
        **_about(order),
    )
    return (event,)


_HANDLERS: dict[type, Callable[..., Events]] = {
    br.Acknowledged: _acknowledged,
    br.Filled: _filled,
    br.FeeReported: _fee_reported,
    br.Corrected: _corrected,
    br.Busted: _busted,
    br.Replaced: _replaced,
    br.ReplaceRefused: _replace_refused,
    br.CancelRefused: _cancel_refused,
    br.Canceled: _ended,
    br.Rejected: _ended,
    br.Expired: _ended,
}
