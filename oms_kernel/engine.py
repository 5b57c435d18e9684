"""Pure decisions over one ledger: place, replace, cancel and send an order; events out, nothing touched.

The fifth decision, what a broker's report means, is in `oms_kernel.settlement`.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from oms_kernel.contracts.broker import BrokerCapabilities, ReplaceMode
from oms_kernel.contracts.rules import OrderIntent
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.decision import Decision, Gate, Outcome, Verdict, passed
from oms_kernel.domain.errors import InvalidRequest, OrderConflict
from oms_kernel.domain.ids import AccountId, BrokerAccountId, ConnectionId, OrderId, WireId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.lifecycle import Evidence, OrderStatus, RequestKind, RequestStatus, is_open_request
from oms_kernel.domain.market import MarketView
from oms_kernel.domain.money import ONE, ZERO, add, is_multiple, notional, subtract
from oms_kernel.domain.order import Order, OrderRequest, Reservation, Side
from oms_kernel.domain.validation import check_request, check_terms
from oms_kernel.view import LedgerView


class JudgedRule(Protocol):
    """A rule behind its guard: it always answers with a verdict."""

    key: str
    account_id: AccountId | None
    """The account it is for; None: every account of the ledger."""

    def assess(self, intent: OrderIntent, view: Any, state: Any) -> Verdict:
        """The rule's verdict, or the guard's denial in its place."""


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


class States(Protocol):
    """The memories of the rules by key."""

    def get(self, key: str, /) -> Any:
        """What the rule remembers, or None."""


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
    limits_version: int = 0,
    principal: str = "",
) -> tuple[Decision, ev.OrderAccepted | ev.OrderDenied]:
    """The decision over a new order and the one event that tells it.

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
    )
    verdicts = judge(intent, view, rules, states)
    decision = Decision(order_id=order_id, accepted=_accepts(verdicts), verdicts=verdicts)
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
    }
    if not decision.accepted:
        return decision, ev.OrderDenied(verdicts=_denials_first(verdicts), **told)
    held = any(verdict.outcome is Outcome.HOLD for verdict in verdicts)
    return decision, ev.OrderAccepted(
        reservation=reservation, send_before=send_before, held=held, verdicts=verdicts, **told
    )


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
    )
    verdicts = _no_hold(judge(intent, hidden, rules, states), order)
    decision = Decision(order_id=order.order_id, accepted=_accepts(verdicts), verdicts=verdicts)
    told: dict[str, Any] = {
        "account_id": order.request.account_id,
        "order_id": order.order_id,
        "limits_version": limits_version,
        "principal": principal,
    }
    if not decision.accepted:
        prices = {name: merged[name] for name in ("quantity", "limit_price", "stop_price")}
        return decision, (ev.ReplaceDenied(verdicts=_denials_first(verdicts), **prices, **told),)
    requested = ev.ReplaceRequested(
        reservation=reservation, send_before=send_before, verdicts=verdicts, **merged, **told
    )
    if not unsent:
        return decision, (requested,)
    amended = ev.OrderReplaced(account_id=order.request.account_id, order_id=order.order_id, **merged)
    return decision, (requested, amended)


def cancel(order: Order, *, principal: str = "") -> tuple[ev.Event, ...]:
    """The events of a cancel; none when one is under way already. Raises OrderConflict for a terminal order.

    An order that was never sent ends here and now; a replace that was not sent is void.
    """
    if not order.is_active:
        raise OrderConflict(f"the order is {order.state} and cannot be cancelled")
    if is_open_request(order.cancel):
        return ()
    base: dict[str, Any] = {"account_id": order.request.account_id, "order_id": order.order_id}
    events: list[ev.Event] = [ev.CancelRequested(principal=principal, **base)]
    if order.place is RequestStatus.REQUESTED:
        return (*events, never_sent(order, ev.OrderCanceled, "canceled_before_send", principal=principal))
    if order.replace is not None and order.replace.status is RequestStatus.REQUESTED:
        events.append(ev.ReplaceRefused(evidence=Evidence.NEVER_SENT, reason="voided by a cancel", **base))
    return tuple(events)


def gate_intent(
    view: LedgerView, order: Order, kind: RequestKind, *, lease_token: int, attempt: int
) -> ev.OrderEnded | ev.ReplaceRefused | None:
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
    "trading_state": "the account's trading state does not let it out any more",
    "reduce_only": "it is reduce-only and would not reduce any more",
    "prepare_failed": "the broker connector could not prepare it",
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


def reserve(request: OrderRequest, market: MarketView) -> Reservation:
    """The price at which the order counts as exposure: limit, else stop, else the opposite quote, else none."""
    if request.limit_price is not None:
        return Reservation(price=request.limit_price, source="limit_price")
    if request.stop_price is not None:
        return Reservation(price=request.stop_price, source="stop_price")
    quote = market.fresh(request.instrument_id)
    price = quote.opposite(request.side) if quote is not None else None
    if quote is None or price is None:
        return Reservation(price=None, source="none")
    return Reservation(price=price, source="quote", quote_at=quote.data_at)


def judge(intent: OrderIntent, view: LedgerView, rules: Sequence[JudgedRule], states: States) -> tuple[Verdict, ...]:
    """Every verdict: trading state and doubt first, then each rule of the account in its order; all are asked."""
    own = (_trading_state_verdict(intent, view), _doubt_verdict(intent, view))
    account_id = intent.request.account_id
    judged = [
        rule.assess(intent, view, states.get(rule.key))
        for rule in rules
        if rule.account_id is None or rule.account_id == account_id
    ]
    return (*(verdict for verdict in own if verdict.outcome is not Outcome.PASS), *judged)


