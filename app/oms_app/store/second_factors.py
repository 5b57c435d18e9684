"""TOTP secrets (sealed) and recovery codes (hashed) as rows of an open unit; each code counts once, whoever races."""

from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy import delete, func, insert, select, update

from oms_app.store.rows import one, put, stamps
from oms_app.store.tables import RECOVERY_CODES, SECOND_FACTORS
from oms_app.store.unit_of_work import RowsUnit


class SecondFactorRow(msgspec.Struct, frozen=True):
    """A person's TOTP secret as stored: sealed. It counts once `confirmed_at` is set."""

    user_id: str
    secret: bytes
    confirmed_at: datetime | None
    last_step: int


def get_factor(unit: RowsUnit, user_id: str) -> SecondFactorRow | None:
    """The person's second factor, confirmed or not."""
    row = one(unit, select(SECOND_FACTORS).where(SECOND_FACTORS.c.user_id == user_id))
    if row is None:
        return None
    return SecondFactorRow(
        user_id=row.user_id, secret=bytes(row.secret), confirmed_at=row.confirmed_at, last_step=row.last_step
    )


def put_unconfirmed(unit: RowsUnit, user_id: str, secret: bytes) -> None:
    """Keep a new secret that does not count yet, in place of any before it."""
    put(unit, SECOND_FACTORS, {"user_id": user_id}, secret=secret, confirmed_at=None, last_step=0)


def confirm(unit: RowsUnit, user_id: str, now: datetime) -> None:
    """Let the secret count."""
    unit.connection.execute(
        update(SECOND_FACTORS).where(SECOND_FACTORS.c.user_id == user_id).values(confirmed_at=now, updated_at=unit.now)
    )


def use_step(unit: RowsUnit, user_id: str, step: int) -> bool:
    """Whether this call is the first to use a code of this time step or a later one."""
    changed = unit.connection.execute(
        update(SECOND_FACTORS)
        .where(SECOND_FACTORS.c.user_id == user_id, SECOND_FACTORS.c.last_step < step)
        .values(last_step=step, updated_at=unit.now)
    )
    return changed.rowcount == 1


def remove(unit: RowsUnit, user_id: str) -> None:
    """The person has no second factor and no recovery codes any more."""
    unit.connection.execute(delete(SECOND_FACTORS).where(SECOND_FACTORS.c.user_id == user_id))
    unit.connection.execute(delete(RECOVERY_CODES).where(RECOVERY_CODES.c.user_id == user_id))


def replace_recovery_codes(unit: RowsUnit, user_id: str, hashes: Iterable[bytes]) -> None:
    """These recovery codes work, and none that was given before."""
    unit.connection.execute(delete(RECOVERY_CODES).where(RECOVERY_CODES.c.user_id == user_id))
    rows = [{"user_id": user_id, "code_hash": code_hash, **stamps(unit)} for code_hash in hashes]
    unit.connection.execute(insert(RECOVERY_CODES), rows)


def use_recovery_code(unit: RowsUnit, user_id: str, code_hash: bytes, now: datetime) -> bool:
    """Whether this call used up a recovery code that was still good."""
    changed = unit.connection.execute(
        update(RECOVERY_CODES)
        .where(
            RECOVERY_CODES.c.user_id == user_id,
            RECOVERY_CODES.c.code_hash == code_hash,
            RECOVERY_CODES.c.used_at.is_(None),
        )
        .values(used_at=now, updated_at=unit.now)
    )
    return changed.rowcount == 1


def recovery_codes_left(unit: RowsUnit, user_id: str) -> int:
    """How many recovery codes still work."""
    left = select(func.count()).where(RECOVERY_CODES.c.user_id == user_id, RECOVERY_CODES.c.used_at.is_(None))
    return int(unit.connection.execute(left).scalar_one())
