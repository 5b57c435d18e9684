"""Changes of limits that wait for a second person: rows in, rows out. What has expired is told as EXPIRED."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import and_, insert, select, update

from oms_app.store.queries.paging import Page, Paging, page
from oms_app.store.rows import one, scope_of, stamps
from oms_app.store.tables import LIMIT_CHANGES
from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import RowsUnit

PENDING, EXPIRED = "PENDING", "EXPIRED"


class LimitChange(msgspec.Struct, frozen=True):
    """Edits that one person asked for. asked_by, decided_by: principal ids. status: as of the unit's time."""

    change_id: str
    changes: list[dict[str, Any]]
    asked_by: str
    reason: str
    status: str
    expires_at: datetime
    decided_by: str
    decided_at: datetime | None
    decision_reason: str
    created_at: datetime


def add_change(
    unit: RowsUnit, change_id: str, changes: list[dict[str, Any]], *, asked_by: str, reason: str, expires_at: datetime
) -> None:
    """Store a change that waits."""
    unit.connection.execute(
        insert(LIMIT_CHANGES).values(
            tenant_id=scope_of(unit),
            change_id=change_id,
            changes=changes,
            asked_by=asked_by,
            reason=reason,
            status=PENDING,
            expires_at=expires_at,
            **stamps(unit),
        )
    )


def get_change(unit: RowsUnit, change_id: str) -> LimitChange | None:
    """A change of the unit's tenant, whatever became of it."""
    own = (LIMIT_CHANGES.c.tenant_id == scope_of(unit)) & (LIMIT_CHANGES.c.change_id == change_id)
    row = one(unit, select(LIMIT_CHANGES).where(own))
    return _change(row, unit.now) if row is not None else None


def pending_changes(unit: RowsUnit) -> list[LimitChange]:
    """The changes of the unit's tenant that still wait, oldest first."""
    query = select(LIMIT_CHANGES).where(LIMIT_CHANGES.c.tenant_id == scope_of(unit), _waits(unit.now))
    return [_change(row, unit.now) for row in unit.connection.execute(query.order_by(LIMIT_CHANGES.c.change_id))]


def list_changes(unit: RowsUnit, paging: Paging, *, status: str | None = None) -> Page[LimitChange]:
    """The changes of the unit's tenant, newest first."""
    query = select(LIMIT_CHANGES).where(LIMIT_CHANGES.c.tenant_id == scope_of(unit))
    if status is not None:
        query = query.where(_STATUSES.get(status, lambda _now: LIMIT_CHANGES.c.status == status)(unit.now))
    return page(unit, query, LIMIT_CHANGES.c.change_id, paging, lambda row: _change(row, unit.now))


def decide_change(unit: RowsUnit, change_id: str, status: str, *, decided_by: str, reason: str) -> bool:
    """Whether the change still waited; it is decided now, once."""
    decided = unit.connection.execute(
        update(LIMIT_CHANGES)
        .where(LIMIT_CHANGES.c.tenant_id == scope_of(unit), LIMIT_CHANGES.c.change_id == change_id, _waits(unit.now))
        .values(status=status, decided_by=decided_by, decided_at=unit.now, decision_reason=reason, updated_at=unit.now)
    )
    return decided.rowcount == 1


def _waits(now: datetime) -> Any:
    return and_(LIMIT_CHANGES.c.status == PENDING, LIMIT_CHANGES.c.expires_at > now)


def _expired(now: datetime) -> Any:
    return and_(LIMIT_CHANGES.c.status == PENDING, LIMIT_CHANGES.c.expires_at <= now)


_STATUSES = {PENDING: _waits, EXPIRED: _expired}


def _change(row: AnyRow, now: datetime) -> LimitChange:
    has_expired = row.status == PENDING and row.expires_at <= now
    return LimitChange(
        change_id=row.change_id,
        changes=row.changes,
        asked_by=row.asked_by,
        reason=row.reason,
        status=EXPIRED if has_expired else row.status,
        expires_at=row.expires_at,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        decision_reason=row.decision_reason,
        created_at=row.created_at,
    )
