"""API keys as rows of an open unit: values in, values out. A key keeps its id when its secret is replaced.

The hash of the present secret, and for the overlap of a rotation that of the one before, stand in the platform's table.
Whoever changes a key moves the tenant's auth epoch in the same unit, last.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, Select, or_, select, update

from oms_app.store.rows import add, one, scope_of
from oms_app.store.tables import (
    ACCOUNT_ROUTES,
    API_KEY_HASHES,
    API_KEYS,
    BROKER_ACCOUNTS,
    BROKER_CONNECTIONS,
    MEMBERSHIPS,
    TRADING_ACCOUNTS,
    USERS,
)
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import AccountId, TenantId


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """An API key of a member, without its secret.

    key_hash, previous_hash: SHA-256 in hex of the present secret, and of the one before, valid until `previous_until`.
    account_ids: None means all accounts of the tenant. networks: CIDR texts; none: any address.
    quota_per_s, quota_burst: None means the default.
    """

    key_id: str
    tenant_id: TenantId
    user_id: str
    name: str
    prefix: str
    key_hash: str
    scopes: tuple[str, ...]
    account_ids: tuple[AccountId, ...] | None
    is_test: bool
    networks: tuple[str, ...]
    quota_per_s: int | None
    quota_burst: int | None
    expires_at: datetime | None
    created_at: datetime
    revoked_at: datetime | None = None
    previous_prefix: str | None = None
    previous_hash: str | None = None
    previous_until: datetime | None = None
    rotated_at: datetime | None = None
    last_used_at: datetime | None = None
    last_used_address: str = ""


def add_key(unit: RowsUnit, key: KeyRow) -> None:
    """Store a new key: its hash for the platform, the rest for the tenant."""
    add(
        unit,
        API_KEY_HASHES,
        key_id=key.key_id,
        tenant_id=scope_of(unit),
        prefix=key.prefix,
        key_hash=bytes.fromhex(key.key_hash),
        expires_at=key.expires_at,
    )
    add(
        unit,
        API_KEYS,
        tenant_id=scope_of(unit),
        key_id=key.key_id,
        name=key.name,
        prefix=key.prefix,
        user_id=key.user_id,
        scopes=list(key.scopes),
        account_ids=list(key.account_ids) if key.account_ids is not None else None,
        is_test=key.is_test,
        networks=list(key.networks),
        quota_per_s=key.quota_per_s,
        quota_burst=key.quota_burst,
        expires_at=key.expires_at,
    )


def get_key(unit: RowsUnit, key_id: str) -> KeyRow | None:
    """A key of the unit's tenant, whatever became of it."""
    row = one(unit, _keys(unit).where(API_KEYS.c.key_id == key_id))
    return _key(row) if row is not None else None


def list_keys(unit: RowsUnit) -> Sequence[KeyRow]:
    """The keys of the unit's tenant, newest first."""
    return [_key(row) for row in unit.connection.execute(_keys(unit).order_by(API_KEYS.c.created_at.desc()))]


def named_by(unit: RowsUnit, prefix: str) -> Sequence[tuple[TenantId, str]]:
    """(tenant, key id) of the keys whose shown part this is or was before the last rotation; in any unit."""
    found = unit.connection.execute(
        select(API_KEY_HASHES.c.tenant_id, API_KEY_HASHES.c.key_id).where(
            or_(API_KEY_HASHES.c.prefix == prefix, API_KEY_HASHES.c.previous_prefix == prefix)
        )
    )
    return [(TenantId(row.tenant_id), row.key_id) for row in found]


def usable_key(unit: RowsUnit, key_id: str) -> KeyRow | None:
    """The key while its owner is an active member; hash, expiry and revocation are still to be looked at."""
    owner = (
        select(USERS.c.user_id)
        .join(MEMBERSHIPS, MEMBERSHIPS.c.user_id == USERS.c.user_id)
        .where(MEMBERSHIPS.c.tenant_id == scope_of(unit), MEMBERSHIPS.c.is_active, USERS.c.is_active)
    )
    row = one(unit, _keys(unit).where(API_KEYS.c.key_id == key_id, API_KEYS.c.user_id.in_(owner)))
    return _key(row) if row is not None else None


def replace_secret(
    unit: RowsUnit, key: KeyRow, *, prefix: str, key_hash: str, previous_until: datetime, now: datetime
) -> bool:
    """Whether this call made the new secret: only one of those that expect the same present secret does."""
    hashes = API_KEY_HASHES.c
    changed = unit.connection.execute(
        update(API_KEY_HASHES)
        .where(
            hashes.key_id == key.key_id,
            hashes.tenant_id == scope_of(unit),
            hashes.key_hash == bytes.fromhex(key.key_hash),
            hashes.revoked_at.is_(None),
        )
        .values(
            prefix=prefix,
            key_hash=bytes.fromhex(key_hash),
            previous_prefix=key.prefix,
            previous_hash=bytes.fromhex(key.key_hash),
            previous_until=previous_until,
            rotated_at=now,
            updated_at=unit.now,
        )
    )
    if changed.rowcount != 1:
        return False
    _change(unit, key.key_id, prefix=prefix)
    return True


