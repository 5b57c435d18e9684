"""When each schedule was due last and what came of it, so that whoever leads next goes on from there."""

from datetime import datetime

import msgspec
from sqlalchemy import insert, select, update

from oms_app.store.rows import stamps
from oms_app.store.tables import SCHEDULES
from oms_app.store.unit_of_work import RowsUnit

LONGEST_ERROR = 2000


class ScheduleRow(msgspec.Struct, frozen=True):
    """A schedule's last time: `finished_at` None while it runs, `error` empty when it went well, `handled` how many."""

    name: str
    fired_at: datetime
    fired_by: str
    finished_at: datetime | None
    error: str
    handled: int


def list_schedules(unit: RowsUnit) -> dict[str, ScheduleRow]:
    """Every schedule that was due once, by name."""
    rows = unit.connection.execute(select(SCHEDULES).order_by(SCHEDULES.c.name))
    return {
        row.name: ScheduleRow(row.name, row.fired_at, row.fired_by, row.finished_at, row.error, row.handled)
        for row in rows
    }


def fire(unit: RowsUnit, name: str, expected_at: datetime | None, by: str) -> bool:
    """Whether the schedule was last due at `expected_at` and is due now; False when somebody else was quicker."""
    values = {"fired_at": unit.now, "fired_by": by, "finished_at": None, "error": "", "handled": 0}
    if expected_at is None:
        known = unit.connection.scalar(select(SCHEDULES.c.name).where(SCHEDULES.c.name == name))
        if known is None:
            unit.connection.execute(insert(SCHEDULES).values(name=name, **values, **stamps(unit)))
        return known is None
    fired = unit.connection.execute(
        update(SCHEDULES)
        .where(SCHEDULES.c.name == name, SCHEDULES.c.fired_at == expected_at)
        .values(**values, updated_at=unit.now)
    )
    return bool(fired.rowcount)


def finish(unit: RowsUnit, name: str, *, handled: int = 0, error: str = "") -> None:
    """Note what came of it."""
    unit.connection.execute(
        update(SCHEDULES)
        .where(SCHEDULES.c.name == name)
        .values(finished_at=unit.now, handled=handled, error=error[:LONGEST_ERROR], updated_at=unit.now)
    )
