"""Feeds give the quotes of a file or a seed in order, the same each time, and name the line they cannot read."""

import gzip
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from itertools import islice, pairwise
from pathlib import Path

import pytest

from oms_kernel.contracts.broker import Filled
from oms_kernel.domain.calendar import US_EQUITIES
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import BrokerOrderId, WireId
from oms_kernel.domain.market import Quote
from oms_kernel.domain.order import OrderType, Side, TimeInForce
from oms_kernel.simulation.csv_feed import LAP, CsvFeed
from oms_kernel.simulation.matching import MatchingEngine
from oms_kernel.simulation.orders import NewOrder
from oms_kernel.simulation.synthetic import SyntheticFeed, write_quotes_csv
from oms_kernel.testkit.builders import BROKER_ACCOUNT_ID, an_instrument

SPY = an_instrument("SPY", calendar="us-equities")
IBM = an_instrument("IBM")
KNOWN = {"SPY": SPY, "IBM": IBM}
START = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
QUOTES = "ts,symbol,bid,bid_size,ask,ask_size\n"
TRADES = "ts,symbol,price,size\n"
BARS = "ts,symbol,open,high,low,close,volume\n"

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file of that text."""

    def write_text(text: str) -> Path:
        path = tmp_path / "feed.csv"
        path.write_text(text)
        return path

    return write_text


def read(path: Path, **options: object) -> list[Quote]:
    """All quotes of a file."""
    return list(CsvFeed(path, KNOWN, **options).quotes())  # type: ignore[arg-type]


def test_the_quotes_layout_gives_each_row_as_a_quote(write: Write) -> None:
    rows = "2013-10-07T13:30:00.072Z,SPY,167.27,100,167.41,600\n2013-10-07T13:30:00.072Z,IBM,,,182.1,0\n"
    path = write(QUOTES + rows)
    first, second = read(path)
    assert first.data_at == datetime(2013, 10, 7, 13, 30, 0, 72_000, tzinfo=UTC)
    assert (first.bid, first.bid_size) == (Decimal("167.27"), Decimal(100))
    assert (first.ask, first.ask_size) == (Decimal("167.41"), Decimal(600))
    assert (second.instrument_id, second.bid, second.bid_size) == (IBM.instrument_id, None, None)
    assert (second.ask, second.ask_size) == (Decimal("182.1"), Decimal(0))


def test_a_price_of_zero_is_an_absent_side(write: Write) -> None:
    (quote,) = read(write(QUOTES + "2013-10-07T13:30:00Z,SPY,0,0,167.41,600\n"))
    assert quote.bid is None


def test_a_time_of_another_zone_becomes_utc(write: Write) -> None:
    (quote,) = read(write(QUOTES + "2013-10-07T09:30:00-04:00,SPY,1,1,2,1\n"))
    assert quote.data_at == datetime(2013, 10, 7, 13, 30, tzinfo=UTC)


def test_a_trade_tells_the_last_price_and_offers_nothing(write: Write) -> None:
    (quote,) = read(write(TRADES + "2013-10-07T13:30:00.072Z,IBM,181.9,200\n"))
    assert (quote.bid, quote.ask, quote.last) == (None, None, Decimal("181.9"))


def test_a_bar_is_known_at_its_end_and_offers_its_close_one_tick_wide(write: Write) -> None:
    path = write(BARS + "2014-06-05T13:30:00Z,SPY,10,12,9,11.005,700\n")
    (quote,) = read(path, bar_duration=timedelta(minutes=1))
    assert quote.data_at == datetime(2014, 6, 5, 13, 31, tzinfo=UTC)
    assert (quote.bid, quote.ask, quote.last) == (Decimal("11.00"), Decimal("11.01"), Decimal("11.005"))
    assert quote.bid_size == quote.ask_size == 700


def test_a_daily_bar_is_known_at_the_time_that_the_feed_is_told(write: Write) -> None:
    (quote,) = read(write(BARS + "1998-01-02,SPY,97.31,97.53,96.53,97.36,2150000\n"), daily_at=time(21))
    assert quote.data_at == datetime(1998, 1, 2, 21, tzinfo=UTC)


def test_a_gzipped_file_reads_like_a_plain_one(tmp_path: Path, write: Write) -> None:
    text = QUOTES + "2013-10-07T13:30:00Z,SPY,1,1,2,1\n"
    packed = tmp_path / "feed.csv.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    assert read(packed) == read(write(text))


GOOD = "2013-10-07T13:30:00Z,SPY,1,1,2,1\n"


@pytest.mark.parametrize(
    ("text", "line", "field", "word"),
    [
        ("", 1, "header", "known layouts"),
        ("a,b,c\n", 1, "header", "known layouts"),
        (QUOTES + GOOD + "2013-10-07T13:30:01Z,SPY,1,1,2\n", 3, "row", "5 fields"),
        (QUOTES + "soon,SPY,1,1,2,1\n", 2, "ts", "ISO 8601"),
        (QUOTES + "2013-10-07T13:30:00,SPY,1,1,2,1\n", 2, "ts", "time zone"),
        (QUOTES + GOOD + "2013-10-07T13:29:59Z,SPY,1,1,2,1\n", 3, "ts", "sort the file"),
        (QUOTES + "2013-10-07T13:30:00Z,XYZ,1,1,2,1\n", 2, "symbol", "no known instrument"),
        (QUOTES + "2013-10-07T13:30:00Z,SPY,one,1,2,1\n", 2, "bid", "no number"),
        (QUOTES + "2013-10-07T13:30:00Z,SPY,1,NaN,2,1\n", 2, "bid_size", "no plain number"),
        (QUOTES + "2013-10-07T13:30:00Z,SPY,1,1,-2,1\n", 2, "ask", "no plain number"),
        (QUOTES + "2013-10-07T13:30:00Z,SPY,1,1,2,Infinity\n", 2, "ask_size", "no plain number"),
        (TRADES + "2013-10-07T13:30:00Z,SPY,1,\n", 2, "size", "no number"),
        (BARS + "2013-10-07T13:30:00Z,SPY,1,1,1,1,1\n", 2, "ts", "bar_duration"),
        (BARS + "2013-10-07,SPY,1,1,0,1,1\n", 2, "low", "greater than 0"),
    ],
)
def test_a_bad_row_names_file_line_field_and_fix(write: Write, text: str, line: int, field: str, word: str) -> None:
    path = write(text)
    with pytest.raises(InvalidRequest) as caught:
        read(path)
    assert caught.value.field == field
    assert f"{path}, line {line}, field {field}:" in caught.value.detail
    assert word in caught.value.detail


@pytest.mark.parametrize(
    "content",
    [b"no gzip at all", gzip.compress(QUOTES.encode() * 1000)[:-20], gzip.compress(b"\xff\xfe,")],
    ids=["no gzip", "cut short", "no text"],
)
def test_a_broken_file_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.csv.gz"
    path.write_bytes(content)
    with pytest.raises(InvalidRequest, match=re.escape(f"{path}, line")):
        read(path)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="name a readable CSV file"):
        read(tmp_path / "none.csv")


def test_unknown_symbols_may_be_passed_over(write: Write) -> None:
    path = write(QUOTES + "2013-10-07T13:30:00Z,XYZ,1,1,2,1\n" + GOOD)
    assert [quote.instrument_id for quote in read(path, skip_unknown=True)] == [SPY.instrument_id]


def test_a_loop_goes_on_a_year_of_weeks_later_on_the_same_weekday(write: Write) -> None:
    path = write(QUOTES + GOOD + "2013-10-07T13:30:05Z,SPY,1,1,2,1\n")
    quotes = list(islice(CsvFeed(path, KNOWN, loop=True).quotes(), 5))
    assert all(earlier.data_at <= later.data_at for earlier, later in pairwise(quotes))
    assert quotes[2].data_at == quotes[0].data_at + LAP == quotes[4].data_at - LAP
    assert quotes[2].data_at.weekday() == quotes[0].data_at.weekday()
    assert quotes[2].received_at == quotes[2].data_at


def test_a_feed_goes_on_after_an_instant_of_any_lap(write: Write) -> None:
    path = write(QUOTES + GOOD + "2013-10-07T13:30:05Z,SPY,3,1,4,1\n")
    first = datetime(2013, 10, 7, 13, 30, tzinfo=UTC)
    assert [quote.bid for quote in read(path, after=first)] == [Decimal(3)]
    for lap in (0, 1, 40):
        quotes = CsvFeed(path, KNOWN, loop=True, after=first + lap * LAP).quotes()
        assert next(quotes).data_at == first + lap * LAP + timedelta(seconds=5)
        assert next(quotes).data_at == first + (lap + 1) * LAP


def test_a_feed_that_was_played_to_its_end_is_played_once_more(write: Write) -> None:
    path = write(QUOTES + GOOD + "2013-10-07T13:30:05Z,SPY,3,1,4,1\n")
    quotes = read(path, after=datetime(2013, 10, 7, 13, 30, 5, tzinfo=UTC))
    assert [quote.bid for quote in quotes] == [Decimal(1), Decimal(3)]
    assert quotes[0].data_at == datetime(2013, 10, 7, 13, 30, tzinfo=UTC) + LAP


def test_the_synthetic_feed_repeats_itself_with_its_seed_and_stays_on_the_grid() -> None:
    def some(seed: int) -> list[Quote]:
        feed = SyntheticFeed([SPY, IBM], seed, START, timedelta(milliseconds=200))
        return list(islice(feed.quotes(), 2_000))

    assert some(7) == some(7)
    assert some(7) != some(8)
    for quote in some(7):
        assert quote.bid is not None and quote.ask is not None and quote.bid_size and quote.ask_size
        assert 0 < quote.bid < quote.ask
        assert quote.bid % SPY.tick_size == quote.ask % SPY.tick_size == 0
    assert some(7)[2].data_at == START + timedelta(milliseconds=200)


def test_a_walk_begins_where_it_is_told_and_never_falls_to_nothing() -> None:
    penny = an_instrument("PENNY", tick_size=Decimal("0.05"), lot_size=Decimal("0.1"))
    prices = {penny.instrument_id: Decimal("0.30")}
    quotes = islice(SyntheticFeed([penny], 1, START, timedelta(seconds=1), prices=prices).quotes(), 3_000)
    assert min(quote.bid for quote in quotes if quote.bid is not None) >= Decimal("1.00")


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="interval must be greater than 0"):
        SyntheticFeed([SPY], 1, START, timedelta(0))


@pytest.mark.parametrize("name", ["day.csv", "day.csv.gz"])
def test_a_written_day_reads_back_with_gaps_and_one_sided_moments(tmp_path: Path, name: str) -> None:
    options = {"seed": 3, "start": START, "interval": timedelta(seconds=1), "rows": 2_000}
    path = write_quotes_csv(tmp_path / name, [SPY, IBM], **options)  # type: ignore[arg-type]
    quotes = read(path)
    assert 1_800 < len(quotes) < 2_000
    assert any(quote.bid is None for quote in quotes)
    assert any(quote.ask is None for quote in quotes)
    again = write_quotes_csv(tmp_path / ("2" + name), [SPY, IBM], **options)  # type: ignore[arg-type]
    assert read(again) == quotes


def trade_every(quotes: list[Quote], every: int) -> tuple[int, int]:
    """(orders sent, executions) of a replay in which each execution is held to the quote of its moment."""
    engine = MatchingEngine([SPY], {US_EQUITIES.name: US_EQUITIES})
    sent = executions = 0
    shown: Quote | None = None
    for number, quote in enumerate(quotes):
        reports = engine.on_quote(quote)
        shown = quote
        if number % every == 0:
            sent += 1
            reports += engine.submit(an_order(sent, quote))
        for report in reports:
            if not isinstance(report, Filled):
                continue
            executions += 1
            assert report.broker_at == shown.data_at
            assert US_EQUITIES.is_open(report.broker_at)
            assert report.price == (shown.ask if report.side is Side.BUY else shown.bid)
            size = shown.ask_size if report.side is Side.BUY else shown.bid_size
            assert size is not None and report.quantity <= size
    return sent, executions


def an_order(number: int, quote: Quote) -> NewOrder:
    """An order of each type in turn, near the market."""
    middle = quote.bid or quote.ask
    assert middle is not None
    order_type = (OrderType.MARKET, OrderType.LIMIT, OrderType.STOP, OrderType.TRAILING_STOP)[number % 4]
    side = Side.BUY if number % 8 < 4 else Side.SELL
    return NewOrder(
        broker_order_id=BrokerOrderId(str(number)),
        wire_id=WireId(str(number)),
        broker_account_id=BROKER_ACCOUNT_ID,
        instrument_id=SPY.instrument_id,
        side=side,
        quantity=Decimal(100),
        order_type=order_type,
        time_in_force=TimeInForce.DAY,
        limit_price=middle if order_type is OrderType.LIMIT else None,
        stop_price=middle + side.sign * Decimal("0.05") if order_type is OrderType.STOP else None,
        trail_amount=Decimal("0.05") if order_type is OrderType.TRAILING_STOP else None,
    )


def test_a_synthetic_day_trades_only_at_prices_that_its_quotes_allow(tmp_path: Path) -> None:
    path = write_quotes_csv(
        tmp_path / "day.csv.gz",
        [SPY],
        seed=11,
        start=START - timedelta(minutes=5),
        interval=timedelta(seconds=2),
        rows=5_000,
    )
    sent, executions = trade_every(read(path), every=5)
    assert sent > 900
    assert executions > 700


@pytest.mark.skipif("OMS_MARKET_DATA" not in os.environ, reason="OMS_MARKET_DATA names no folder of real quotes")
def test_a_real_day_trades_only_at_prices_that_its_quotes_allow() -> None:
    path = Path(os.environ["OMS_MARKET_DATA"]) / "spy-quotes-1s-2013-10-07.csv.gz"
    quotes = read(path)
    assert len(quotes) > 20_000
    sent, executions = trade_every(quotes, every=20)
    assert sent > 1_000
    assert executions > 800
