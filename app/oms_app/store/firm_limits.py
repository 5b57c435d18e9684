"""Limits of the whole installation: rows in, rows out; each change makes the ledgers of every tenant load anew."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update

from oms_app.store.config_rows import firm_limit_row
from oms_app.store.limits import StoredLimit
from oms_app.store.platform import PLATFORM_TENANT
from oms_app.store.rows import one, put
from oms_app.store.tables import FIRM_LIMITS, LEDGERS
from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.controls import Action
from oms_kernel.domain.decision import RuleSeverity
from oms_kernel.domain.ids import TenantId
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
    """The version under which the limit is in force for every tenant from their next batches on."""
    every_config_changed(unit)
    version = _next_version(unit)
    put(
        unit,
        FIRM_LIMITS,
        {"limit_id": limit_id},
        rule=rule,
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
    """Whether there was such a limit in force; it is over from the next batches on. The row stays."""
    every_config_changed(unit)
    ended = unit.connection.execute(
        update(FIRM_LIMITS)
        .where(FIRM_LIMITS.c.limit_id == limit_id, FIRM_LIMITS.c.is_active)
        .values(is_active=False, version=_next_version(unit), updated_at=unit.now, updated_by=updated_by)
    )
    return bool(ended.rowcount)


def stored_limits(unit: RowsUnit, *, with_ended: bool = False) -> list[StoredLimit]:
    """The firm's limits by id, those that were ended too when asked."""
    query = select(FIRM_LIMITS).order_by(FIRM_LIMITS.c.limit_id)
    if not with_ended:
        query = query.where(FIRM_LIMITS.c.is_active)
    return [_stored(row) for row in unit.connection.execute(query)]


def stored_limit(unit: RowsUnit, limit_id: str) -> StoredLimit | None:
    """A limit of the firm, also one that was ended."""
    row = one(unit, select(FIRM_LIMITS).where(FIRM_LIMITS.c.limit_id == limit_id))
    return _stored(row) if row is not None else None


def every_config_changed(unit: RowsUnit) -> None:
    """Let every ledger load its configuration anew; holds them all."""
    hold_ledgers(unit)
    unit.connection.execute(
        update(LEDGERS)
        .where(LEDGERS.c.tenant_id != PLATFORM_TENANT)
        .values(config_version=LEDGERS.c.config_version + 1, updated_at=unit.now)
    )


def hold_ledgers(unit: RowsUnit, tenant_ids: Collection[TenantId] | None = None) -> None:
    """Lock the ledgers of these tenants (all), in the order of their ids, so that nobody waits in a circle."""
    held = select(LEDGERS.c.ledger_id).where(LEDGERS.c.tenant_id != PLATFORM_TENANT).order_by(LEDGERS.c.ledger_id)
    if tenant_ids is not None:
        held = held.where(LEDGERS.c.tenant_id.in_(sorted(tenant_ids)))
    unit.connection.execute(held.with_for_update(key_share=True)).all()


def _stored(row: AnyRow) -> StoredLimit:
    return StoredLimit(firm_limit_row(row), bool(row.is_active), row.created_at, row.updated_at)


def _next_version(unit: RowsUnit) -> int:
    """One more than any version of the firm; `every_config_changed` came first and holds every ledger."""
    newest = unit.connection.scalar(select(func.max(FIRM_LIMITS.c.version)))
    return (newest or 0) + 1
