"""Each time that broker and book were compared: asked for by people, begun by sessions, kept with what came of it."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import select

from oms_app.store.rows import add, put, scope_of
from oms_app.store.tables import RECONCILIATION_RUNS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import BrokerAccountId, ConnectionId


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison. trigger: START, PERIODIC or REQUESTED; status: REQUESTED, COMPLETE or FAILED.

    parts: each part of the snapshot -> "complete", or why it failed. opened, fixed, closed: breaks.
    """

    run_id: str
    connection_id: ConnectionId
    broker_account_id: BrokerAccountId | None = None
    trigger: str
    status: str
    requested_by: str
    requested_at: datetime | None = None
    """None, until it is stored: then the database's time."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    parts: dict[str, str] = {}
    opened: int = 0
    fixed: int = 0
    closed: int = 0
    error: str = ""

    @property
    def is_quiet(self) -> bool:
        """Whether it found everything as it was."""
        return self.status == "COMPLETE" and not (self.opened or self.fixed or self.closed)


def request(
    unit: RowsUnit,
    run_id: str,
    connection_id: ConnectionId,
    broker_account_id: BrokerAccountId | None,
    requested_by: str,
) -> Run:
    """Ask the connection's session for a comparison; it begins within a second when the session is ready."""
    run = Run(
        run_id=run_id,
        connection_id=connection_id,
        broker_account_id=broker_account_id,
        trigger="REQUESTED",
        status="REQUESTED",
        requested_by=requested_by,
        requested_at=unit.now,
    )
    add(unit, RECONCILIATION_RUNS, tenant_id=scope_of(unit), **_fields(run))
    return run


def requested(unit: RowsUnit, connection_id: ConnectionId) -> list[Run]:
    """What people asked for and no session has done, oldest first."""
    table = RECONCILIATION_RUNS
    query = select(table).where(
        table.c.tenant_id == scope_of(unit), table.c.connection_id == connection_id, table.c.status == "REQUESTED"
    )
    return [run_of(row) for row in unit.connection.execute(query.order_by(table.c.run_id))]


def keep(unit: RowsUnit, run: Run) -> None:
    """Store what came of a run."""
    finished_at = run.finished_at or unit.now
    stored = msgspec.structs.replace(run, requested_at=run.requested_at or finished_at, finished_at=finished_at)
    fields = _fields(stored)
    put(unit, RECONCILIATION_RUNS, {"tenant_id": scope_of(unit), "run_id": fields.pop("run_id")}, **fields)


def run_of(row: Any) -> Run:
    """A run from its row."""
    return Run(**{name: getattr(row, name) for name in Run.__struct_fields__})


def _fields(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in Run.__struct_fields__}
