"""Invitations of a tenant: rows in, rows out; one open invitation for each address."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import insert, select, update

from oms_app.store.rows import one, scope_of
from oms_app.store.tables import INVITATIONS
from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import RowsUnit


class Invitation(msgspec.Struct, frozen=True):
    """An invitation without its token. invited_by: a principal id; accepted_by: a user id."""

    invitation_id: str
    email: str
    first_name: str
    last_name: str
    role: str
    scopes: tuple[str, ...]
    invited_by: str
    expires_at: datetime
    created_at: datetime
    accepted_at: datetime | None = None
    accepted_by: str | None = None
    revoked_at: datetime | None = None

    def status(self, now: datetime) -> str:
        """OPEN, ACCEPTED, REVOKED or EXPIRED."""
        if self.accepted_at is not None:
            return "ACCEPTED"
        if self.revoked_at is not None:
            return "REVOKED"
        return "EXPIRED" if self.expires_at <= now else "OPEN"


def add_invitations(unit: RowsUnit, made: Sequence[Invitation]) -> None:
    """Store new invitations. Raises Conflict when an address has an open one."""
    own = {"tenant_id": scope_of(unit), "updated_at": unit.now}
    if made:
        unit.connection.execute(insert(INVITATIONS), [{**own, **_columns(one)} for one in made])


def get_invitation(unit: RowsUnit, invitation_id: str) -> Invitation | None:
    """An invitation of the unit's tenant."""
    own = (INVITATIONS.c.tenant_id == scope_of(unit)) & (INVITATIONS.c.invitation_id == invitation_id)
    row = one(unit, select(INVITATIONS).where(own))
    return _invitation(row) if row is not None else None


def list_invitations(unit: RowsUnit, *, with_closed: bool = False) -> Sequence[Invitation]:
    """The unit's invitations that nobody accepted or revoked, or all, newest first."""
    query = select(INVITATIONS).where(INVITATIONS.c.tenant_id == scope_of(unit))
    if not with_closed:
        query = query.where(INVITATIONS.c.accepted_at.is_(None), INVITATIONS.c.revoked_at.is_(None))
    return [_invitation(row) for row in unit.connection.execute(query.order_by(INVITATIONS.c.invitation_id.desc()))]


def change_open(unit: RowsUnit, invitation_id: str, **values: Any) -> bool:
    """Whether the invitation was open; these columns are changed. accepted_at or revoked_at close it, once."""
    closed = unit.connection.execute(
        update(INVITATIONS)
        .where(
            INVITATIONS.c.tenant_id == scope_of(unit),
            INVITATIONS.c.invitation_id == invitation_id,
            INVITATIONS.c.accepted_at.is_(None),
            INVITATIONS.c.revoked_at.is_(None),
        )
        .values(**values, updated_at=unit.now)
    )
    return closed.rowcount == 1


def _columns(one: Invitation) -> dict[str, Any]:
    return {**msgspec.structs.asdict(one), "scopes": list(one.scopes)}


def _invitation(row: AnyRow) -> Invitation:
    return Invitation(
        invitation_id=row.invitation_id,
        email=row.email,
        first_name=row.first_name,
        last_name=row.last_name,
        role=row.role,
        scopes=tuple(row.scopes),
        invited_by=row.invited_by,
        expires_at=row.expires_at,
        accepted_at=row.accepted_at,
        accepted_by=row.accepted_by,
        revoked_at=row.revoked_at,
        created_at=row.created_at,
    )
