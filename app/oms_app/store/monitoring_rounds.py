"""How the last round of monitoring of each ledger went: written now and then by whoever watches, read by people."""

from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy import select

from oms_app.store.rows import put
from oms_app.store.tables import MONITORING_ROUNDS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import LedgerId, TenantId

LONGEST_ERROR = 2000


class RoundRow(msgspec.Struct, frozen=True):
    """The last round of one ledger, as of at most a few seconds ago.

    lag_ms: how long after the newest event or quote in it the round ended. failures: the limits whose monitor failed.
    rounds: how many there were since the holder began to watch the ledger.
    """

    tenant_id: TenantId
    ledger_id: LedgerId
    holder: str
    ended_at: datetime
    duration_ms: int
    lag_ms: int
    monitors: int
    failures: tuple[str, ...]
    rounds: int
    error: str = ""


def put_rounds(unit: RowsUnit, rows: Iterable[RoundRow]) -> None:
    """Store the last rounds in a unit of the platform."""
    for row in rows:
        put(
            unit,
            MONITORING_ROUNDS,
            {"ledger_id": row.ledger_id},
            tenant_id=row.tenant_id,
            holder=row.holder,
            ended_at=row.ended_at,
            duration_ms=row.duration_ms,
            lag_ms=row.lag_ms,
            monitors=row.monitors,
            failures=list(row.failures),
            rounds=row.rounds,
            error=row.error[:LONGEST_ERROR],
        )


def list_rounds(unit: RowsUnit, tenant_id: TenantId) -> list[RoundRow]:
    """The last rounds of a tenant's ledgers."""
    query = select(MONITORING_ROUNDS).where(MONITORING_ROUNDS.c.tenant_id == tenant_id)
    return [
        RoundRow(
            tenant_id=TenantId(row.tenant_id),
            ledger_id=LedgerId(row.ledger_id),
            holder=row.holder,
            ended_at=row.ended_at,
            duration_ms=row.duration_ms,
            lag_ms=row.lag_ms,
            monitors=row.monitors,
            failures=tuple(row.failures),
            rounds=row.rounds,
            error=row.error,
        )
        for row in unit.connection.execute(query.order_by(MONITORING_ROUNDS.c.ledger_id))
    ]
