"""People and what they are in a tenant: rows in, rows out; what a person is anywhere stands in the platform's row."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import msgspec
from sqlalchemy import Select, func, select, update

from oms_app.store.rows import add, one, put, scope_of
from oms_app.store.tables import API_KEY_HASHES, API_KEYS, MEMBERSHIPS, USER_SESSIONS, USER_TENANTS, USERS
from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import RowsUnit


class Person(msgspec.Struct, frozen=True):
    """A person, without the password. `email` is lower case."""

    user_id: str
    email: str
    first_name: str
    last_name: str
    phone_number: str
    date_of_birth: date | None
    locale: str
    time_zone: str
    preferences: dict[str, Any]
    email_verified_at: datetime | None
    is_superuser: bool
    is_active: bool
    created_at: datetime
    updated_at: datetime


class Member(msgspec.Struct, frozen=True):
    """A person in a tenant. is_active: both there and on the platform. scopes: those given beside the role's."""

    user_id: str
    email: str
    first_name: str
    last_name: str
    role: str
    scopes: tuple[str, ...]
    is_active: bool
    is_user_active: bool
    email_verified_at: datetime | None
    created_at: datetime
    updated_at: datetime


def find_person(unit: RowsUnit, email: str) -> Person | None:
    """The person with this lower-case e-mail address."""
    return _person(one(unit, select(USERS).where(USERS.c.email == email)))


def get_person(unit: RowsUnit, user_id: str) -> Person | None:
    """The person with this id."""
    return _person(one(unit, select(USERS).where(USERS.c.user_id == user_id)))


def list_people(unit: RowsUnit) -> Sequence[Person]:
    """Everybody on the platform, by e-mail address."""
    found = (_person(row) for row in unit.connection.execute(select(USERS).order_by(USERS.c.email)))
    return [person for person in found if person is not None]


def add_person(unit: RowsUnit, user_id: str, email: str, password_hash: str, **values: Any) -> None:
    """Store a new person. Raises Conflict when the e-mail address is taken."""
    fields = {"is_active": True, "preferences": {}, **values}
    add(unit, USERS, user_id=user_id, email=email, password_hash=password_hash, **fields)


def update_person(unit: RowsUnit, user_id: str, **values: Any) -> bool:
    """Whether there is such a person; these columns are changed."""
    changed = unit.connection.execute(
        update(USERS).where(USERS.c.user_id == user_id).values(**values, updated_at=unit.now)
    )
    return bool(changed.rowcount)


def tenants_of(unit: RowsUnit, user_id: str) -> Sequence[str]:
    """Ids of the tenants that the person belongs to, or belonged to."""
    own = select(USER_TENANTS.c.tenant_id).where(USER_TENANTS.c.user_id == user_id)
    return unit.connection.execute(own.order_by(USER_TENANTS.c.tenant_id)).scalars().all()


# Members of the unit's tenant -----------------------------------------------------------------------------


def get_member(unit: RowsUnit, user_id: str) -> Member | None:
    """A member of the unit's tenant, inactive ones too, removed ones not."""
    row = one(unit, _members(unit).where(MEMBERSHIPS.c.user_id == user_id))
    return _member(row) if row is not None else None


def list_members(unit: RowsUnit, *, role: str | None = None) -> Sequence[Member]:
    """The members of the unit's tenant, inactive ones too, newest first."""
    query = _members(unit)
    if role is not None:
        query = query.where(MEMBERSHIPS.c.role == role)
    query = query.order_by(MEMBERSHIPS.c.created_at.desc(), MEMBERSHIPS.c.user_id)
    return [_member(row) for row in unit.connection.execute(query)]


def member_emails(unit: RowsUnit) -> frozenset[str]:
    """The e-mail addresses of the unit's members."""
    query = select(USERS.c.email).join(MEMBERSHIPS, MEMBERSHIPS.c.user_id == USERS.c.user_id)
    own = query.where(MEMBERSHIPS.c.tenant_id == scope_of(unit), MEMBERSHIPS.c.removed_at.is_(None))
    return frozenset(unit.connection.execute(own).scalars())


