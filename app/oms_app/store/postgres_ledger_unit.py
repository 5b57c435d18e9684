"""A ledger unit on PostgreSQL in two round trips: lock with clock and tail, then all rows with COMMIT; psycopg's pipeline.

Rows travel as one JSON text for each table, so that a batch of any size is one prepared statement.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec
import psycopg
from sqlalchemy import Connection

from oms_app.store.projection import Projection, Rows
from oms_app.store.sql_ledger_unit import SqlLedgerUnit, recorded_from_row
from oms_app.store.unit_of_work import UnknownLedger
from oms_kernel.domain.events import Recorded
from oms_kernel.domain.ids import EventId, LedgerId, TenantId

_LOCK = (
    "WITH locked AS MATERIALIZED (SELECT seq, config_version, set_config('app.tenant_id', %s, true) AS scope"
    " FROM ledgers WHERE tenant_id = %s AND ledger_id = %s FOR UPDATE)"
    " SELECT seq, config_version, clock_timestamp(), coalesce((SELECT version FROM platform_versions"
    " WHERE name = 'catalogue'), 0) FROM locked"
)
_TAIL = (
    "SELECT seq, event_id, kind, version, recorded_at, payload FROM event_log"
    " WHERE tenant_id = %s AND ledger_id = %s AND seq > %s ORDER BY seq"
)
_MOVE_HEAD = (
    "UPDATE ledgers SET seq = %s, head_recorded_at = %s, updated_at = %s, config_version = config_version + %s"
    " WHERE tenant_id = %s AND ledger_id = %s"
)
_COUNT_EVENTS = "SELECT count(*) FROM event_log WHERE tenant_id = %s AND event_id = ANY(%s::uuid[])"
_ENCODER = msgspec.json.Encoder(decimal_format="string")


class PostgresLedgerUnit(SqlLedgerUnit):
    """A LedgerUnit on a pooled connection. expected_head: the seq up to which the caller's book probably stands."""

    def __init__(
        self, connection: Connection, tenant_id: TenantId, ledger_id: LedgerId, expected_head: int | None
    ) -> None:
        super().__init__(connection, tenant_id, ledger_id)
        self._expected_head = expected_head
        self._pending: list[tuple[Projection, str]] = []
        self._head_moves: tuple[int, datetime, int] | None = None

    def lock(self) -> None:
        """Begin with the lock; then clock, versions and the probable tail in the same round trip."""
        self._transaction = self.connection.begin()
        driver = self.connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        self._driver: psycopg.Connection[Any] = driver
        scope = (self.tenant_id, self.ledger_id)
        row = driver.execute(_LOCK, (self.tenant_id, self.tenant_id, self.ledger_id), prepare=True).fetchone()
        if row is None:
            raise UnknownLedger(self.ledger_id)
        self.head, self.config_version, now, self.catalogue_version = row
        self.now = now.astimezone(UTC)

    def commit(self) -> None:
        """Send everything that waits, then COMMIT; durable when this returns."""
        self._flush()
        self._driver.commit()
        self._transaction.commit()

    def _tail(self, after_seq: int) -> Sequence[Recorded]:
        rows = self._driver.execute(_TAIL, (self.tenant_id, self.ledger_id, after_seq), prepare=True)
        return [_recorded(row) for row in rows]

    def _write(self, projection: Projection, rows: Rows) -> None:
        self._pending.append((projection, _encoded(projection, rows)))

    def _move_head(self, seq: int, recorded_at: datetime, *, config_changed: bool) -> None:
        self._head_moves = (seq, recorded_at, int(config_changed))

    def _count_events(self, event_ids: Sequence[EventId]) -> int:
        row = self._driver.execute(_COUNT_EVENTS, (self.tenant_id, list(event_ids))).fetchone()
        assert row is not None
        count: int = row[0]
        return count

    def _flush(self) -> None:
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        projections = tuple(projection for projection, _ in pending)
        parameters: list[Any] = [self.tenant_id, self.ledger_id, *(rows for _, rows in pending)]
        if self._head_moves is not None:
            parameters += self._head_moves
        self._driver.execute(_statement(projections, self._head_moves is not None), parameters, prepare=True)
        self._head_moves = None


def _recorded(row: Sequence[Any]) -> Recorded:
    return recorded_from_row(row, row[4].astimezone(UTC))


def _encoded(projection: Projection, rows: Rows) -> str:
    """The rows as a JSON array of objects; JSON columns are nested as they are, binary ones in PostgreSQL's hex form."""
    records = [dict(zip(projection.columns, row, strict=True)) for row in rows]
    for name, kind in zip(projection.columns, projection.types, strict=True):
        if kind == "json":
            for record in records:
                record[name] = msgspec.Raw(record[name])
        elif kind == "bytea":
            for record in records:
                record[name] = f"\\x{record[name].hex()}"
    return _ENCODER.encode(records).decode()


@cache
def _statement(projections: tuple[Projection, ...], moves_head: bool) -> str:
    """One statement that writes rows of all these projections; the parameters are tenant, ledger, rows..., head."""
    # Names come from the constants of `projection`, never from outside.
    parts = ["scope AS (SELECT %s::uuid AS tenant_id, %s::uuid AS ledger_id)"]
    parts += [f"w{number} AS ({_write_sql(projection)})" for number, projection in enumerate(projections)]
    last = "SELECT 1"
    if moves_head:
        last = (
            "UPDATE ledgers t SET seq = h.seq, head_recorded_at = h.at, updated_at = h.at,"
            " config_version = config_version + h.changed"
            " FROM scope s, (SELECT %s::bigint AS seq, %s::timestamptz AS at, %s::int AS changed) h"
            " WHERE t.tenant_id = s.tenant_id AND t.ledger_id = s.ledger_id"
        )
    return f"WITH {', '.join(parts)} {last}"


def _write_sql(projection: Projection) -> str:
    source = ", ".join(f"{name} {kind}" for name, kind in zip(projection.columns, projection.types, strict=True))
    values = {
        name: f"r.{name}::text" if kind == "json" else f"r.{name}"
        for name, kind in zip(projection.columns, projection.types, strict=True)
    }
    rows = f"scope s, json_to_recordset(%s::json) AS r({source})"
    if projection.only_update:
        assert projection.changing is not None
        changes = ", ".join(f"{name} = {values[name]}" for name in projection.changing)
        key = " AND ".join(f"t.{name} = r.{name}" for name in projection.key[1:])
        return f"UPDATE {projection.table} t SET {changes} FROM {rows} WHERE t.tenant_id = s.tenant_id AND {key}"  # noqa: S608
    names = ("tenant_id", "ledger_id") if projection.of_ledger else ("tenant_id",)
    sql = (
        f"INSERT INTO {projection.table} ({', '.join((*names, *projection.columns))})"  # noqa: S608
        f" SELECT {', '.join(f's.{name}' for name in names)}, {', '.join(values.values())} FROM {rows}"
    )
    if projection.changing is not None:
        changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in projection.changing)
        sql += f" ON CONFLICT ({', '.join(projection.key)}) DO UPDATE SET {changes}"
    return sql
