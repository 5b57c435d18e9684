"""An order or modification in, DENY out when too many messages were sent in the last second or minute; cancels pass."""

from collections.abc import Hashable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView, Usage
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
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.recent import Recent
from oms_risk_rules.measuring import Per
from oms_risk_rules.rates import Rate
from oms_risk_rules.verdicts import exceeded

COUNTED: frozenset[type[Event]] = frozenset(
    {OrderAccepted, OrderDenied, ReplaceRequested, ReplaceDenied, CancelRequested}
)
"""What counts as a message: what a caller sent, whether or not it was let through."""
IDLE = (Rate(timedelta(milliseconds=100), 10), Rate(timedelta(seconds=1), 60))
UNITS = ("messages/s", "messages/min")
FIGURES = ("per_second", "per_minute")

HORIZON = timedelta(minutes=2)
"""Longer than the longest window and the slot that lies only partly within it."""
KNOWN_FOR = timedelta(days=1)
"""How long it is known whether an order lies under a scope that names a strategy or an instrument."""

State = Recent[Hashable, tuple[Rate, Rate] | None]
"""By account (or the one scope): its counts. By order id: that the order lies under the scope."""


class RateLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many messages may be sent."""

    per_second: Annotated[int, described("Most messages within one second", "messages/s", ge=1)] = 50
    per_minute: Annotated[int, described("Most messages within one minute", "messages/min", ge=1)] = 1_000
    cancel_reserve_percent: Annotated[
        int, described("Share of both rates that orders and modifications leave to cancels", "%", ge=0, le=90)
    ] = 20
    per: Annotated[Per, described("What is counted by itself: each account, or the limit's scope as a whole")] = (
        Per.ACCOUNT
    )


class MessageRate:
    """Denies orders and modifications beyond their share of `per_second` or `per_minute`; cancels never.

    Orders and modifications may use the rates less `cancel_reserve_percent`, rounded down, at least one message; the
    rest is left to cancels, which count and are never denied. Accepted, denied, modified and cancelled all count, at
    once and in the same batch. Time is cut into slots of 100 ms and 1 s and a slot that lies only partly in the window
    counts whole: never too few, at most one slot too many. Each account is counted by itself, or with `per` SCOPE all
    that lies under the limit's scope together; under a scope that names a strategy or an instrument, modifications and
    cancels count of orders that were accepted within a day. A liquidation passes. State: the counts, at most 72 small
    numbers each.
    """

    name: ClassVar[str] = "message_rate"
    title: ClassVar[str] = "Most messages within a second and a minute"
    source: ClassVar[str] = "RTS 6 Art. 15(1)(d); FIA 2024 3.4"
    rank: ClassVar[int] = 20
    takes_scope: ClassVar[bool] = True
    Params: ClassVar[type[msgspec.Struct]] = RateLimit
    observes: ClassVar[frozenset[type[Event]]] = COUNTED

    def __init__(self, params: RateLimit, scope: Scope = EVERYTHING) -> None:
        left = 100 - params.cancel_reserve_percent
        rates = (params.per_second, params.per_minute)
        self.limits = tuple(Decimal(max(1, rate * left // 100)) for rate in rates)
        self.passed = passed(self.name)
        self.scope = scope
        self.by_account = params.per is Per.ACCOUNT
        self.is_narrow = not self.by_account and (scope.strategy_id is not None or scope.instrument_id is not None)
        self.horizon = KNOWN_FOR if self.is_narrow else HORIZON

    def assess(self, intent: OrderIntent, view: RuleView, state: State) -> Verdict:
        """PASS up to and at the limit, this message included."""
        if intent.kind is RequestKind.CANCEL or intent.request.liquidation_id is not None:
            return self.passed
        found = state.get(intent.request.account_id if self.by_account else "")
        seconds, minutes = (found[1] or IDLE) if found is not None else IDLE
        counts = (Decimal(seconds.within(view.now) + 1), Decimal(minutes.within(view.now) + 1))
        inputs = {"in_second": counts[0], "in_minute": counts[1]}
        for observed, limit, unit in zip(counts, self.limits, UNITS, strict=True):
            if observed > limit:
                hint = "the same later; cancels pass at any time"
                text = "a message rate of"
                return exceeded(self.name, self.name, text, observed, limit, unit, inputs=inputs, would_pass=hint)
        return passed(self.name, observed=counts[0], limit=self.limits[0], unit=UNITS[0], inputs=inputs)

    def usage(self, view: RuleView, state: State) -> Iterator[Usage]:
        """The messages of the last second and minute, of each account or of the scope."""
        for account_id in view.accounts(self.scope) if self.by_account else (None,):
            found = state.get(account_id or "")
            seconds, minutes = (found[1] or IDLE) if found is not None else IDLE
            counts = (seconds.within(view.now), minutes.within(view.now))
            for count, limit, unit, figure in zip(counts, self.limits, UNITS, FIGURES, strict=True):
                yield Usage(used=Decimal(count), limit=limit, unit=unit, figure=figure, account_id=account_id)

    def initial_state(self) -> State:
        """Nobody has sent anything."""
        return Recent(self.horizon)

    def fold(self, state: State, event: Recorded) -> tuple[State, tuple[Any, ...]]:
        """The counts after the event."""
        happened, at = event.event, event.recorded_at
        if type(happened) not in self.observes or happened.account_id is None:
            return state, ()
        key: Hashable = happened.account_id
        if not self.by_account:
            if not self._is_covered(state, happened):
                return state, ()
            if self.is_narrow and isinstance(happened, OrderAccepted):
                state = state.put(happened.order_id, at, None)
            key = ""
        found = state.get(key)
        seconds, minutes = (found[1] or IDLE) if found is not None else IDLE
        return state.put(key, at, (seconds.counted(at), minutes.counted(at))), ()

    def _is_covered(self, state: State, happened: Event) -> bool:
        """Whether the message lies under the limit's scope."""
        if isinstance(happened, (OrderAccepted, OrderDenied)):
            request = happened.request
            return self.scope.covers(request.account_id, request.strategy_id, request.instrument_id)
        if self.is_narrow:
            return isinstance(happened, (ReplaceRequested, ReplaceDenied, CancelRequested)) and (
                state.get(happened.order_id) is not None
            )
        return self.scope.account_id is None or self.scope.account_id == happened.account_id
