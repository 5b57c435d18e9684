"""An instant in, the session that it belongs to out; asked once for each change of session, not for each quote."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from oms_kernel.domain.calendar import Calendar

_LONGEST_CLOSURE = 370
_FAR = datetime(9999, 1, 1, tzinfo=UTC)


class Session(msgspec.Struct, frozen=True):
    """A stretch of time that is wholly open or wholly closed: from `begins_at` up to, not including, `ends_at`."""

    is_open: bool
    begins_at: datetime
    ends_at: datetime

    def holds(self, at: datetime) -> bool:
        """Whether the instant lies in this stretch."""
        return self.begins_at <= at < self.ends_at


def session_at(calendar: Calendar, at: datetime) -> Session:
    """The open or closed stretch around an instant. Open stretches end where DAY orders end."""
    if calendar.is_open(at):
        day = calendar.trading_date(at)
        return Session(True, min(at, _opens_at(calendar, day)), calendar.session_close(day))
    begins = _next_open(calendar, at)
    return Session(False, at, begins)


def session_end(calendar: Calendar, at: datetime) -> datetime:
    """Where a DAY order that arrives at this instant ends: the close of this session, or of the next one."""
    session = session_at(calendar, at)
    if session.is_open or session.ends_at == _FAR:
        return session.ends_at
    return session_at(calendar, session.ends_at).ends_at


def _opens_at(calendar: Calendar, day: date) -> datetime:
    local = datetime.combine(day, calendar.opens_at, ZoneInfo(calendar.time_zone))
    if calendar.opens_at > calendar.closes_at:
        local -= timedelta(days=1)
    return local.astimezone(UTC)


def _next_open(calendar: Calendar, at: datetime) -> datetime:
    day = calendar.trading_date(at)
    for _ in range(_LONGEST_CLOSURE):
        if day.isoweekday() in calendar.weekdays and day not in calendar.holidays:
            opens_at = _opens_at(calendar, day)
            if opens_at > at:
                return opens_at
        day += timedelta(days=1)
    return _FAR
