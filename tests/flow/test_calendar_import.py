"""Calendars of exchanges as the library tells them: holidays, half days, pauses, sessions over midnight."""

import sys
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from oms_app.flow.calendar_import import (
    Imported,
    NoCalendarSource,
    Session,
    exchange_codes,
    fold_sessions,
    import_calendar,
)
from oms_kernel.domain.errors import InvalidRequest

FIRST, LAST = date(2026, 1, 1), date(2026, 12, 31)


@pytest.fixture(scope="module")
def imported() -> dict[str, Imported]:
    return {code: import_calendar(code, FIRST, LAST) for code in ("XNYS", "XBOM", "CMES", "XTKS", "XHKG", "XSAU")}


def test_every_day_of_these_exchanges_is_as_the_library_says(imported: dict[str, Imported]) -> None:
    assert {code: one.left_out for code, one in imported.items() if one.left_out} == {}
    assert all(one.calendar.known_until == LAST for one in imported.values())


def at(zone: str, month: int, day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("code", "when", "is_open"),
    [
        ("XNYS", at("America/New_York", 11, 27, 12, 59), True),  # the day after Thanksgiving
        ("XNYS", at("America/New_York", 11, 27, 13), False),
        ("XNYS", at("America/New_York", 11, 26, 12), False),
        ("XNYS", at("America/New_York", 7, 3, 12), False),  # the 4th is a Saturday
        ("XBOM", at("Asia/Kolkata", 1, 26, 12), False),
        ("XBOM", at("Asia/Kolkata", 1, 27, 9, 15), True),
        ("XBOM", at("Asia/Kolkata", 1, 27, 15, 30), False),
        ("CMES", at("America/Chicago", 3, 1, 17), True),  # Sunday evening belongs to Monday
        ("CMES", at("America/Chicago", 3, 6, 17), False),
        ("XTKS", at("Asia/Tokyo", 3, 2, 12), False),
        ("XTKS", at("Asia/Tokyo", 3, 2, 12, 30), True),
        ("XHKG", at("Asia/Hong_Kong", 12, 24, 14), False),
        ("XSAU", at("Asia/Riyadh", 3, 1, 12), True),  # a Sunday
        ("XSAU", at("Asia/Riyadh", 3, 6, 12), False),  # a Friday
    ],
)
def test_venues_are_open_when_they_are(imported: dict[str, Imported], code: str, when: datetime, is_open: bool) -> None:
    assert imported[code].calendar.is_open(when) is is_open


def test_a_session_over_midnight_bears_the_later_date(imported: dict[str, Imported]) -> None:
    calendar = imported["CMES"].calendar
    assert calendar.trading_date(at("America/Chicago", 3, 1, 17)) == date(2026, 3, 2)
    assert calendar.session_open(date(2026, 3, 2)) == at("America/Chicago", 3, 1, 17)


def test_where_the_library_knows_less_the_calendar_says_so() -> None:
    one = import_calendar("XBOM", FIRST, date(2035, 12, 31), name="india")
    assert one.calendar.name == "india"
    assert one.calendar.known_until == one.last < date(2035, 12, 31)


@pytest.mark.parametrize(
    ("code", "first", "last", "field"),
    [("NOWHERE", FIRST, LAST, "code"), ("XNYS", LAST, FIRST, "from"), ("XNYS", FIRST, date(2040, 1, 1), "from")],
)
def test_what_cannot_be_imported_names_its_field(code: str, first: date, last: date, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        import_calendar(code, first, last)
    assert caught.value.field == field


def test_an_exchange_that_the_library_cannot_work_out_is_refused_or_whole() -> None:
    try:
        made = import_calendar("ASEX", FIRST, LAST)
    except InvalidRequest as refused:
        assert (refused.field, refused.detail[:5]) == ("code", "ASEX:")
    else:
        assert made.left_out == ()


def test_a_single_session_on_another_weekday_is_named_and_not_kept() -> None:
    days = [date(2026, 3, 2) + timedelta(days=number) for number in range(26)]
    held = [day for day in days if day.isoweekday() < 6] + [date(2026, 3, 7)]
    sessions = tuple(
        Session(day, datetime.combine(day, time(9), UTC), datetime.combine(day, time(17), UTC)) for day in sorted(held)
    )
    made = fold_sessions("test", "UTC", sessions, days[0], days[-1])
    assert made.left_out == (date(2026, 3, 7),)
    assert made.calendar.weekdays == (1, 2, 3, 4, 5)


def test_without_the_library_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    with pytest.raises(NoCalendarSource) as caught:
        exchange_codes()
    assert caught.value.fix == "pip install 'oms-app[calendars]'"
