"""How the last round of monitoring of each ledger went: written now and then by whoever watches, read by people."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import func, select, update

from oms_app.store.rows import put
from oms_app.store.tables import MONITORING_ROUNDS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import LedgerId, TenantId

LONGEST_ERROR = 2000
LATE_AFTER = timedelta(seconds=5)
"""How old the last round of a ledger that has monitors may be: rounds are made each second, and stored each other."""


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

    def is_late(self, now: datetime) -> bool:
        """Whether the ledger has monitors and nobody asked them for longer than `LATE_AFTER`."""
        return self.monitors > 0 and now - self.ended_at > LATE_AFTER


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


def note_unwatched(unit: RowsUnit, ledger_ids: Collection[LedgerId]) -> None:
    """Remember that these ledgers have no monitors any more, so that no round of theirs is missed."""
    rounds = MONITORING_ROUNDS.c
    query = update(MONITORING_ROUNDS).where(rounds.ledger_id.in_(sorted(ledger_ids)), rounds.monitors > 0)
    unit.connection.execute(query.values(monitors=0, updated_at=unit.now))


def count_late(unit: RowsUnit) -> tuple[int, int]:
    """(how many ledgers of all tenants are watched by monitors, how many of them are late)."""
    rounds = MONITORING_ROUNDS.c
    watched = select(func.count()).select_from(MONITORING_ROUNDS).where(rounds.monitors > 0)
    late = watched.where(rounds.ended_at < unit.now - LATE_AFTER)
    return unit.connection.scalar(watched) or 0, unit.connection.scalar(late) or 0


def list_rounds(unit: RowsUnit, tenant_id: TenantId | None) -> list[RoundRow]:
    """The last rounds of a tenant's ledgers; None: of all tenants."""
    query = select(MONITORING_ROUNDS)
    if tenant_id is not None:
        query = query.where(MONITORING_ROUNDS.c.tenant_id == tenant_id)
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
