"""A database that goes away and comes back: refused at once while it is known, found again within a second."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oms_app.store import migrate, outage
from oms_app.store.outage import Outage
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import StoreUnavailable
from tests.services.postgres import PostgresServer, create_database
from tests.services.server_process import new_run_folder, remove_folder
from tests.waiting import until


class Probe:
    """A database that is away while told so."""

    def __init__(self) -> None:
        self.is_away = False
        self.asked = 0

    def __call__(self) -> None:
        self.asked += 1
        if self.is_away:
            raise OSError("nobody answers")


def test_all_is_let_through_until_a_suspicion_proves_right_and_again_after_the_return() -> None:
    probe, returned = Probe(), threading.Event()
    seen = Outage(probe, returned.set)
    seen.require()
    seen.suspect()
    until(lambda: probe.asked == 1 and not seen.is_away, "the suspicion was looked into")
    probe.is_away = True
    began = seen.waiting()
    assert not began.is_in_vain()
    seen.suspect()
    until(lambda: seen.is_away, "the database is known to be away")
    with pytest.raises(StoreUnavailable):
        seen.require()
    assert began.is_in_vain()
    probe.is_away = False
    until(lambda: not seen.is_away, "it is known to be back")
    assert returned.is_set()
    seen.require()
    assert began.is_in_vain(), "what was asked before the outage is not answered any more"
    assert not seen.waiting().is_in_vain()
    seen.close()


def test_a_long_wait_has_somebody_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "SUSPECT_AFTER_S", 0.05)
    probe = Probe()
    probe.is_away = True
    seen = Outage(probe)
    waiting = seen.waiting()
    assert not waiting.is_in_vain()
    until(waiting.is_in_vain, "the wait is known to be in vain", 5)
    seen.close()


def test_sqlite_locked_by_another_process_refuses_at_once_after_the_first_wait_and_serves_again(
    tmp_path: Path, prepared: Callable[[SqlStore], Any]
) -> None:
    url = f"sqlite:///{tmp_path}/oms.db"
    migrate.upgrade(url)
    here, there = SqlStore(url, busy_timeout_s=0.3), SqlStore(url)
    scribe = prepared(there)

    def writes() -> bool:
        try:
            with here.ledger_unit(scribe.tenant_id, scribe.ledger_id):
                return True
        except StoreUnavailable:
            return False

    with there.ledger_unit(scribe.tenant_id, scribe.ledger_id):
        assert not writes()
        until(lambda: here.outage.is_away, "the outage is known")
        began = time.monotonic()
        assert not writes()
        assert time.monotonic() - began < 2
        assert here.heads([scribe.ledger_id])  # readers wait for no writer
    until(writes, "it writes again", 5)
    here.close()
    there.close()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL of its own, which a test may stop and kill."""
    folder = new_run_folder()
    started = PostgresServer(folder)
    started.start()
    yield started
    started.stop()
    remove_folder(folder)


@pytest.fixture
def on_postgres(server: PostgresServer, prepared: Callable[[SqlStore], Any]) -> Iterator[Any]:
    url = create_database(server.url, "outage")
    migrate.upgrade(url)
    store = SqlStore(url)
    yield prepared(store)
    store.close()


def signalled(server: PostgresServer, number: signal.Signals) -> None:
    """Send a signal to every process of the server."""
    assert server._process is not None
    postmaster = server._process.pid
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rsplit(") ", 1)[1].split()[1])
            except OSError:
                continue
            if parent == postmaster:
                os.kill(int(folder.name), number)
    os.kill(postmaster, number)


def refused_after(scribe: Any, read: bool) -> float:
    """Seconds until a unit was refused."""
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        if read:
            scribe.store.heads([scribe.ledger_id])
        else:
            with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id):
                pass
    return time.monotonic() - began


@pytest.mark.integration
@pytest.mark.parametrize("read", [True, False])
def test_a_server_that_stops_answering_is_found_out_then_refused_at_once_then_found_again(
    server: PostgresServer, on_postgres: Any, read: bool
) -> None:
    scribe = on_postgres
    signalled(server, signal.SIGSTOP)
    try:
        assert refused_after(scribe, read) < 8
        assert refused_after(scribe, read) < 1
    finally:
        signalled(server, signal.SIGCONT)
    until(lambda: not scribe.store.outage.is_away, "it is known to be back", 10)
    scribe.write(scribe.accepted())


@pytest.mark.integration
def test_a_killed_server_is_refused_at_once_and_used_again_soon_after_its_return(
    server: PostgresServer, on_postgres: Any
) -> None:
    scribe = on_postgres
    server.kill()
    try:
        for _ in range(3):
            assert refused_after(scribe, read=False) < 1
        until(lambda: scribe.store.outage.is_away, "the outage is known")
    finally:
        server.start()
    until(lambda: not scribe.store.outage.is_away, "it is known to be back", 10)
    scribe.write(scribe.accepted())
