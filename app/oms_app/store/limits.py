"""Limits: parameters of rules for a tenant or one account. Each change takes the tenant's next version number."""

from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update

from oms_app.store.config_rows import limit_row
from oms_app.store.rows import put, scope_of
from oms_app.store.tables import LIMITS
from oms_app.store.tenants import config_changed
from oms_app.store.unit_of_work import LimitRow, RowsUnit
from oms_kernel.domain.controls import Action
from oms_kernel.domain.decision import RuleSeverity
from oms_kernel.domain.scope import EVERYTHING, Scope


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


def end_limit(unit: RowsUnit, limit_id: str) -> bool:
    """Whether the tenant had such a limit in force; it is over from the next batch on. The row stays."""
    config_changed(unit)
    ended = unit.connection.execute(
        update(LIMITS)
        .where(LIMITS.c.tenant_id == scope_of(unit), LIMITS.c.limit_id == limit_id, LIMITS.c.is_active)
        .values(is_active=False, version=_next_version(unit), updated_at=unit.now)
    )
    return bool(ended.rowcount)


def list_limits(unit: RowsUnit) -> list[LimitRow]:
    """The limits in force, by id."""
    rows = unit.connection.execute(
        select(LIMITS).where(LIMITS.c.tenant_id == scope_of(unit), LIMITS.c.is_active).order_by(LIMITS.c.limit_id)
    )
    return [limit_row(row) for row in rows]


def _next_version(unit: RowsUnit) -> int:
    """One more than any version of the tenant; `config_changed` came first and locks the tenant's ledgers."""
    newest = unit.connection.scalar(select(func.max(LIMITS.c.version)).where(LIMITS.c.tenant_id == scope_of(unit)))
    return (newest or 0) + 1
