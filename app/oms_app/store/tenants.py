"""Tenants, the names they are found by, and their ledgers: rows in, rows out, each tenant in a unit of its own.

Slug and domain stand in the platform's directory, where they are unique over all tenants.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import insert, select, update

from oms_app.store.platform import PLATFORM_TENANT
from oms_app.store.rows import one, scope_of, stamps
from oms_app.store.tables import LEDGERS, STRATEGY_RUNS, TENANT_DIRECTORY, TENANTS
from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import LedgerId, TenantId


class TenantRow(msgspec.Struct, frozen=True):
    """A tenant. settings: for instance allow_private_webhooks. slug: empty when the directory does not name it."""

    tenant_id: TenantId
    name: str
    is_active: bool
    settings: dict[str, Any]
    slug: str
    domain: str | None
    time_zone: str
    base_currency: str
    created_at: datetime
    updated_at: datetime


class Listed(msgspec.Struct, frozen=True):
    """A tenant as the platform's directory names it."""

    tenant_id: TenantId
    slug: str
    domain: str | None
    created_at: datetime


class LedgerRow(msgspec.Struct, frozen=True):
    """A ledger of the platform and where its log ends."""

    ledger_id: LedgerId
    tenant_id: TenantId
    seq: int
    config_version: int


def create_tenant(
    unit: RowsUnit,
    name: str,
    settings: dict[str, Any] | None = None,
    *,
    slug: str | None = None,
    domain: str | None = None,
    time_zone: str = "UTC",
    base_currency: str = "USD",
) -> None:
    """Store the tenant of the unit; without a slug its id serves as one. Raises Conflict when a name is taken."""
    tenant_id = scope_of(unit)
    values = {"name": name, "settings": settings or {}, "is_active": True}
    unit.connection.execute(
        insert(TENANTS).values(
            tenant_id=tenant_id, time_zone=time_zone, base_currency=base_currency, **values, **stamps(unit)
        )
    )
    enter_directory(unit, slug or f"tenant-{tenant_id}", domain)


def enter_directory(unit: RowsUnit, slug: str, domain: str | None = None) -> None:
    """Let the unit's tenant be found by these names. Raises Conflict when one is taken."""
    unit.connection.execute(
        insert(TENANT_DIRECTORY).values(tenant_id=scope_of(unit), slug=slug, domain=domain, **stamps(unit))
    )


def get_tenant(unit: RowsUnit) -> TenantRow | None:
    """The tenant of the unit."""
    query = (
        select(TENANTS, TENANT_DIRECTORY.c.slug, TENANT_DIRECTORY.c.domain)
        .join(TENANT_DIRECTORY, TENANT_DIRECTORY.c.tenant_id == TENANTS.c.tenant_id, isouter=True)
        .where(TENANTS.c.tenant_id == scope_of(unit))
    )
    row = one(unit, query)
    return _tenant(row) if row is not None else None


def lock_tenant(unit: RowsUnit) -> None:
    """Hold the unit's tenant until the unit ends, so that changes of its members go one after the other."""
    one(unit, select(TENANTS.c.tenant_id).where(TENANTS.c.tenant_id == scope_of(unit)).with_for_update())


def update_tenant(unit: RowsUnit, **values: Any) -> None:
    """Change these columns of the unit's tenant: name, is_active, settings, time_zone, base_currency."""
    if "settings" in values:
        config_changed(unit)
    unit.connection.execute(
        update(TENANTS).where(TENANTS.c.tenant_id == scope_of(unit)).values(**values, updated_at=unit.now)
    )


def rename_tenant(unit: RowsUnit, **values: Any) -> None:
    """Change slug or domain of the unit's tenant. Raises Conflict when the name is taken."""
    unit.connection.execute(
        update(TENANT_DIRECTORY)
        .where(TENANT_DIRECTORY.c.tenant_id == scope_of(unit))
        .values(**values, updated_at=unit.now)
    )


