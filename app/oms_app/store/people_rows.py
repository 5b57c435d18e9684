"""People as sign-in needs them: who has an e-mail address, with which hash, and what they are in which tenant."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import func, insert, select, update

from oms_app.store.identity_rows import Membership, UserRow
from oms_app.store.rows import add, one, scope_of, stamps
from oms_app.store.tables import MEMBERSHIPS, TENANT_DIRECTORY, TENANTS, USER_TENANTS, USERS
from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import TenantId


class NamedTenant(msgspec.Struct, frozen=True):
    """A tenant and what people call it."""

    tenant_id: TenantId
    slug: str
    name: str
    role: str
    requires_second_factor: bool


def add_user(unit: RowsUnit, user: UserRow, membership: Membership) -> None:
    """Store a person and what the person is in the unit's tenant. Raises Conflict when the e-mail is taken."""
    values = {"user_id": user.user_id, "email": user.email, "name": ""}
    add(unit, USERS, **values, password_hash=user.password_hash, is_active=user.is_active)
    unit.connection.execute(insert(USER_TENANTS).values(user_id=user.user_id, tenant_id=scope_of(unit)))
    unit.connection.execute(
        insert(MEMBERSHIPS).values(
            tenant_id=scope_of(unit),
            user_id=user.user_id,
            role=membership.role,
            scopes=list(membership.scopes),
            is_active=True,
            **stamps(unit),
        )
    )


def user_by_email(unit: RowsUnit, email: str) -> UserRow | None:
    """The person with this lower-case e-mail."""
    row = one(unit, select(USERS).where(func.lower(USERS.c.email) == email))
    return _user(row) if row is not None else None


def user_by_id(unit: RowsUnit, user_id: str, *, lock: bool = False) -> UserRow | None:
    """A person. lock: nobody changes the row until the unit ends."""
    query = select(USERS).where(USERS.c.user_id == user_id)
    row = one(unit, query.with_for_update(read=True) if lock else query)
    return _user(row) if row is not None else None


def set_password(unit: RowsUnit, user_id: str, password_hash: str, *, replacing: str | None = None) -> None:
    """Replace the hash; only while it is still `replacing`, where that is given."""
    changed = update(USERS).where(USERS.c.user_id == user_id)
    if replacing is not None:
        changed = changed.where(USERS.c.password_hash == replacing)
    unit.connection.execute(changed.values(password_hash=password_hash, updated_at=unit.now))


def tenants_of(unit: RowsUnit, user_id: str) -> Sequence[TenantId]:
    """The tenants to which the person may belong, in a fixed order."""
    query = select(USER_TENANTS.c.tenant_id).where(USER_TENANTS.c.user_id == user_id)
    return [TenantId(found) for found in unit.connection.execute(query.order_by(USER_TENANTS.c.tenant_id)).scalars()]


def all_tenants(unit: RowsUnit) -> Sequence[TenantId]:
    """Every tenant to which somebody belongs."""
    return [TenantId(found) for found in unit.connection.execute(select(USER_TENANTS.c.tenant_id).distinct()).scalars()]


def tenant_by_slug(unit: RowsUnit, slug: str) -> TenantId | None:
    """The tenant of this name."""
    found = unit.connection.scalar(select(TENANT_DIRECTORY.c.tenant_id).where(TENANT_DIRECTORY.c.slug == slug))
    return TenantId(found) if found is not None else None


def membership(unit: RowsUnit, user_id: str) -> Membership | None:
    """What an active person is in the unit's tenant, while both the membership and the tenant are active."""
    row = one(
        unit,
        select(MEMBERSHIPS, TENANTS.c.settings)
        .join(TENANTS, TENANTS.c.tenant_id == MEMBERSHIPS.c.tenant_id)
        .join(USERS, USERS.c.user_id == MEMBERSHIPS.c.user_id)
        .where(
            MEMBERSHIPS.c.tenant_id == scope_of(unit),
            MEMBERSHIPS.c.user_id == user_id,
            MEMBERSHIPS.c.is_active,
            TENANTS.c.is_active,
            USERS.c.is_active,
        ),
    )
    if row is None:
        return None
    return Membership(
        tenant_id=row.tenant_id,
        role=row.role,
        scopes=tuple(row.scopes),
        requires_second_factor=bool(row.settings.get(REQUIRE_SECOND_FACTOR)),
    )


def named_tenant(unit: RowsUnit, found: Membership) -> NamedTenant:
    """The unit's tenant with its names."""
    row = unit.connection.execute(
        select(TENANTS.c.name, TENANT_DIRECTORY.c.slug)
        .join(TENANT_DIRECTORY, TENANT_DIRECTORY.c.tenant_id == TENANTS.c.tenant_id, isouter=True)
        .where(TENANTS.c.tenant_id == scope_of(unit))
    ).one()
    return NamedTenant(
        tenant_id=scope_of(unit),
        slug=row.slug or "",
        name=row.name,
        role=found.role,
        requires_second_factor=found.requires_second_factor,
    )


REQUIRE_SECOND_FACTOR = "require_totp"
"""The setting of a tenant whose members can do nothing there without a second factor."""


def _user(row: AnyRow) -> UserRow:
    return UserRow(user_id=row.user_id, email=row.email, password_hash=row.password_hash, is_active=bool(row.is_active))