def change_key(unit: RowsUnit, key_id: str, **values: Any) -> None:
    """Give the key of the unit's tenant these values: name, networks, quota_per_s, quota_burst, expires_at."""
    _change(unit, key_id, **values)
    if "expires_at" in values:
        unit.connection.execute(
            update(API_KEY_HASHES)
            .where(API_KEY_HASHES.c.key_id == key_id, API_KEY_HASHES.c.tenant_id == scope_of(unit))
            .values(expires_at=values["expires_at"], updated_at=unit.now)
        )


def revoke_key(unit: RowsUnit, key_id: str, now: datetime) -> bool:
    """Whether the unit's tenant has such a key; it is revoked now or was before."""
    if get_key(unit, key_id) is None:
        return False
    for table in (API_KEYS, API_KEY_HASHES):
        unit.connection.execute(
            update(table)
            .where(table.c.key_id == key_id, table.c.tenant_id == scope_of(unit), table.c.revoked_at.is_(None))
            .values(revoked_at=now, updated_at=unit.now)
        )
    return True


def note_use(unit: RowsUnit, key_id: str, now: datetime, address: str) -> None:
    """Remember when and from where the key was used last; changes no right, so it moves no epoch."""
    unit.connection.execute(
        update(API_KEYS)
        .where(API_KEYS.c.tenant_id == scope_of(unit), API_KEYS.c.key_id == key_id)
        .values(last_used_at=now, last_used_address=address[:45], updated_at=unit.now)
    )


def accounts(unit: RowsUnit) -> frozenset[AccountId]:
    """Every account of the unit's tenant, closed ones too."""
    own = select(TRADING_ACCOUNTS.c.account_id).where(TRADING_ACCOUNTS.c.tenant_id == scope_of(unit))
    return frozenset(AccountId(account_id) for account_id in unit.connection.scalars(own))


def brokers_of_accounts(unit: RowsUnit) -> dict[AccountId, str]:
    """Each open account of the unit's tenant that is routed, and the registered name of the broker behind it."""
    rows = unit.connection.execute(
        select(TRADING_ACCOUNTS.c.account_id, BROKER_CONNECTIONS.c.broker)
        .join(
            ACCOUNT_ROUTES,
            (ACCOUNT_ROUTES.c.tenant_id == TRADING_ACCOUNTS.c.tenant_id)
            & (ACCOUNT_ROUTES.c.account_id == TRADING_ACCOUNTS.c.account_id),
        )
        .join(
            BROKER_ACCOUNTS,
            (BROKER_ACCOUNTS.c.tenant_id == ACCOUNT_ROUTES.c.tenant_id)
            & (BROKER_ACCOUNTS.c.broker_account_id == ACCOUNT_ROUTES.c.broker_account_id),
        )
        .join(
            BROKER_CONNECTIONS,
            (BROKER_CONNECTIONS.c.tenant_id == BROKER_ACCOUNTS.c.tenant_id)
            & (BROKER_CONNECTIONS.c.connection_id == BROKER_ACCOUNTS.c.connection_id),
        )
        .where(TRADING_ACCOUNTS.c.tenant_id == scope_of(unit), TRADING_ACCOUNTS.c.closed_at.is_(None))
    )
    return {AccountId(row.account_id): row.broker for row in rows}


def _change(unit: RowsUnit, key_id: str, **values: Any) -> None:
    unit.connection.execute(
        update(API_KEYS)
        .where(API_KEYS.c.tenant_id == scope_of(unit), API_KEYS.c.key_id == key_id)
        .values(**values, updated_at=unit.now)
    )


def _keys(unit: RowsUnit) -> Select[Any]:
    """The keys of the unit's tenant with their hashes and whatever was revoked in either place."""
    hashes = API_KEY_HASHES.c
    return (
        select(
            API_KEYS,
            hashes.key_hash,
            hashes.previous_prefix,
            hashes.previous_hash,
            hashes.previous_until,
            hashes.rotated_at,
            hashes.revoked_at.label("hash_revoked_at"),
        )
        .join(API_KEY_HASHES, hashes.key_id == API_KEYS.c.key_id)
        .where(API_KEYS.c.tenant_id == scope_of(unit))
    )


def _key(row: Row[Any]) -> KeyRow:
    return KeyRow(
        key_id=row.key_id,
        tenant_id=TenantId(row.tenant_id),
        user_id=row.user_id,
        name=row.name,
        prefix=row.prefix,
        key_hash=bytes(row.key_hash).hex(),
        scopes=tuple(row.scopes),
        account_ids=tuple(AccountId(each) for each in row.account_ids) if row.account_ids is not None else None,
        is_test=bool(row.is_test),
        networks=tuple(row.networks),
        quota_per_s=row.quota_per_s,
        quota_burst=row.quota_burst,
        expires_at=row.expires_at,
        created_at=row.created_at,
        revoked_at=row.revoked_at or row.hash_revoked_at,
        previous_prefix=row.previous_prefix,
        previous_hash=bytes(row.previous_hash).hex() if row.previous_hash is not None else None,
        previous_until=row.previous_until,
        rotated_at=row.rotated_at,
        last_used_at=row.last_used_at,
        last_used_address=row.last_used_address,
    )
