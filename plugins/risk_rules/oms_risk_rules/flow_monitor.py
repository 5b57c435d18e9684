"""Orders in and orders out as events in, a trigger out when more goes out than anybody asked for."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import RuleView, Trigger, Usage
from oms_kernel.domain import events as ev
from oms_kernel.domain.controls import Action
from oms_kernel.domain.ids import AccountId
from oms_kernel.domain.lifecycle import Evidence, RequestKind
from oms_kernel.domain.money import multiply, ratio
from oms_kernel.domain.scope import Scope
from oms_kernel.recent import Recent
from oms_risk_rules.measuring import of_account
from oms_risk_rules.rates import Rate
from oms_risk_rules.used import used

HORIZON = timedelta(days=2)
"""Longer than any approval may take; an order that waits longer for its session counts as one that nobody asked for."""
MINUTE = Rate(timedelta(seconds=1), 60)


class FlowLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many orders may go out for one that came in."""

    max_ratio: Annotated[
        Decimal, described("Most orders and changes out for each one in, within a minute", "x", ge=1)
    ] = Decimal(2)
    min_orders: Annotated[
        int, described("How many have to go out within a minute before the ratio counts", "orders/min", ge=1)
    ] = 20
    count_foreign: Annotated[
        bool,
        described("Whether orders count that turned up at the broker; not for accounts that are traded elsewhere too"),
    ] = True


class Flow(msgspec.Struct, frozen=True):
    """One account: what went out and what was asked for within the last minute, and the orders that wait to be sent."""

    out: Rate = MINUTE
    asked: Rate = MINUTE
    waiting: int = 0


State = Recent[AccountId, Flow]


class FlowMonitor:
    """Finds accounts from which more orders go out than came in, as a router does that runs wild.

    Out are the orders and changes that were sent, and, with `count_foreign`, the orders that turned up at the broker
    without having been placed here, those of an account's first connection too. In are changes when they were asked
    for, and accepted orders when they are sent: one that was queued or held for long is not one too many. Cancels count
    on neither side. Within a minute, in slots of a second. The trigger comes with the very order that is too many, in
    its transaction, and again while it lasts; it is for the account alone. State: for each account two rates of a
    minute and a number.
    """

    name: ClassVar[str] = "flow_monitor"
    title: ClassVar[str] = "More orders out than in"
    Params: ClassVar[type[msgspec.Struct]] = FlowLimits
    default_action: ClassVar[Action] = Action.HALT
    source: ClassVar[str] = "Knight Capital 2012 (SEC 34-70694); RTS 6 Art. 17(1)"
    observes: ClassVar[frozenset[type[ev.Event]]] = frozenset(
        {
            ev.OrderAccepted,
            ev.ReplaceRequested,
            ev.IntentRecorded,
            ev.OrderAdopted,
            ev.OrderCanceled,
            ev.OrderExpired,
            ev.OrderRejected,
        }
    )
    horizon: ClassVar[timedelta] = HORIZON

    def __init__(self, params: FlowLimits, scope: Scope) -> None:
        self.most = params.max_ratio
        self.least = params.min_orders
        self.is_foreign_counted = params.count_foreign
        self.scope = scope

    def initial_state(self) -> State:
        """Nothing went in or out yet."""
        return Recent(HORIZON)

    def fold(self, state: State, event: ev.Recorded) -> tuple[State, tuple[Trigger, ...]]:
        """The flows after the event, and the trigger when it sent one order too many."""
        account_id = event.event.account_id
        if account_id is None or self.scope.account_id not in (None, account_id):
            return state, ()
        if not self.is_foreign_counted and isinstance(event.event, ev.OrderAdopted):
            return state, ()
        flow = _of(state, account_id)
        after = _after(flow, event)
        if after is flow:
            return state, ()
        state = state.put(account_id, event.recorded_at, after)
        if after.out is flow.out:
            return state, ()
        trigger = self._beyond(account_id, after.out.total, after.asked.within(event.recorded_at))
        return state, (trigger,) if trigger is not None else ()

    def watch(self, view: RuleView, state: State) -> tuple[Trigger, ...]:
        """A trigger for each account of which too much went out within the last minute."""
        found = []
        for account_id in view.accounts(self.scope):
            flow = _of(state, account_id)
            trigger = self._beyond(account_id, flow.out.within(view.now), flow.asked.within(view.now))
            if trigger is not None:
                found.append(trigger)
        return tuple(found)

    def usage(self, view: RuleView, state: State) -> Iterator[Usage]:
        """Orders out for each one in, of each account from which enough go out for the ratio to count."""
        for account_id in view.accounts(self.scope):
            flow = _of(state, account_id)
            out, asked = flow.out.within(view.now), flow.asked.within(view.now)
            if out >= self.least:
                part = of_account(self.scope, account_id)
                yield from used(ratio(Decimal(out), Decimal(max(asked, 1))), self.most, "x", part)

    def _beyond(self, account_id: AccountId, out: int, asked: int) -> Trigger | None:
        if out < self.least or Decimal(out) <= multiply(self.most, Decimal(asked)):
            return None
        return Trigger(
            message=f"{out} orders and changes went out within a minute for {asked} that came in",
            observed=ratio(Decimal(out), Decimal(asked)) if asked else Decimal(out),
            limit=self.most,
            unit="x",
            code="flow",
            key=account_id,
            scope=of_account(self.scope, account_id),
        )


def _of(state: State, account_id: AccountId) -> Flow:
    found = state.get(account_id)
    return found[1] if found is not None else Flow()


def _after(flow: Flow, recorded: ev.Recorded) -> Flow:
    """The flow after an event; itself, when it says nothing of orders in and out."""
    event, at = recorded.event, recorded.recorded_at
    if isinstance(event, ev.OrderAccepted):
        return Flow(flow.out, flow.asked, flow.waiting + 1)
    if isinstance(event, ev.ReplaceRequested):
        return Flow(flow.out, flow.asked.counted(at), flow.waiting)
    if isinstance(event, ev.OrderAdopted):
        return Flow(flow.out.counted(at), flow.asked, flow.waiting)
    if isinstance(event, ev.IntentRecorded):
        return _sent(flow, event, recorded)
    if isinstance(event, ev.OrderEnded) and event.evidence is Evidence.NEVER_SENT and flow.waiting:
        return Flow(flow.out, flow.asked, flow.waiting - 1)
    return flow


def _sent(flow: Flow, event: ev.IntentRecorded, recorded: ev.Recorded) -> Flow:
    if event.request_kind is RequestKind.CANCEL:
        return flow
    out = flow.out.counted(recorded.recorded_at)
    if event.request_kind is RequestKind.PLACE and flow.waiting:
        return Flow(out, flow.asked.counted(recorded.recorded_at), flow.waiting - 1)
    return Flow(out, flow.asked, flow.waiting)
