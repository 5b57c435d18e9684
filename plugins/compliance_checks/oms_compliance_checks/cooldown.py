"""A new order in, DENY out when its instrument, strategy or account has only just filled, lost or been rejected."""

from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from oms_compliance_checks.verdicts import ONLY_REDUCING, is_new, only_reduces, seconds, too_early
from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView, Trigger
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.events import Event, OrderAccepted, OrderFilled, OrderRejected, Recorded
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.money import to_text
from oms_kernel.domain.order import NET_BOOK
from oms_kernel.domain.position import Position
from oms_kernel.domain.scope import Scope
from oms_kernel.recent import Recent

FOREVER = timedelta(days=36_500)
LONGEST_ORDER = timedelta(days=2)
"""Brokers reject orders soon after they were sent; a rejection after so long makes no pause."""


class After(StrEnum):
    """What a pause follows."""

    FILL = "FILL"
    LOSS = "LOSS"
    """A fill that realised a loss."""
    REJECT = "REJECT"
    """The broker's word, not our own denial."""


class Per(StrEnum):
    """For what the pause holds."""

    INSTRUMENT = "INSTRUMENT"
    """The account's orders in the instrument."""
    STRATEGY = "STRATEGY"
    """All orders of the strategy; without a strategy the account's manual ones."""
    ACCOUNT = "ACCOUNT"


class CooldownParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long to wait after what."""

    pause_s: Annotated[int, described("How long no new order is taken", "s", ge=1, le=604_800)]
    after: Annotated[tuple[After, ...], described("What the pause follows: fills, losses, rejects")] = (After.LOSS,)
    per: Annotated[Per, described("For what the pause holds")] = Per.INSTRUMENT

    def __post_init__(self) -> None:
        if not self.after:
            raise ValueError("after names at least one of FILL, LOSS, REJECT")


Key = tuple[str, ...]


class State(msgspec.Struct, frozen=True):
    """What has a pause and why; to what each order belongs, for rejections; positions, for losses."""

    pauses: Recent[Key, After]
    orders: Recent[str, Key]
    positions: Recent[Key, Position]


class Cooldown:
    """Denies new orders for `pause_s` after a fill, a loss or a rejection by the broker.

    Modifications, cancels and what only reduces a position pass. A loss is a fill that realises one at average cost,
    in the strategy's own book where the pause is a strategy's.
    """

    name: ClassVar[str] = "cooldown"
    title: ClassVar[str] = "A pause after a fill, a loss or a rejection"
    Params: ClassVar[type[msgspec.Struct]] = CooldownParams
    rank: ClassVar[int] = 30
    source: ClassVar[str] = "Good practice: throttles of automated trading; FIA July 2024 3.2"
    takes_scope: ClassVar[bool] = True
    observes: ClassVar[frozenset[type[Event]]] = frozenset({OrderAccepted, OrderFilled, OrderRejected})

    def __init__(self, params: CooldownParams, scope: Scope) -> None:
        self.params = params
        self.scope = scope
        self.after = frozenset(params.after)
        self.pause = timedelta(seconds=params.pause_s)
        self.limit = Decimal(params.pause_s)
        self.horizon = None if After.LOSS in self.after else self.pause + LONGEST_ORDER
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: State) -> Verdict:
        """PASS from `pause_s` on; observed is the time since, in seconds."""
        if not is_new(intent):
            return self.passed
        request = intent.request
        key = self._key(request.account_id, request.strategy_id or "MANUAL", request.instrument_id)
        found = state.pauses.get(key)
        if found is None:
            return self.passed
        since = view.now - found[0]
        if since >= self.pause or only_reduces(intent, view):
            return self.passed
        left = to_text(seconds(self.pause - since))
        what = {After.FILL: "filled", After.LOSS: "lost", After.REJECT: "was rejected by the broker"}[found[1]]
        text = f"the {self.params.per.value.lower()} {what} {to_text(seconds(since))} s ago and has a pause"
        return too_early(self.name, self.name, text, since, self.limit, f"the order in {left} s; {ONLY_REDUCING}")

    def initial_state(self) -> State:
        """Nothing has happened."""
        return State(Recent(self.pause), Recent(LONGEST_ORDER), Recent(FOREVER))

    def fold(self, state: State, event: Recorded) -> tuple[State, tuple[Trigger, ...]]:
        """The pauses after the event."""
        told = event.event
        if isinstance(told, OrderFilled):
            return self._filled(state, event, told.fill), ()
        if isinstance(told, OrderAccepted) and After.REJECT in self.after:
            request = told.request
            if not self.scope.covers(request.account_id, request.strategy_id, request.instrument_id):
                return state, ()
            key = self._key(request.account_id, request.strategy_id or "MANUAL", request.instrument_id)
            return msgspec.structs.replace(state, orders=state.orders.put(told.order_id, event.recorded_at, key)), ()
        if isinstance(told, OrderRejected) and After.REJECT in self.after:
            known = state.orders.get(told.order_id)
            if known is not None:
                return _paused(state, event, known[1], After.REJECT), ()
        return state, ()

    def _filled(self, state: State, event: Recorded, fill: Fill) -> State:
        strategy = self.scope.strategy_id
        if not self.scope.covers(fill.account_id, strategy, fill.instrument_id) or strategy not in (None, fill.book):
            return state
        has_lost = False
        if After.LOSS in self.after:
            book = fill.book if self.params.per is Per.STRATEGY else NET_BOOK
            key = (fill.account_id, book, fill.instrument_id)
            found = state.positions.get(key)
            before = found[1] if found is not None else _flat(fill, book)
            after = before.apply(fill)
            has_lost = after.realised_pnl < before.realised_pnl
            positions = state.positions.put(key, event.recorded_at, after)
            state = msgspec.structs.replace(state, positions=positions)
        why = After.LOSS if has_lost else After.FILL if After.FILL in self.after else None
        if why is None:
            return state
        return _paused(state, event, self._key(fill.account_id, fill.book, fill.instrument_id), why)

    def _key(self, account_id: str, book: str, instrument_id: str) -> Key:
        """What has a pause together."""
        return {
            Per.INSTRUMENT: (account_id, instrument_id),
            Per.STRATEGY: (account_id, book),
            Per.ACCOUNT: (account_id,),
        }[self.params.per]


def _paused(state: State, event: Recorded, key: Key, why: After) -> State:
    return msgspec.structs.replace(state, pauses=state.pauses.put(key, event.recorded_at, why))


def _flat(fill: Fill, book: str) -> Position:
    return Position(
        account_id=fill.account_id,
        book=book,
        instrument_id=fill.instrument_id,
        currency=fill.currency,
        multiplier=fill.multiplier,
    )