def set_tenant_settings(unit: RowsUnit, settings: dict[str, Any]) -> None:
    """Replace the tenant's settings."""
    update_tenant(unit, settings=settings)


def stop_runs(unit: RowsUnit) -> int:
    """How many running strategies of the unit's tenant were told to stop."""
    stopped = unit.connection.execute(
        update(STRATEGY_RUNS)
        .where(STRATEGY_RUNS.c.tenant_id == scope_of(unit), STRATEGY_RUNS.c.status.in_(("STARTING", "RUNNING")))
        .values(status="STOPPING", updated_at=unit.now)
    )
    return stopped.rowcount


def list_tenants(unit: RowsUnit) -> Sequence[Listed]:
    """Every tenant of the platform, newest first, without the platform itself."""
    query = select(TENANT_DIRECTORY).where(TENANT_DIRECTORY.c.tenant_id != PLATFORM_TENANT)
    return [_listed(row) for row in unit.connection.execute(query.order_by(TENANT_DIRECTORY.c.created_at.desc()))]


def find_tenant(unit: RowsUnit, *, slug: str | None = None, domain: str | None = None) -> TenantId | None:
    """The tenant that bears one of these names."""
    names = TENANT_DIRECTORY.c
    which = names.slug == slug if slug is not None else names.domain == domain
    found: str | None = unit.connection.scalar(select(names.tenant_id).where(which))
    return TenantId(found) if found is not None else None


def domains(unit: RowsUnit) -> dict[str, TenantId]:
    """Every domain that leads to a tenant."""
    names = TENANT_DIRECTORY.c
    found = unit.connection.execute(select(names.domain, names.tenant_id).where(names.domain.is_not(None)))
    return {row.domain: TenantId(row.tenant_id) for row in found}


def _tenant(row: AnyRow) -> TenantRow:
    return TenantRow(
        tenant_id=TenantId(row.tenant_id),
        name=row.name,
        is_active=bool(row.is_active),
        settings=row.settings,
        slug=row.slug or "",
        domain=row.domain,
        time_zone=row.time_zone,
        base_currency=row.base_currency,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _listed(row: AnyRow) -> Listed:
    return Listed(tenant_id=TenantId(row.tenant_id), slug=row.slug, domain=row.domain, created_at=row.created_at)


def create_ledger(unit: RowsUnit, ledger_id: LedgerId) -> None:
    """Store an empty ledger of the unit's tenant."""
    unit.connection.execute(
        insert(LEDGERS).values(ledger_id=ledger_id, tenant_id=scope_of(unit), seq=0, config_version=1, **stamps(unit))
    )


def list_ledgers(unit: RowsUnit) -> list[LedgerRow]:
    """The ledgers of the unit's tenant; in a unit of the platform those of all tenants, without its own."""
    query = select(LEDGERS.c.ledger_id, LEDGERS.c.tenant_id, LEDGERS.c.seq, LEDGERS.c.config_version)
    if unit.tenant_id is not None:
        query = query.where(LEDGERS.c.tenant_id == unit.tenant_id)
    else:
        query = query.where(LEDGERS.c.tenant_id != PLATFORM_TENANT)
    return [
        LedgerRow(
            ledger_id=LedgerId(row.ledger_id),
            tenant_id=TenantId(row.tenant_id),
            seq=row.seq,
            config_version=row.config_version,
        )
        for row in unit.connection.execute(query.order_by(LEDGERS.c.ledger_id))
    ]


def config_changed(unit: RowsUnit) -> None:
    """Let every ledger of the tenant load its configuration anew; part of each write of configuration.

    Waits for the batch that holds a ledger's lock, so that no batch sees half a change.
    """
    unit.connection.execute(
        update(LEDGERS)
        .where(LEDGERS.c.tenant_id == scope_of(unit))
        .values(config_version=LEDGERS.c.config_version + 1, updated_at=unit.now)
    )
