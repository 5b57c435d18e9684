"""How many accepted orders a second the store commits, in batches of one and of sixteen, on PostgreSQL and on SQLite.

Each batch is a ledger unit as flow uses it: lock, append (log, orders, ids, counters) and COMMIT. Beside it the floor,
the database driver's own INSERT of one ten-column row and COMMIT, on the same database and in the same round.
"""

import json
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
from uuid_utils.compat import uuid7

from benchmarks.record import PER_SECOND, record
from oms_app.store import migrate, tenants
from oms_app.store.sql_store import SqlStore
from oms_kernel.domain import events as ev
from oms_kernel.domain.book import Book
from oms_kernel.domain.order import OrderRequest, OrderType, Reservation, Side
from tests.services.postgres import PostgresServer, create_database, drop_database
from tests.services.server_process import remove_folder

SECONDS = 1.0
BATCHES = (1, 16)


def run(rounds: int = 5, seed: int = 7) -> list[dict[str, Any]]:
    """Records `store_append_<batch>_<database>`, orders per second."""
    records: list[dict[str, Any]] = []
    folder = Path(tempfile.mkdtemp(prefix="oms-append-"))
    try:
        with _postgres(folder) as url:
            records += _measure("pg", url, _postgres_floor, rounds, seed)
        records += _measure("sqlite", f"sqlite:///{folder}/oms.db", _sqlite_floor, rounds, seed)
    finally:
        remove_folder(folder)
    return records


Floor = Callable[[str], Any]


def _measure(database: str, url: str, floor: Floor, rounds: int, seed: int) -> list[dict[str, Any]]:
    migrate.upgrade(url)
    store = SqlStore(url, pool_size=2)
    order = random.Random(seed)
    try:
        with floor(url) as insert:
            writer = _Writer(store)
            kinds: dict[str, Callable[[], float]] = {"floor": lambda: _rate(insert)}
            for size in BATCHES:
                kinds[f"store_append_{size}_{database}"] = _batches(writer, size)
            rates: dict[str, list[float]] = {name: [] for name in kinds}
            for kind in kinds.values():
                kind()
            for _ in range(rounds):
                for name in order.sample(sorted(kinds), len(kinds)):
                    rates[name].append(kinds[name]())
    finally:
        store.close()
    return [record(name, PER_SECOND, rates[name], rates["floor"], seed=seed) for name in rates if name != "floor"]


def _batches(writer: "_Writer", size: int) -> Callable[[], float]:
    return lambda: size * _rate(lambda: writer.append(size))


def _rate(work: Callable[[], None]) -> float:
    done, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < SECONDS:
        work()
        done += 1
    return done / spent


class _Writer:
    """One ledger and the orders that are appended to it."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._tenant_id, self._ledger_id, self._account_id = _id(), _id(), _id()
        self._ids = {"broker_account_id": _id(), "connection_id": _id(), "instrument_id": _id()}
        self._book = Book()
        with store.tenant_unit(self._tenant_id) as unit:
            tenants.create_tenant(unit, "Bench")
            tenants.create_ledger(unit, self._ledger_id)
        self._commit([ev.AccountOpened(account_id=self._account_id, base_currency="USD")])

    def append(self, size: int) -> None:
        """One batch of accepted orders, each with a client order id."""
        self._commit([self._order() for _ in range(size)])

    def _commit(self, events: list[ev.Event]) -> None:
        with self._store.ledger_unit(self._tenant_id, self._ledger_id) as unit:
            overlay = self._book.overlay()
            recorded = []
            for event in events:
                recorded.append(
                    ev.Recorded(seq=overlay.seq + 1, event_id=_id(), recorded_at=unit.now, event=event)  # type: ignore[arg-type]
                )
                overlay.apply(recorded[-1])
            unit.append(recorded, overlay)
        self._book.adopt(overlay)

    def _order(self) -> ev.OrderAccepted:
        today = datetime.now(UTC)
        return ev.OrderAccepted(
            account_id=self._account_id,
            order_id=_id(),
            request=OrderRequest(
                account_id=self._account_id,
                instrument_id=self._ids["instrument_id"],
                side=Side.BUY,
                quantity=Decimal("10.5"),
                order_type=OrderType.LIMIT,
                limit_price=Decimal("12.34"),
                client_order_id=_id(),
            ),
            broker_account_id=self._ids["broker_account_id"],
            connection_id=self._ids["connection_id"],
            symbol="SPY",
            currency="USD",
            multiplier=Decimal(1),
            reservation=Reservation(price=Decimal("12.34"), source="limit_price"),
            trading_date="2026-11-20",
            risk_date="2026-11-20",
            send_before=today + timedelta(seconds=10),
        )


def _id() -> Any:
    return str(uuid7())


_COLUMNS = "(id, account, symbol, side, kind, quantity, price, tif, state, accepted_at)"


def _row() -> tuple[str, ...]:
    now = datetime.now(UTC).isoformat()
    return (_id(), "U1", "SPY", "BUY", "LIMIT", "10.5", "12.34", "DAY", "NEW", now)


@contextmanager
def _postgres_floor(url: str) -> Iterator[Callable[[], None]]:
    with psycopg.connect(url) as connection:
        connection.execute(
            "CREATE TABLE floor_orders (id uuid PRIMARY KEY, account text, symbol text, side text, kind text,"
            " quantity numeric, price numeric, tif text, state text, accepted_at timestamptz)"
        )
        connection.commit()
        sql = f"INSERT INTO floor_orders {_COLUMNS} VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"

        def insert() -> None:
            connection.execute(sql, _row(), prepare=True)
            connection.commit()

        yield insert


@contextmanager
def _sqlite_floor(url: str) -> Iterator[Callable[[], None]]:
    path = url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(f"{path}.floor")) as connection:
        connection.execute("PRAGMA journal_mode=WAL").close()
        connection.execute("PRAGMA synchronous=FULL").close()
        connection.execute(
            "CREATE TABLE floor_orders (id text PRIMARY KEY, account, symbol, side, kind, quantity, price, tif, state,"
            " accepted_at)"
        )
        sql = f"INSERT INTO floor_orders {_COLUMNS} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

        def insert() -> None:
            connection.execute(sql, _row())
            connection.commit()

        yield insert


@contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    """A new database on OMS_TEST_POSTGRES_URL, else on a server of our own with fsync on."""
    server_url = os.environ.get("OMS_TEST_POSTGRES_URL")
    server = None
    if not server_url:
        folder.chmod(0o755)
        place = folder / "postgres"
        place.mkdir()
        server = PostgresServer(place)
        server.start()
        server_url = server.url
    url = create_database(server_url, "append")
    try:
        yield url
    finally:
        drop_database(server_url, url)
        if server is not None:
            server.stop()


if __name__ == "__main__":
    json.dump(run(), sys.stdout, indent=2)
