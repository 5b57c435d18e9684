"""Work that falls due, of all tenants: claimed for a time by compare-and-set, and again once the claim ends."""

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import or_, select, update

from oms_app.store.rows import add
from oms_app.store.tables import DUE_WORK
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import TenantId


class DueWork(msgspec.Struct, frozen=True):
    """One piece of claimed work; what it is stands in the tenant's table under the same id."""

    work_id: str
    kind: str
    tenant_id: TenantId
    due_at: datetime
    attempts: int


def plan(unit: RowsUnit, work_id: str, *, kind: str, tenant_id: TenantId, due_at: datetime) -> None:
    """Remember work for later. Raises Conflict, when the unit ends, if the id is known."""
    add(unit, DUE_WORK, work_id=work_id, kind=kind, tenant_id=tenant_id, due_at=due_at)


def claim(unit: RowsUnit, kind: str, claimant: str, lasting: timedelta, limit: int = 100) -> list[DueWork]:
    """What is due now and claimed by nobody, now the claimant's for a time; the oldest first."""
    due = unit.connection.execute(
        select(DUE_WORK.c.work_id)
        .where(
            DUE_WORK.c.kind == kind,
            DUE_WORK.c.done_at.is_(None),
            DUE_WORK.c.due_at <= unit.now,
            or_(DUE_WORK.c.claimed_until.is_(None), DUE_WORK.c.claimed_until <= unit.now),
        )
        .order_by(DUE_WORK.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = [row.work_id for row in due]
    if not ids:
        return []
    unit.connection.execute(
        update(DUE_WORK)
        .where(DUE_WORK.c.work_id.in_(ids))
        .values(
            claimed_by=claimant,
            claimed_until=unit.now + lasting,
            attempts=DUE_WORK.c.attempts + 1,
            updated_at=unit.now,
        )
    )
    rows = unit.connection.execute(select(DUE_WORK).where(DUE_WORK.c.work_id.in_(ids)).order_by(DUE_WORK.c.due_at))
    return [
        DueWork(
            work_id=row.work_id,
            kind=row.kind,
            tenant_id=TenantId(row.tenant_id),
            due_at=row.due_at,
            attempts=row.attempts,
        )
        for row in rows
    ]


def finish(unit: RowsUnit, work_id: str, claimant: str) -> bool:
    """Whether the claimant still had the work; it is done."""
    return _settle(unit, work_id, claimant, done_at=unit.now, claimed_until=None)


def postpone(unit: RowsUnit, work_id: str, claimant: str, due_at: datetime) -> bool:
    """Whether the claimant still had the work; it falls due again at that time, for anybody."""
    return _settle(unit, work_id, claimant, due_at=due_at, claimed_by="", claimed_until=None)


def _settle(unit: RowsUnit, work_id: str, claimant: str, **values: datetime | str | None) -> bool:
    settled = unit.connection.execute(
        update(DUE_WORK)
        .where(DUE_WORK.c.work_id == work_id, DUE_WORK.c.claimed_by == claimant, DUE_WORK.c.done_at.is_(None))
        .values(**values, updated_at=unit.now)
    )
    return bool(settled.rowcount)
