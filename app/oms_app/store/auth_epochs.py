"""A tenant in, its auth epoch out: a number that grows, in the same transaction, with each right that is taken away.

Guarantee: whoever was recognised at an epoch that is still the present one has lost nothing since.
"""

import sqlite3
from collections.abc import Collection

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from oms_app.store.access_tables import AUTH_EPOCHS
from oms_app.store.platform_tables import USER_TENANTS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import TenantId


def read(unit: RowsUnit, tenant_id: TenantId) -> int:
    """The tenant's present epoch, as far as the unit sees; 0 before the first bump."""
    wanted = select(AUTH_EPOCHS.c.epoch).where(AUTH_EPOCHS.c.tenant_id == tenant_id)
    found: int | None = unit.connection.scalar(wanted)
    return found or 0


def read_many(unit: RowsUnit, tenant_ids: Collection[TenantId]) -> dict[TenantId, int]:
    """The present epochs of several tenants."""
    wanted = select(AUTH_EPOCHS.c.tenant_id, AUTH_EPOCHS.c.epoch).where(AUTH_EPOCHS.c.tenant_id.in_(sorted(tenant_ids)))
    found = {TenantId(row.tenant_id): int(row.epoch) for row in unit.connection.execute(wanted)}
    return {tenant_id: found.get(tenant_id, 0) for tenant_id in tenant_ids}


def read_by(driver: sqlite3.Connection, tenant_id: TenantId) -> int:
    """The tenant's present epoch by SQLite's own connection: one statement, no transaction."""
    row = driver.execute("SELECT epoch FROM auth_epochs WHERE tenant_id = ?", (tenant_id,)).fetchone()
    return int(row[0]) if row is not None else 0


def bump(unit: RowsUnit, *tenant_ids: TenantId | str) -> None:
    """Let everybody of these tenants be recognised anew from this unit's commit on.

    Part of each change of a membership, role, key, user, session or tenant that takes something away. The epochs move
    when the unit ends, after all its other statements, so that units never wait for each other in a circle.
    """
    unit.bumped.update(str(tenant_id) for tenant_id in tenant_ids)


def bump_user(unit: RowsUnit, user_id: str) -> None:
    """The same for every tenant to which the person belongs: for changes of the user."""
    own = select(USER_TENANTS.c.tenant_id).where(USER_TENANTS.c.user_id == user_id)
    bump(unit, *unit.connection.execute(own).scalars())


def move(connection: Connection, tenant_ids: Collection[str]) -> None:
    """What the store does with the tenants of `bump` right before it commits."""
    postgres = connection.dialect.name == "postgresql"
    for tenant_id in sorted(tenant_ids):  # a fixed order
        row = {"tenant_id": tenant_id, "epoch": 1}
        statement = postgres_insert(AUTH_EPOCHS).values(row) if postgres else sqlite_insert(AUTH_EPOCHS).values(row)
        connection.execute(
            statement.on_conflict_do_update(index_elements=["tenant_id"], set_={"epoch": AUTH_EPOCHS.c.epoch + 1})
        )
