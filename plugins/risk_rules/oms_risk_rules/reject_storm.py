"""Refusals in, a trigger out when a strategy or account collects too many of them within a minute."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView, Trigger, Usage
from oms_kernel.domain.controls import Action
from oms_kernel.domain.decision import Gate, Verdict, passed
from oms_kernel.domain.events import Event, OrderAccepted, OrderDenied, OrderRejected, Recorded, ReplaceDenied
from oms_kernel.domain.ids import AccountId, OrderId, StrategyId
from oms_kernel.domain.lifecycle import Evidence
from oms_kernel.domain.order import OrderRequest
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.recent import Recent
from oms_risk_rules.rates import Rate, rates_of
from oms_risk_rules.verdicts import exceeded

SLOTS = 20
KNOWN_FOR = timedelta(minutes=15)
"""How long after its acceptance it is known whose order a refusal is of."""

Sender = tuple[AccountId, StrategyId | None]
State = Recent[Sender | OrderId, Rate | Sender]
"""By account and strategy: the refusals. By order id: whose order it is."""


class Storm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many refusals within which time are borne."""

    max_rejects: Annotated[int, described("Most refusals of one strategy or account", "refusals", ge=1)] = 10
    window_s: Annotated[int, described("Within which time they are counted", "s", ge=1, le=3600)] = 60


class RejectStorm:
    """Triggers when more than `max_rejects` orders or changes of one sender are refused within `window_s`.

    A sender is a strategy in its account, or the account for orders of no strategy; the action is for that sender only
    (REDUCE_ONLY unless the limit says otherwise). Counted are denials by rules, ours, and rejects by broker or venue;
    not what a trading state or kill switch refuses, what this rule refuses, and orders that never reached the broker.
    While the count is above the limit, new orders that would not reduce a position are denied too, so that the batch
    which caused the storm does not outrun the action. Cancels and liquidations always pass.
    """

    name: ClassVar[str] = "reject_storm"
    title: ClassVar[str] = "A sender paused after many refusals"
    source: ClassVar[str] = "RTS 6 Art. 16 and 17; FIA 2024 3.2"
    rank: ClassVar[int] = 20
    takes_scope: ClassVar[bool] = True
    default_action: ClassVar[Action] = Action.REDUCE_ONLY
    Params: ClassVar[type[msgspec.Struct]] = Storm
    observes: ClassVar[frozenset[type[Event]]] = frozenset({OrderAccepted, OrderDenied, OrderRejected, ReplaceDenied})

    def __init__(self, params: Storm, scope: Scope = EVERYTHING) -> None:
        self.limit = Decimal(params.max_rejects)
        self.idle = Rate(timedelta(seconds=params.window_s) / SLOTS, SLOTS)
        self.window_s = params.window_s
        self.scope = scope
        self.horizon = max(KNOWN_FOR, timedelta(seconds=2 * params.window_s))
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: State) -> Verdict:
        """PASS up to and at the limit, and for what only reduces a position."""
        request = intent.request
        if request.liquidation_id is not None:
            return self.passed
        count = self._count(state, _sender(request))
        observed = Decimal(count.within(view.now))
        if observed <= self.limit or view.reduces(request, intent.open_quantity):
            return passed(self.name, observed=observed, limit=self.limit, unit="refusals")
        text = f"within {self.window_s} s a number of refusals of"
        hint = "an order that reduces a position, or the same when the refusals have ended"
        return exceeded(self.name, self.name, text, observed, self.limit, "refusals", would_pass=hint)

    def usage(self, view: RuleView, state: State) -> Iterator[Usage]:
        """The refusals of each sender that has had some lately."""
        for (account_id, strategy_id), rate in rates_of(state).items():
            used = Decimal(rate.within(view.now))
            if used:
                yield Usage(
                    used=used, limit=self.limit, unit="refusals", account_id=account_id, strategy_id=strategy_id
                )

    def initial_state(self) -> State:
        """No refusal yet."""
        return Recent(self.horizon)

    def fold(self, state: State, event: Recorded) -> tuple[State, tuple[Trigger, ...]]:
        """The refusals after the event; a trigger with each one above the limit."""
        happened, at = event.event, event.recorded_at
        if isinstance(happened, OrderAccepted):
            if self._covers(happened.request):
                state = state.put(happened.order_id, at, _sender(happened.request))
            return state, ()
        sender = self._refused(state, happened)
        if sender is None:
            return state, ()
        count = self._count(state, sender).counted(at)
        observed = Decimal(count.within(at))
        triggers = () if observed <= self.limit else (self._trigger(sender, observed, event),)
        return state.put(sender, at, count), triggers

    def _refused(self, state: State, happened: Event) -> Sender | None:
        """Whose order or change the event refuses; None when it is none that counts."""
        if isinstance(happened, OrderDenied):
            request = happened.request
            return _sender(request) if self._counts(happened.verdicts) and self._covers(request) else None
        if isinstance(happened, ReplaceDenied):
            return self._owner(state, happened.order_id) if self._counts(happened.verdicts) else None
        if isinstance(happened, OrderRejected) and happened.evidence is not Evidence.NEVER_SENT:
            return self._owner(state, happened.order_id)
        return None

    def _counts(self, verdicts: tuple[Verdict, ...]) -> bool:
        denials = [one for one in verdicts if one.denies]
        return not denials or any(one.gate is not Gate.ACCOUNT and one.rule != self.name for one in denials)

    def _owner(self, state: State, order_id: OrderId) -> Sender | None:
        found = state.get(order_id)
        return found[1] if found is not None and isinstance(found[1], tuple) else None

    def _count(self, state: State, sender: Sender) -> Rate:
        found = state.get(sender)
        return found[1] if found is not None and isinstance(found[1], Rate) else self.idle

    def _covers(self, request: OrderRequest) -> bool:
        return self.scope.covers(request.account_id, request.strategy_id, request.instrument_id)

    def _trigger(self, sender: Sender, observed: Decimal, event: Recorded) -> Trigger:
        account_id, strategy_id = sender
        who = f"strategy {strategy_id}" if strategy_id is not None else f"account {account_id}"
        return Trigger(
            message=f"{who} had {observed} orders or changes refused within {self.window_s} s",
            observed=observed,
            limit=self.limit,
            unit="refusals",
            key=f"{account_id}/{strategy_id or ''}",
            scope=Scope(account_id=account_id, strategy_id=strategy_id),
            order_id=getattr(event.event, "order_id", None),
        )


def _sender(request: OrderRequest) -> Sender:
    return request.account_id, request.strategy_id
