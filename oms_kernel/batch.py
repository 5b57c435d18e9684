"""One transaction's worth of a ledger: decisions recorded on an overlay, to be committed and adopted, or dropped.

`LedgerState` is the committed book with the memories of the rules beside it; a `Batch` gives seq, id and time to each
event and folds it at once, so that every order of the batch sees those before it.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from oms_kernel.contracts.rules import RuleView, Trigger
from oms_kernel.domain.book import Book
from oms_kernel.domain.errors import KernelError
from oms_kernel.domain.events import Event, Recorded
from oms_kernel.domain.ids import EventId
from oms_kernel.domain.layered import Layered
from oms_kernel.guard import FoldFailed
from oms_kernel.judging import JudgedRule
from oms_kernel.terms import Terms


class RememberingRule(JudgedRule, Protocol):
    """A judged rule that may have memory."""

    stateful: bool
    plugin: str
    name: str
    terms: Terms
    """Of which limit it is the rule: scope, severity and what its triggers set off."""
    observes: frozenset[type[Event]] | None
    """The kinds of events that its memory takes in; None: all."""
    horizon: timedelta | None
    """How far back its memory reaches; None: to the first event."""
    quarantined: str
    """Why the rule denies without being asked in this ledger, or empty."""
    needs_basket: bool
    """Whether it reads what an order came in together with."""

    def initial_state(self) -> Any:
        """The state before the first event."""

    def fold(self, state: Any, recorded: Recorded) -> tuple[Any, tuple[Any, ...]]:
        """(the state after the event, triggers)."""


class WatchingRule(RememberingRule, Protocol):
    """A monitor behind its guard."""

    def watch(self, view: RuleView, state: Any) -> tuple[Trigger, ...]:
        """What is overstepped now. Raises MonitorFailed, RuleHung."""


class LedgerState:
    """The committed state of one ledger: its book, its rules in their order, and what they remember."""

    def __init__(self, rules: Sequence[RememberingRule] = (), monitors: Sequence[WatchingRule] = ()) -> None:
        self.book = Book()
        self.rules: tuple[RememberingRule, ...] = tuple(rules)
        self.monitors: tuple[WatchingRule, ...] = tuple(monitors)
        self.memories: Layered[str, Any] = Layered()

    def fold(self, events: Iterable[Recorded]) -> None:
        """Take over committed events that others wrote."""
        remembering = [rule for rule in (*self.rules, *self.monitors) if rule.stateful]
        for recorded in events:
            self.book.apply(recorded)
            _remember(remembering, self.memories, recorded)

    def remember(self, events: Iterable[Recorded]) -> None:
        """Tell events to the rules only: the book knows them, the memories do not yet."""
        remembering = [rule for rule in (*self.rules, *self.monitors) if rule.stateful]
        for recorded in events:
            _remember(remembering, self.memories, recorded)

    def change_rules(
        self,
        rules: Sequence[RememberingRule],
        history: Callable[[], Iterable[Recorded]],
        recent: Callable[[timedelta], Iterable[Recorded]] | None = None,
        monitors: Sequence[WatchingRule] = (),
    ) -> None:
        """Judge by other rules from now on. Memory goes on under its key; what is new or was lost is built anew.

        history: gives the ledger's events from the first one to the book's last; asked only when it is needed.
        recent: gives those since so long ago; asked instead when no rule that is built remembers further back.
        """
        followed = {rule.key for rule in (*self.rules, *self.monitors) if rule.stateful}
        memories: Layered[str, Any] = Layered()
        building = []
        for rule in (*rules, *monitors):
            memory = self.memories.get(rule.key)
            if rule.stateful and (rule.key not in followed or isinstance(memory, FoldFailed)):
                building.append(rule)
            elif rule.stateful and memory is not None:
                memories[rule.key] = memory
        if building and self.book.seq:
            horizons = [rule.horizon for rule in building if rule.horizon is not None]
            is_short = recent is not None and len(horizons) == len(building)
            for recorded in recent(max(horizons)) if recent is not None and is_short else history():
                _remember(building, memories, recorded)
        self.rules, self.monitors, self.memories = tuple(rules), tuple(monitors), memories

    def adopt(self, batch: "Batch") -> None:
        """Take over a batch whose events are committed."""
        self.book.adopt(batch.book)
        self.memories.adopt(batch.memories)


class Batch:
    """Events recorded on top of a committed state. Drop it, or commit its events and `adopt` it."""

    def __init__(self, state: LedgerState, *, now: datetime, new_id: Callable[[], str]) -> None:
        self.book = state.book.overlay()
        self.memories = state.memories.overlay()
        self.rules = state.rules
        self.now = max(now, state.book.recorded_at) if state.book.recorded_at else now
        """The batch's one moment; it never lies before the ledger's last event."""
        self.events: list[Recorded] = []
        self.failure: KernelError | None = None
        """Why an event could not be folded: the overlay may be half-changed and must not be committed."""
        self.triggered: list[tuple[RememberingRule, Trigger]] = []
        """What the rules' memories found overstepped in this batch's own events, and nobody has acted on yet."""
        self._remembering = [rule for rule in (*state.rules, *state.monitors) if rule.stateful]
        self._new_id = new_id

    def record(self, *events: Event) -> None:
        """Give each event its place in the ledger and fold it into book and memories."""
        for event in events:
            recorded = Recorded(
                seq=self.book.seq + 1, event_id=EventId(self._new_id()), recorded_at=self.now, event=event
            )
            try:
                self.book.apply(recorded)
            except KernelError as error:
                self.failure = error
                raise
            _remember(self._remembering, self.memories, recorded, self.triggered)
            self.events.append(recorded)


def _remember(
    rules: Sequence[RememberingRule],
    memories: Layered[str, Any],
    recorded: Recorded,
    triggered: list[tuple[RememberingRule, Trigger]] | None = None,
) -> None:
    """Fold an event into the memories; `triggered` takes what that set off, where somebody is to act on it."""
    kind = type(recorded.event)
    for rule in rules:
        if rule.observes is not None and kind not in rule.observes:
            continue
        state = memories.get(rule.key)
        if state is None:
            state = rule.initial_state()
        memories[rule.key], triggers = rule.fold(state, recorded)
        if triggers and triggered is not None:
            triggered += [(rule, trigger) for trigger in triggers]
