"""What a broker's word about an execution means: a report and the book in, the events that book it out; once each id.

Nothing is dropped: fills after the end of an order, of more than its quantity, or of orders that are not ours are
booked and alerted. Whatever could fail later is checked here, so that the events fold without an error.
"""

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
from oms_kernel.domain.lifecycle import TERMINAL, OrderStatus, RequestStatus, Word, is_open_request
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


def book_fill(
    view: LedgerView, book: Book, owner: BrokerAccountOwner, order: Order | None, report: br.Filled
) -> Events:
    """The events of one execution; at most its fee when it is booked already."""
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
        return (filled, alert_person(owner, None, ev.Severity.WARNING, text, "Find out who traded at the broker."))
    total = total_while_open(order)
    filled_quantity = add(order.filled_quantity, report.quantity)
    late = order.status in TERMINAL
    over_fill = filled_quantity > total_at_broker(order)
    event = ev.OrderFilled(
        fill=fill,
        word=Word.FILLED_WHOLE if filled_quantity >= total else Word.FILLED_PART,
        late=late,
        over_fill=over_fill,
        fee_known=report.fee is not None,
        broker_order_id=report.broker_order_id,
        **about(order),
    )
    return (event, *fill_alerts(book, owner, order, late=late and not over_fill, over_fill=over_fill))


def book_fee(
    view: LedgerView, book: Book, owner: BrokerAccountOwner, order: Order | None, report: br.FeeReported
) -> Events:
    """The events of an execution's fee, told after it."""
    booked = book.execution(report.broker_account_id, report.exec_id)
    if booked is None:
        raise Unbookable(f"a fee came for execution {report.exec_id}, which is not booked")
    bounded(report.fee)
    if booked.fee_known and booked.fee == report.fee:
        return ()
    return (_fee_attached(booked, report.fee),)


def book_correction(
    view: LedgerView, book: Book, owner: BrokerAccountOwner, order: Order | None, report: br.Corrected
) -> Events:
    """The events of an execution that had in truth other figures."""
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
    alert = alert_person(owner, of_order, ev.Severity.WARNING, text, "Check what was decided on the old figures.")
    if of_order is None or report.quantity <= booked.quantity:
        return (event, alert)
    filled = add(subtract(of_order.filled_quantity, booked.quantity), report.quantity)
    over_fill = filled > total_at_broker(of_order)
    return (event, alert, *fill_alerts(book, owner, of_order, late=False, over_fill=over_fill))


def book_bust(
    view: LedgerView, book: Book, owner: BrokerAccountOwner, order: Order | None, report: br.Busted
) -> Events:
    """The events of an execution that never happened."""
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
    return (event, alert_person(owner, of_order, ev.Severity.WARNING, text, "Check the position and the order's rest."))


def fill_alerts(book: Book, owner: BrokerAccountOwner, order: Order, *, late: bool, over_fill: bool) -> Events:
    """What a person must see of an over-fill or a late fill; an over-fill lets only in what reduces."""
    if over_fill:
        text = f"order {order.order_id} was filled beyond its quantity {to_text(order.quantity)}"
        alert = alert_person(
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
        return (alert_person(owner, order, ev.Severity.WARNING, text, "Check the position; the fill is booked."),)
    return ()


AT_BROKER = (RequestStatus.SENT, RequestStatus.IN_DOUBT)


def total_while_open(order: Order) -> Decimal:
    """The total at which executions alone make the order FILLED: the larger one while a replace is open."""
    if order.replace is None or not is_open_request(order.replace.status):
        return order.quantity
    return max(order.quantity, order.replace.quantity)


def total_at_broker(order: Order) -> Decimal:
    """The largest total that the broker may hold the order for; a replace that was not sent is not known there."""
    if order.replace is None or order.replace.status not in AT_BROKER:
        return order.quantity
    return max(order.quantity, order.replace.quantity)


def about(order: Order) -> dict[str, Any]:
    """The names that every event of an order bears."""
    return {"account_id": order.request.account_id, "order_id": order.order_id}


def alert_person(
    owner: BrokerAccountOwner, order: Order | None, severity: ev.Severity, text: str, what: str
) -> ev.AlertRaised:
    """An alert about an order, or about its account."""
    return ev.AlertRaised(
        account_id=owner.account_id,
        order_id=order.order_id if order else None,
        severity=severity,
        source="booking",
        text=text,
        what_to_do=what,
    )


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


def _word_after(order: Order | None, booked: Fill, quantity: Decimal) -> Word | None:
    """What a restated quantity says about its order; None when it says nothing."""
    if order is None:
        return None
    filled = add(subtract(order.filled_quantity, booked.quantity), quantity)
    if order.status is OrderStatus.FILLED and filled < order.quantity:
        return Word.UNFILLED
    if order.status is not OrderStatus.FILLED and filled >= total_while_open(order):
        return Word.FILLED_WHOLE
    return None
