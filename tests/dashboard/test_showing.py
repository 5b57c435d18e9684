"""Numbers, signs and states as people read them."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from oms_app.dashboard import showing
from oms_kernel.domain.lifecycle import OrderState
from oms_kernel.domain.order import OrderType

CENT = Decimal("0.01")


@pytest.mark.parametrize(
    ("value", "shown"),
    [("1000000", "1,000,000"), ("-80", "−80"), ("0.7500", "0.75"), ("0", "0"), ("-0", "0"), ("0.0001", "0.0001")],
)
def test_quantities_have_separators_and_only_their_digits(value: str, shown: str) -> None:
    assert showing.quantity(Decimal(value)) == shown


@pytest.mark.parametrize(
    ("value", "tick", "extra", "shown"),
    [
        ("450", "0.01", 0, "450.00"),
        ("190.0612", "0.01", 2, "190.0612"),
        ("190.0600", "0.01", 2, "190.06"),
        ("190.061249", "0.01", 2, "190.0612"),
        ("1.08", "0.00001", 0, "1.08000"),
        ("59999.955", "0.01", 1, "59,999.955"),
        ("-3.5", "0.25", 0, "−3.50"),
        ("100", "5", 0, "100"),
    ],
)
def test_prices_have_the_ticks_decimals_and_more_only_where_asked(
    value: str, tick: str, extra: int, shown: str
) -> None:
    assert showing.price(Decimal(value), Decimal(tick), extra) == shown


@pytest.mark.parametrize(
    ("value", "shown", "trend"),
    [
        ("1234.5", "+1,234.50", "up"),
        ("-1234.5", "−1,234.50", "down"),
        ("0", "0.00", "flat"),
        ("0.004", "0.00", "flat"),
        ("-0.004", "0.00", "flat"),
        ("-0.006", "−0.01", "down"),
    ],
)
def test_a_result_has_a_sign_and_a_trend_that_agree(value: str, shown: str, trend: str) -> None:
    assert (showing.signed(Decimal(value)), showing.trend(Decimal(value))) == (shown, trend)


def test_what_is_not_known_is_a_dash() -> None:
    assert {showing.quantity(None), showing.price(None, CENT), showing.amount(None), showing.signed(None)} == {"–"}


def test_times_are_of_the_accounts_zone_and_dated_when_not_of_today() -> None:
    zone = ZoneInfo("America/New_York")
    now = datetime(2026, 7, 2, 15, 0, tzinfo=UTC)
    assert showing.clock_time(datetime(2026, 7, 2, 13, 30, 5, tzinfo=UTC), zone, now) == "09:30:05"
    assert showing.clock_time(datetime(2026, 7, 2, 3, 0, tzinfo=UTC), zone, now) == "01 Jul 23:00"


def test_every_state_and_type_has_its_words() -> None:
    assert set(showing.CHIPS) == set(OrderState)
    assert set(showing.ORDER_TYPES) == set(OrderType)
    assert len({word for word, _ in showing.CHIPS.values()}) == len(OrderState)
