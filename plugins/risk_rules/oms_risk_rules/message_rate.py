"""An order or modification in, DENY out when its account has sent too many messages in the last second or minute."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.events import (
    CancelRequested,
    Event,
    OrderAccepted,
    OrderDenied,
    Recorded,
    ReplaceDenied,
    ReplaceRequested,
)
from oms_kernel.domain.ids import AccountId
from oms_kernel.domain.lifecycle import RequestKind
from oms_risk_rules.rates import Rate
from oms_risk_rules.recent import Recent
from oms_risk_rules.verdicts import exceeded

COUNTED: frozenset[type[Event]] = frozenset(
    {OrderAccepted, OrderDenied, ReplaceRequested, ReplaceDenied, CancelRequested}
)
"""What counts as a message: what a caller sent, whether or not it was let through."""
IDLE = (Rate(timedelta(milliseconds=100), 10), Rate(timedelta(seconds=1), 60))

HORIZON = timedelta(minutes=2)
"""Longer than the longest window and the slot that lies only partly within it."""

State = Recent[AccountId, tuple[Rate, Rate]]


class RateLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many messages an account may send."""

    per_second: Annotated[int, described("Most messages within one second", "messages/s", ge=1)] = 50
    per_minute: Annotated[int, described("Most messages within one minute", "messages/min", ge=1)] = 1_000


class MessageRate:
    """Denies orders and modifications beyond `per_second` or `per_minute` of one account; cancels never.

    Accepted, denied, modified and cancelled all count, at once and in the same batch. Time is cut into slots of
    100 ms and 1 s and a slot that lies only partly in the window counts whole: never too few, at most one slot too
    many. State: the counts of each account, at most 72 small numbers.
    """

    name: ClassVar[str] = "message_rate"
    title: ClassVar[str] = "Most messages within a second and a minute"
    Params: ClassVar[type[msgspec.Struct]] = RateLimit
    observes: ClassVar[frozenset[type[Event]]] = COUNTED

    def __init__(self, params: RateLimit) -> None:
        self.limits = (params.per_second, params.per_minute)
        self.passed = passed(self.name)
        self.horizon = HORIZON

    def assess(self, intent: OrderIntent, view: RuleView, state: State) -> Verdict:
        """PASS up to and at the limit, this message included."""
        if intent.kind is RequestKind.CANCEL:
            return self.passed
        found = state.get(intent.request.account_id)
        rates = found[1] if found is not None else IDLE
        for rate, limit, unit in zip(rates, self.limits, ("messages/s", "messages/min"), strict=True):
            observed = rate.within(view.now) + 1
            if observed > limit:
                return exceeded(self.name, self.name, "a message rate of", Decimal(observed), Decimal(limit), unit)
        return self.passed

    def initial_state(self) -> State:
        """No account has sent anything."""
        return Recent(HORIZON)

    def fold(self, state: State, event: Recorded) -> tuple[State, tuple[Any, ...]]:
        """The counts after the event."""
        account_id = event.event.account_id
        if type(event.event) not in self.observes or account_id is None:
            return state, ()
        found = state.get(account_id)
        seconds, minutes = found[1] if found is not None else IDLE
        at = event.recorded_at
        return state.put(account_id, at, (seconds.counted(at), minutes.counted(at))), ()
