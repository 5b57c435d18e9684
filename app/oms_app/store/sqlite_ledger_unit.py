"""A ledger unit on SQLite: BEGIN IMMEDIATE is the lock; rows go in at once by plain statements of the driver."""

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

from sqlalchemy import Connection

from oms_app.store.projected_tables import Projection, Row, Rows
from oms_app.store.sql_ledger_unit import SqlLedgerUnit
from oms_app.store.types import instant_from_text, instant_to_text
from oms_app.store.unit_of_work import UnknownLedger
from oms_kernel.domain.events import Recorded, decode_event
from oms_kernel.domain.ids import EventId, LedgerId, TenantId
from oms_kernel.domain.money import to_text

_LOCKED = (
    "SELECT seq, head_hash, config_version,"
    " coalesce((SELECT version FROM platform_versions WHERE name = 'catalogue'), 0),"
    " coalesce((SELECT epoch FROM auth_epochs WHERE auth_epochs.tenant_id = ledgers.tenant_id), 0)"
    " FROM ledgers WHERE tenant_id = ? AND ledger_id = ?"
)
_TAIL = (
    "SELECT seq, event_id, kind, version, recorded_at, payload FROM event_log"
    " WHERE tenant_id = ? AND ledger_id = ? AND seq > ? ORDER BY seq"
)
_MOVE_HEAD = (
    "UPDATE ledgers SET seq = ?, head_recorded_at = ?, updated_at = ?, head_hash = ?,"
    " config_version = config_version + ?"
    " WHERE tenant_id = ? AND ledger_id = ?"
)
_AS_STORED: dict[type, Callable[[Any], Any]] = {
    Decimal: to_text,
    datetime: instant_to_text,
    bool: int,
    bytes: bytes.decode,
    bytearray: bytes,
}


class SqliteLedgerUnit(SqlLedgerUnit):
    """A LedgerUnit on the process's one writing connection."""

    def __init__(
        self, connection: Connection, tenant_id: TenantId, ledger_id: LedgerId, clock: Callable[[], datetime]
    ) -> None:
        super().__init__(connection, tenant_id, ledger_id)
        self._clock = clock

    def lock(self) -> None:
        """Begin IMMEDIATE, then learn now, head and versions."""
        self._transaction = self.connection.begin()
        driver = self.connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        self._driver = driver
        row = driver.execute(_LOCKED, (self.tenant_id, self.ledger_id)).fetchone()
        if row is None:
            raise UnknownLedger(self.ledger_id)
        self.head, self.head_hash, self.config_version, self.catalogue_version, self.auth_epoch = row
        self.now = self._clock()

    def look(self) -> None:
        """The same on a connection that only reads: its snapshot waits for no writer."""
        self.lock()

    def commit(self) -> None:
        """Commit: durable when this returns."""
        self._driver.commit()
        self._transaction.commit()

    def _tail(self, after_seq: int) -> Sequence[Recorded]:
        rows = self._driver.execute(_TAIL, (self.tenant_id, self.ledger_id, after_seq))
        return [
            Recorded(
                seq=seq,
                event_id=EventId(event_id),
                recorded_at=instant_from_text(recorded_at),
                event=decode_event(kind, version, payload),
            )
            for seq, event_id, kind, version, recorded_at, payload in rows
        ]

    def _write(self, projection: Projection, rows: Rows) -> None:
        scope = (self.tenant_id, self.ledger_id) if projection.of_ledger else (self.tenant_id,)
        parameters: list[Sequence[Any]]
        if projection.only_update:
            parameters = [_update_parameters(projection, self.tenant_id, row) for row in rows]
        else:
            parameters = [(*scope, *_stored(row)) for row in rows]
        self._driver.executemany(_statement(projection), parameters)

    def _move_head(self, seq: int, recorded_at: datetime, *, config_changed: bool) -> None:
        at = instant_to_text(recorded_at)
        scope = (self.tenant_id, self.ledger_id)
        self._driver.execute(_MOVE_HEAD, (seq, at, at, self.head_hash, int(config_changed), *scope))

    def _count_events(self, event_ids: Sequence[EventId]) -> int:
        marks = ", ".join("?" * len(event_ids))
        # Only question marks are put into the text.
        sql = f"SELECT count(*) FROM event_log WHERE tenant_id = ? AND event_id IN ({marks})"  # noqa: S608
        count: int = self._driver.execute(sql, (self.tenant_id, *event_ids)).fetchone()[0]
        return count

    def _flush(self) -> None:
        """Nothing waits: rows go in at once."""


def _stored(row: Row) -> list[Any]:
    convert = _AS_STORED.get
    return [value if (change := convert(type(value))) is None else change(value) for value in row]


def _update_parameters(projection: Projection, tenant_id: TenantId, row: Row) -> list[Any]:
    """Changing columns first, then the key: the order in which the UPDATE names them."""
    values = dict(zip(projection.columns, _stored(row), strict=True))
    assert projection.changing is not None
    return [*(values[name] for name in projection.changing), tenant_id, *(values[name] for name in projection.key[1:])]


@cache
def _statement(projection: Projection) -> str:
    # Names come from the constants of `projection`, never from outside.
    if projection.only_update:
        assert projection.changing is not None
        changes = ", ".join(f"{name} = ?" for name in projection.changing)
        key = " AND ".join(f"{name} = ?" for name in projection.key)
        return f"UPDATE {projection.table} SET {changes} WHERE {key}"  # noqa: S608
    scope = ("tenant_id", "ledger_id") if projection.of_ledger else ("tenant_id",)
    columns = (*scope, *projection.columns)
    sql = f"INSERT INTO {projection.table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
    if projection.changing is not None:
        changes = ", ".join(f"{name} = excluded.{name}" for name in projection.changing)
        sql += f" ON CONFLICT ({', '.join(projection.key)}) DO UPDATE SET {changes}"
    return sql
