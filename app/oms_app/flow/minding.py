"""Who minds the schedules and when each was due last, for people: rows in, one value for each schedule out."""

from datetime import datetime

import msgspec

from oms_app.flow.chores import SCHEDULE_LEASE, SCHEDULES
from oms_app.store import leases, schedules
from oms_app.store.sql_store import SqlStore


class ScheduleState(msgspec.Struct, frozen=True):
    """A schedule and its last time; `fired_at` None: it was never due. `error` is empty when it went well."""

    name: str
    does: str
    when: str
    fired_at: datetime | None
    fired_by: str
    finished_at: datetime | None
    handled: int
    error: str


class Minding(msgspec.Struct, frozen=True):
    """The schedules by the table's order, and the worker that leads; None: nobody does."""

    leader: str | None
    leads_until: datetime | None
    schedules: tuple[ScheduleState, ...]


def minding(store: SqlStore) -> Minding:
    """How the schedules stand now."""
    with store.read_unit(None) as unit:
        fired = schedules.list_schedules(unit)
        lease = leases.get(unit, SCHEDULE_LEASE)
        holds = lease is not None and lease.expires_at is not None and lease.expires_at > unit.now
    states = []
    for one in SCHEDULES.values():
        row = fired.get(one.name)
        states.append(
            ScheduleState(
                name=one.name,
                does=one.does,
                when=one.shown,
                fired_at=row.fired_at if row else None,
                fired_by=row.fired_by if row else "",
                finished_at=row.finished_at if row else None,
                handled=row.handled if row else 0,
                error=row.error if row else "",
            )
        )
    return Minding(
        leader=lease.holder if holds and lease else None,
        leads_until=lease.expires_at if holds and lease else None,
        schedules=tuple(states),
    )
