"""One database for one process: ledger units on the fast path, and scoped units for everything else; thread-safe."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from oms_app.store import auth_epochs, config_rows, log_rows, scoping, snapshots, tenants
from oms_app.store.engines import (
    BUSY_TIMEOUT_S,
    SERVING_ROLE,
    check_role,
    parsed,
    postgres_engine,
    probe_writing,
    sqlite_readers,
    sqlite_writer,
    utc_now,
)
from oms_app.store.failures import translated
from oms_app.store.fences import check_fences
from oms_app.store.outage import Outage
from oms_app.store.rows_unit import SqlRowsUnit
from oms_app.store.sql_ledger_unit import SqlLedgerUnit
from oms_app.store.sqlite_ledger_unit import SqliteLedgerUnit
from oms_app.store.tables import ORDERS, TableClass
from oms_app.store.unit_of_work import (
    AccountDirectory,
    KeySealer,
    LedgerUnit,
    RowsUnit,
    Snapshot,
    StoreUnavailable,
)
from oms_kernel.domain.events import Recorded
from oms_kernel.domain.ids import ConnectionId, LedgerId, OrderId, TenantId
from oms_kernel.domain.market import Quote


class SqlStore:
    """A Store on PostgreSQL or SQLite. Never open a second writing unit inside one: on SQLite it waits for the first.

    role: what PostgreSQL connections act as; None: as the URL's own user. pool_size: connections for units (on
    SQLite: for readers; there is always one writer). pool_timeout_s, busy_timeout_s: how long to wait for a connection
    of this process, and on SQLite for the lock of another process. clock: the time on SQLite; PostgreSQL has its own.
    plugin_tables: whose rows the tables hold that plugins keep in this database. sealer: seals the keys of persons;
    None: the addresses and words of those who act are not kept, only that they acted.
    """

    def __init__(
        self,
        url: str,
        *,
        role: str | None = SERVING_ROLE,
        pool_size: int = 16,
        pool_timeout_s: float = BUSY_TIMEOUT_S,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        clock: Callable[[], datetime] = utc_now,
        plugin_tables: Mapping[str, TableClass] | None = None,
        sealer: KeySealer | None = None,
    ) -> None:
        address = parsed(url)
        self._plugin_tables = dict(plugin_tables or {})
        self.dialect = address.get_backend_name()
        self._clock = clock
        self._sealer = sealer
        self.writer: Engine
        self.readers: Engine
        self.outage = Outage(_probe_of(address), lambda: self.writer.dispose())
        if self.dialect == "postgresql":
            self.writer = postgres_engine(
                address, role=role, pool_size=pool_size, pool_timeout_s=pool_timeout_s, outage=self.outage
            )
            self.readers = self.writer
        else:
            self.writer = sqlite_writer(address, pool_timeout_s=pool_timeout_s, busy_timeout_s=busy_timeout_s)
            self.readers = sqlite_readers(address, pool_size=pool_size, pool_timeout_s=pool_timeout_s)
            for engine in (self.writer, self.readers):
                scoping.enforce(engine, self._plugin_tables)
        self._seen = _Seen()
        self.on_append: Callable[[LedgerId], None] = _nothing
        """Called after each commit that made a ledger's log longer; must be quick and may not raise."""

    def check_serving(self) -> None:
        """Nothing, when this store may serve. Raises UnsafeRole, UnfencedTables, StoreUnavailable."""
        with self._connected(self.readers) as connection:
            if self.dialect == "postgresql":
                check_role(connection)
            check_fences(connection, self._plugin_tables)

    def close(self) -> None:
        """Close every connection that is not in use."""
        self.outage.close()
        self.writer.dispose()
        self.readers.dispose()

    @contextmanager
    def ledger_unit(self, tenant_id: TenantId, ledger_id: LedgerId) -> Iterator[LedgerUnit]:
        """A unit that holds the ledger's lock; commits when its block ends, rolls back when it raises."""
        with self._connected(self.writer) as connection:
            unit = self._new_unit(connection, tenant_id, ledger_id)
            unit.lock()
            before = unit.head
            yield unit
            with committing():
                unit.commit()
        self._seen.note(ledger_id, unit.head, unit.leases)
        if unit.head > before:
            self.on_append(ledger_id)

    @contextmanager
    def look_unit(self, tenant_id: TenantId, ledger_id: LedgerId) -> Iterator[LedgerUnit]:
        """A unit that shows the ledger as it is committed, without its lock; whatever it wrote is rolled back."""
        with self._connected(self.readers) as connection:
            unit = self._new_unit(connection, tenant_id, ledger_id)
            unit.look()
            yield unit
        self._seen.note(ledger_id, unit.head, ())

    @contextmanager
    def tenant_unit(self, tenant_id: TenantId) -> Iterator[RowsUnit]:
        """A unit over one tenant's rows and the platform's; commits when its block ends, rolls back when it raises."""
        with self._rows_unit(self.writer, tenant_id) as unit:
            yield unit

    @contextmanager
    def platform_unit(self) -> Iterator[RowsUnit]:
        """A unit over the platform's rows; no tenant's row is visible."""
        with self._rows_unit(self.writer, None) as unit:
            yield unit

    @contextmanager
    def read_unit(self, tenant_id: TenantId | None) -> Iterator[RowsUnit]:
        """A unit that only reads, in one snapshot that waits for no writer."""
        with self._rows_unit(self.readers, tenant_id, read_only=True) as unit:
            yield unit

    # Reads without a ledger's lock ------------------------------------------------------------------------

    def account_directory(self, tenant_id: TenantId) -> AccountDirectory:
        """The tenant's open trading accounts with their ledgers, and which broker account routes to which."""
        with self.read_unit(tenant_id) as unit:
            return config_rows.load_account_directory(unit.connection, tenant_id)

    def ledger_of_order(self, tenant_id: TenantId, order_id: OrderId) -> LedgerId | None:
        """The ledger that holds an order, or None when the tenant has no such order."""
        with self.read_unit(tenant_id) as unit:
            found: LedgerId | None = unit.connection.scalar(
                select(ORDERS.c.ledger_id).where(ORDERS.c.tenant_id == tenant_id, ORDERS.c.order_id == order_id)
            )
            return found

    def heads(self, ledger_ids: Sequence[LedgerId]) -> dict[LedgerId, int]:
        """The last seq of each ledger: one statement, for everybody polls it."""
        with self._connected(self.readers) as connection:
            if self.dialect == "postgresql":
                from oms_app.store import postgres_ledger_unit

                return postgres_ledger_unit.heads(connection, ledger_ids)
            return log_rows.heads(connection, ledger_ids)

    def auth_epoch(self, tenant_id: TenantId) -> int:
        """The tenant's auth epoch: one statement without a transaction, for every request asks."""
        with self._connected(self.readers) as connection:
            if self.dialect == "postgresql":
                from oms_app.store import postgres_ledger_unit

                return postgres_ledger_unit.auth_epoch(connection, tenant_id)
            driver: Any = connection.connection.driver_connection
            return auth_epochs.read_by(driver, tenant_id)

    def ledgers(self) -> Sequence[tuple[TenantId, LedgerId]]:
        """All ledgers of the platform."""
        with self.read_unit(None) as unit:
            return [(ledger.tenant_id, ledger.ledger_id) for ledger in tenants.list_ledgers(unit)]

    def events(
        self,
        tenant_id: TenantId,
        ledger_id: LedgerId,
        after_seq: int,
        limit: int = 500,
        *,
        account_ids: frozenset[str] | None = None,
    ) -> Sequence[Recorded]:
        """Committed events after a seq, in order, at most `limit`; of some accounts only, when named."""
        with self.read_unit(tenant_id) as unit:
            return log_rows.events_after(unit.connection, tenant_id, ledger_id, after_seq, limit, account_ids)

    def snapshot(self, tenant_id: TenantId, ledger_id: LedgerId, version: str) -> Snapshot | None:
        """The ledger's snapshot of this version of the fold, or None."""
        with self.read_unit(tenant_id) as unit:
            return snapshots.get_snapshot(unit.connection, tenant_id, ledger_id, version)

    def snapshot_seq(self, tenant_id: TenantId, ledger_id: LedgerId, version: str) -> int:
        """Where that snapshot stands; 0 without one."""
        with self.read_unit(tenant_id) as unit:
            return snapshots.snapshot_seq(unit.connection, tenant_id, ledger_id, version)

    def put_snapshot(self, tenant_id: TenantId, ledger_id: LedgerId, snapshot: Snapshot) -> None:
        """Replace the ledger's snapshot, unless a later one of the same version stands there already."""
        with self.tenant_unit(tenant_id) as unit:
            snapshots.put_snapshot(unit, ledger_id, snapshot)

    def quotes(self, received_after: datetime | None) -> Sequence[Quote]:
        """The last quotes, all or those received since."""
        with self.read_unit(None) as unit:
            return config_rows.load_quotes(unit.connection, received_after)

    def _new_unit(self, connection: Connection, tenant_id: TenantId, ledger_id: LedgerId) -> SqlLedgerUnit:
        if self.dialect == "postgresql":
            from oms_app.store.postgres_ledger_unit import PostgresLedgerUnit

            seen = self._seen
            return PostgresLedgerUnit(connection, tenant_id, ledger_id, seen.last(ledger_id), seen.leases(ledger_id))
        connection = connection.execution_options(tenant_id=tenant_id)
        return SqliteLedgerUnit(connection, tenant_id, ledger_id, self._clock)

    @contextmanager
    def _rows_unit(self, engine: Engine, tenant_id: TenantId | None, *, read_only: bool = False) -> Iterator[RowsUnit]:
        with self._connected(engine) as connection:
            if self.dialect == "postgresql":
                transaction = connection.begin()
                if read_only:
                    now = _begin_snapshot(connection, tenant_id)
                else:
                    now = connection.execute(_SCOPE, {"tenant": tenant_id or ""}).scalar_one()
            else:
                connection = connection.execution_options(tenant_id=tenant_id)
                transaction = connection.begin()
                now = self._clock()
            unit = SqlRowsUnit(tenant_id=tenant_id, connection=connection, now=now, sealer=self._sealer)
            yield unit
            if unit.bumped:
                auth_epochs.move(connection, unit.bumped)
            with nullcontext() if read_only else committing():  # what only read has no outcome to be in doubt about
                transaction.commit()
        for ledger_id in unit.appended:
            self.on_append(ledger_id)

    @contextmanager
    def _connected(self, engine: Engine) -> Iterator[Connection]:
        """A connection whose errors are the store's; rolled back when the block raises, and given back.

        While the database is known to be away it raises StoreUnavailable at once. SQLite's readers wait for nobody.
        """
        watched = engine is self.writer
        if watched:
            self.outage.require()
        try:
            connection = engine.connect()
        except PoolTimeout as error:
            raise StoreUnavailable("no database connection came free in time") from error
        except Exception as error:  # what prepares a new connection raises the driver's own errors
            if translated(error) is None:
                raise
            self.outage.suspect()
            raise StoreUnavailable(str(getattr(error, "orig", error))) from error
        try:
            if watched:
                self.outage.require()  # it may have gone while we waited for the connection
            yield connection
        except BaseException as error:
            _abandon(connection, engine)
            known = translated(error)
            if known is None:
                raise
            if watched and isinstance(known, StoreUnavailable):
                self.outage.suspect()
            raise known from error
        connection.close()


