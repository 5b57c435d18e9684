"""What tokens are signed with, as rows of an open unit: sealed secrets, and when each was retired."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import delete, select, update

from oms_app.store.rows import add
from oms_app.store.tables import SIGNING_KEYS
from oms_app.store.unit_of_work import RowsUnit


class SigningKeyRow(msgspec.Struct, frozen=True):
    """A key as stored. No secret: the key is made from the application's own."""

    key_id: str
    secret: bytes | None
    retired_at: datetime | None
    created_at: datetime


def list_keys(unit: RowsUnit) -> Sequence[SigningKeyRow]:
    """All keys, the newest first."""
    query = select(SIGNING_KEYS).order_by(SIGNING_KEYS.c.created_at.desc(), SIGNING_KEYS.c.key_id)
    return [
        SigningKeyRow(
            key_id=row.key_id,
            secret=bytes(row.secret) if row.secret is not None else None,
            retired_at=row.retired_at,
            created_at=row.created_at,
        )
        for row in unit.connection.execute(query)
    ]


def add_key(unit: RowsUnit, key_id: str, secret: bytes | None, *, retired_at: datetime | None = None) -> None:
    """Store a key."""
    add(unit, SIGNING_KEYS, key_id=key_id, secret=secret, retired_at=retired_at)


def retire_all(unit: RowsUnit, at: datetime, *, but: str) -> None:
    """Every key but this one was retired at that time, unless it was earlier."""
    unit.connection.execute(
        update(SIGNING_KEYS)
        .where(
            SIGNING_KEYS.c.key_id != but,
            SIGNING_KEYS.c.retired_at.is_(None) | (SIGNING_KEYS.c.retired_at > at),
        )
        .values(retired_at=at, updated_at=unit.now)
    )


def drop_retired(unit: RowsUnit, before: datetime, *, but: str) -> None:
    """Delete what was retired before then; no token that it signed lives any more."""
    unit.connection.execute(
        delete(SIGNING_KEYS).where(SIGNING_KEYS.c.key_id != but, SIGNING_KEYS.c.retired_at < before)
    )
