"""What rules' triggers and kill switches do to a ledger: events and cancels recorded in the transaction that is open.

Guarantee: a breach, its alert, its kill switch, the cancels of what works and the liquidation it starts are stored
together with the event that set them off, or not at all.
"""

import msgspec

from oms_app.flow.desk import Turn
from oms_kernel import engine
from oms_kernel.consequences import after_breach, breach, orders_of
from oms_kernel.contracts.rules import Trigger
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.controls import Action
from oms_kernel.domain.decision import RuleSeverity
from oms_kernel.domain.errors import OrderConflict
from oms_kernel.domain.ids import EventId, OrderId
from oms_kernel.domain.lifecycle import RequestStatus, is_open_request
from oms_kernel.domain.order import Order
from oms_kernel.domain.scope import Scope
from oms_kernel.terms import Terms

MOST_ROUNDS = 8
"""How often what a consequence sets off may set off something itself in one transaction."""


class Thrown(msgspec.Struct, frozen=True):
    """What an activated kill switch did.

    ended: orders that were never sent and ended. cancelling: orders whose cancel is requested. beyond_recall: those of
    them that are on the wire or in doubt without the broker's word, which may trade before the cancel arrives.
    """

    switch_id: EventId
    ended: tuple[OrderId, ...] = ()
    cancelling: tuple[OrderId, ...] = ()
    beyond_recall: tuple[OrderId, ...] = ()


def act_on_triggers(turn: Turn) -> None:
    """Record what the events of this turn's batch set off."""
    for _ in range(MOST_ROUNDS):
        waiting, turn.batch.triggered = turn.batch.triggered, []
        if not waiting:
            return
        for rule, trigger in waiting:
            if rule.terms.holds(turn.batch.now):
                overstep(turn, rule.name, rule.plugin, rule.terms, trigger)


def overstep(turn: Turn, rule: str, plugin: str, terms: Terms, trigger: Trigger) -> EventId | None:
    """The id of the new breach with all that it sets off; None while one with the same key is open.

    What a shadow limit finds is told, and does nothing else.
    """
    if terms.severity is RuleSeverity.SHADOW:
        terms = msgspec.structs.replace(terms, action=Action.ALERT)
    batch = turn.batch
    for breached in breach(batch.book, rule, plugin, terms, trigger):
        batch.record(breached)
        breach_id = batch.events[-1].event_id
        for event in after_breach(breached, breach_id):
            if isinstance(event, ev.KillSwitchActivated):
                throw(turn, event)
            else:
                batch.record(event)
        return breach_id
    return None


def throw(turn: Turn, activation: ev.KillSwitchActivated) -> Thrown:
    """Record the activation of a kill switch with what it does to the orders and positions of its scope."""
    batch = turn.batch
    batch.record(activation)
    switch_id = batch.events[-1].event_id
    halts = activation.trading_state is TradingState.HALTED
    ended: tuple[OrderId, ...] = ()
    cancelling: list[Order] = []
    if halts:
        ended = end_unsent(turn, activation.scope, activation.principal)
    if activation.cancel_working or activation.flatten:
        cancelling = cancel_working(turn, activation.scope, activation.principal, activation.request_id)
    if activation.flatten:
        batch.record(
            ev.LiquidationStarted(
                account_id=activation.account_id,
                scope=activation.scope,
                reason_code=activation.reason_code,
                switch_id=switch_id,
                principal=activation.principal,
                request_id=activation.request_id,
            )
        )
    return Thrown(
        switch_id=switch_id,
        ended=ended,
        cancelling=tuple(order.order_id for order in cancelling),
        beyond_recall=tuple(order.order_id for order in cancelling if _is_beyond_recall(order)),
    )


def end_unsent(turn: Turn, scope: Scope, principal: str) -> tuple[OrderId, ...]:
    """End every order of a scope of which the broker can never have heard; returns which."""
    unsent = [order for order in orders_of(turn.batch.book, scope) if engine.is_unsent(order)]
    for order in unsent:
        turn.batch.record(engine.never_sent(order, ev.OrderCanceled, "trading_state", principal=principal))
    return tuple(order.order_id for order in unsent)


def cancel_working(turn: Turn, scope: Scope, principal: str, request_id: str = "") -> list[Order]:
    """The orders of a scope, as they were, whose cancel is requested now or was under way."""
    cancelling = []
    for order in list(orders_of(turn.batch.book, scope)):
        try:
            events = engine.cancel(order, principal=principal, request_id=request_id)
        except OrderConflict:
            continue  # it ended within this batch
        turn.batch.record(*events)
        cancelling.append(order)
    return cancelling


def _is_beyond_recall(order: Order) -> bool:
    """Whether the order is at the broker, or on the way, without the broker's word for its place or change."""
    unproved = (RequestStatus.SENT, RequestStatus.IN_DOUBT)
    replacing = order.replace is not None and is_open_request(order.replace.status)
    return order.place in unproved or (replacing and order.replace is not None and order.replace.status in unproved)
