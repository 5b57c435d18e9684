"""A venue's hours and an account's days, over nights, holidays and changes of the clock."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import msgspec
import pytest

from oms_kernel.domain.calendar import ALWAYS_OPEN, US_EQUITIES, Calendar, risk_date
from oms_kernel.domain.errors import InvalidRequest

NEW_YORK = ZoneInfo("America/New_York")
FUTURES = Calendar(
    name="futures",
    time_zone="America/New_York",
    weekdays=(1, 2, 3, 4, 5),
    opens_at=time(18),
    closes_at=time(17),
    holidays=(date(2026, 12, 25),),
    early_closes={date(2026, 11, 27): time(13, 15)},
)
FOREX = msgspec.structs.replace(FUTURES, name="forex", opens_at=time(17), closes_at=time(17), early_closes={})
EVERY_DAY = msgspec.structs.replace(ALWAYS_OPEN, name="every day", opens_at=time(9), closes_at=time(17))
CRYPTO = msgspec.structs.replace(ALWAYS_OPEN, name="crypto", holidays=(date(2026, 12, 25),))
STOCKS = msgspec.structs.replace(
    US_EQUITIES, holidays=(date(2026, 12, 25),), early_closes={date(2026, 11, 27): time(13)}
)


def new_york(month: int, day: int, hour: int, minute: int = 0, *, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=NEW_YORK)


@pytest.mark.parametrize(
    ("calendar", "at", "is_open", "trading_date"),
    [
        (ALWAYS_OPEN, datetime(2026, 3, 1, 0, 0, tzinfo=UTC), True, date(2026, 3, 1)),
        (ALWAYS_OPEN, datetime(2026, 3, 1, 23, 59, tzinfo=UTC), True, date(2026, 3, 1)),
        (STOCKS, new_york(3, 2, 9, 29), False, date(2026, 3, 2)),
        (STOCKS, new_york(3, 2, 9, 30), True, date(2026, 3, 2)),
        (STOCKS, new_york(3, 2, 15, 59), True, date(2026, 3, 2)),
        (STOCKS, new_york(3, 2, 16), False, date(2026, 3, 2)),
        (STOCKS, new_york(2, 28, 12), False, date(2026, 2, 28)),  # Saturday
        (STOCKS, new_york(12, 25, 12), False, date(2026, 12, 25)),
        (STOCKS, new_york(11, 27, 12, 59), True, date(2026, 11, 27)),
        (STOCKS, new_york(11, 27, 13), False, date(2026, 11, 27)),
        (STOCKS, datetime(2026, 3, 9, 13, 30, tzinfo=UTC), True, date(2026, 3, 9)),  # summer time began the day before
        (STOCKS, datetime(2026, 3, 6, 13, 30, tzinfo=UTC), False, date(2026, 3, 6)),
        (FUTURES, new_york(3, 1, 17, 59), False, date(2026, 3, 1)),  # Sunday
        (FUTURES, new_york(3, 1, 18), True, date(2026, 3, 2)),
        (FUTURES, new_york(3, 2, 3), True, date(2026, 3, 2)),
        (FUTURES, new_york(3, 2, 17), False, date(2026, 3, 2)),
        (FUTURES, new_york(3, 2, 18), True, date(2026, 3, 3)),
        (FUTURES, new_york(3, 6, 18), False, date(2026, 3, 7)),  # Friday evening belongs to Saturday
        (FUTURES, new_york(12, 24, 20), False, date(2026, 12, 25)),
        (FUTURES, new_york(11, 27, 13, 15), False, date(2026, 11, 27)),
        (FUTURES, new_york(11, 26, 20), True, date(2026, 11, 27)),
        (FOREX, new_york(3, 1, 17), True, date(2026, 3, 2)),
        (FOREX, new_york(3, 2, 16, 59), True, date(2026, 3, 2)),
        (FOREX, new_york(3, 6, 17), False, date(2026, 3, 7)),
    ],
)
def test_an_instant_has_a_session_and_a_trading_date(
    calendar: Calendar, at: datetime, is_open: bool, trading_date: date
) -> None:
    assert calendar.is_open(at) is is_open
    assert calendar.trading_date(at) == trading_date


@pytest.mark.parametrize(
    ("calendar", "day", "closes"),
    [
        (ALWAYS_OPEN, date(2026, 3, 2), datetime(2026, 3, 3, tzinfo=UTC)),
        (STOCKS, date(2026, 3, 2), new_york(3, 2, 16)),
        (STOCKS, date(2026, 11, 27), new_york(11, 27, 13)),
        (FUTURES, date(2026, 3, 2), new_york(3, 2, 17)),
        (FOREX, date(2026, 3, 2), new_york(3, 2, 17)),
        (STOCKS, date(2026, 3, 6), datetime(2026, 3, 6, 21, tzinfo=UTC)),
        (STOCKS, date(2026, 3, 9), datetime(2026, 3, 9, 20, tzinfo=UTC)),
    ],
)
def test_a_day_order_ends_at_the_close_of_its_trading_date(calendar: Calendar, day: date, closes: datetime) -> None:
    assert calendar.session_close(day) == closes
    assert calendar.session_close(day).tzinfo is UTC


@pytest.mark.parametrize("calendar", [ALWAYS_OPEN, STOCKS, FUTURES, FOREX])
def test_an_open_venue_closes_later_on_the_same_trading_date(calendar: Calendar) -> None:
    for hour in range(24 * 14):
        at = datetime(2026, 3, 1 + hour // 24, hour % 24, 30, tzinfo=UTC)
        if calendar.is_open(at):
            assert calendar.session_close(calendar.trading_date(at)) > at


@pytest.mark.parametrize(
    ("at", "zone", "roll", "day"),
    [
        (datetime(2026, 3, 2, 23, 59, tzinfo=UTC), "UTC", time(0), date(2026, 3, 2)),
        (datetime(2026, 3, 3, 0, 0, tzinfo=UTC), "UTC", time(0), date(2026, 3, 3)),
        (new_york(3, 2, 16, 59), "America/New_York", time(17), date(2026, 3, 2)),
        (new_york(3, 2, 17), "America/New_York", time(17), date(2026, 3, 3)),
        (datetime(2026, 3, 2, 20, 0, tzinfo=UTC), "Asia/Kolkata", time(0), date(2026, 3, 3)),
        (new_york(11, 1, 17), "America/New_York", time(17), date(2026, 11, 2)),  # summer time ended that morning
    ],
)
def test_the_risk_day_follows_the_accounts_zone_and_roll(at: datetime, zone: str, roll: time, day: date) -> None:
    assert risk_date(at, zone, roll) == day


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        ALWAYS_OPEN.is_open(datetime(2026, 3, 2))  # noqa: DTZ001


TOKYO = Calendar(
    name="tokyo",
    time_zone="Asia/Tokyo",
    weekdays=(1, 2, 3, 4, 5),
    opens_at=time(9),
    closes_at=time(15, 30),
    break_from=time(11, 30),
    break_until=time(12, 30),
    late_opens={date(2026, 1, 5): time(10)},
)


def tokyo(month: int, day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=ZoneInfo("Asia/Tokyo"))


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        (tokyo(3, 2, 11, 29), True),
        (tokyo(3, 2, 11, 30), False),
        (tokyo(3, 2, 12, 29), False),
        (tokyo(3, 2, 12, 30), True),
        (tokyo(1, 5, 9, 59), False),
        (tokyo(1, 5, 10), True),
        (tokyo(1, 6, 9), True),
    ],
)
def test_a_venue_is_closed_in_its_pause_and_before_it_opens_late(at: datetime, is_open: bool) -> None:
    assert TOKYO.is_open(at) is is_open


@pytest.mark.parametrize(
    ("calendar", "at", "changes"),
    [
        (STOCKS, new_york(3, 2, 9), new_york(3, 2, 9, 30)),
        (STOCKS, new_york(3, 2, 9, 30), new_york(3, 2, 16)),
        (STOCKS, new_york(3, 6, 16), new_york(3, 9, 9, 30)),
        (STOCKS, new_york(11, 27, 10), new_york(11, 27, 13)),
        (STOCKS, new_york(12, 24, 17), new_york(12, 28, 9, 30)),
        (FUTURES, new_york(3, 2, 16), new_york(3, 2, 17)),
        (FUTURES, new_york(3, 2, 17), new_york(3, 2, 18)),
        (FUTURES, new_york(3, 6, 17), new_york(3, 8, 18)),
        (FOREX, new_york(3, 4, 12), new_york(3, 6, 17)),
        (FOREX, new_york(3, 7, 12), new_york(3, 8, 17)),
        (TOKYO, tokyo(3, 2, 9), tokyo(3, 2, 11, 30)),
        (TOKYO, tokyo(3, 2, 12), tokyo(3, 2, 12, 30)),
        (TOKYO, tokyo(3, 2, 13), tokyo(3, 2, 15, 30)),
        (TOKYO, tokyo(1, 4, 12), tokyo(1, 5, 10)),
        (ALWAYS_OPEN, datetime(2026, 3, 1, tzinfo=UTC), None),
        (EVERY_DAY, datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 1, 17, tzinfo=UTC)),
        (EVERY_DAY, datetime(2026, 3, 1, 17, tzinfo=UTC), datetime(2026, 3, 2, 9, tzinfo=UTC)),
        (CRYPTO, datetime(2026, 12, 24, 12, tzinfo=UTC), datetime(2026, 12, 25, tzinfo=UTC)),
    ],
)
def test_a_venue_says_when_it_next_opens_or_closes(calendar: Calendar, at: datetime, changes: datetime | None) -> None:
    found = calendar.next_change(at)
    assert found == changes
    if found is not None:
        assert calendar.is_open(found) is not calendar.is_open(at)


def test_a_venue_that_stays_closed_for_weeks_has_no_next_opening() -> None:
    shut = msgspec.structs.replace(STOCKS, weekdays=())
    assert shut.next_change(new_york(3, 2, 9)) is None


def test_a_session_begins_the_evening_before_its_date_where_it_does() -> None:
    assert FUTURES.session_open(date(2026, 3, 2)) == new_york(3, 1, 18)
    assert STOCKS.session_open(date(2026, 3, 2)) == new_york(3, 2, 9, 30)
    assert TOKYO.session_open(date(2026, 1, 5)) == tokyo(1, 5, 10)


def test_holidays_are_known_up_to_a_day_or_for_ever() -> None:
    bounded = msgspec.structs.replace(STOCKS, known_until=date(2026, 12, 31))
    assert bounded.is_known(date(2026, 12, 31))
    assert not bounded.is_known(date(2027, 1, 1))
    assert STOCKS.is_known(date(2999, 1, 1))
    assert STOCKS.is_session(date(2026, 12, 24))
    assert not STOCKS.is_session(date(2026, 12, 25))
