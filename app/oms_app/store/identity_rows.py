"""What sign-in remembers of people: users, memberships and sessions as values."""

from datetime import datetime

import msgspec


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
