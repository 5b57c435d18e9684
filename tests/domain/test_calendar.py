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