def reduces(view: LedgerView, request: OrderRequest, quantity: Decimal) -> bool:
    """Whether the order can only bring the position nearer to zero, with all open orders of its side counted."""
    held = view.held(request.account_id, request.instrument_id)
    exposure = view.exposure(request.account_id, request.instrument_id)
    if request.side is Side.SELL:
        return held > 0 and add(exposure.sell_quantity, quantity) <= held
    return held < 0 and add(exposure.buy_quantity, quantity) <= held.copy_abs()


_TERMS = ("quantity", "limit_price", "stop_price", "trail_amount", "trail_percent")


def _open_after(intent: OrderIntent) -> Decimal:
    filled = intent.replaces.filled_quantity if intent.replaces else ZERO
    return max(ZERO, subtract(intent.request.quantity, filled))


def _lets_in(state: TradingState, intent: OrderIntent, view: LedgerView) -> bool:
    if state is TradingState.ACTIVE:
        return True
    return state is TradingState.REDUCE_ONLY and reduces(view, intent.request, _open_after(intent))


def _trading_state_verdict(intent: OrderIntent, view: LedgerView) -> Verdict:
    state = view.account(intent.request.account_id).trading_state
    if _lets_in(state, intent, view):
        if intent.request.reduce_only and not reduces(view, intent.request, _open_after(intent)):
            return _own_denial(
                "reduce_only", "would_increase", "the order is reduce-only and would not reduce", intent, view
            )
        return passed("trading_state")
    taken = "orders that reduce, and cancels" if state is TradingState.REDUCE_ONLY else "cancels only"
    text = f"the account is {state}: it takes {taken}"
    return _own_denial("trading_state", state.lower(), text, intent, view)


def _doubt_verdict(intent: OrderIntent, view: LedgerView) -> Verdict:
    request = intent.request
    if not view.in_doubt(request.account_id, request.instrument_id) or reduces(view, request, _open_after(intent)):
        return passed("in_doubt")
    text = f"an order of {intent.instrument.symbol} is in doubt: until it is settled only what reduces is taken"
    return _own_denial("in_doubt", "instrument_in_doubt", text, intent, view)


def _own_denial(rule: str, code: str, message: str, intent: OrderIntent, view: LedgerView) -> Verdict:
    held = view.held(intent.request.account_id, intent.request.instrument_id)
    return Verdict(
        rule=rule,
        outcome=Outcome.DENY,
        gate=Gate.ACCOUNT,
        plugin="oms",
        code=code,
        message=message,
        observed=intent.request.quantity,
        limit=held.copy_abs(),
        unit="quantity",
    )


def _no_hold(verdicts: tuple[Verdict, ...], order: Order) -> tuple[Verdict, ...]:
    """The verdicts over new terms: what would be held is denied, unless the order itself is held until its release."""
    holds = [verdict for verdict in verdicts if verdict.outcome is Outcome.HOLD]
    if not holds or order.status is OrderStatus.HELD:
        return verdicts
    denials = {id(verdict): msgspec.structs.replace(verdict, outcome=Outcome.DENY) for verdict in holds}
    return tuple(denials.get(id(verdict), verdict) for verdict in verdicts)


def _accepts(verdicts: Sequence[Verdict]) -> bool:
    return all(verdict.outcome is not Outcome.DENY for verdict in verdicts)


def _denials_first(verdicts: tuple[Verdict, ...]) -> tuple[Verdict, ...]:
    return tuple(sorted(verdicts, key=lambda verdict: verdict.outcome is not Outcome.DENY))


def _require_replaceable(order: Order) -> None:
    if not order.is_active:
        raise OrderConflict(f"the order is {order.state} and cannot be changed")
    if is_open_request(order.cancel):
        raise OrderConflict("a cancel is under way; the order cannot be changed any more")
    if order.replace is not None and is_open_request(order.replace.status):
        raise OrderConflict("another change is under way; wait for its outcome")
    if order.place is RequestStatus.IN_DOUBT:
        raise OrderConflict("the order is in doubt; it can be cancelled, not changed")


def _gate_reason(view: LedgerView, order: Order, kind: RequestKind) -> tuple[type[ev.OrderEnded], str] | None:
    request = order.request
    replacing = order.replace if kind is RequestKind.REPLACE else None
    send_before = replacing.send_before if replacing else order.send_before
    if send_before is not None and view.now > send_before:
        return ev.OrderExpired, "send_before_passed"
    if request.expire_at is not None and view.now >= request.expire_at:
        return ev.OrderExpired, "expired_before_send"
    state = view.account(request.account_id).trading_state
    if state is TradingState.ACTIVE and not request.reduce_only:
        return None
    total = replacing.quantity if replacing else order.quantity
    still_open = max(ZERO, subtract(total, order.filled_quantity))
    reducing = reduces(view.hiding(order.order_id), request, still_open)
    if state is TradingState.ACTIVE:
        return None if reducing else (ev.OrderCanceled, "reduce_only")
    if state is TradingState.REDUCE_ONLY and reducing:
        return None
    return ev.OrderCanceled, "trading_state"


def is_unsent(order: Order) -> bool:
    """Whether the broker can never have heard of the order."""
    return order.status in (OrderStatus.NEW, OrderStatus.HELD) and order.place is RequestStatus.REQUESTED
