"""The hash chain of a ledger's log: every row's hash covers the row and all before it, whoever wrote it."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text

from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.store import chain, migrate, tenants
from oms_app.store.engines import parsed
from oms_app.store.memory import MemoryStore
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import EVENT_LOG, LEDGERS
from oms_app.store.verify import verify
from oms_kernel.domain import events as ev
from oms_kernel.domain.book import Book
from tests.store.conftest import Scribe, new_id

DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)]
AT = datetime(2026, 11, 20, 14, 30, 0, 123456, tzinfo=UTC)
ROW: tuple[Any, ...] = (1, new_id(), "cash_changed", 1, new_id(), None, AT, b'{"amount":"1"}')
TENANT, LEDGER = new_id(), new_id()


def rows_and_head(store: SqlStore, scribe: Scribe) -> tuple[list[Any], bytes | None]:
    with store.read_unit(scribe.tenant_id) as unit:
        query = select(EVENT_LOG).where(
            EVENT_LOG.c.tenant_id == scribe.tenant_id, EVENT_LOG.c.ledger_id == scribe.ledger_id
        )
        rows = list(unit.connection.execute(query.order_by(EVENT_LOG.c.seq)))
        head = unit.connection.scalar(select(LEDGERS.c.head_hash).where(LEDGERS.c.ledger_id == scribe.ledger_id))
    return rows, head


def recomputed(tenant_id: str, ledger_id: str, rows: list[Any]) -> list[bytes]:
    present = chain.genesis(tenant_id, ledger_id)
    found = []
    for row in rows:
        present = chain.hash_of_row(present, row)
        found.append(present)
    return found


def test_the_canonical_form_of_a_row_is_what_is_documented() -> None:
    row = chain.row_bytes("T", "L", 7, "E", "order_accepted", 2, None, "O", chain.instant_text(AT), b"{}")
    assert row == b"oms-log-1\nt\nl\n7\ne\norder_accepted\n2\n\no\n2026-11-20T14:30:00.123456+00:00\n{}"
    genesis = bytes.fromhex("bfa2224001007c2f22b42d224a932a3753f7cfd683c47b786667cd6f0734bb61")
    assert chain.genesis("T", "L") == genesis
    assert chain.next_hash(genesis, row) == sha256(genesis + row).digest()


@pytest.mark.parametrize("place", range(len(ROW)), ids=lambda place: f"column {place}")
def test_a_change_of_any_column_changes_the_hash(place: int) -> None:
    other: tuple[Any, ...] = (2, new_id(), "other", 2, None, new_id(), AT + timedelta(microseconds=1), b"{}")
    changed = tuple(other[n] if n == place else value for n, value in enumerate(ROW))
    assert chain.extended(TENANT, LEDGER, None, [ROW])[1] != chain.extended(TENANT, LEDGER, None, [changed])[1]


def test_the_same_row_in_another_ledger_or_behind_another_row_has_another_hash() -> None:
    first = chain.extended(TENANT, LEDGER, None, [ROW])[1]
    assert chain.extended(TENANT, new_id(), None, [ROW])[1] != first
    assert chain.extended(new_id(), LEDGER, None, [ROW])[1] != first
    assert chain.extended(TENANT, LEDGER, first, [ROW])[1] != first


def test_neither_the_zone_of_an_instant_nor_the_case_of_an_id_matters() -> None:
    moved = AT.astimezone(timezone(timedelta(hours=5)))
    same = (1, ROW[1].upper(), ROW[2], 1, ROW[4].upper(), None, moved, ROW[7])
    assert chain.extended(TENANT.upper(), LEDGER, None, [same])[1] == chain.extended(TENANT, LEDGER, None, [ROW])[1]


def test_every_row_that_is_written_is_chained_and_the_ledger_holds_the_last_hash(
    store: SqlStore, scribe: Scribe
) -> None:
    order = scribe.accepted()
    scribe.write(order)
    scribe.write(scribe.intent(order), scribe.accepted(), scribe.accepted())
    scribe.write(
        ev.CashChanged(account_id=scribe.account_id, currency="USD", amount=Decimal("-0.5"), reason_code="Gebühr ☃")
    )
    rows, head = rows_and_head(store, scribe)
    assert len(rows) == 7
    hashes = recomputed(scribe.tenant_id, scribe.ledger_id, rows)
    assert [row.hash for row in rows] == hashes
    assert head == hashes[-1]
    assert verify(store, scribe.tenant_id, scribe.ledger_id).is_clean


def test_a_unit_that_rolls_back_leaves_the_chain_as_it_was(store: SqlStore, scribe: Scribe) -> None:
    before = rows_and_head(store, scribe)
    with pytest.raises(RuntimeError, match="give up"), store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        overlay, recorded = scribe.overlay(unit.now, scribe.accepted())
        unit.append(recorded, overlay)
        raise RuntimeError("give up")
    assert rows_and_head(store, scribe) == before
    scribe.write(scribe.accepted())
    assert verify(store, scribe.tenant_id, scribe.ledger_id).is_clean


def test_the_store_in_memory_makes_the_same_hashes(store: SqlStore, scribe: Scribe) -> None:
    scribe.write(scribe.accepted(), scribe.accepted())
    scribe.write(scribe.accepted())
    memory = MemoryStore(lambda: datetime.now(UTC))
    memory.add_ledger(scribe.tenant_id, scribe.ledger_id)
    overlay = Book().overlay()
    for recorded in scribe.events:
        overlay.apply(recorded)
    with memory.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        unit.append(scribe.events, overlay)
    rows, _ = rows_and_head(store, scribe)
    assert memory.hashes(scribe.ledger_id) == [row.hash for row in rows]


WRITERS, TURNS = 8, 15


def test_writers_at_once_make_neither_a_fork_nor_a_gap(store: SqlStore, scribe: Scribe) -> None:
    """Batches of orders, each with a book that catches up under the lock, and administrative events between them."""
    failures: list[BaseException] = []

    def trade() -> None:
        book = Book()
        for _ in range(TURNS):
            with store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
                for recorded in unit.tail(book.seq):
                    book.apply(recorded)
                overlay = book.overlay()
                event = ev.CashChanged(
                    account_id=scribe.account_id, currency="USD", amount=Decimal(1), reason_code="race"
                )
                at = max(unit.now, book.recorded_at or unit.now)
                made = [ev.Recorded(seq=book.seq + 1, event_id=new_id(), recorded_at=at, event=event)]
                overlay.apply(made[0])
                unit.append(made, overlay)
            book.adopt(overlay)

    def administer() -> None:
        for turn in range(TURNS):
            with store.tenant_unit(scribe.tenant_id) as unit:
                record(unit, Actor("system:test"), AdminAction("limit.changed", "limit", str(turn)))

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)
            raise

    threads = [
        threading.Thread(target=guarded, args=(administer if number % 4 == 0 else trade,)) for number in range(WRITERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures
    rows, head = rows_and_head(store, scribe)
    assert [row.seq for row in rows] == list(range(1, 2 + WRITERS * TURNS + 1))
    assert [row.kind for row in rows].count("admin_acted") == WRITERS // 4 * TURNS
    hashes = recomputed(scribe.tenant_id, scribe.ledger_id, rows)
    assert [row.hash for row in rows] == hashes
    assert head == hashes[-1]
    assert verify(store, scribe.tenant_id, scribe.ledger_id).is_clean


@pytest.fixture(params=DATABASES)
def own_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database that only one test uses."""
    own: str = (
        f"sqlite:///{tmp_path}/own.db"
        if request.param == "sqlite"
        else request.getfixturevalue("new_postgres_database")()
    )
    migrate.upgrade(own)
    return own


def test_the_migration_chains_rows_that_were_there_and_takes_the_chain_away_again(own_url: str) -> None:
    store = SqlStore(own_url, pool_size=2)
    try:
        scribe = Scribe(store)
        with store.tenant_unit(scribe.tenant_id) as unit:
            tenants.create_tenant(unit, "Chained")
            tenants.create_ledger(unit, scribe.ledger_id)
        scribe.write(
            *(ev.AlertRaised(severity=ev.Severity.INFO, source="test", text=f"ä{n}", what_to_do="") for n in range(9))
        )
        written = rows_and_head(store, scribe)
    finally:
        store.close()
    migrate.downgrade(own_url, "0009")
    engine = create_engine(parsed(own_url))
    with engine.connect() as connection:
        columns = connection.execute(text("SELECT * FROM ledgers")).keys()
    engine.dispose()
    assert "head_hash" not in columns
    migrate.upgrade(own_url)
    store = SqlStore(own_url, pool_size=2)
    try:
        assert rows_and_head(store, scribe) == written
    finally:
        store.close()
