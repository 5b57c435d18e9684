"""A process that comes to a long log: it reads without the lock, and knows what it would have known all along."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from oms_app.flow import catching_up
from oms_app.flow.catching_up import recent_events
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.events import Recorded
from oms_kernel.domain.ids import LedgerId, TenantId
from tests.flow.trading import LEDGER, TENANT, Trading


class Counts:
    """A rule that remembers how many events it was told of."""

    name = "counts"

    def initial_state(self) -> int:
        return 0

    def fold(self, state: int, recorded: Recorded) -> tuple[int, tuple[Any, ...]]:
        return state + 1, ()

    def assess(self, intent: Any, view: Any, state: int) -> Verdict:
        return passed(self.name)


@pytest.fixture
def short_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catching_up, "LONG_TAIL", 4)
    monkeypatch.setattr(catching_up, "PAGE", 3)


class Watched:
    """Notes what a store is asked while its ledger is locked, and what while it is not."""

    def __init__(self, trading: Trading, monkeypatch: pytest.MonkeyPatch) -> None:
        self.under_lock: list[int] = []
        self.pages: list[int] = []
        self._locked = False
        store = trading.store
        ledger_unit, events = store.ledger_unit, store.events

        @contextmanager
        def watched_unit(tenant_id: TenantId, ledger_id: LedgerId) -> Iterator[Any]:
            with ledger_unit(tenant_id, ledger_id) as unit:
                self._locked = True
                tail = unit.tail

                def counted(after_seq: int) -> Sequence[Recorded]:
                    found = tail(after_seq)
                    self.under_lock.append(len(found))
                    return found

                unit.tail = counted  # type: ignore[method-assign]
                try:
                    yield unit
                finally:
                    self._locked = False

        def watched_events(*arguments: Any) -> Sequence[Recorded]:
            assert not self._locked, "a page was read under the ledger's lock"
            found = events(*arguments)
            self.pages.append(len(found))
            return found

        monkeypatch.setattr(store, "ledger_unit", watched_unit)
        monkeypatch.setattr(store, "events", watched_events)


def test_a_long_log_is_read_without_the_lock_and_gives_the_same_book_and_memories(
    short_tails: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    trading = Trading(rules=[Counts()])
    orders = [trading.place(quantity=number) for number in range(1, 12)]
    before = trading.desk.ledger(TENANT, LEDGER).state
    watched = Watched(trading, monkeypatch)
    trading.restart()
    placed = trading.place(quantity=99)
    after = trading.desk.ledger(TENANT, LEDGER).state
    assert sum(watched.pages) == before.book.seq and max(watched.pages) == 3
    assert sum(watched.under_lock) == 0
    assert [after.book.orders[order.order_id] for order in orders] == orders
    assert after.book.seq == before.book.seq + 1 == placed.version
    assert after.memories.get("limit-0") == after.book.seq


def test_a_process_that_was_away_for_long_reads_up_before_it_decides(
    short_tails: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    trading = Trading(rules=[Counts()])
    away = trading.new_desk()
    away.transact(TENANT, LEDGER, lambda turn: None)
    for number in range(1, 12):
        trading.place(quantity=number)
    watched = Watched(trading, monkeypatch)
    seq = away.transact(TENANT, LEDGER, lambda turn: turn.batch.book.seq)
    assert seq == trading.desk.ledger(TENANT, LEDGER).state.book.seq
    assert away.ledger(TENANT, LEDGER).state.memories.get("limit-0") == seq
    assert sum(watched.under_lock) == 0 and sum(watched.pages) == 11


def test_a_few_events_of_others_are_read_under_the_lock(short_tails: None, monkeypatch: pytest.MonkeyPatch) -> None:
    trading = Trading()
    away = trading.new_desk()
    away.transact(TENANT, LEDGER, lambda turn: None)
    trading.place()
    watched = Watched(trading, monkeypatch)
    away.transact(TENANT, LEDGER, lambda turn: None)
    assert (watched.under_lock, watched.pages) == ([1], [])


@pytest.mark.parametrize("first_look_back", [1, 2, 100])
def test_recent_events_are_those_since_the_horizon_however_far_back_one_has_to_look(
    first_look_back: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catching_up, "FIRST_LOOK_BACK", first_look_back)
    trading = Trading()
    for number in range(1, 9):
        trading.wait(minutes=1)
        trading.place(quantity=number)
    head = trading.desk.ledger(TENANT, LEDGER).state.book.seq

    def seqs(horizon: timedelta) -> list[int]:
        found: list[int] = trading.in_turn(lambda turn: [one.seq for one in recent_events(turn.unit, horizon)])
        return found

    assert seqs(timedelta(minutes=3)) == list(range(head - 3, head + 1))
    assert seqs(timedelta(0)) == [head]
    assert seqs(timedelta(days=1)) == list(range(1, head + 1))
