"""A process that begins at a snapshot knows what one that read the whole log knows; without one it reads the log."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from oms_app.flow import catching_up, desk, snapshots
from oms_app.store import migrate, tenants
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import Snapshot
from oms_kernel.domain import packed, past
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.events import Recorded
from oms_kernel.domain.freezing import fold_version
from oms_kernel.domain.ids import LedgerId, TenantId
from oms_kernel.testkit.builders import a_uuid
from tests.flow.trading import LEDGER, TENANT, Trading

MINUTE = timedelta(minutes=1)


class Counts:
    """A rule that remembers the events of a while."""

    def __init__(self, name: str, horizon: timedelta | None) -> None:
        self.name = name
        if horizon is not None:
            self.horizon = horizon

    def initial_state(self) -> tuple[int, ...]:
        return ()

    def fold(self, state: tuple[int, ...], recorded: Recorded) -> tuple[tuple[int, ...], tuple[Any, ...]]:
        return (*state, recorded.seq), ()

    def assess(self, intent: Any, view: Any, state: Any) -> Verdict:
        return passed(self.name)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catching_up, "LONG_TAIL", 4)
    monkeypatch.setattr(snapshots, "LEAST_EVENTS", 10)
    monkeypatch.setattr(snapshots, "FIRST_LOOK_BACK", 2)
    monkeypatch.setattr(snapshots, "PAGE", 3)
    monkeypatch.setattr(desk, "KEPT_UNPACKED", 2)
    monkeypatch.setattr(packed, "BLOCK", 3)
    monkeypatch.setattr(past, "BLOCK", 3)


def traded(trading: Trading, count: int) -> None:
    """So many orders, a minute apart, and most of them cancelled before they were sent."""
    for number in range(1, count + 1):
        trading.wait(minutes=1)
        order = trading.place(quantity=number)
        if number % 4:
            trading.amendment.cancel(trading.principal, order.order_id)
        trading.desk.ledger(TENANT, LEDGER)._snapshots.wait()


def stored(trading: Trading) -> Snapshot:
    found = trading.store.snapshot(TENANT, LEDGER, fold_version())
    assert found is not None
    return found


def pages(trading: Trading, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seqs that are read from the log from now on."""
    read: list[int] = []
    events = trading.store.events

    def noted(*arguments: Any) -> Sequence[Recorded]:
        found = events(*arguments)
        read.extend(one.seq for one in found)
        return found

    monkeypatch.setattr(trading.store, "events", noted)
    return read


def test_a_start_reads_the_snapshot_and_what_came_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    trading = Trading(rules=[Counts("short", 5 * MINUTE)])
    traded(trading, 40)
    before, taken = trading.desk.ledger(TENANT, LEDGER).state, stored(trading)
    assert 0 < before.book.seq - taken.seq <= 12
    traded(trading, 6)
    read = pages(trading, monkeypatch)
    trading.restart()
    order = trading.place(quantity=999)
    after = trading.desk.ledger(TENANT, LEDGER).state
    assert min(read) > taken.seq - 60 and len(read) < before.book.seq
    plain = [one.order_id for one in before.book.orders.values()]
    assert [after.book.orders[order_id] for order_id in plain] == [before.book.orders[order_id] for order_id in plain]
    assert after.book.seq == before.book.seq + 1 == order.version
    assert after.book.past is not None


@pytest.mark.parametrize("horizon", [timedelta(0), 5 * MINUTE, 600 * MINUTE, None])
def test_rules_remember_over_a_restart_as_far_back_as_they_reach(horizon: timedelta | None) -> None:
    trading = Trading(rules=[Counts("mine", horizon)])
    traded(trading, 40)
    taken = stored(trading)
    trading.restart()
    trading.place(quantity=999)
    state = trading.desk.ledger(TENANT, LEDGER).state
    remembered = state.memories.get("limit-0")
    assert remembered is not None
    log = trading.store.events(TENANT, LEDGER, 0, 10_000)
    since = next(one for one in log if one.seq == taken.seq).recorded_at - (
        timedelta(days=9) if horizon is None else horizon
    )
    wanted = [one.seq for one in log if one.recorded_at >= since or one.seq > taken.seq]
    assert list(remembered)[-len(wanted) :] == wanted
    assert list(remembered) == list(range(remembered[0], state.book.seq + 1))


@pytest.mark.parametrize("damage", ["bytes", "version", "future"])
def test_a_snapshot_that_will_not_do_is_passed_over(damage: str) -> None:
    trading = Trading()
    traded(trading, 40)
    before, taken = trading.desk.ledger(TENANT, LEDGER).state.book, stored(trading)
    others = {
        "bytes": Snapshot(seq=taken.seq, version=taken.version, book=taken.book[:-9] + b"something"),
        "version": Snapshot(seq=taken.seq, version="another", book=taken.book),
        "future": Snapshot(seq=before.seq + 9, version=taken.version, book=taken.book),
    }
    trading.store._snapshots[TENANT, LEDGER] = others[damage]
    trading.restart()
    trading.place(quantity=999)
    after = trading.desk.ledger(TENANT, LEDGER).state.book
    assert after.seq == before.seq + 1
    assert all(after.orders[order.order_id] == order for order in before.orders.values())


def test_a_snapshot_grows_old_with_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "GROWTH", 2)
    trading = Trading()
    put: list[int] = []
    monkeypatch.setattr(trading.store, "put_snapshot", lambda tenant, ledger, snapshot: put.append(snapshot.seq))
    for _ in range(50):
        traded(trading, 1)
    assert len(put) >= 3
    assert all(later - earlier >= later // 2 for earlier, later in pairwise(put))


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStore]:
    url = f"sqlite:///{tmp_path}/oms.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    migrate.upgrade(url)
    made = SqlStore(url)
    yield made
    made.close()


def test_the_database_keeps_the_latest_snapshot_of_a_fold_and_shows_it_to_its_tenant_only(store: SqlStore) -> None:
    mine, other, ledger_id = TenantId(a_uuid("mine")), TenantId(a_uuid("other")), LedgerId(a_uuid("ledger of mine"))
    with store.tenant_unit(mine) as unit:
        tenants.create_tenant(unit, "Mine")
        tenants.create_ledger(unit, ledger_id)
    assert store.snapshot(mine, ledger_id, "v1") is None and store.snapshot_seq(mine, ledger_id, "v1") == 0
    for seq in (10, 30, 20):
        store.put_snapshot(mine, ledger_id, Snapshot(seq=seq, version="v1", book=bytes([seq, 0, 255])))
    assert store.snapshot(mine, ledger_id, "v1") == Snapshot(seq=30, version="v1", book=b"\x1e\x00\xff")
    assert store.snapshot_seq(mine, ledger_id, "v1") == 30
    assert store.snapshot(other, ledger_id, "v1") is None
    store.put_snapshot(mine, ledger_id, Snapshot(seq=5, version="v2", book=b"other build"))
    assert store.snapshot(mine, ledger_id, "v1") is None
    assert store.snapshot_seq(mine, ledger_id, "v2") == 5
