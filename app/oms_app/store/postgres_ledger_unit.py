"""A ledger unit on PostgreSQL in two round trips: BEGIN, lock and tail; then all rows and COMMIT.

Rows travel as one text for each column, so that a batch of any size is one prepared statement.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import chain

from psycopg import pq
from sqlalchemy import Connection

from oms_app.store.clocks import least_offset
from oms_app.store.config_rows import connection_resource
from oms_app.store.postgres_rows import columns, source
from oms_app.store.postgres_wire import BEGIN, COMMIT, Command, wire_of
from oms_app.store.projected_tables import Projection, Rows
from oms_app.store.sql_ledger_unit import SqlLedgerUnit
from oms_app.store.unit_of_work import UnknownLedger
from oms_kernel.domain.events import Recorded, decode_event
from oms_kernel.domain.ids import ConnectionId, EventId, LedgerId, TenantId

_LOCK = (
    "WITH locked AS MATERIALIZED (SELECT seq, config_version, head_hash,"
    " set_config('app.tenant_id', $1, true) AS scope"
    " FROM ledgers WHERE tenant_id = $1::uuid AND ledger_id = $2::uuid FOR UPDATE)"
    " SELECT seq, config_version, clock_timestamp() AT TIME ZONE 'UTC', coalesce((SELECT version FROM platform_versions"
    " WHERE name = 'catalogue'), 0), coalesce((SELECT epoch FROM auth_epochs WHERE tenant_id = $1::uuid), 0),"
    " encode(head_hash, 'hex') FROM locked"
)
"""The clock is read outside of the CTE: after the lock, however long that took."""
_LOOK = _LOCK.replace(" FOR UPDATE", "")
_TAIL = (
    "SELECT seq, event_id, kind, version, recorded_at AT TIME ZONE 'UTC', payload FROM event_log"
    " WHERE tenant_id = $1::uuid AND ledger_id = $2::uuid AND seq > $3::bigint ORDER BY seq"
)
_COUNT_EVENTS = "SELECT count(*) FROM event_log WHERE tenant_id = $1::uuid AND event_id = ANY($2::uuid[])"
_LEASE = "SELECT token FROM leases WHERE resource = $1 AND expires_at > clock_timestamp()"
_HEADS = "SELECT ledger_id, seq FROM ledgers WHERE ledger_id = ANY($1::uuid[])"
_EPOCH = "SELECT epoch FROM auth_epochs WHERE tenant_id = $1::uuid"


class PostgresLedgerUnit(SqlLedgerUnit):
    """A LedgerUnit on a pooled connection.

    expected_head: the seq up to which the caller's book probably stands. expected_leases: what it will probably ask
    the present tokens of.
    """

    def __init__(
        self,
        connection: Connection,
        tenant_id: TenantId,
        ledger_id: LedgerId,
        expected_head: int | None,
        expected_leases: Collection[ConnectionId] = (),
    ) -> None:
        super().__init__(connection, tenant_id, ledger_id)
        self._expected_head = expected_head
        self._expected_leases = expected_leases
        self._pending: list[tuple[Projection, list[str]]] = []
        self._head_moves: tuple[str, str, str, str] | None = None
        self._fetched_tail: list[Recorded] = []
        self._lease_tokens: dict[ConnectionId, int | None] = {}

    @property
    def leases(self) -> Collection[ConnectionId]:
        """The connections whose leases were read here: a session's next unit asks for them with the lock."""
        return self._lease_tokens.keys()

    def lock(self) -> None:
        """Begin with the lock; then clock, versions, leases and the probable tail in the same round trip.

        Each statement sees what was committed before it began, so all but the lock itself are read after the lock.
        """
        self._begin(_LOCK)

    def look(self) -> None:
        """The same without the lock: what is committed while it reads may be seen in part, always without a gap."""
        self._begin(_LOOK)

    def _begin(self, first: str) -> None:
        self._transaction = self.connection.begin()
        self._wire = wire_of(self.connection)
        commands: list[Command] = [(BEGIN, ()), (first, (self.tenant_id, self.ledger_id))]
        commands += [_lease_of(connection_id) for connection_id in self._expected_leases]
        if self._expected_head is not None:
            commands.append((_TAIL, (self.tenant_id, self.ledger_id, str(self._expected_head))))
        asked_at = datetime.now(UTC)
        _, locked, *more = self._wire.run(commands)
        answered_at = datetime.now(UTC)
        if not locked.ntuples:
            raise UnknownLedger(self.ledger_id)
        seq, config_version, now, catalogue_version, epoch = (_text(locked, 0, column) for column in range(5))
        self.head = self._locked_head = int(seq)
        self.config_version, self.auth_epoch = int(config_version), int(epoch)
        self.now, self.catalogue_version = _instant(now), int(catalogue_version)
        self.clock_offset = least_offset(asked_at, self.now, answered_at)
        head_hash = locked.get_value(0, 5)
        self.head_hash = bytes.fromhex(head_hash.decode()) if head_hash is not None else None
        tails = more[len(self._expected_leases) :]
        self._lease_tokens = {one: _token(rows) for one, rows in zip(self._expected_leases, more, strict=False)}
        self._fetched_tail = [recorded for tail in tails for recorded in _events(tail)]

    def lease_token(self, connection_id: ConnectionId) -> int | None:
        """See SqlLedgerUnit; prepared and asked once: a session needs it in each transaction, under the lock."""
        if connection_id not in self._lease_tokens:
            (rows,) = self._wire.run([_lease_of(connection_id)])
            self._lease_tokens[connection_id] = _token(rows)
        return self._lease_tokens[connection_id]

    def commit(self) -> None:
        """Send everything that waits together with COMMIT; durable when this returns."""
        self._wire.run([*self._waiting(), (COMMIT, ())])
        self._transaction.commit()

    def _tail(self, after_seq: int) -> Sequence[Recorded]:
        self._flush()
        fetched = [recorded for recorded in self._fetched_tail if recorded.seq > after_seq]
        if self._expected_head is not None and after_seq >= self._expected_head and self.head == self._locked_head:
            return fetched
        (rows,) = self._wire.run([(_TAIL, (self.tenant_id, self.ledger_id, str(after_seq)))])
        return _events(rows)

    def _write(self, projection: Projection, rows: Rows) -> None:
        self._pending.append((projection, columns(projection, rows)))

    def _move_head(self, seq: int, recorded_at: datetime, *, config_changed: bool) -> None:
        assert self.head_hash is not None
        head_hash = f"\\x{self.head_hash.hex()}"
        self._head_moves = (str(seq), recorded_at.isoformat(), str(int(config_changed)), head_hash)

    def _count_events(self, event_ids: Sequence[EventId]) -> int:
        (rows,) = self._wire.run([(_COUNT_EVENTS, (self.tenant_id, _array(event_ids)))])
        return int(_text(rows, 0, 0))

    def _flush(self) -> None:
        waiting = self._waiting()
        if waiting:
            self._wire.run(waiting)

    def _waiting(self) -> list[Command]:
        """The one statement that writes what was appended and put, if anything was; nothing waits after this."""
        if not self._pending:
            return []
        pending, self._pending = self._pending, []
        moves, self._head_moves = self._head_moves, None
        statement = _statement(tuple(projection for projection, _ in pending), moves is not None)
        written = chain.from_iterable(texts for _, texts in pending)
        return [(statement, [self.tenant_id, self.ledger_id, *written, *(moves or ())])]