def _probe_of(address: URL) -> Callable[[], None]:
    """Asks whether the database lives; SQLite lives when somebody may write."""
    if address.get_backend_name() == "postgresql":
        from oms_app.store.postgres_connection import probe

        return partial(probe, address)
    return partial(probe_writing, address)


def _abandon(connection: Connection, engine: Engine) -> None:
    """Roll back and give back; a lost connection is thrown away, and all idle ones with it, which were lost as well."""
    try:
        if not _is_lost(connection):
            connection.close()
            return
    except DBAPIError:
        """It was lost while rolling back."""
    connection.invalidate()
    connection.close()
    engine.dispose()


def _is_lost(connection: Connection) -> bool:
    if connection.closed or connection.invalidated:
        return False
    driver: Any = connection.connection.driver_connection
    return bool(getattr(driver, "closed", False))


def _begin_snapshot(connection: Connection, tenant_id: TenantId | None) -> datetime:
    """The server's clock, after one text that makes the transaction a snapshot that only reads and scopes it.

    Asking SQLAlchemy for the isolation level costs more than a list of orders does.
    """
    from psycopg import sql

    driver: Any = connection.connection.driver_connection
    cursor = driver.execute(_BEGIN_SNAPSHOT + sql.Literal(tenant_id or "").as_string(driver) + _END_SNAPSHOT)
    cursor.nextset()
    now: datetime = cursor.fetchone()[0]
    return now


