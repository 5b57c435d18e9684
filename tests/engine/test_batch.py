"""A batch gives each event its place and its moment, and rules remember exactly what was committed."""

from datetime import timedelta
from typing import Any

import pytest

from oms_kernel.batch import Batch, LedgerState
from oms_kernel.domain import events as ev
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.errors import CorruptLog, InvalidRequest
from oms_kernel.guard import FoldFailed
from oms_kernel.testkit.builders import ACCOUNT_ID, NOON, an_instrument
from tests.engine.ledger import Ledger


class CountsOrders:
    """A rule that remembers how many orders it saw accepted."""

    key = "counts"
    account_id = None
    stateful = True
    observes: frozenset[type[ev.Event]] | None = frozenset({ev.OrderAccepted})
    horizon: timedelta | None = None
    plugin = "test"
    quarantined = ""

    def assess(self, intent: Any, view: Any, state: Any) -> Verdict:
        return passed(f"{state}")

    def initial_state(self) -> int:
        return 0

    def fold(self, state: int, recorded: ev.Recorded) -> tuple[int, tuple[Any, ...]]:
        return state + isinstance(recorded.event, ev.OrderAccepted), ()


def test_time_never_goes_back_in_a_ledger() -> None:
    ledger = Ledger()
    ledger.later(hours=1)
    ledger.place()
    ledger.now = NOON
    ledger.place()
    times = [recorded.recorded_at for recorded in ledger.log]
    assert times == sorted(times) and times[-1] == NOON + timedelta(hours=1)
    assert [recorded.seq for recorded in ledger.log] == list(range(1, len(ledger.log) + 1))


def test_events_must_follow_each_other_without_a_gap() -> None:
    ledger = Ledger()
    ledger.place()
    state = LedgerState()
    with pytest.raises(CorruptLog):
        state.fold(ledger.log[1:])
    state.fold(ledger.log)
    with pytest.raises(CorruptLog):
        state.fold(ledger.log[-1:])


def test_memories_belong_to_the_batch_until_it_is_adopted() -> None:
    ledger = Ledger()
    rule = CountsOrders()
    ledger.state.change_rules([rule], lambda: ledger.log)
    batch = ledger.batch()
    batch.record(ledger.decide(batch=batch)[1])
    assert (batch.memories.get("counts"), ledger.state.memories.get("counts")) == (1, None)
    dropped = ledger.batch()
    dropped.record(ledger.decide(batch=dropped)[1], ledger.decide(batch=dropped)[1])
    assert dropped.memories.get("counts") == 2
    ledger.adopt(batch)
    assert ledger.state.memories.get("counts") == 1


def test_a_memory_is_told_of_the_events_that_it_observes_and_of_no_other() -> None:
    class Listens(CountsOrders):
        def __init__(self) -> None:
            self.told: list[type[ev.Event]] = []

        def fold(self, state: int, recorded: ev.Recorded) -> tuple[int, tuple[Any, ...]]:
            self.told.append(type(recorded.event))
            return super().fold(state, recorded)

    class ListensToAll(Listens):
        observes = None

    ledger = Ledger()
    ledger.place()
    some, everything = Listens(), ListensToAll()
    everything.key = "everything"
    ledger.state.change_rules([some], lambda: ledger.log)
    ledger.state.change_rules([everything], lambda: ledger.log)
    assert some.told == [ev.OrderAccepted]
    assert everything.told == [type(recorded.event) for recorded in ledger.log] != some.told


def test_memories_are_rebuilt_from_the_log_when_rules_change() -> None:
    ledger = Ledger()
    for _ in range(3):
        ledger.place()
    ledger.state.change_rules([CountsOrders()], lambda: ledger.log)
    assert ledger.state.memories.get("counts") == 3
    other = LedgerState([CountsOrders()])
    other.fold(ledger.log)
    assert other.memories.get("counts") == 3
    ledger.state.change_rules([], lambda: ledger.log)
    assert ledger.state.memories.get("counts") is None


def test_a_memory_that_goes_on_under_its_key_is_not_built_again() -> None:
    ledger = Ledger()
    ledger.state.change_rules([CountsOrders()], lambda: ledger.log)
    ledger.place()
    assert ledger.state.memories.get("counts") == 1

    def nothing_is_asked() -> list[ev.Recorded]:
        raise AssertionError("the whole log was read again")

    ledger.state.change_rules([CountsOrders()], nothing_is_asked)
    assert ledger.state.memories.get("counts") == 1
    ledger.state.memories["counts"] = FoldFailed("it was lost")
    ledger.state.change_rules([CountsOrders()], lambda: ledger.log)
    assert ledger.state.memories.get("counts") == 1


def test_memories_that_reach_back_a_while_are_built_from_that_while_only() -> None:
    ledger = Ledger()
    for _ in range(3):
        ledger.place()
    asked: list[timedelta] = []

    def recent(horizon: timedelta) -> list[ev.Recorded]:
        asked.append(horizon)
        return ledger.log[-1:]

    short, shorter, endless = CountsOrders(), CountsOrders(), CountsOrders()
    short.horizon, shorter.horizon = timedelta(minutes=2), timedelta(minutes=1)
    shorter.key, endless.key = "shorter", "endless"
    ledger.state.change_rules([short, shorter], lambda: ledger.log, recent)
    assert asked == [timedelta(minutes=2)]
    assert ledger.state.memories.get("counts") == 1
    ledger.state.change_rules([short, endless], lambda: ledger.log, recent)
    assert ledger.state.memories.get("endless") == 3
    assert len(asked) == 1


def test_two_batches_over_one_state_do_not_see_each_other() -> None:
    ledger = Ledger()
    first, second = ledger.batch(), ledger.batch()
    first.record(ledger.decide(batch=first)[1])
    assert len(second.book.orders) == 0
    ledger.adopt(first)
    assert isinstance(second, Batch) and len(ledger.book.orders) == 1


def test_a_calendar_that_does_not_exist_is_named() -> None:
    view = Ledger().view()
    assert view.calendar(an_instrument()).name == "24x7"
    with pytest.raises(InvalidRequest, match="nowhere"):
        view.calendar(an_instrument(calendar="nowhere"))


def test_the_risk_day_of_an_account_is_its_own() -> None:
    ledger = Ledger()
    assert ledger.view().risk_date(ACCOUNT_ID) == "2026-03-02"
    assert ledger.view().risk_date(ACCOUNT_ID, NOON + timedelta(days=3)) == "2026-03-05"
