"""Limits of a tenant: rows in, rows out. Each change takes the tenant's next version number, and no row is removed."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import func, select, update

from oms_app.store.config_rows import limit_row
from oms_app.store.rows import one, put, scope_of
from oms_app.store.tables import LIMITS
from oms_app.store.tenants import config_changed
from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import LimitRow, RowsUnit
from oms_kernel.domain.controls import Action
from oms_kernel.domain.decision import RuleSeverity
from oms_kernel.domain.scope import EVERYTHING, Scope


class StoredLimit(msgspec.Struct, frozen=True):
    """A limit with what its row says beside it. is_active: not ended."""

    limit: LimitRow
    is_active: bool
    created_at: datetime
    updated_at: datetime


def put_limit(
    unit: RowsUnit,
    limit_id: str,
    *,
    rule: str,
    params: dict[str, Any],
    scope: Scope = EVERYTHING,
    severity: RuleSeverity = RuleSeverity.HARD,
    action: Action | None = None,
    effective_from: datetime | None = None,
    effective_until: datetime | None = None,
    name: str = "",
    updated_by: str = "",
) -> int:
    """The version under which the limit is in force from the next batch on; it replaces what the id said before."""
    config_changed(unit)
    version = _next_version(unit)
    put(
        unit,
        LIMITS,
        {"tenant_id": scope_of(unit), "limit_id": limit_id},
        rule=rule,
        account_id=scope.account_id,
        strategy_id=scope.strategy_id,
        instrument_id=scope.instrument_id,
        severity=severity.value,
        action=action.value if action is not None else None,
        effective_from=effective_from,
        effective_until=effective_until,
        name=name,
        updated_by=updated_by,
        params=params,
        version=version,
        is_active=True,
    )
    return version


def end_limit(unit: RowsUnit, limit_id: str, *, updated_by: str = "") -> bool:
    """Whether the tenant had such a limit in force; it is over from the next batch on. The row stays."""
    config_changed(unit)
    ended = unit.connection.execute(
        update(LIMITS)
        .where(LIMITS.c.tenant_id == scope_of(unit), LIMITS.c.limit_id == limit_id, LIMITS.c.is_active)
        .values(is_active=False, version=_next_version(unit), updated_at=unit.now, updated_by=updated_by)
    )
    return bool(ended.rowcount)


def list_limits(unit: RowsUnit) -> list[LimitRow]:
    """The limits in force, by id."""
    return [stored.limit for stored in stored_limits(unit)]


def stored_limits(unit: RowsUnit, *, with_ended: bool = False) -> list[StoredLimit]:
    """The tenant's limits by id, those that were ended too when asked."""
    query = select(LIMITS).where(LIMITS.c.tenant_id == scope_of(unit)).order_by(LIMITS.c.limit_id)
    if not with_ended:
        query = query.where(LIMITS.c.is_active)
    return [_stored(row) for row in unit.connection.execute(query)]


def stored_limit(unit: RowsUnit, limit_id: str) -> StoredLimit | None:
    """A limit of the tenant, also one that was ended."""
    own = (LIMITS.c.tenant_id == scope_of(unit)) & (LIMITS.c.limit_id == limit_id)
    row = one(unit, select(LIMITS).where(own))
    return _stored(row) if row is not None else None


def _stored(row: AnyRow) -> StoredLimit:
    return StoredLimit(limit_row(row), bool(row.is_active), row.created_at, row.updated_at)


def _next_version(unit: RowsUnit) -> int:
    """One more than any version of the tenant; `config_changed` came first and locks the tenant's ledgers."""
    newest = unit.connection.scalar(select(func.max(LIMITS.c.version)).where(LIMITS.c.tenant_id == scope_of(unit)))
    return (newest or 0) + 1
