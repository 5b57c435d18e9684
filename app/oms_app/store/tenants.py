"""Tenants and their ledgers: rows in, rows out; the ids of both stand in the platform's table of ledgers."""

from typing import Any

import msgspec
from sqlalchemy import insert, select, update

from oms_app.store.rows import one, scope_of, stamps
from oms_app.store.tables import LEDGERS, TENANTS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import LedgerId, TenantId


class TenantRow(msgspec.Struct, frozen=True):
    """A tenant. settings: for instance allow_private_webhooks."""

    tenant_id: TenantId
    name: str
    is_active: bool
    settings: dict[str, Any]


class LedgerRow(msgspec.Struct, frozen=True):
    """A ledger of the platform and where its log ends."""

    ledger_id: LedgerId
    tenant_id: TenantId
    seq: int
    config_version: int


def create_tenant(unit: RowsUnit, name: str, settings: dict[str, Any] | None = None) -> None:
    """Store the tenant of the unit."""
    values = {"name": name, "settings": settings or {}, "is_active": True}
    unit.connection.execute(insert(TENANTS).values(tenant_id=scope_of(unit), **values, **stamps(unit)))


def get_tenant(unit: RowsUnit) -> TenantRow | None:
    """The tenant of the unit."""
    row = one(unit, select(TENANTS).where(TENANTS.c.tenant_id == scope_of(unit)))
    if row is None:
        return None
    return TenantRow(tenant_id=TenantId(row.tenant_id), name=row.name, is_active=row.is_active, settings=row.settings)


def set_tenant_settings(unit: RowsUnit, settings: dict[str, Any]) -> None:
    """Replace the tenant's settings."""
    unit.connection.execute(
        update(TENANTS).where(TENANTS.c.tenant_id == scope_of(unit)).values(settings=settings, updated_at=unit.now)
    )


def create_ledger(unit: RowsUnit, ledger_id: LedgerId) -> None:
    """Store an empty ledger of the unit's tenant."""
    unit.connection.execute(
        insert(LEDGERS).values(ledger_id=ledger_id, tenant_id=scope_of(unit), seq=0, config_version=1, **stamps(unit))
    )


def list_ledgers(unit: RowsUnit) -> list[LedgerRow]:
    """The ledgers of the unit's tenant; of the whole platform in a unit of the platform."""
    query = select(LEDGERS.c.ledger_id, LEDGERS.c.tenant_id, LEDGERS.c.seq, LEDGERS.c.config_version)
    if unit.tenant_id is not None:
        query = query.where(LEDGERS.c.tenant_id == unit.tenant_id)
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
