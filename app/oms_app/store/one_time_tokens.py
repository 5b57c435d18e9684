"""Tokens that go out by mail: made once, kept as SHA-256, and good for one use before they expire, whoever races."""

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import select, update

from oms_app.store.rows import add, one
from oms_app.store.tables import ONE_TIME_TOKENS
from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import TenantId

_BYTES = 32


class Ticket(msgspec.Struct, frozen=True):
    """What a token stands for. `subject` is whom or what it is about: a user's id, an invitation's id, an address."""

    kind: str
    subject: str
    tenant_id: TenantId | None
    params: dict[str, Any]
    expires_at: datetime


def issue(
    unit: RowsUnit,
    kind: str,
    subject: str,
    lasting: timedelta,
    *,
    tenant_id: str | None = None,
    params: Mapping[str, Any] | None = None,
) -> str:
    """A fresh token with 256 bits of randomness. Earlier ones of the same subject stay good until one is used."""
    token = secrets.token_urlsafe(_BYTES)
    add(
        unit,
        ONE_TIME_TOKENS,
        token_hash=_hash(token),
        kind=kind,
        subject=subject,
        tenant_id=tenant_id,
        params=dict(params or {}),
        expires_at=unit.now + lasting,
    )
    return token


def look(unit: RowsUnit, kind: str, token: str) -> Ticket | None:
    """What the token stands for, without using it; None when it is unknown, used or expired."""
    query = select(ONE_TIME_TOKENS).where(
        ONE_TIME_TOKENS.c.token_hash == _hash(token),
        ONE_TIME_TOKENS.c.kind == kind,
        ONE_TIME_TOKENS.c.used_at.is_(None),
        ONE_TIME_TOKENS.c.expires_at > unit.now,
    )
    row = one(unit, query)
    return _ticket(row) if row is not None else None


def use(unit: RowsUnit, kind: str, token: str) -> Ticket | None:
    """What the token stands for, for the first who uses it; None for everybody else.

    All other tokens of the same kind and subject are void from then on.
    """
    ticket = look(unit, kind, token)
    if ticket is None:
        return None
    used = unit.connection.execute(
        update(ONE_TIME_TOKENS)
        .where(ONE_TIME_TOKENS.c.token_hash == _hash(token), ONE_TIME_TOKENS.c.used_at.is_(None))
        .values(used_at=unit.now, updated_at=unit.now)
    )
    if used.rowcount != 1:
        return None
    void(unit, kind, ticket.subject)
    return ticket


def void(unit: RowsUnit, kind: str, subject: str) -> None:
    """No token of this kind that went out for the subject works any more."""
    unit.connection.execute(
        update(ONE_TIME_TOKENS)
        .where(
            ONE_TIME_TOKENS.c.kind == kind,
            ONE_TIME_TOKENS.c.subject == subject,
            ONE_TIME_TOKENS.c.used_at.is_(None),
        )
        .values(used_at=unit.now, updated_at=unit.now)
    )


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _ticket(row: AnyRow) -> Ticket:
    return Ticket(
        kind=row.kind,
        subject=row.subject,
        tenant_id=TenantId(row.tenant_id) if row.tenant_id is not None else None,
        params=row.params,
        expires_at=row.expires_at,
    )
