"""Make SQLAlchemy engines whose connections are safe to serve with: settings, role and pragmas at each connect."""

import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import QueuePool

from oms_app.store.outage import Outage
from oms_app.store.types import to_json
from oms_app.store.unit_of_work import UnsafeRole

SERVING_ROLE = "oms_app"
BUSY_TIMEOUT_S = 8
LOCK_TIMEOUT_S = 8
IDLE_IN_TRANSACTION_TIMEOUT_S = 6


def parsed(url: str) -> URL:
    """The URL with the driver that this store uses. Raises ValueError for other databases."""
    address = make_url(url)
    backend = address.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return address.set(drivername="postgresql+psycopg")
    if backend == "sqlite":
        if address.database in (None, "", ":memory:"):
            raise ValueError("SQLite needs a file: several connections share the database")
        return address.set(drivername="sqlite+pysqlite")
    raise ValueError(f"the database must be PostgreSQL or SQLite, got {backend}")


def postgres_engine(
    url: URL, *, role: str | None, pool_size: int, pool_timeout_s: float, outage: Outage | None = None
) -> Engine:
    """An engine whose connections act as `role` (None: as whoever the URL names) and fail closed on long waits.

    outage: ends the waits for a server that stopped answering.
    """
    from oms_app.store.postgres_connection import CONNECT_TIMEOUT_S, WatchedConnection

    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout_s,
        pool_use_lifo=True,
        json_serializer=to_json,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "oms",
            # psycopg drops every prepared statement at a ROLLBACK, those of the ledger units included.
            "prepare_threshold": None,
            "options": f"-c timezone=UTC -c datestyle=ISO -c lock_timeout={LOCK_TIMEOUT_S}s"
            f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT_S}s",
        },
    )

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, arguments: Any, parameters: Any) -> Any:
        connection = WatchedConnection.connect(*arguments, **parameters)
        connection.outage = outage
        return connection

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        from psycopg.types.string import TextLoader

        connection.adapters.register_loader("uuid", TextLoader)
        if role is not None:
            previous = connection.autocommit
            connection.autocommit = True
            try:
                connection.execute(f'SET ROLE "{role}"')
            finally:
                connection.autocommit = previous

    return engine


def check_role(connection: Connection) -> None:
    """Nothing, when the present role is subject to row-level security; else UnsafeRole with what to do.

    A role that may become another one is as unsafe as that one.
    """
    role, superuser, bypass, makes_roles = connection.exec_driver_sql(
        "SELECT current_user, coalesce(bool_or(rolsuper), false), coalesce(bool_or(rolbypassrls), false),"
        " coalesce(bool_or(rolcreaterole), false) FROM pg_roles WHERE pg_has_role(current_user, oid, 'MEMBER')"
    ).one()
    owned = connection.exec_driver_sql(
        "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
        " AND pg_has_role(current_user, relowner, 'MEMBER')"
    ).scalar_one()
    reasons = [
        reason
        for holds, reason in (
            (superuser, "is a superuser"),
            (bypass, "bypasses row-level security"),
            (makes_roles, "may make roles"),
            (owned, "owns tables"),
        )
        if holds
    ]
    if reasons:
        raise UnsafeRole(f"role {role} {' and '.join(reasons)}: serve as {SERVING_ROLE}, which the migrations create")


def sqlite_writer(url: URL, *, pool_timeout_s: float, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Engine:
    """The engine of a process's one writing connection; its transactions are BEGIN IMMEDIATE."""
    make_private(url)
    return _sqlite(
        url,
        begin="BEGIN IMMEDIATE",
        pool_size=1,
        pool_timeout_s=pool_timeout_s,
        busy_timeout_s=busy_timeout_s,
        read_only=False,
    )


def sqlite_readers(url: URL, *, pool_size: int, pool_timeout_s: float) -> Engine:
    """The engine of connections that only read, each transaction one snapshot."""
    return _sqlite(
        url,
        begin="BEGIN",
        pool_size=pool_size,
        pool_timeout_s=pool_timeout_s,
        busy_timeout_s=BUSY_TIMEOUT_S,
        read_only=True,
    )


def _sqlite(
    url: URL, *, begin: str, pool_size: int, pool_timeout_s: float, busy_timeout_s: float, read_only: bool
) -> Engine:
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout_s,
        json_serializer=to_json,
        connect_args={"timeout": busy_timeout_s, "check_same_thread": False, "cached_statements": 256},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, record: Any) -> None:
        # The driver must not begin transactions by itself: BEGIN IMMEDIATE takes the write lock at once.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL").close()
        connection.execute("PRAGMA synchronous=FULL").close()
        connection.execute("PRAGMA foreign_keys=ON").close()
        if read_only:
            connection.execute("PRAGMA query_only=ON").close()

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def make_private(url: URL) -> None:
    """The database file exists, and only its owner may read it; SQLite gives -wal and -shm the same mode."""
    path = Path(url.database or "")
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)


def probe_writing(url: URL) -> None:
    """Nothing, when somebody may write to the SQLite file now; else sqlite3.Error, within a quarter of a second."""
    # mode=rw: looking must not make the file anew where somebody took it away.
    address = f"{Path(url.database or '').absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(address, uri=True, timeout=0.25, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE").close()
        connection.execute("ROLLBACK").close()
    finally:
        connection.close()


def utc_now() -> datetime:
    """The process's clock."""
    return datetime.now(UTC)