def put_member(unit: RowsUnit, user_id: str, role: str, scopes: Sequence[str]) -> None:
    """Let the person be an active member of the unit's tenant, also after a removal."""
    key = {"tenant_id": scope_of(unit), "user_id": user_id}
    put(unit, MEMBERSHIPS, key, role=role, scopes=sorted(scopes), is_active=True, removed_at=None)
    put(unit, USER_TENANTS, {"user_id": user_id, "tenant_id": scope_of(unit)})


def update_member(unit: RowsUnit, user_id: str, **values: Any) -> None:
    """Change these columns of a membership: role, scopes, is_active, removed_at."""
    unit.connection.execute(
        update(MEMBERSHIPS)
        .where(MEMBERSHIPS.c.tenant_id == scope_of(unit), MEMBERSHIPS.c.user_id == user_id)
        .values(**values, updated_at=unit.now)
    )


def active_count(unit: RowsUnit, role: str) -> int:
    """How many members of the unit's tenant have the role and may sign in."""
    query = (
        select(func.count())
        .select_from(MEMBERSHIPS)
        .join(USERS, USERS.c.user_id == MEMBERSHIPS.c.user_id)
        .where(
            MEMBERSHIPS.c.tenant_id == scope_of(unit),
            MEMBERSHIPS.c.role == role,
            MEMBERSHIPS.c.is_active,
            MEMBERSHIPS.c.removed_at.is_(None),
            USERS.c.is_active,
        )
    )
    return int(unit.connection.scalar(query) or 0)


def end_access(unit: RowsUnit, user_id: str) -> None:
    """End the person's sessions in the unit's tenant, and revoke the keys that the person owns there."""
    tenant_id = scope_of(unit)
    owned = select(API_KEYS.c.key_id).where(API_KEYS.c.tenant_id == tenant_id, API_KEYS.c.user_id == user_id)
    keys = list(unit.connection.execute(owned).scalars())
    for table, which in (
        (API_KEYS, (API_KEYS.c.tenant_id == tenant_id) & API_KEYS.c.key_id.in_(keys)),
        (API_KEY_HASHES, (API_KEY_HASHES.c.tenant_id == tenant_id) & API_KEY_HASHES.c.key_id.in_(keys)),
        (USER_SESSIONS, (USER_SESSIONS.c.tenant_id == tenant_id) & (USER_SESSIONS.c.user_id == user_id)),
    ):
        unit.connection.execute(
            update(table).where(which, table.c.revoked_at.is_(None)).values(revoked_at=unit.now, updated_at=unit.now)
        )


def _members(unit: RowsUnit) -> Select[Any]:
    return (
        select(
            MEMBERSHIPS,
            USERS.c.email,
            USERS.c.first_name,
            USERS.c.last_name,
            USERS.c.email_verified_at,
            USERS.c.is_active.label("is_user_active"),
        )
        .join(USERS, USERS.c.user_id == MEMBERSHIPS.c.user_id)
        .where(MEMBERSHIPS.c.tenant_id == scope_of(unit), MEMBERSHIPS.c.removed_at.is_(None))
    )


def _member(row: AnyRow) -> Member:
    return Member(
        user_id=row.user_id,
        email=row.email,
        first_name=row.first_name,
        last_name=row.last_name,
        role=row.role,
        scopes=tuple(row.scopes),
        is_active=bool(row.is_active),
        is_user_active=bool(row.is_user_active),
        email_verified_at=row.email_verified_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _person(row: AnyRow | None) -> Person | None:
    if row is None:
        return None
    return Person(
        user_id=row.user_id,
        email=row.email,
        first_name=row.first_name,
        last_name=row.last_name,
        phone_number=row.phone_number,
        date_of_birth=row.date_of_birth,
        locale=row.locale,
        time_zone=row.time_zone,
        preferences=row.preferences,
        email_verified_at=row.email_verified_at,
        is_superuser=bool(row.is_superuser),
        is_active=bool(row.is_active),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
