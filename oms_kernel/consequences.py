"""A trigger of a limit in, the events of its breach out: told once while it is open, with what its action sets off.

The events are pure: the cancels of an action are requested by whoever records them, by `orders_of`.
"""

from collections.abc import Iterator

import msgspec

from oms_kernel.contracts.rules import Trigger
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.book import Book
from oms_kernel.domain.controls import Action, Category, Cause
from oms_kernel.domain.ids import AccountId, EventId
from oms_kernel.domain.order import NET_BOOK, Order
from oms_kernel.domain.position import Position
from oms_kernel.domain.scope import Scope
from oms_kernel.terms import Terms


class Effect(msgspec.Struct, frozen=True):
    """What an action does beside its alert: the state it sets, and whether it cancels and closes what is there."""

    trading_state: TradingState | None
    cancel_working: bool = False
    flatten: bool = False


EFFECTS: dict[Action, Effect] = {
    Action.ALERT: Effect(None),
    Action.REDUCE_ONLY: Effect(TradingState.REDUCE_ONLY),
    Action.CANCEL_WORKING: Effect(TradingState.CANCEL_ONLY, cancel_working=True),
    Action.FLATTEN: Effect(TradingState.CANCEL_ONLY, cancel_working=True, flatten=True),
    Action.HALT: Effect(TradingState.HALTED, cancel_working=True),
}

WHAT_TO_DO = "Look at the breach on the risk page; close it, and release what it stopped, when it is settled."


def breach(book: Book, rule: str, plugin: str, terms: Terms, trigger: Trigger) -> tuple[ev.LimitBreached, ...]:
    """The event of a new breach; none while one of the limit with the same key is open."""
    if book.open_breach(terms.limit_id, trigger.key) is not None:
        return ()
    scope = trigger.scope or terms.scope
    return (
        ev.LimitBreached(
            account_id=scope.account_id,
            limit_id=terms.limit_id,
            limit_version=terms.version,
            rule=rule,
            plugin=plugin,
            key=trigger.key,
            scope=scope,
            category=terms.category,
            action=terms.action,
            code=trigger.code or rule,
            message=trigger.message,
            observed=trigger.observed,
            limit=trigger.limit,
            unit=trigger.unit,
            order_id=trigger.order_id,
        ),
    )


def after_breach(breached: ev.LimitBreached, breach_id: EventId) -> tuple[ev.Event, ...]:
    """The alert of a breach, and the kill switch that its action throws.

    A case of surveillance raises no alert: whom it watches would read it too.
    """
    alert = ev.AlertRaised(
        account_id=breached.account_id,
        severity=ev.Severity.WARNING if breached.action is Action.ALERT else ev.Severity.CRITICAL,
        source=f"limit:{breached.rule}",
        text=breached.message,
        what_to_do=WHAT_TO_DO,
        order_id=breached.order_id,
    )
    told = (alert,) if breached.category is Category.RISK else ()
    effect = EFFECTS[breached.action]
    if effect.trading_state is None:
        return told
    return (
        *told,
        ev.KillSwitchActivated(
            account_id=breached.account_id,
            scope=breached.scope,
            trading_state=effect.trading_state,
            cause=Cause.TRIGGER,
            reason_code=breached.code or breached.rule,
            cancel_working=effect.cancel_working,
            flatten=effect.flatten,
            breach_id=breach_id,
        ),
    )


def orders_of(book: Book, scope: Scope) -> Iterator[Order]:
    """The active orders of a scope that were placed here, liquidations' own left out."""
    for order in book.open_order_list():
        request = order.request
        if order.is_external or request.liquidation_id is not None:
            continue
        if scope.covers(request.account_id, request.strategy_id, request.instrument_id):
            yield order


def positions_of(book: Book, scope: Scope) -> Iterator[Position]:
    """The open positions of a scope: the strategy's own book where the scope names one, else the account's."""
    wanted = scope.strategy_id or NET_BOOK
    for (account_id, name, _), position in list(book.positions.items()):
        if name == wanted and position.is_open and _covers(scope, account_id, position):
            yield position


def _covers(scope: Scope, account_id: AccountId, position: Position) -> bool:
    return scope.covers(account_id, scope.strategy_id, position.instrument_id)
