"""Pure decisions over one ledger: place, replace, cancel and send an order; events out, nothing touched.

The fifth decision, what a broker's report means, is in `oms_kernel.settlement`.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from oms_kernel.contracts.broker import BrokerCapabilities, ReplaceMode
from oms_kernel.contracts.rules import Basket, OrderIntent
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.decision import Decision
from oms_kernel.domain.errors import InvalidRequest, OrderConflict
from oms_kernel.domain.ids import BrokerAccountId, ConnectionId, OrderId, WireId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.lifecycle import Evidence, OrderStatus, RequestKind, RequestStatus, is_open_request
from oms_kernel.domain.money import ONE, ZERO, is_multiple, notional, subtract
from oms_kernel.domain.order import Order, OrderRequest, Reservation
from oms_kernel.domain.validation import check_request, check_terms
from oms_kernel.judging import (
    JudgedRule,
    States,
    accepts,
    denials_first,
    is_held,
    judge,
    lets_out,
    no_hold,
    reserve,
)
from oms_kernel.view import LedgerView


class Destination(msgspec.Struct, frozen=True):
    """Where an order goes and what can be done there."""

    broker_account_id: BrokerAccountId
    connection_id: ConnectionId
    capabilities: BrokerCapabilities


class NewTerms(msgspec.Struct, frozen=True):
    """What a replace changes; absent terms stay. `quantity` is the new total."""

    quantity: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None


class Unsupported(InvalidRequest):
    """The broker cannot do this; choose another order type, time in force or account."""

    code = "unsupported"


def place(
    view: LedgerView,
    request: OrderRequest,
    *,
    order_id: OrderId,
    instrument: Instrument,
    destination: Destination,
    rules: Sequence[JudgedRule],
    states: States,
    send_before: datetime,
    hold_until: datetime | None = None,
    basket: Basket | None = None,
    limits_version: int = 0,
    principal: str = "",
    request_id: str = "",
) -> tuple[Decision, ev.OrderAccepted | ev.OrderDenied]:
    """The decision over a new order and the one event that tells it.

    hold_until: until when it would wait for an approval, where a soft limit holds it; None: until `send_before`.

    Raises InvalidRequest (a bad request: store nothing); a denial is a decision, not an error.
    """
    check_request(request, instrument, view.now)
    check_capabilities(destination.capabilities, request, instrument)
    reservation = reserve(request, view.market)
    _require_countable(request, instrument, reservation)
    intent = OrderIntent(
        kind=RequestKind.PLACE,
        order_id=order_id,
        request=request,
        instrument=instrument,
        added_quantity=request.quantity,
        price=reservation.price,
        price_source=reservation.source,
        principal=principal,
        basket=basket,
    )
    verdicts = judge(intent, view, rules, states)
    decision = Decision(order_id=order_id, accepted=accepts(verdicts), verdicts=verdicts)
    told: dict[str, Any] = {
        "account_id": request.account_id,
        "order_id": order_id,
        "request": request,
        "broker_account_id": destination.broker_account_id,
        "connection_id": destination.connection_id,
        "symbol": instrument.symbol,
        "currency": instrument.currency,
        "multiplier": instrument.multiplier,
        "trading_date": view.trading_date(instrument),
        "risk_date": view.risk_date(request.account_id),
        "limits_version": limits_version,
        "principal": principal,
        "request_id": request_id,
    }
    if not decision.accepted:
        return decision, ev.OrderDenied(verdicts=denials_first(verdicts), **told)
    held = is_held(verdicts, request)
    until = (hold_until or send_before) if held else None
    return decision, ev.OrderAccepted(
        reservation=reservation,
        send_before=until or send_before,
        held=held,
        hold_until=until,
        verdicts=verdicts,
        **told,
    )


def approve(
    view: LedgerView,
    order: Order,
    *,
    instrument: Instrument,
    rules: Sequence[JudgedRule],
    states: States,
    send_before: datetime,
    principal: str,
    text_hash: str | None = None,
    request_id: str = "",
) -> tuple[Decision, ev.HoldReleased | None]:
    """The decision over a held order that a person approves, by all rules as of now; soft limits are overridden.

    No event where a hard rule denies: the order goes on waiting. Raises OrderConflict for an order that is not held,
    past its time, being cancelled, or of the approver's own making.
    """
    if order.status is not OrderStatus.HELD or order.place is not RequestStatus.REQUESTED:
        raise OrderConflict(f"the order is {order.state}; only a held order can be approved")
    if is_open_request(order.cancel):
        raise OrderConflict("a cancel is under way; the order cannot be approved any more")
    if order.hold_until is not None and view.now > order.hold_until:
        raise OrderConflict("the time in which the order could be approved is over")
    if order.principal == principal:
        raise OrderConflict("whoever placed an order cannot approve it; ask a second person")
    request = current_request(order)
    intent = OrderIntent(
        kind=RequestKind.PLACE,
        order_id=order.order_id,
        request=request,
        instrument=instrument,
        added_quantity=request.quantity,
        price=order.reservation.price,
        price_source=order.reservation.source,
        principal=order.principal,
    )
    verdicts = judge(intent, view.hiding(order.order_id), rules, states)
    decision = Decision(order_id=order.order_id, accepted=accepts(verdicts), verdicts=verdicts)
    if not decision.accepted:
        return decision, None
    return decision, ev.HoldReleased(
        account_id=request.account_id,
        order_id=order.order_id,
        principal=principal,
        send_before=send_before,
        verdicts=verdicts,
        overridden=tuple(verdict.limit_id for verdict in verdicts if verdict.holds),
        text_hash=text_hash,
        request_id=request_id,
    )


def current_request(order: Order) -> OrderRequest:
    """What the order asks for by the terms that are in force."""
    return msgspec.structs.replace(order.request, **{name: getattr(order, name) for name in _TERMS})


def replace(
    view: LedgerView,
    order: Order,
    terms: NewTerms,
    *,
    instrument: Instrument,
    capabilities: BrokerCapabilities,
    rules: Sequence[JudgedRule],
    states: States,
    send_before: datetime,
    limits_version: int = 0,
    principal: str = "",
    request_id: str = "",
) -> tuple[Decision, tuple[ev.Event, ...]]:
    """The decision over new terms of an order, and its events.

    An order that was never sent is amended at once. Raises OrderConflict when the order is terminal, in doubt, or has
    an open replace or cancel; InvalidRequest for bad terms.
    """
    _require_replaceable(order)
    merged = {
        name: getattr(terms, name) if getattr(terms, name) is not None else getattr(order, name) for name in _TERMS
    }
    if terms.trail_amount is not None:
        merged["trail_percent"] = None
    if terms.trail_percent is not None:
        merged["trail_amount"] = None
    if all(merged[name] == getattr(order, name) for name in _TERMS):
        raise InvalidRequest("the new terms are the same as the present ones", field="quantity")
    instrument.check_quantity("quantity", merged["quantity"])
    check_terms(order.request.order_type, instrument, **{name: merged[name] for name in _TERMS if name != "quantity"})
    _require_whole(capabilities, merged["quantity"])
    unsent = order.place is RequestStatus.REQUESTED
    if not unsent and capabilities.replace is not ReplaceMode.NATIVE:
        raise Unsupported("this broker cannot change a live order; cancel it and place a new one")
    request = msgspec.structs.replace(order.request, **merged)
    reservation = reserve(request, view.market)
    _require_countable(request, instrument, reservation)
    hidden = view.hiding(order.order_id)
    intent = OrderIntent(
        kind=RequestKind.REPLACE,
        order_id=order.order_id,
        request=request,
        instrument=instrument,
        added_quantity=max(ZERO, subtract(merged["quantity"], order.quantity)),
        price=reservation.price,
        price_source=reservation.source,
        replaces=order,
        principal=principal,
    )
    verdicts = no_hold(judge(intent, hidden, rules, states), order)
    decision = Decision(order_id=order.order_id, accepted=accepts(verdicts), verdicts=verdicts)
    told: dict[str, Any] = {
        "account_id": order.request.account_id,
        "order_id": order.order_id,
        "limits_version": limits_version,
        "principal": principal,
        "request_id": request_id,
    }
    if not decision.accepted:
        prices = {name: merged[name] for name in ("quantity", "limit_price", "stop_price")}
        return decision, (ev.ReplaceDenied(verdicts=denials_first(verdicts), **prices, **told),)
    requested = ev.ReplaceRequested(
        reservation=reservation, send_before=send_before, verdicts=verdicts, **merged, **told
    )
    if not unsent:
        return decision, (requested,)
    amended = ev.OrderReplaced(account_id=order.request.account_id, order_id=order.order_id, **merged)
    return decision, (requested, amended)


def cancel(order: Order, *, principal: str = "", request_id: str = "") -> tuple[ev.Event, ...]:
    """The events of a cancel; none when one is under way already. Raises OrderConflict for a terminal order.

    An order that was never sent ends here and now; a replace that was not sent is void.
    """
    if not order.is_active:
        raise OrderConflict(f"the order is {order.state} and cannot be cancelled")
    _require_ours(order)
    if is_open_request(order.cancel):
        return ()
    base: dict[str, Any] = {"account_id": order.request.account_id, "order_id": order.order_id}
    events: list[ev.Event] = [ev.CancelRequested(principal=principal, request_id=request_id, **base)]
    if order.place is RequestStatus.REQUESTED:
        return (*events, never_sent(order, ev.OrderCanceled, "canceled_before_send", principal=principal))
    if order.replace is not None and order.replace.status is RequestStatus.REQUESTED:
        events.append(ev.ReplaceRefused(evidence=Evidence.NEVER_SENT, reason="voided by a cancel", **base))
    return tuple(events)


def gate_intent(view: LedgerView, order: Order, kind: RequestKind) -> ev.OrderEnded | ev.ReplaceRefused | None:
    """The last gate before the wire: None lets the intent be recorded, else the event that ends the request.

    Cancels always pass. A place past `send_before` or its own expiry ends EXPIRED; one that the account's trading state
    no longer allows ends CANCELED; both were never sent.
    """
    if kind is RequestKind.CANCEL:
        return None
    reason = _gate_reason(view, order, kind)
    if reason is None:
        return None
    cls, code = reason
    if kind is RequestKind.REPLACE:
        return ev.ReplaceRefused(
            account_id=order.request.account_id, order_id=order.order_id, evidence=Evidence.NEVER_SENT, reason=code
        )
    return never_sent(order, cls, code)


def intent(
    order: Order, kind: RequestKind, wire_id: WireId, fields: dict[str, str], lease_token: int
) -> ev.IntentRecorded:
    """The event that commits what is about to be sent."""
    return ev.IntentRecorded(
        account_id=order.request.account_id,
        order_id=order.order_id,
        request_kind=kind,
        attempt=next_attempt(order, kind),
        lease_token=lease_token,
        wire_id=wire_id,
        wire_fields=fields,
    )


def next_attempt(order: Order, kind: RequestKind) -> int:
    """The attempt number of the next request: a place is attempt 0 and is never made again."""
    return 0 if kind is RequestKind.PLACE else order.attempt + 1


def never_sent(order: Order, cls: type[ev.OrderEnded], reason_code: str, *, principal: str = "") -> ev.OrderEnded:
    """The end of an order of which the broker never heard."""
    return cls(
        account_id=order.request.account_id,
        order_id=order.order_id,
        evidence=Evidence.NEVER_SENT,
        reason_code=reason_code,
        reason=NEVER_SENT_REASONS.get(reason_code, reason_code),
        principal=principal,
    )


NEVER_SENT_REASONS = {
    "canceled_before_send": "cancelled before it was sent",
    "send_before_passed": "no broker session took it in time",
    "expired_before_send": "expired before it was sent",
    "approval_declined": "a person declined to approve it",
    "approval_expired": "nobody approved it in time",
    "trading_state": "the account's trading state does not let it out any more",
    "reduce_only": "it is reduce-only and would not reduce any more",
    "prepare_failed": "the broker connector could not prepare it",
    "database_silent": "it was held back: the database was away too long",
    "lease_lapsed": "it was held back: the session's lease had ended",
    "connection_closed": "the connection to the broker closed before it was sent",
}


def check_capabilities(capabilities: BrokerCapabilities, request: OrderRequest, instrument: Instrument) -> None:
    """Nothing, when the broker can take the order; else Unsupported that names the field and what it takes."""
    declared = (
        ("order_type", request.order_type, capabilities.order_types),
        ("time_in_force", request.time_in_force, capabilities.time_in_force),
        ("symbol", instrument.asset_class, capabilities.asset_classes),
    )
    for field, asked, offered in declared:
        if asked not in offered:
            choices = ", ".join(sorted(offered))
            raise Unsupported(f"the account's broker does not take {asked}; it takes {choices}", field=field)
    _require_whole(capabilities, request.quantity)


def _require_whole(capabilities: BrokerCapabilities, quantity: Decimal) -> None:
    if not capabilities.fractional_quantity and not is_multiple(quantity, ONE):
        raise Unsupported("the account's broker takes whole quantities only", field="quantity")


def _require_countable(request: OrderRequest, instrument: Instrument, reservation: Reservation) -> None:
    """Nothing, when the value of the order is a number that can be booked; else InvalidNumber."""
    if reservation.price is not None:
        notional(request.quantity, reservation.price, instrument.multiplier)


_TERMS = ("quantity", "limit_price", "stop_price", "trail_amount", "trail_percent")


def _require_replaceable(order: Order) -> None:
    if not order.is_active:
        raise OrderConflict(f"the order is {order.state} and cannot be changed")
    _require_ours(order)
    if is_open_request(order.cancel):
        raise OrderConflict("a cancel is under way; the order cannot be changed any more")
    if order.replace is not None and is_open_request(order.replace.status):
        raise OrderConflict("another change is under way; wait for its outcome")
    if order.place is RequestStatus.IN_DOUBT:
        raise OrderConflict("the order is in doubt; it can be cancelled, not changed")


def _require_ours(order: Order) -> None:
    if order.is_external:
        raise OrderConflict("the order was placed at the broker, not here; change or cancel it there")


def _gate_reason(view: LedgerView, order: Order, kind: RequestKind) -> tuple[type[ev.OrderEnded], str] | None:
    request = order.request
    replacing = order.replace if kind is RequestKind.REPLACE else None
    send_before = replacing.send_before if replacing else order.send_before
    if send_before is not None and view.now > send_before:
        return ev.OrderExpired, "send_before_passed"
    if request.expire_at is not None and view.now >= request.expire_at:
        return ev.OrderExpired, "expired_before_send"
    state = view.trading_state(request.account_id, request.strategy_id, request.instrument_id)
    if state is TradingState.ACTIVE and not request.reduce_only:
        return None
    total = replacing.quantity if replacing else order.quantity
    still_open = max(ZERO, subtract(total, order.filled_quantity))
    hidden = view.hiding(order.order_id)
    if not lets_out(hidden, request, still_open):
        return ev.OrderCanceled, "trading_state"
    if request.reduce_only and not hidden.reduces(request, still_open):
        return ev.OrderCanceled, "reduce_only"
    return None


def is_unsent(order: Order) -> bool:
    """Whether the broker can never have heard of the order."""
    return order.status in (OrderStatus.NEW, OrderStatus.HELD) and order.place is RequestStatus.REQUESTED
