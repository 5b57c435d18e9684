"""What identity needs remembered: users, memberships, sessions and API keys as values, and the rows behind them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from oms_kernel.domain.ids import AccountId, TenantId


class UserRow(msgspec.Struct, frozen=True):
    """A person. `email` is lower case; `password_hash` a PHC text."""

    user_id: str
    email: str
    password_hash: str
    is_active: bool


class Membership(msgspec.Struct, frozen=True):
    """What a person is in one tenant; `scopes` are given beside those of the role."""

    tenant_id: str
    role: str
    scopes: tuple[str, ...]
    requires_second_factor: bool = False
    """The tenant lets its members do nothing without one."""


class SessionRow(msgspec.Struct, frozen=True):
    """A signed-in session: the head of its refresh tokens and the one before, as SHA-256."""

    session_id: str
    user_id: str
    tenant_id: str
    refresh_hash: str
    previous_hash: str | None
    rotated_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    address: str = ""
    agent: str = ""
    last_used_at: datetime | None = None
    second_factor_at: datetime | None = None
    """When a second factor was used in this session."""
    stepped_up_at: datetime | None = None
    """When its person proved it anew."""
    created_at: datetime | None = None


class ApiKeyRow(msgspec.Struct, frozen=True):
    """An API key without its secret, of a member; `account_ids` None means all accounts of the tenant."""

    key_id: str
    tenant_id: str
    user_id: str
    key_hash: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    account_ids: tuple[AccountId, ...] | None
    expires_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime
    last_used_at: datetime | None = None


class IdentityRows(Protocol):
    """Where these rows live. Every method is one short transaction; all raise StoreUnavailable."""

    def add_user(self, user: UserRow, membership: Membership) -> None:
        """Store both. Raises Conflict when the e-mail is taken."""

    def user_by_email(self, email: str) -> UserRow | None:
        """The user with this lower-case e-mail."""

    def set_password(self, user_id: str, password_hash: str, *, replacing: str | None = None) -> None:
        """Replace the hash; only while it is still `replacing`, where that is given."""

    def memberships(self, user_id: str, tenant_id: TenantId | None) -> Sequence[Membership]:
        """Where the user belongs, in a fixed order; only that tenant when one is given."""

    def add_session(self, session: SessionRow) -> None:
        """Store a new session."""

    def session(self, session_id: str) -> SessionRow | None:
        """A session, or None when it is unknown or its user is no longer active."""

    def rotate_session(self, session_id: str, expected_hash: str, new_hash: str, now: datetime) -> bool:
        """Whether this call made the new head: only one of those that expect the same head does."""

    def revoke_session(self, session_id: str, now: datetime) -> None:
        """End a session, if it has not ended."""

    def revoke_sessions_of(self, user_id: str, now: datetime) -> None:
        """End every session of a user that has not ended."""

    def add_key(self, key: ApiKeyRow) -> None:
        """Store a new key."""

    def key(self, tenant_id: TenantId, key_id: str) -> ApiKeyRow | None:
        """A tenant's key."""

    def key_by_prefix(self, prefix: str) -> ApiKeyRow | None:
        """The key whose shown part this is, while its owner is active; its hash is still to be compared."""

    def keys(self, tenant_id: TenantId) -> Sequence[ApiKeyRow]:
        """A tenant's keys, newest first."""

    def key_used(self, tenant_id: TenantId, key_id: str, now: datetime) -> None:
        """Remember that the key was used."""

    def revoke_key(self, tenant_id: TenantId, key_id: str, now: datetime) -> bool:
        """Whether the tenant has such a key; it is revoked now or was before."""
