"""One fold for each kind of event: the event in, the book's maps changed; the table at the end names them all."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingAccount
from oms_kernel.domain.breaks import Break
from oms_kernel.domain.controls import Breach, EquityMark, KillSwitch, Liquidation
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.ids import BreakId, ExecId
from oms_kernel.domain.lifecycle import (
    Evidence,
    OrderStatus,
    RequestKind,
    RequestStatus,
    Signal,
    Word,
    next_request,
)
from oms_kernel.domain.money import ZERO, add, notional, subtract
from oms_kernel.domain.moves import move, put, with_broker_id
from oms_kernel.domain.order import NET_BOOK, Order, ReplaceRequest, Reservation

if TYPE_CHECKING:
    from oms_kernel.domain.book import Book


def _account_opened(book: Book, event: ev.AccountOpened, recorded: ev.Recorded) -> None:
    assert event.account_id is not None
    book.accounts[event.account_id] = TradingAccount(
        account_id=event.account_id,
        base_currency=event.base_currency,
        time_zone=event.time_zone,
        day_roll=event.day_roll,
    )


def _cash_changed(book: Book, event: ev.CashChanged, recorded: ev.Recorded) -> None:
    assert event.account_id is not None
    book.deposit(event.account_id, event.currency, event.amount)


def _trading_state_changed(book: Book, event: ev.TradingStateChanged, recorded: ev.Recorded) -> None:
    assert event.account_id is not None
    account = book.accounts[event.account_id]
    book.accounts[event.account_id] = msgspec.structs.replace(
        account, trading_state=event.trading_state, state_reason=event.reason_code
    )


def _new_order(event: ev.OrderAccepted | ev.OrderDenied, recorded: ev.Recorded, **fields: Any) -> Order:
    request = event.request
    return Order(
        order_id=event.order_id,
        request=request,
        broker_account_id=event.broker_account_id,
        connection_id=event.connection_id,
        symbol=event.symbol,
        currency=event.currency,
        multiplier=event.multiplier,
        accepted_at=recorded.recorded_at,
        updated_at=recorded.recorded_at,
        version=recorded.seq,
        quantity=request.quantity,
        limit_price=request.limit_price,
        stop_price=request.stop_price,
        trail_amount=request.trail_amount,
        trail_percent=request.trail_percent,
        trading_date=event.trading_date,
        principal=event.principal,
        **fields,
    )


def _remember_client_order_id(book: Book, order: Order) -> None:
    if order.request.client_order_id is not None:
        book.client_orders[order.request.account_id, order.request.client_order_id] = order.order_id


def _order_accepted(book: Book, event: ev.OrderAccepted, recorded: ev.Recorded) -> None:
    order = _new_order(
        event,
        recorded,
        status=OrderStatus.HELD if event.held else OrderStatus.NEW,
        place=RequestStatus.REQUESTED,
        reservation=event.reservation,
        send_before=event.send_before,
        hold_until=event.hold_until,
    )
    book.add_order(order)
    _remember_client_order_id(book, order)
    book.count(order.request.account_id, order.currency, event.risk_date, accepted=1)


def _hold_released(book: Book, event: ev.HoldReleased, recorded: ev.Recorded) -> None:
    put(
        book,
        book.orders[event.order_id],
        recorded,
        status=OrderStatus.NEW,
        send_before=event.send_before,
        approved_by=event.principal,
    )


def _order_denied(book: Book, event: ev.OrderDenied, recorded: ev.Recorded) -> None:
    first = next(iter(event.verdicts), None)
    order = _new_order(
        event,
        recorded,
        status=OrderStatus.DENIED,
        place=RequestStatus.REFUSED,
        evidence=Evidence.OWN_CHECK,
        reason_code=first.rule if first else None,
        reason=first.message if first else None,
    )
    book.add_order(order)
    _remember_client_order_id(book, order)
    book.count(order.request.account_id, order.currency, event.risk_date, denied=1)


def _intent_recorded(book: Book, event: ev.IntentRecorded, recorded: ev.Recorded) -> None:
    order = book.orders[event.order_id]
    book.wires[event.wire_id] = order.order_id
    wires = order.wire_ids if event.wire_id in order.wire_ids else (*order.wire_ids, event.wire_id)
    updates: dict[str, Any] = {"wire_ids": wires, "attempt": max(order.attempt, event.attempt)}
    if event.request_kind is RequestKind.PLACE:
        updates.update(
            place=next_request(RequestKind.PLACE, order.place, Signal.SEND),
            status=OrderStatus.NEW,
            sent_at=recorded.recorded_at,
            lease_token=event.lease_token,
        )
    elif event.request_kind is RequestKind.REPLACE:
        assert order.replace is not None
        updates["replace"] = msgspec.structs.replace(
            order.replace,
            status=next_request(RequestKind.REPLACE, order.replace.status, Signal.SEND),
            wire_id=event.wire_id,
            attempt=event.attempt,
            lease_token=event.lease_token,
            sent_at=recorded.recorded_at,
        )
    elif order.is_active:  # a cancel may be sent first and recorded after: the order may have ended meanwhile
        updates.update(
            cancel=next_request(RequestKind.CANCEL, order.cancel or RequestStatus.REQUESTED, Signal.SEND),
            cancel_sent_at=recorded.recorded_at,
        )
    put(book, order, recorded, **updates)


def _request_in_doubt(book: Book, event: ev.RequestInDoubt, recorded: ev.Recorded) -> None:
    order = book.orders[event.order_id]
    if event.request_kind is RequestKind.PLACE:
        updates: dict[str, Any] = {"place": next_request(RequestKind.PLACE, order.place, Signal.DOUBT)}
    else:
        assert order.replace is not None
        doubted = next_request(RequestKind.REPLACE, order.replace.status, Signal.DOUBT)
        updates = {"replace": msgspec.structs.replace(order.replace, status=doubted)}
    put(book, order, recorded, reason=event.reason, queries_negative=0, queried_at=None, **updates)


def _doubt_queried(book: Book, event: ev.DoubtQueried, recorded: ev.Recorded) -> None:
    order = book.orders[event.order_id]
    put(book, order, recorded, queries_negative=order.queries_negative + 1, queried_at=event.as_of)


def _order_acknowledged(book: Book, event: ev.OrderAcknowledged, recorded: ev.Recorded) -> None:
    order = book.orders[event.order_id]
    told = with_broker_id(book, order, event.broker_order_id)
    move(book, order, event.word, recorded, reason=None, **told)


def _order_adopted(book: Book, event: ev.OrderAdopted, recorded: ev.Recorded) -> None:
    request = event.request
    price = event.reservation.price or ZERO
    order = Order(
        order_id=event.order_id,
        request=request,
        broker_account_id=event.broker_account_id,
        connection_id=event.connection_id,
        symbol=event.symbol,
        currency=event.currency,
        multiplier=event.multiplier,
        status=OrderStatus.WORKING,
        place=RequestStatus.DONE,
        accepted_at=recorded.recorded_at,
        updated_at=recorded.recorded_at,
        version=recorded.seq,
        quantity=request.quantity,
        limit_price=request.limit_price,
        stop_price=request.stop_price,
        filled_quantity=event.filled_quantity,
        filled_value=notional(event.filled_quantity, price),
        reservation=event.reservation,
        wire_ids=(event.wire_id,) if event.wire_id is not None else (),
        broker_order_ids=(event.broker_order_id,),
        trading_date=event.trading_date,
        is_external=True,
    )
    if event.wire_id is not None:
        book.wires[event.wire_id] = order.order_id
    book.broker_orders[event.broker_account_id, event.broker_order_id] = order.order_id
    book.put_order(order)


def _replace_requested(book: Book, event: ev.ReplaceRequested, recorded: ev.Recorded) -> None:
    order = book.orders[event.order_id]
    replace = ReplaceRequest(
        status=RequestStatus.REQUESTED,
        quantity=event.quantity,
        limit_price=event.limit_price,
        stop_price=event.stop_price,
        trail_amount=event.trail_amount,
        trail_percent=event.trail_percent,
        reservation=event.reservation,
        send_before=event.send_before,
    )
    put(book, order, recorded, replace=replace)


def _nothing(book: Book, event: ev.Event, recorded: ev.Recorded) -> None:
    """The event leaves the book as it is."""


def _order_replaced(book: Book, event: ev.OrderReplaced, recorded: ev.Recorded) -> None:
    order = book.orders[event.order_id]
    updates: dict[str, Any] = {
        "quantity": event.quantity,
        "limit_price": event.limit_price,
        "stop_price": event.stop_price,
        "trail_amount": event.trail_amount,
        "trail_percent": event.trail_percent,
        **with_broker_id(book, order, event.broker_order_id),
    }
    if event.settles and order.replace is not None:
        # An amendment of an unsent order needs no sending, so REQUESTED may end here too.
        updates["replace"] = msgspec.structs.replace(order.replace, status=RequestStatus.DONE)
        updates["terms_wire_id"] = order.replace.wire_id or order.terms_wire_id
        updates["reservation"] = order.replace.reservation
    elif event.limit_price is not None:
        updates["reservation"] = Reservation(price=event.limit_price, source="limit_price")
    elif event.stop_price is not None:
        updates["reservation"] = Reservation(price=event.stop_price, source="stop_price")
    if event.broker_at is None:
        put(book, order, recorded, **updates)
    else:
        move(book, order, event.word or Word.ACKNOWLEDGED, recorded, **updates)


def _replace_refused(book: Book, event: ev.ReplaceRefused, recorded: ev.Recorded) -> None:
    order = book.orders[event.order_id]
    if order.replace is None:
        return
    status = next_request(RequestKind.REPLACE, order.replace.status, Signal.REFUSE)
    refused = msgspec.structs.replace(order.replace, status=status)
    if order.is_active and order.filled_quantity >= order.quantity:
        # Only the larger total kept the order open: the old one, which goes on, was filled meanwhile.
        move(book, order, Word.FILLED_WHOLE, recorded, replace=refused)
    else:
        put(book, order, recorded, replace=refused, reason=event.reason)


def _cancel_requested(book: Book, event: ev.CancelRequested, recorded: ev.Recorded) -> None:
    put(book, book.orders[event.order_id], recorded, cancel=RequestStatus.REQUESTED)


def _cancel_refused(book: Book, event: ev.CancelRefused, recorded: ev.Recorded) -> None:
    order = book.orders[event.order_id]
    refused = next_request(RequestKind.CANCEL, order.cancel or RequestStatus.REQUESTED, Signal.REFUSE)
    put(book, order, recorded, cancel=refused, reason=event.reason)


def _order_filled(book: Book, event: ev.OrderFilled, recorded: ev.Recorded) -> None:
    fill = event.fill
    book.book_fill(fill, recorded.seq)
    order = book.orders.get(event.order_id) if event.order_id is not None else None
    if order is not None:
        move(
            book,
            order,
            event.word,
            recorded,
            filled_quantity=add(order.filled_quantity, fill.quantity),
            filled_value=add(order.filled_value, notional(fill.quantity, fill.price)),
            **with_broker_id(book, order, event.broker_order_id),
        )


def _fee_attached(book: Book, event: ev.FeeAttached, recorded: ev.Recorded) -> None:
    key = (event.broker_account_id, event.exec_id)
    old = book.executions[key]
    book.executions[key] = msgspec.structs.replace(old, fee=event.fee, fee_known=True)
    if old.busted:
        return  # what never happened costs nothing
    change = subtract(event.fee, old.fee)
    for name in (NET_BOOK, old.book):
        position = book.positions[old.account_id, name, old.instrument_id]
        book.positions[old.account_id, name, old.instrument_id] = msgspec.structs.replace(
            position, fees=add(position.fees, change)
        )
    book.move_cash(old.account_id, old.currency, change.copy_negate())
    book.count(old.account_id, old.currency, old.risk_date, fees=change)


def _executed(fill: Fill) -> tuple[Decimal, Decimal]:
    """(quantity, quantity x price) that an execution adds to its order; nothing for a busted one."""
    return (ZERO, ZERO) if fill.busted else (fill.quantity, notional(fill.quantity, fill.price))


def _restated(
    book: Book, event: ev.ExecutionCorrected | ev.ExecutionBusted, restatement: ExecId, new: Fill, recorded: ev.Recorded
) -> None:
    key = (event.broker_account_id, event.exec_id)
    old = book.executions[key]
    book.restatements[event.broker_account_id, restatement] = event.exec_id
    book.restate_fill(key, new, recorded.seq)
    order = book.orders.get(event.order_id) if event.order_id is not None else None
    if order is not None:
        was, now = _executed(old), _executed(new)
        updates = {
            "filled_quantity": add(subtract(order.filled_quantity, was[0]), now[0]),
            "filled_value": add(subtract(order.filled_value, was[1]), now[1]),
        }
        if event.word is None:
            put(book, order, recorded, **updates)
        elif event.word is Word.UNFILLED and order.ended_before is not None:
            ended = msgspec.structs.replace(order, status=order.ended_before, ended_before=None)
            move(book, ended, event.word, recorded, **updates)
        else:
            move(book, order, event.word, recorded, **updates)


def _execution_corrected(book: Book, event: ev.ExecutionCorrected, recorded: ev.Recorded) -> None:
    old = book.executions[event.broker_account_id, event.exec_id]
    new = msgspec.structs.replace(
        old,
        quantity=event.quantity,
        price=event.price,
        fee=event.fee,
        fee_known=old.fee_known or event.fee != old.fee,
    )
    _restated(book, event, event.correction_id, new, recorded)


def _execution_busted(book: Book, event: ev.ExecutionBusted, recorded: ev.Recorded) -> None:
    old = book.executions[event.broker_account_id, event.exec_id]
    _restated(book, event, event.bust_id, msgspec.structs.replace(old, busted=True), recorded)


_END_WORDS = {"order_canceled": Word.CANCELED, "order_rejected": Word.REJECTED, "order_expired": Word.EXPIRED}


def _order_ended(book: Book, event: ev.OrderEnded, recorded: ev.Recorded) -> None:
    order = book.orders[event.order_id]
    move(
        book,
        order,
        _END_WORDS[event.kind],
        recorded,
        evidence=event.evidence,
        reason_code=event.reason_code or None,
        reason=event.reason or None,
        **with_broker_id(book, order, event.broker_order_id),
    )


def _alert_raised(book: Book, event: ev.AlertRaised, recorded: ev.Recorded) -> None:
    book.open_alerts.add(OPEN, recorded.event_id, event.account_id or "")


def _alert_acknowledged(book: Book, event: ev.AlertAcknowledged, recorded: ev.Recorded) -> None:
    book.open_alerts.remove(OPEN, event.alert_id)


def _break_found(book: Book, event: ev.BreakFound, recorded: ev.Recorded) -> None:
    break_id = BreakId(recorded.event_id)
    difference = event.difference
    book.breaks[break_id] = Break(
        break_id=break_id,
        difference=difference,
        severity=event.severity,
        proposed_fix=event.proposed_fix,
        found_at=recorded.recorded_at,
        as_of=event.as_of,
    )
    book.open_breaks.add(difference.broker_account_id, difference.key, break_id)


def _break_changed(book: Book, event: ev.BreakChanged, recorded: ev.Recorded) -> None:
    found = book.breaks[event.break_id]
    difference = msgspec.structs.replace(found.difference, ours=event.ours, theirs=event.theirs)
    book.breaks[event.break_id] = msgspec.structs.replace(found, difference=difference, as_of=event.as_of)


def _break_acknowledged(book: Book, event: ev.BreakAcknowledged, recorded: ev.Recorded) -> None:
    book.breaks[event.break_id] = msgspec.structs.replace(
        book.breaks[event.break_id], acknowledged_at=recorded.recorded_at, acknowledged_by=event.principal
    )


def _break_resolved(book: Book, event: ev.BreakResolved, recorded: ev.Recorded) -> None:
    found = book.breaks[event.break_id]
    book.breaks[event.break_id] = msgspec.structs.replace(
        found,
        resolved_at=recorded.recorded_at,
        resolved_by=event.principal,
        resolution=event.resolution,
        auto_fixed=event.auto_fixed,
    )
    book.open_breaks.remove(found.difference.broker_account_id, found.difference.key)


def _limit_breached(book: Book, event: ev.LimitBreached, recorded: ev.Recorded) -> None:
    book.breaches[recorded.event_id] = Breach(
        breach_id=recorded.event_id,
        limit_id=event.limit_id,
        key=event.key,
        rule=event.rule,
        scope=event.scope,
        category=event.category,
        action=event.action,
        message=event.message,
        breached_at=recorded.recorded_at,
        observed=event.observed,
        limit=event.limit,
        unit=event.unit,
    )
    book.open_breaches.add(event.limit_id, event.key, recorded.event_id)


def _breach_assigned(book: Book, event: ev.BreachAssigned, recorded: ev.Recorded) -> None:
    breach = book.breaches[event.breach_id]
    book.breaches[event.breach_id] = msgspec.structs.replace(breach, assigned_to=event.assigned_to)


def _breach_closed(book: Book, event: ev.BreachClosed, recorded: ev.Recorded) -> None:
    breach = book.breaches[event.breach_id]
    book.breaches[event.breach_id] = msgspec.structs.replace(
        breach, closed_at=recorded.recorded_at, closed_by=event.principal, finding=event.finding
    )
    book.open_breaches.remove(breach.limit_id, breach.key)


def _kill_switch_activated(book: Book, event: ev.KillSwitchActivated, recorded: ev.Recorded) -> None:
    switch_id = recorded.event_id
    book.kill_switches[switch_id] = KillSwitch(
        switch_id=switch_id,
        scope=event.scope,
        trading_state=event.trading_state,
        cause=event.cause,
        reason_code=event.reason_code,
        activated_at=recorded.recorded_at,
        activated_by=event.principal,
        cancel_working=event.cancel_working,
        flatten=event.flatten,
        breach_id=event.breach_id,
        firm_switch_id=event.firm_switch_id,
    )
    book.active_switches.add(OPEN, switch_id, 1)


def _release_asked(book: Book, event: ev.ReleaseAsked, recorded: ev.Recorded) -> None:
    switch = book.kill_switches[event.switch_id]
    book.kill_switches[event.switch_id] = msgspec.structs.replace(switch, release_asked_by=event.principal)


def _kill_switch_released(book: Book, event: ev.KillSwitchReleased, recorded: ev.Recorded) -> None:
    switch = book.kill_switches[event.switch_id]
    book.kill_switches[event.switch_id] = msgspec.structs.replace(
        switch, released_at=recorded.recorded_at, released_by=event.principal
    )
    book.active_switches.remove(OPEN, event.switch_id)


def _liquidation_started(book: Book, event: ev.LiquidationStarted, recorded: ev.Recorded) -> None:
    book.liquidations[recorded.event_id] = Liquidation(
        liquidation_id=recorded.event_id,
        scope=event.scope,
        started_at=recorded.recorded_at,
        started_by=event.principal,
        reason_code=event.reason_code,
        switch_id=event.switch_id,
    )
    book.running_liquidations.add(OPEN, recorded.event_id, 1)


def _liquidation_ended(book: Book, event: ev.LiquidationEnded, recorded: ev.Recorded) -> None:
    running = book.liquidations[event.liquidation_id]
    book.liquidations[event.liquidation_id] = msgspec.structs.replace(
        running, ended_at=recorded.recorded_at, outcome=event.outcome
    )
    book.running_liquidations.remove(OPEN, event.liquidation_id)


def _equity_marked(book: Book, event: ev.EquityMarked, recorded: ev.Recorded) -> None:
    assert event.account_id is not None
    book.mark_equity(
        event.account_id,
        EquityMark(
            risk_date=event.risk_date,
            day_start=event.day_start,
            high_water=event.high_water,
            marked_at=recorded.recorded_at,
        ),
    )


OPEN = "open"
"""The one group of what is not settled: alerts, kill switches, liquidations."""


def _plugin_quarantined(book: Book, event: ev.PluginQuarantined, recorded: ev.Recorded) -> None:
    book.quarantined[event.plugin] = event.reason


def _plugin_released(book: Book, event: ev.PluginReleased, recorded: ev.Recorded) -> None:
    book.quarantined[event.plugin] = ""


FOLDS: dict[str, Callable[[Book, Any, ev.Recorded], None]] = {
    "account_opened": _account_opened,
    "cash_changed": _cash_changed,
    "trading_state_changed": _trading_state_changed,
    "order_accepted": _order_accepted,
    "order_denied": _order_denied,
    "intent_recorded": _intent_recorded,
    "request_in_doubt": _request_in_doubt,
    "doubt_queried": _doubt_queried,
    "order_acknowledged": _order_acknowledged,
    "order_adopted": _order_adopted,
    "replace_requested": _replace_requested,
    "replace_denied": _nothing,
    "order_replaced": _order_replaced,
    "replace_refused": _replace_refused,
    "cancel_requested": _cancel_requested,
    "cancel_refused": _cancel_refused,
    "order_filled": _order_filled,
    "fee_attached": _fee_attached,
    "execution_corrected": _execution_corrected,
    "execution_busted": _execution_busted,
    "figures_restated": _nothing,
    "order_canceled": _order_ended,
    "order_rejected": _order_ended,
    "order_expired": _order_ended,
    "person_resolved": _nothing,
    "alert_raised": _alert_raised,
    "alert_acknowledged": _alert_acknowledged,
    "break_found": _break_found,
    "break_changed": _break_changed,
    "break_acknowledged": _break_acknowledged,
    "break_resolved": _break_resolved,
    "plugin_quarantined": _plugin_quarantined,
    "plugin_released": _plugin_released,
    "admin_acted": _nothing,
    "hold_released": _hold_released,
    "limit_breached": _limit_breached,
    "breach_assigned": _breach_assigned,
    "breach_closed": _breach_closed,
    "kill_switch_activated": _kill_switch_activated,
    "kill_switch_drilled": _nothing,
    "release_asked": _release_asked,
    "kill_switch_released": _kill_switch_released,
    "liquidation_started": _liquidation_started,
    "liquidation_ended": _liquidation_ended,
    "equity_marked": _equity_marked,
}