def heads(connection: Connection, ledger_ids: Sequence[LedgerId]) -> dict[LedgerId, int]:
    """The last seq of each known ledger of these, on a connection without a transaction."""
    (rows,) = wire_of(connection).run([(_HEADS, (_array(ledger_ids),))])
    return {LedgerId(_text(rows, row, 0)): int(_text(rows, row, 1)) for row in range(rows.ntuples)}


def _lease_of(connection_id: ConnectionId) -> Command:
    return _LEASE, (connection_resource(connection_id),)


def _token(rows: pq.abc.PGresult) -> int | None:
    return int(_text(rows, 0, 0)) if rows.ntuples else None


def _array(ids: Sequence[str]) -> str:
    return f"{{{','.join(ids)}}}"


def auth_epoch(connection: Connection, tenant_id: TenantId) -> int:
    """The tenant's auth epoch, on a connection without a transaction; 0 before anything was taken from anybody."""
    (rows,) = wire_of(connection).run([(_EPOCH, (tenant_id,))])
    return int(_text(rows, 0, 0)) if rows.ntuples else 0


def _events(rows: pq.abc.PGresult) -> list[Recorded]:
    return [
        Recorded(
            seq=int(_text(rows, row, 0)),
            event_id=EventId(_text(rows, row, 1)),
            recorded_at=_instant(_text(rows, row, 4)),
            event=decode_event(_text(rows, row, 2), int(_text(rows, row, 3)), _text(rows, row, 5)),
        )
        for row in range(rows.ntuples)
    ]


def _text(rows: pq.abc.PGresult, row: int, column: int) -> str:
    value = rows.get_value(row, column)
    assert value is not None
    return value.decode()


def _instant(text: str) -> datetime:
    """An instant that the server wrote in UTC without an offset."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@cache
def _statement(projections: tuple[Projection, ...], moves_head: bool) -> str:
    """One statement that writes rows of all these projections; the parameters are tenant, ledger, columns..., head."""
    # Names come from the constants of `projection`, never from outside.
    parts = ["scope AS (SELECT $1::uuid AS tenant_id, $2::uuid AS ledger_id)"]
    first = 3
    for number, projection in enumerate(projections):
        parts.append(f"w{number} AS ({_write_sql(projection, first)})")
        first += len(projection.columns)
    last = "SELECT 1"
    if moves_head:
        last = (
            "UPDATE ledgers t SET seq = h.seq, head_recorded_at = h.at, updated_at = h.at,"  # noqa: S608
            " head_hash = h.hash, config_version = config_version + h.changed FROM scope s,"
            f" (SELECT ${first}::bigint AS seq, ${first + 1}::timestamptz AS at, ${first + 2}::int AS changed,"
            f" ${first + 3}::bytea AS hash) h"
            " WHERE t.tenant_id = s.tenant_id AND t.ledger_id = s.ledger_id"
        )
    return f"WITH {', '.join(parts)} {last}"


def _write_sql(projection: Projection, first: int) -> str:
    """first: the number of the parameter that is the first column."""
    rows = f"scope s, {source(projection, first)}"
    if projection.only_update:
        assert projection.changing is not None
        changes = ", ".join(f"{name} = r.{name}" for name in projection.changing)
        key = " AND ".join(f"t.{name} = r.{name}" for name in projection.key[1:])
        return f"UPDATE {projection.table} t SET {changes} FROM {rows} WHERE t.tenant_id = s.tenant_id AND {key}"  # noqa: S608
    names = ("tenant_id", "ledger_id") if projection.of_ledger else ("tenant_id",)
    values = [*(f"s.{name}" for name in names), *(f"r.{name}" for name in projection.columns)]
    sql = (
        f"INSERT INTO {projection.table} ({', '.join((*names, *projection.columns))})"  # noqa: S608
        f" SELECT {', '.join(values)} FROM {rows}"
    )
    if projection.changing is not None:
        changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in projection.changing)
        sql += f" ON CONFLICT ({', '.join(projection.key)}) DO UPDATE SET {changes}"
    return sql
