"""What speaks for or against an order: the account's state, doubts and every rule, each a verdict with its figures."""

from collections.abc import Sequence
from copy import copy
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from oms_kernel.contracts.rules import OrderIntent
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.decision import Gate, Outcome, Verdict
from oms_kernel.domain.lifecycle import OrderStatus
from oms_kernel.domain.market import MarketView
from oms_kernel.domain.money import ZERO, subtract
from oms_kernel.domain.order import Order, OrderRequest, Reservation
from oms_kernel.view import LedgerView


class JudgedRule(Protocol):
    """A rule behind its guard: it always answers with a verdict."""

    key: str

    def covers(self, request: OrderRequest, now: datetime) -> bool:
        """Whether its limit holds for such an order now."""

    def assess(self, intent: OrderIntent, view: Any, state: Any) -> Verdict:
        """The rule's verdict, or the guard's denial in its place."""

    def tampered(self) -> Verdict:
        """The denial in place of the verdict of a rule that changed what it was shown."""


class States(Protocol):
    """The memories of the rules by key."""

    def get(self, key: str, /) -> Any:
        """What the rule remembers, or None."""


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
    """Every verdict: trading state and doubt first, then each rule that covers the order; all are asked.

    Rules are shown copies of the order and its instrument: one that changes them denies, and the next sees them whole.
    """
    judged = [own for own in (_trading_state_verdict(intent, view), _doubt_verdict(intent, view)) if own is not None]
    request, now = intent.request, view.now
    shown = _unshared(intent)
    for rule in rules:
        if not rule.covers(request, now):
            continue
        verdict = rule.assess(shown, view, states.get(rule.key))
        if shown != intent:
            verdict, shown = rule.tampered(), _unshared(intent)
        judged.append(verdict)
    return tuple(judged)


def _unshared(intent: OrderIntent) -> OrderIntent:
    """The same intent, made of copies: a frozen struct can be changed by force, and these are kept and stored."""
    replaces = intent.replaces
    return msgspec.structs.replace(
        intent,
        request=copy(intent.request),
        instrument=copy(intent.instrument),
        replaces=copy(replaces) if replaces is not None else None,
    )


def open_after(intent: OrderIntent) -> Decimal:
    filled = intent.replaces.filled_quantity if intent.replaces else ZERO
    return max(ZERO, subtract(intent.request.quantity, filled))


def lets_out(view: LedgerView, request: OrderRequest, quantity: Decimal) -> bool:
    """Whether trading states let such an order in, and out to the broker.

    An order of a running liquidation passes every kill switch as long as it reduces; what an account whose reports
    cannot be booked has in its book is not to be believed, so that its own CANCEL_ONLY stops liquidations too.
    """
    state = view.trading_state(request.account_id, request.strategy_id, request.instrument_id)
    if state is TradingState.ACTIVE:
        return True
    if state is TradingState.REDUCE_ONLY:
        return view.reduces_where_restrained(request, quantity)
    if request.liquidation_id is None or not view.is_liquidating(request.liquidation_id):
        return False
    own = view.account(request.account_id).trading_state
    return own is not TradingState.CANCEL_ONLY and view.reduces_where_restrained(request, quantity)


def _trading_state_verdict(intent: OrderIntent, view: LedgerView) -> Verdict | None:
    request = intent.request
    if lets_out(view, request, open_after(intent)):
        if request.reduce_only and not view.reduces(request, open_after(intent)):
            return _own_denial(
                "reduce_only", "would_increase", "the order is reduce-only and would not reduce", intent, view
            )
        return None
    state = view.trading_state(request.account_id, request.strategy_id, request.instrument_id)
    own = view.account(request.account_id).trading_state
    taken = "orders that reduce, and cancels" if state is TradingState.REDUCE_ONLY else "cancels only"
    text = f"the account is {state}" if own is state else f"a kill switch holds {state}"
    return _own_denial("trading_state", state.lower(), f"{text}: it takes {taken}", intent, view)


def _doubt_verdict(intent: OrderIntent, view: LedgerView) -> Verdict | None:
    request = intent.request
    if not view.in_doubt(request.account_id, request.instrument_id) or view.reduces(request, open_after(intent)):
        return None
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


def no_hold(verdicts: tuple[Verdict, ...], order: Order) -> tuple[Verdict, ...]:
    """The verdicts over new terms: what would be held is denied, unless the order itself is held until its release."""
    holds = [verdict for verdict in verdicts if verdict.holds]
    if not holds or order.status is OrderStatus.HELD:
        return verdicts
    denials = {id(verdict): msgspec.structs.replace(verdict, outcome=Outcome.DENY) for verdict in holds}
    return tuple(denials.get(id(verdict), verdict) for verdict in verdicts)


def accepts(verdicts: Sequence[Verdict]) -> bool:
    return not any(verdict.denies for verdict in verdicts)


def is_held(verdicts: Sequence[Verdict], request: OrderRequest) -> bool:
    """Whether the order is to wait for an approval; an order of a liquidation waits for nobody."""
    return request.liquidation_id is None and any(verdict.holds for verdict in verdicts)


def denials_first(verdicts: tuple[Verdict, ...]) -> tuple[Verdict, ...]:
    return tuple(sorted(verdicts, key=lambda verdict: not verdict.denies))
