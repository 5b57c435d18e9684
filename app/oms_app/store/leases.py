"""Who may act for a resource, on the database's time: acquired with a token that only grows, kept by heartbeats.

Resources are named `connection:<id>` and `run:<id>`. An older token is worthless for ever: a writer compares its own
with the row's inside the transaction that matters.
"""

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection, or_, select, text, update

from oms_app.store.rows import add, put
from oms_app.store.tables import LEASES
from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import TenantId

_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


class OtherBuild(Exception):
    """Sessions of another build still hold leases: this one waits until they have let go."""

    code = "other_build"

    def __init__(self, build: str, holder: str, own: str) -> None:
        super().__init__(f"waiting: build {build or 'unknown'} holds connections ({holder}); this is build {own}")
        self.build = build
        self.holder = holder


class LeaseRow(msgspec.Struct, frozen=True):
    """A lease as stored; `is_wanted` says that somebody should hold it."""

    resource: str
    kind: str
    tenant_id: TenantId | None
    is_wanted: bool
    holder: str
    build: str
    token: int
    expires_at: datetime | None
    heartbeat_at: datetime | None


def want(unit: RowsUnit, resource: str, *, kind: str, tenant_id: TenantId | None, is_wanted: bool = True) -> None:
    """Say that the resource should be held by somebody, or no longer; the holder keeps its lease until it lets go."""
    put(unit, LEASES, {"resource": resource}, kind=kind, tenant_id=tenant_id, is_wanted=is_wanted)


def acquire(unit: RowsUnit, resource: str, holder: str, ttl: timedelta, build: str = "") -> int | None:
    """The token of a new lease of `ttl`, larger than any before; None while somebody holds the resource.

    The unit's time decides. Commit before acting; a take-over must then look at the old holder's work.
    """
    row = _row(unit, resource)
    if row is None:
        add(unit, LEASES, resource=resource, kind=resource.partition(":")[0], is_wanted=True)
    taken = unit.connection.execute(
        update(LEASES)
        .where(LEASES.c.resource == resource, or_(LEASES.c.expires_at.is_(None), LEASES.c.expires_at <= unit.now))
        .values(
            holder=holder,
            build=build,
            token=LEASES.c.token + 1,
            expires_at=unit.now + ttl,
            heartbeat_at=unit.now,
            updated_at=unit.now,
        )
    )
    if not taken.rowcount:
        return None
    token: int = unit.connection.execute(select(LEASES.c.token).where(LEASES.c.resource == resource)).scalar_one()
    return token


def require_sole_build(unit: RowsUnit, kind: str, build: str) -> None:
    """Nothing, when no lease of this kind is held by another build; else OtherBuild.

    In the same unit as `acquire`, before it: two builds that ask at once are served one after the other.
    """
    if unit.connection.dialect.name == "postgresql":
        unit.connection.execute(_ONE_AT_A_TIME, {"name": f"oms leases {kind}"})
    query = select(LEASES).where(LEASES.c.kind == kind, LEASES.c.expires_at > unit.now, LEASES.c.build != build)
    other = unit.connection.execute(query.order_by(LEASES.c.resource).limit(1)).first()
    if other is not None:
        raise OtherBuild(other.build, other.holder, build)


def heartbeat(unit: RowsUnit, resource: str, token: int, ttl: timedelta) -> bool:
    """Whether the lease is still the caller's; then it lasts `ttl` from now. An expired one cannot be revived."""
    kept = unit.connection.execute(
        update(LEASES)
        .where(LEASES.c.resource == resource, LEASES.c.token == token, LEASES.c.expires_at > unit.now)
        .values(expires_at=unit.now + ttl, heartbeat_at=unit.now, updated_at=unit.now)
    )
    return bool(kept.rowcount)


def release(unit: RowsUnit, resource: str, token: int) -> bool:
    """Whether the lease was the caller's; it is over now."""
    released = unit.connection.execute(
        update(LEASES)
        .where(LEASES.c.resource == resource, LEASES.c.token == token)
        .values(expires_at=None, holder="", updated_at=unit.now)
    )
    return bool(released.rowcount)


def get(unit: RowsUnit, resource: str) -> LeaseRow | None:
    """The lease of a resource, whoever holds it."""
    row = _row(unit, resource)
    return _lease(row) if row is not None else None


def list_leases(unit: RowsUnit, kind: str, *, wanted_only: bool = True) -> list[LeaseRow]:
    """All leases of a kind, of every tenant; by default those that somebody should hold."""
    query = select(LEASES).where(LEASES.c.kind == kind)
    if wanted_only:
        query = query.where(LEASES.c.is_wanted)
    return [_lease(row) for row in unit.connection.execute(query.order_by(LEASES.c.resource))]


def claimable(unit: RowsUnit, kind: str) -> list[LeaseRow]:
    """Those of a kind that somebody should hold and nobody does."""
    return [lease for lease in list_leases(unit, kind) if lease.expires_at is None or lease.expires_at <= unit.now]


def present_token(connection: Connection, resource: str, now: datetime) -> int | None:
    """The token under which the resource is held at `now`; None when nobody holds it."""
    token: int | None = connection.scalar(
        select(LEASES.c.token).where(LEASES.c.resource == resource, LEASES.c.expires_at > now)
    )
    return token


def _row(unit: RowsUnit, resource: str) -> AnyRow | None:
    return unit.connection.execute(select(LEASES).where(LEASES.c.resource == resource)).one_or_none()


def _lease(row: AnyRow) -> LeaseRow:
    return LeaseRow(
        resource=row.resource,
        kind=row.kind,
        tenant_id=row.tenant_id,
        is_wanted=row.is_wanted,
        holder=row.holder,
        build=row.build,
        token=row.token,
        expires_at=row.expires_at,
        heartbeat_at=row.heartbeat_at,
    )