_BEGIN_SNAPSHOT = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;"
    " SELECT clock_timestamp() FROM (SELECT set_config('app.tenant_id', "
)
_END_SNAPSHOT = ", true)) AS scope"
_SCOPE = text("SELECT clock_timestamp() FROM (SELECT set_config('app.tenant_id', :tenant, true)) AS scope")


@contextmanager
def committing() -> Iterator[None]:
    """Errors in here come after COMMIT was sent: a lost connection leaves the outcome unknown."""
    try:
        yield
    except Exception as error:
        known = translated(error, committing=True)
        if known is None:
            raise
        raise known from error


def _nothing(ledger_id: LedgerId) -> None:
    """Nobody wants to know."""


class _Seen:
    """What this process's units of each ledger wrote or read: the next one asks for the like together with its lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heads: dict[LedgerId, int] = {}
        self._leases: dict[LedgerId, tuple[ConnectionId, ...]] = {}

    def last(self, ledger_id: LedgerId) -> int | None:
        """The last seq: where the next tail will begin."""
        return self._heads.get(ledger_id)

    def leases(self, ledger_id: LedgerId) -> tuple[ConnectionId, ...]:
        """The connections whose leases were asked for."""
        return self._leases.get(ledger_id, ())

    def note(self, ledger_id: LedgerId, seq: int, leases: Collection[ConnectionId]) -> None:
        """Remember what one unit saw."""
        with self._lock:
            self._heads[ledger_id] = max(seq, self._heads.get(ledger_id, 0))
            if any(one not in self.leases(ledger_id) for one in leases):
                self._leases[ledger_id] = tuple(sorted({*self.leases(ledger_id), *leases}))
