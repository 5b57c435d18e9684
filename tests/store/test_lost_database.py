"""A database that goes away: nothing stored is StoreUnavailable, a lost COMMIT is CommitUnknown; then it comes back."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from oms_app.store import migrate
from oms_app.store.memory import MemoryStore
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import CommitUnknown, StoreUnavailable

LOST = [pytest.param("postgresql", marks=pytest.mark.integration)]


@pytest.fixture
def cut(database_url: str) -> Callable[[], None]:
    """Ends every connection of the store to its PostgreSQL database, as a restart of the server would."""

    def end() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'oms'"
            )

    return end


@pytest.mark.parametrize("database_url", LOST, indirect=True)
def test_a_connection_lost_at_commit_leaves_the_outcome_unknown_until_it_is_looked_for(
    scribe: Any, cut: Callable[[], None]
) -> None:
    with pytest.raises(CommitUnknown), scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        overlay, recorded = scribe.overlay(unit.now, scribe.accepted())
        unit.append(recorded, overlay)
        cut()
    with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        assert not unit.has_events([recorded[0].event_id])
        assert unit.head == scribe.book.seq


@pytest.mark.parametrize("database_url", LOST, indirect=True)
def test_a_connection_lost_before_commit_stores_nothing(scribe: Any, cut: Callable[[], None]) -> None:
    with pytest.raises(StoreUnavailable), scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        overlay, recorded = scribe.overlay(unit.now, scribe.accepted())
        unit.append(recorded, overlay)
        cut()
        unit.has_events([])
    scribe.write(scribe.accepted())
    assert scribe.store.heads([scribe.ledger_id]) == {scribe.ledger_id: 3}


@pytest.mark.parametrize("database_url", LOST, indirect=True)
def test_an_idle_connection_that_was_cut_is_replaced_after_one_failure(scribe: Any, cut: Callable[[], None]) -> None:
    cut()
    with pytest.raises(StoreUnavailable):
        scribe.write(scribe.accepted())
    scribe.write(scribe.accepted())


@pytest.mark.parametrize("database_url", LOST, indirect=True)
def test_rows_of_a_unit_whose_connection_is_lost_are_unavailable(scribe: Any, cut: Callable[[], None]) -> None:
    with pytest.raises(StoreUnavailable), scribe.store.tenant_unit(scribe.tenant_id) as unit:
        cut()
        unit.connection.exec_driver_sql("SELECT 1")
    with pytest.raises(CommitUnknown), scribe.store.tenant_unit(scribe.tenant_id):
        cut()
    assert scribe.store.heads([scribe.ledger_id])


@pytest.mark.parametrize("database_url", LOST, indirect=True)
def test_a_connection_that_is_lost_at_the_end_of_a_read_leaves_nothing_in_doubt(
    scribe: Any, cut: Callable[[], None]
) -> None:
    with pytest.raises(StoreUnavailable), scribe.store.read_unit(scribe.tenant_id):
        cut()


def test_a_database_that_is_not_there_is_unavailable() -> None:
    store = SqlStore("postgresql://nobody:none@127.0.0.1:9/none")
    with pytest.raises(StoreUnavailable), store.ledger_unit("01a1f848-2976-7474-8874-6a87a2d6fcef", "x"):
        pass
    store.close()


def test_sqlite_that_is_locked_by_another_process_is_unavailable_in_time(
    tmp_path: Path, prepared: Callable[[SqlStore], Any]
) -> None:
    url = f"sqlite:///{tmp_path}/oms.db"
    migrate.upgrade(url)
    here, there = SqlStore(url, busy_timeout_s=0.1), SqlStore(url)
    scribe = prepared(there)
    with there.ledger_unit(scribe.tenant_id, scribe.ledger_id):
        with pytest.raises(StoreUnavailable), here.ledger_unit(scribe.tenant_id, scribe.ledger_id):
            pass
        assert here.heads([scribe.ledger_id]) == {scribe.ledger_id: 2}  # readers wait for no writer
    here.close()
    there.close()


def test_a_writer_that_does_not_come_free_is_unavailable_in_time(
    tmp_path: Path, prepared: Callable[[SqlStore], Any]
) -> None:
    url = f"sqlite:///{tmp_path}/oms.db"
    migrate.upgrade(url)
    store = SqlStore(url, pool_timeout_s=0.1)
    scribe = prepared(store)
    failures: list[Exception] = []

    def second() -> None:
        try:
            with store.ledger_unit(scribe.tenant_id, scribe.ledger_id):
                pass
        except StoreUnavailable as error:
            failures.append(error)

    with store.ledger_unit(scribe.tenant_id, scribe.ledger_id):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(failures) == 1
    store.close()


class Hook:
    """Raises what it was told to, once."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def __call__(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error


def test_in_memory_each_failure_of_a_database_can_be_had_on_purpose(blank_scribe: Callable[[Any], Any]) -> None:
    on_lock, before, after = Hook(), Hook(), Hook()
    store = MemoryStore(lambda: datetime.now(UTC), on_lock=on_lock, before_commit=before, after_commit=after)
    scribe = blank_scribe(store)
    store.add_ledger(scribe.tenant_id, scribe.ledger_id)
    scribe.open()
    for hook, error, stored in (
        (on_lock, StoreUnavailable("gone"), False),
        (before, StoreUnavailable("gone"), False),
        (before, CommitUnknown("not stored"), False),
        (after, CommitUnknown("stored"), True),
    ):
        hook.error = error
        head = store.heads([scribe.ledger_id])[scribe.ledger_id]
        with pytest.raises(type(error)):
            scribe.write(scribe.accepted())
        assert store.heads([scribe.ledger_id])[scribe.ledger_id] == head + stored
