"""An exchange and a span of days in, its calendar out: hours, holidays, half days, pauses, by exchange_calendars.

Guarantee: every day of the span is as the library says it, opening and close to the minute, or is named in `left_out`.
The library is an extra: `pip install oms-app[calendars]`.
"""

import warnings
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from oms_app.flow.errors import FlowError
from oms_kernel.domain.calendar import Calendar
from oms_kernel.domain.errors import InvalidRequest

LONGEST = timedelta(days=366 * 10)
LONGEST_REASON = 300


class NoCalendarSource(FlowError):
    """The library that knows the exchanges is not installed here."""

    code = "calendar_source_missing"


class Imported(msgspec.Struct, frozen=True):
    """A calendar, the first and last day that were asked for, and the days on which it differs from the exchange."""

    calendar: Calendar
    first: date
    last: date
    left_out: tuple[date, ...] = ()


class Session(msgspec.Struct, frozen=True):
    """One trading date of an exchange, in UTC; the pause where it has one."""

    day: date
    opens_at: datetime
    closes_at: datetime
    break_from: datetime | None = None
    break_until: datetime | None = None


def exchange_codes() -> list[str]:
    """The exchanges that the library knows, by their codes, such as XNYS. Raises NoCalendarSource."""
    return sorted(_library().get_calendar_names(include_aliases=False))


def import_calendar(code: str, first: date, last: date, *, name: str | None = None) -> Imported:
    """The calendar of an exchange from `first` to `last`, or to the last day that the library knows of.

    name: what it is called here; else as the exchange's code. Raises NoCalendarSource, InvalidRequest.
    """
    library = _library()
    if not first < last or last - first > LONGEST:
        raise InvalidRequest("the days must be in order and span at most ten years", field="from")
    if code not in library.get_calendar_names(include_aliases=True):
        raise InvalidRequest(f"no exchange is called {code}; codes are as XNYS, XBOM, CMES", field="code")
    source, last = _made(library, code, first, last)
    sessions = tuple(_sessions(source, first, last))
    if not sessions:
        raise InvalidRequest(f"nothing is known of {code} from {first} to {last}", field="from")
    return fold_sessions(name or code, str(source.tz), sessions, first, last)


def fold_sessions(name: str, zone: str, sessions: tuple[Session, ...], first: date, last: date) -> Imported:
    """The weekly hours that most sessions have, and every day that differs."""
    hours = Counter((_local(one.opens_at, zone), _local(one.closes_at, zone)) for one in sessions)
    ((opens_at, closes_at), _), *_ = hours.most_common(1)
    pauses = Counter((_local(one.break_from, zone), _local(one.break_until, zone)) for one in sessions)
    ((break_from, break_until), _), *_ = pauses.most_common(1)
    days = {one.day for one in sessions}
    weekdays = _weekdays(sessions, first, last)
    calendar = Calendar(
        name=name,
        time_zone=zone,
        weekdays=weekdays,
        opens_at=opens_at or time(0),
        closes_at=closes_at or time(0),
        break_from=break_from,
        break_until=break_until,
        holidays=tuple(day for day in _days(first, last) if day.isoweekday() in weekdays and day not in days),
        early_closes={one.day: at for one in sessions if (at := _at(one.closes_at, zone)) != closes_at},
        late_opens={one.day: at for one in sessions if (at := _at(one.opens_at, zone)) != opens_at},
        known_until=last,
    )
    return Imported(calendar, first, last, tuple(_different(calendar, sessions, first, last)))


def _different(calendar: Calendar, sessions: tuple[Session, ...], first: date, last: date) -> Iterator[date]:
    """The days on which the calendar does not say what the exchange does."""
    by_day = {one.day: one for one in sessions}
    for day in _days(first, last):
        session = by_day.get(day)
        if calendar.is_session(day) != (session is not None):
            yield day
        elif session is not None and (session.opens_at, session.closes_at) != (
            calendar.session_open(day),
            calendar.session_close(day),
        ):
            yield day


def _weekdays(sessions: tuple[Session, ...], first: date, last: date) -> tuple[int, ...]:
    """The days of the week on which most weeks have a session: a single Saturday makes no trading day of Saturdays."""
    held = Counter(one.day.isoweekday() for one in sessions)
    there = Counter(day.isoweekday() for day in _days(first, last))
    return tuple(number for number in range(1, 8) if there[number] and 2 * held[number] > there[number])


def _sessions(source: Any, first: date, last: date) -> Iterator[Session]:
    for at, row in source.schedule.iterrows():
        day = at.date()
        if first <= day <= last:
            yield Session(
                day, _utc(row["open"]), _utc(row["close"]), _pause(row, "break_start"), _pause(row, "break_end")
            )


def _pause(row: Any, column: str) -> datetime | None:
    at = row[column]
    return None if at != at else _utc(at)  # an absent time is the one that does not equal itself


def _utc(at: Any) -> datetime:
    moment: datetime = at.to_pydatetime().astimezone(UTC)
    return moment


def _at(at: datetime, zone: str) -> time:
    return at.astimezone(ZoneInfo(zone)).time()


def _local(at: datetime | None, zone: str) -> time | None:
    return None if at is None else _at(at, zone)


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=number) for number in range((last - first).days + 1))


def _made(library: Any, code: str, first: date, last: date) -> tuple[Any, date]:
    """The library's calendar, and the last day that it covers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the library warns of is between it and its own libraries
        try:
            source = library.get_calendar(code, start=first.isoformat())  # a year ahead of today, where that is known
            bound = _bound(source)
            last = last if bound is None else min(last, bound)
            if source.last_session.date() < last:
                source = library.get_calendar(code, start=first.isoformat(), end=last.isoformat())
            return source, last
        except ValueError as error:
            raise InvalidRequest(f"{code}: {error}"[:LONGEST_REASON], field="from") from None
        except NotImplementedError:
            told = f"{code}: this version of exchange_calendars cannot work it out; put the calendar by hand"
            raise InvalidRequest(told, field="code") from None


def _bound(source: Any) -> date | None:
    """The last day that the library knows of; None: it goes on by its rules."""
    try:
        at = source.bound_max()
    except NotImplementedError:
        return None
    return None if at is None else at.date()


def _library() -> Any:
    try:
        import exchange_calendars
    except ModuleNotFoundError:
        raise NoCalendarSource(
            "the library exchange_calendars is not installed here", fix="pip install 'oms-app[calendars]'"
        ) from None
    return exchange_calendars
