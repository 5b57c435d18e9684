"""Users, memberships, sessions and API keys as rows: values in, values out, each call one short transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, func, insert, select, update

from oms_app.store import auth_epochs
from oms_app.store.identity_rows import ApiKeyRow, Membership, SessionRow, UserRow
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import API_KEY_HASHES, API_KEYS, MEMBERSHIPS, USER_SESSIONS, USER_TENANTS, USERS
from oms_kernel.domain.ids import AccountId, TenantId


class SqlIdentityRows:
    """IdentityRows on an SqlStore."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    def add_user(self, user: UserRow, membership: Membership) -> None:
        """Store both. Raises Conflict when the e-mail is taken."""
        tenant_id = TenantId(membership.tenant_id)
        with self._store.tenant_unit(tenant_id) as unit:
            stamps = {"created_at": unit.now, "updated_at": unit.now}
            unit.connection.execute(
                insert(USERS).values(
                    user_id=user.user_id,
                    email=user.email,
                    name="",
                    password_hash=user.password_hash,
                    is_active=user.is_active,
                    **stamps,
                )
            )
            unit.connection.execute(insert(USER_TENANTS).values(user_id=user.user_id, tenant_id=tenant_id))
            unit.connection.execute(
                insert(MEMBERSHIPS).values(
                    tenant_id=tenant_id,
                    user_id=user.user_id,
                    role=membership.role,
                    scopes=list(membership.scopes),
                    is_active=True,
                    **stamps,
                )
            )

    def user_by_email(self, email: str) -> UserRow | None:
        """The user with this lower-case e-mail."""
        wanted = select(USERS).where(func.lower(USERS.c.email) == email)
        with self._store.read_unit(None) as unit:
            row = unit.connection.execute(wanted).one_or_none()
        if row is None:
            return None
        return UserRow(
            user_id=row.user_id,
            email=row.email,
            password_hash=row.password_hash,
            is_active=bool(row.is_active),
        )

    def set_password(self, user_id: str, password_hash: str, *, replacing: str | None = None) -> None:
        """Replace the hash; only while it is still `replacing`, where that is given."""
        with self._store.platform_unit() as unit:
            changed = update(USERS).where(USERS.c.user_id == user_id)
            if replacing is not None:
                changed = changed.where(USERS.c.password_hash == replacing)
            unit.connection.execute(changed.values(password_hash=password_hash, updated_at=unit.now))

    def memberships(self, user_id: str, tenant_id: TenantId | None) -> Sequence[Membership]:
        """Where the user belongs, in a fixed order; only that tenant when one is given."""
        if tenant_id is not None:
            tenants: Sequence[TenantId] = [tenant_id]
        else:
            with self._store.read_unit(None) as unit:
                tenants = [
                    TenantId(found)
                    for found in unit.connection.execute(
                        select(USER_TENANTS.c.tenant_id)
                        .where(USER_TENANTS.c.user_id == user_id)
                        .order_by(USER_TENANTS.c.tenant_id)
                    ).scalars()
                ]
        found = (self._membership(user_id, tenant) for tenant in tenants)
        return [membership for membership in found if membership is not None]

    def add_session(self, session: SessionRow) -> None:
        """Store a new session."""
        with self._store.platform_unit() as unit:
            unit.connection.execute(
                insert(USER_SESSIONS).values(
                    session_id=session.session_id,
                    user_id=session.user_id,
                    tenant_id=session.tenant_id,
                    refresh_hash=bytes.fromhex(session.refresh_hash),
                    previous_hash=bytes.fromhex(session.previous_hash) if session.previous_hash else None,
                    rotated_at=session.rotated_at,
                    expires_at=session.expires_at,
                    revoked_at=session.revoked_at,
                    created_at=unit.now,
                    updated_at=unit.now,
                )
            )

    def session(self, session_id: str) -> SessionRow | None:
        """A session, or None when it is unknown or its user is no longer active."""
        wanted = (
            select(USER_SESSIONS)
            .join(USERS, USERS.c.user_id == USER_SESSIONS.c.user_id)
            .where(USER_SESSIONS.c.session_id == session_id, USERS.c.is_active)
        )
        with self._store.read_unit(None) as unit:
            row = unit.connection.execute(wanted).one_or_none()
        if row is None:
            return None
        return SessionRow(
            session_id=row.session_id,
            user_id=row.user_id,
            tenant_id=row.tenant_id,
            refresh_hash=bytes(row.refresh_hash).hex(),
            previous_hash=bytes(row.previous_hash).hex() if row.previous_hash is not None else None,
            rotated_at=row.rotated_at or row.created_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
        )

    def rotate_session(self, session_id: str, expected_hash: str, new_hash: str, now: datetime) -> bool:
        """Whether this call made the new head: only one of those that expect the same head does."""
        with self._store.platform_unit() as unit:
            changed = unit.connection.execute(
                update(USER_SESSIONS)
                .where(
                    USER_SESSIONS.c.session_id == session_id,
                    USER_SESSIONS.c.refresh_hash == bytes.fromhex(expected_hash),
                    USER_SESSIONS.c.revoked_at.is_(None),
                )
                .values(
                    refresh_hash=bytes.fromhex(new_hash),
                    previous_hash=bytes.fromhex(expected_hash),
                    rotated_at=now,
                    updated_at=unit.now,
                )
            )
        return changed.rowcount == 1

    def revoke_session(self, session_id: str, now: datetime) -> None:
        """End a session, if it has not ended."""
        with self._store.platform_unit() as unit:
            unit.connection.execute(
                update(USER_SESSIONS)
                .where(USER_SESSIONS.c.session_id == session_id, USER_SESSIONS.c.revoked_at.is_(None))
                .values(revoked_at=now, updated_at=unit.now)
            )
            tenant = select(USER_SESSIONS.c.tenant_id).where(USER_SESSIONS.c.session_id == session_id)
            auth_epochs.bump(unit, *unit.connection.execute(tenant).scalars())

    def revoke_sessions_of(self, user_id: str, now: datetime) -> None:
        """End every session of a user that has not ended."""
        with self._store.platform_unit() as unit:
            unit.connection.execute(
                update(USER_SESSIONS)
                .where(USER_SESSIONS.c.user_id == user_id, USER_SESSIONS.c.revoked_at.is_(None))
                .values(revoked_at=now, updated_at=unit.now)
            )
            auth_epochs.bump_user(unit, user_id)

    def add_key(self, key: ApiKeyRow) -> None:
        """Store a new key: its hash for the platform, the rest for the tenant."""
        tenant_id = TenantId(key.tenant_id)
        with self._store.tenant_unit(tenant_id) as unit:
            stamps = {"created_at": key.created_at, "updated_at": unit.now}
            unit.connection.execute(
                insert(API_KEY_HASHES).values(
                    key_id=key.key_id,
                    tenant_id=tenant_id,
                    prefix=key.prefix,
                    key_hash=bytes.fromhex(key.key_hash),
                    expires_at=key.expires_at,
                    revoked_at=None,
                    **stamps,
                )
            )
            unit.connection.execute(
                insert(API_KEYS).values(
                    tenant_id=tenant_id,
                    key_id=key.key_id,
                    name=key.name,
                    prefix=key.prefix,
                    user_id=key.user_id,
                    scopes=list(key.scopes),
                    account_ids=list(key.account_ids) if key.account_ids is not None else None,
                    expires_at=key.expires_at,
                    **stamps,
                )
            )

    def key(self, tenant_id: TenantId, key_id: str) -> ApiKeyRow | None:
        """A tenant's key."""
        with self._store.read_unit(tenant_id) as unit:
            row = unit.connection.execute(_keys(tenant_id).where(API_KEYS.c.key_id == key_id)).one_or_none()
        return _key(row) if row is not None else None

    def key_by_prefix(self, prefix: str) -> ApiKeyRow | None:
        """The key whose shown part this is, while its owner is active; its hash is still to be compared."""
        wanted = select(API_KEY_HASHES.c.key_id, API_KEY_HASHES.c.tenant_id).where(API_KEY_HASHES.c.prefix == prefix)
        with self._store.read_unit(None) as unit:
            found = unit.connection.execute(wanted).one_or_none()
        if found is None:
            return None
        tenant_id = TenantId(found.tenant_id)
        owner = (
            select(USERS.c.user_id)
            .join(MEMBERSHIPS, MEMBERSHIPS.c.user_id == USERS.c.user_id)
            .where(MEMBERSHIPS.c.tenant_id == tenant_id, MEMBERSHIPS.c.is_active, USERS.c.is_active)
        )
        with self._store.read_unit(tenant_id) as unit:
            row = unit.connection.execute(
                _keys(tenant_id).where(API_KEYS.c.key_id == found.key_id, API_KEYS.c.user_id.in_(owner))
            ).one_or_none()
        return _key(row) if row is not None else None

    def keys(self, tenant_id: TenantId) -> Sequence[ApiKeyRow]:
        """A tenant's keys, newest first."""
        with self._store.read_unit(tenant_id) as unit:
            rows = unit.connection.execute(_keys(tenant_id).order_by(API_KEYS.c.created_at.desc())).all()
        return [_key(row) for row in rows]

    def key_used(self, tenant_id: TenantId, key_id: str, now: datetime) -> None:
        """Remember that the key was used."""
        with self._store.tenant_unit(tenant_id) as unit:
            unit.connection.execute(
                update(API_KEYS)
                .where(API_KEYS.c.tenant_id == tenant_id, API_KEYS.c.key_id == key_id)
                .values(last_used_at=now, updated_at=unit.now)
            )

    def revoke_key(self, tenant_id: TenantId, key_id: str, now: datetime) -> bool:
        """Whether the tenant has such a key; it is revoked now or was before."""
        own = (API_KEYS.c.tenant_id == tenant_id, API_KEYS.c.key_id == key_id)
        with self._store.tenant_unit(tenant_id) as unit:
            if unit.connection.execute(select(API_KEYS.c.key_id).where(*own)).one_or_none() is None:
                return False
            for table, where in (
                (API_KEYS, own),
                (
                    API_KEY_HASHES,
                    (API_KEY_HASHES.c.key_id == key_id, API_KEY_HASHES.c.tenant_id == tenant_id),
                ),
            ):
                unit.connection.execute(
                    update(table)
                    .where(*where, table.c.revoked_at.is_(None))
                    .values(revoked_at=now, updated_at=unit.now)
                )
            auth_epochs.bump(unit, tenant_id)
        return True

    def _membership(self, user_id: str, tenant_id: TenantId) -> Membership | None:
        wanted = select(MEMBERSHIPS).where(
            MEMBERSHIPS.c.tenant_id == tenant_id, MEMBERSHIPS.c.user_id == user_id, MEMBERSHIPS.c.is_active
        )
        with self._store.read_unit(tenant_id) as unit:
            row = unit.connection.execute(wanted).one_or_none()
        if row is None:
            return None
        return Membership(tenant_id=row.tenant_id, role=row.role, scopes=tuple(row.scopes))


def _keys(tenant_id: TenantId) -> Select[Any]:
    """The keys of a tenant with their hashes and whatever was revoked in either place."""
    return (
        select(API_KEYS, API_KEY_HASHES.c.key_hash, API_KEY_HASHES.c.revoked_at.label("hash_revoked_at"))
        .join(API_KEY_HASHES, API_KEY_HASHES.c.key_id == API_KEYS.c.key_id)
        .where(API_KEYS.c.tenant_id == tenant_id)
    )


def _key(row: Row[Any]) -> ApiKeyRow:
    return ApiKeyRow(
        key_id=row.key_id,
        tenant_id=row.tenant_id,
        user_id=row.user_id,
        key_hash=bytes(row.key_hash).hex(),
        name=row.name,
        prefix=row.prefix,
        scopes=tuple(row.scopes),
        account_ids=tuple(AccountId(one) for one in row.account_ids) if row.account_ids is not None else None,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at or row.hash_revoked_at,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
    )
