"""Sessions of people as rows of an open unit: values in, values out. What ends one moves its tenant's auth epoch."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, select, update

from oms_app.store import auth_epochs
from oms_app.store.identity_rows import SessionRow
from oms_app.store.rows import add, one
from oms_app.store.tables import USER_SESSIONS, USERS
from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import TenantId

MOST_LISTED = 500


def add_session(unit: RowsUnit, session: SessionRow) -> None:
    """Store a new session."""
    add(
        unit,
        USER_SESSIONS,
        session_id=session.session_id,
        user_id=session.user_id,
        tenant_id=session.tenant_id,
        refresh_hash=bytes.fromhex(session.refresh_hash),
        previous_hash=bytes.fromhex(session.previous_hash) if session.previous_hash else None,
        rotated_at=session.rotated_at,
        expires_at=session.expires_at,
        revoked_at=session.revoked_at,
        address=session.address[:45],
        agent=session.agent[:300],
        last_used_at=session.last_used_at,
        second_factor_at=session.second_factor_at,
        stepped_up_at=session.stepped_up_at,
    )


def get_session(unit: RowsUnit, session_id: str, *, lock: bool = False) -> SessionRow | None:
    """A session of an active person. lock: nobody else changes it until the unit ends."""
    query = (
        select(USER_SESSIONS)
        .join(USERS, USERS.c.user_id == USER_SESSIONS.c.user_id)
        .where(USER_SESSIONS.c.session_id == session_id, USERS.c.is_active)
    )
    row = one(unit, query.with_for_update(of=USER_SESSIONS) if lock else query)
    return _session(row) if row is not None else None


def live_sessions(
    unit: RowsUnit, now: datetime, *, user_id: str | None = None, tenant_id: TenantId | None = None
) -> Sequence[SessionRow]:
    """The sessions that have not ended, of a person or in a tenant or both, used last first."""
    wanted = [USER_SESSIONS.c.revoked_at.is_(None), USER_SESSIONS.c.expires_at > now]
    if user_id is not None:
        wanted.append(USER_SESSIONS.c.user_id == user_id)
    if tenant_id is not None:
        wanted.append(USER_SESSIONS.c.tenant_id == tenant_id)
    query = select(USER_SESSIONS).where(*wanted).order_by(USER_SESSIONS.c.updated_at.desc()).limit(MOST_LISTED)
    return [_session(row) for row in unit.connection.execute(query)]


def was_used_from(unit: RowsUnit, user_id: str, address: str, since: datetime) -> bool:
    """Whether the person has had a session from this address since then."""
    found = select(USER_SESSIONS.c.session_id).where(
        USER_SESSIONS.c.user_id == user_id, USER_SESSIONS.c.address == address, USER_SESSIONS.c.created_at >= since
    )
    return unit.connection.execute(found.limit(1)).first() is not None


def rotate(
    unit: RowsUnit, session_id: str, expected_hash: str, new_hash: str, now: datetime, *, address: str, agent: str
) -> bool:
    """Whether this call made the new head: only one of those that expect the same head does."""
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
            last_used_at=now,
            address=address[:45],
            agent=agent[:300],
            updated_at=unit.now,
        )
    )
    return changed.rowcount == 1


def note_step_up(unit: RowsUnit, session_id: str, now: datetime, *, second_factor: bool) -> None:
    """Remember that the session's person proved it anew; with the second factor, where one was used."""
    values = {"stepped_up_at": now, **({"second_factor_at": now} if second_factor else {})}
    unit.connection.execute(
        update(USER_SESSIONS)
        .where(USER_SESSIONS.c.session_id == session_id)
        .values(**values, last_used_at=now, updated_at=unit.now)
    )


def forget_second_factor(unit: RowsUnit, user_id: str) -> None:
    """No session of the person counts as one with a second factor any more."""
    unit.connection.execute(
        update(USER_SESSIONS)
        .where(USER_SESSIONS.c.user_id == user_id, USER_SESSIONS.c.second_factor_at.is_not(None))
        .values(second_factor_at=None, stepped_up_at=None, updated_at=unit.now)
    )


def revoke(
    unit: RowsUnit,
    now: datetime,
    *,
    session_id: str | None = None,
    user_id: str | None = None,
    tenant_id: TenantId | None = None,
    but: str | None = None,
) -> Sequence[SessionRow]:
    """The sessions that this call ended: those that match all that is given, except `but`. At least one is given."""
    named = {"session_id": session_id, "user_id": user_id, "tenant_id": tenant_id}
    given = {name: value for name, value in named.items() if value is not None}
    if not given:
        raise ValueError("say whose sessions end")
    wanted: list[ColumnElement[bool]] = [USER_SESSIONS.c[name] == value for name, value in given.items()]
    wanted.append(USER_SESSIONS.c.revoked_at.is_(None))
    if but is not None:
        wanted.append(USER_SESSIONS.c.session_id != but)
    ended = unit.connection.execute(
        update(USER_SESSIONS).where(*wanted).values(revoked_at=now, updated_at=unit.now).returning(*USER_SESSIONS.c)
    ).all()
    auth_epochs.bump(unit, *{row.tenant_id for row in ended})
    return [_session(row) for row in ended]


def _session(row: AnyRow) -> SessionRow:
    return SessionRow(
        session_id=row.session_id,
        user_id=row.user_id,
        tenant_id=row.tenant_id,
        refresh_hash=bytes(row.refresh_hash).hex(),
        previous_hash=bytes(row.previous_hash).hex() if row.previous_hash is not None else None,
        rotated_at=row.rotated_at or row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        address=row.address,
        agent=row.agent,
        last_used_at=row.last_used_at,
        second_factor_at=row.second_factor_at,
        stepped_up_at=row.stepped_up_at,
        created_at=row.created_at,
    )
