"""The platform's calendars: listed with whether each venue is open now, and replaced with an audit event.

A change makes every process load the catalogue anew, so that the next order is judged by it.
"""

from datetime import date, datetime
from typing import Any

import msgspec
from sqlalchemy import select

from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.store.instruments import put_calendar
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import CALENDARS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.calendar import Calendar


class CalendarStatus(msgspec.Struct, frozen=True):
    """A calendar as it stands at a moment.

    trading_date: the date under which the venue books what happens now. next_change_at: when it next opens or closes;
    None: not within 30 days. is_known: whether the holidays of that date are known.
    """

    calendar: Calendar
    is_open: bool
    trading_date: date
    next_change_at: datetime | None
    is_known: bool


def list_calendars(unit: RowsUnit) -> list[Calendar]:
    """Every calendar of the platform, by name."""
    rows = unit.connection.execute(select(CALENDARS).order_by(CALENDARS.c.name))
    return [msgspec.convert(row.definition, Calendar) for row in rows]


def get_calendar(unit: RowsUnit, name: str) -> Calendar | None:
    """The calendar of this name, or None."""
    row = unit.connection.execute(select(CALENDARS).where(CALENDARS.c.name == name)).one_or_none()
    return msgspec.convert(row.definition, Calendar) if row is not None else None


def status_of(calendar: Calendar, now: datetime) -> CalendarStatus:
    """How the venue stands at this moment."""
    day = calendar.trading_date(now)
    return CalendarStatus(
        calendar=calendar,
        is_open=calendar.is_open(now),
        trading_date=day,
        next_change_at=calendar.next_change(now),
        is_known=calendar.is_known(day),
    )


def replace_calendar(store: SqlStore, actor: Actor, calendar: Calendar) -> bool:
    """Add or replace a calendar; False when it stands there already as it is."""
    with store.platform_unit() as unit:
        before = get_calendar(unit, calendar.name)
        if before == calendar:
            return False
        put_calendar(unit, calendar)
        action = AdminAction(
            action="calendar.created" if before is None else "calendar.replaced",
            object_type="calendar",
            object_id=calendar.name,
            before=None if before is None else _told(before),
            after=_told(calendar),
        )
        record(unit, actor, action)
        return True


def _told(calendar: Calendar) -> dict[str, Any]:
    """What a calendar says, its days as counts: the days themselves stand in its row."""
    told: dict[str, Any] = msgspec.to_builtins(calendar, str_keys=True)
    for name in ("holidays", "early_closes", "late_opens"):
        told[name] = len(told[name])
    return told
