"""Orders trade at the touch, up to the size shown, in price-time order, and end as their time in force says."""

from datetime import timedelta
from decimal import Decimal

import pytest

from oms_kernel.contracts.broker import Canceled, Filled, Rejected, ReplaceRefused
from oms_kernel.domain.calendar import US_EQUITIES
from oms_kernel.domain.order import OrderType, TimeInForce
from oms_kernel.simulation.fees import MAKER, TAKER, BasisPointFees, PerUnitFees
from oms_kernel.simulation.latency import Latency
from oms_kernel.simulation.orders import SUPPORTED
from tests.simulation.venue import BUY, CLOSE, OPEN, SELL, Venue, new_york

DAY = timedelta(days=1)


# ---------------------------------------------------------------------- touch, size, priority


def test_a_market_buy_trades_at_the_ask_and_a_sell_at_the_bid() -> None:
    venue = Venue()
    venue.quote("99.99", "100.01")
    assert venue.words(venue.send(BUY, 100)) == ["Acknowledged", "Filled 100 @ 100.01"]
    assert venue.words(venue.send(SELL, 100)) == ["Acknowledged", "Filled 100 @ 99.99"]


def test_our_fills_consume_the_size_shown_until_the_next_quote() -> None:
    venue = Venue()
    venue.quote("99.99", "100.01", 100)
    first, second = venue.send(BUY, 70), venue.send(BUY, 70)
    assert venue.words(first)[1:] == ["Filled 70 @ 100.01"]
    assert venue.words(second)[1:] == ["Filled 30 @ 100.01"]
    venue.quote("99.99", "100.02", 100)
    assert venue.words(second)[1:] == ["Filled 30 @ 100.01", "Filled 40 @ 100.02"]


def test_what_was_bought_leaves_the_size_of_the_bid_alone() -> None:
    venue = Venue()
    venue.quote("99.99", "100.01", 100)
    venue.send(BUY, 100)
    assert venue.words(venue.send(SELL, 100))[1:] == ["Filled 100 @ 99.99"]


def test_the_keenest_limit_goes_first_and_a_market_order_before_it() -> None:
    venue = Venue()
    low, high = venue.send(BUY, 100, "100.01"), venue.send(BUY, 100, "100.05")
    market = venue.send(BUY, 100)
    venue.quote("99.99", "100.01", 250)
    assert venue.words(market)[1:] == ["Filled 100 @ 100.01"]
    assert venue.words(high)[1:] == ["Filled 100 @ 100.01"]
    assert venue.words(low)[1:] == ["Filled 50 @ 100.01"]


def test_at_one_price_the_earlier_order_goes_first() -> None:
    venue = Venue()
    first, second = venue.send(SELL, 100, "100.00"), venue.send(SELL, 100, "100.00")
    venue.quote("100.00", "100.02", 150)
    assert venue.words(first)[1:] == ["Filled 100 @ 100.00"]
    assert venue.words(second)[1:] == ["Filled 50 @ 100.00"]


def test_a_limit_order_gets_the_touch_when_that_is_better() -> None:
    venue = Venue()
    venue.quote("99.99", "100.01")
    assert venue.words(venue.send(BUY, 10, "100.50"))[1:] == ["Filled 10 @ 100.01"]


def test_a_side_that_is_absent_or_has_no_size_trades_nothing() -> None:
    venue = Venue()
    order = venue.send(BUY, 100)
    venue.quote("99.99", None)
    venue.quote("99.99", "100.01", bid_size=100, ask_size=0)
    assert venue.words(order) == ["Acknowledged"]
    venue.quote(None, "100.01")
    assert venue.words(order)[1:] == ["Filled 100 @ 100.01"]


def test_a_crossed_quote_trades_nothing_and_triggers_nothing_while_a_locked_one_does() -> None:
    venue = Venue()
    order = venue.send(BUY, 100)
    stop = venue.send(SELL, 10, order_type=OrderType.STOP, stop_price="99.00")
    venue.quote("100.02", "98.00")
    assert venue.words(order) == venue.words(stop) == ["Acknowledged"]
    venue.quote("100.00", "100.00")
    assert venue.words(order)[1:] == ["Filled 100 @ 100.00"]


def test_only_whole_lots_trade() -> None:
    venue = Venue(lot=100)
    order = venue.send(BUY, 300)
    venue.quote("99.99", "100.01", 250)
    assert venue.words(order)[1:] == ["Filled 200 @ 100.01"]


def test_our_own_orders_never_trade_with_each_other() -> None:
    venue = Venue()
    buy, sell = venue.send(BUY, 100, "101.00"), venue.send(SELL, 100, "100.00")
    assert venue.words(buy) == venue.words(sell) == ["Acknowledged"]


def test_an_execution_id_never_comes_twice_and_is_the_same_in_each_run() -> None:
    def run() -> list[str]:
        venue = Venue(exec_prefix="X", first_exec_number=8)
        for _ in range(5):
            venue.quote("99.99", "100.01", 10)
            venue.send(BUY, 15)
        return [report.exec_id for report in venue.reports if isinstance(report, Filled)]

    assert run() == run()
    assert run()[0] == "X0000000008"
    assert len(set(run())) == len(run()) > 5


# ---------------------------------------------------------------------- stops


def test_a_stop_waits_for_the_touch_at_which_it_would_trade() -> None:
    venue = Venue()
    venue.quote("99.99", "100.01")
    stop = venue.send(BUY, 100, order_type=OrderType.STOP, stop_price="101.00")
    venue.quote("101.00", "100.99", at=OPEN)
    venue.quote("100.98", "100.99")
    assert venue.words(stop) == ["Acknowledged"]
    venue.quote("100.98", "101.05")
    assert venue.words(stop)[1:] == ["Filled 100 @ 101.05"]


def test_a_stop_that_is_already_reached_triggers_on_arrival() -> None:
    venue = Venue()
    venue.quote("99.00", "99.02")
    stop = venue.send(SELL, 100, order_type=OrderType.STOP, stop_price="99.50")
    assert venue.words(stop)[1:] == ["Filled 100 @ 99.00"]


def test_a_stop_limit_never_trades_worse_than_its_limit_after_the_trigger() -> None:
    venue = Venue()
    venue.quote("99.99", "100.01")
    order = venue.send(BUY, 100, "101.10", order_type=OrderType.STOP_LIMIT, stop_price="101.00")
    venue.quote("101.20", "101.25")
    assert venue.words(order) == ["Acknowledged"]
    venue.quote("100.00", "100.02")
    assert venue.words(order)[1:] == ["Filled 100 @ 100.02"], "once triggered it is a limit order"


def test_a_trailing_stop_follows_the_bid_up_and_sells_when_it_falls_back() -> None:
    venue = Venue()
    venue.quote("100.00", "100.02")
    order = venue.send(SELL, 100, order_type=OrderType.TRAILING_STOP, trail_amount="1.00")
    venue.quote("102.00", "102.02")
    venue.quote("101.01", "101.03")
    assert venue.words(order) == ["Acknowledged"]
    venue.quote("101.00", "101.02")
    assert venue.words(order)[1:] == ["Filled 100 @ 101.00"]


def test_a_trailing_buy_by_percent_follows_the_ask_down() -> None:
    venue = Venue()
    venue.quote("99.99", "100.00")
    order = venue.send(BUY, 100, order_type=OrderType.TRAILING_STOP, trail_percent="2")
    venue.quote("49.99", "50.00")
    venue.quote("50.98", "50.99")
    assert venue.words(order) == ["Acknowledged"]
    venue.quote("50.98", "51.00")
    assert venue.words(order)[1:] == ["Filled 100 @ 51.00"]


def test_the_first_trigger_of_a_trailing_stop_holds_until_the_trail_is_closer() -> None:
    venue = Venue()
    venue.quote("100.00", "100.02")
    order = venue.send(SELL, 100, order_type=OrderType.TRAILING_STOP, trail_amount="5.00", stop_price="98.00")
    venue.quote("97.99", "98.01")
    assert venue.words(order)[1:] == ["Filled 100 @ 97.99"]


def test_moves_and_triggers_of_stops_are_noted_for_the_venue_to_remember() -> None:
    venue = Venue()
    venue.quote("100.00", "100.02")
    order = venue.send(SELL, 100, order_type=OrderType.TRAILING_STOP, trail_amount="1.00")
    venue.quote("102.00", "102.02")
    moves = [note.stop_price for note in venue.engine.drain_notes()]
    assert moves == [Decimal("99.00"), Decimal("101.00")]
    venue.quote("100.50", "100.52", 40)
    (note,) = venue.engine.drain_notes()
    assert (note.broker_order_id, note.triggered) == (order.broker_order_id, True)


# ---------------------------------------------------------------------- time in force and sessions


@pytest.mark.parametrize("time_in_force", [TimeInForce.IOC, TimeInForce.FOK])
def test_what_must_trade_at_once_ends_when_it_cannot(time_in_force: TimeInForce) -> None:
    venue = Venue()
    without_quote = venue.send(BUY, 100, time_in_force=time_in_force)
    venue.quote("99.99", "100.01", 40)
    too_keen = venue.send(BUY, 10, "100.00", time_in_force=time_in_force)
    assert venue.words(without_quote) == venue.words(too_keen) == ["Acknowledged", "Canceled"]


def test_ioc_takes_what_is_there_and_fok_all_or_nothing() -> None:
    venue = Venue()
    venue.quote("99.99", "100.01", 40)
    assert venue.words(venue.send(BUY, 50, time_in_force=TimeInForce.FOK)) == ["Acknowledged", "Canceled"]
    ioc = venue.send(BUY, 50, time_in_force=TimeInForce.IOC)
    assert venue.words(ioc) == ["Acknowledged", "Filled 40 @ 100.01", "Canceled"]


def test_outside_the_session_orders_only_rest() -> None:
    venue = new_york(at=OPEN - timedelta(hours=1))
    venue.quote("99.99", "100.01")
    order = venue.send(BUY, 100)
    ioc = venue.send(BUY, 100, time_in_force=TimeInForce.IOC)
    stop = venue.send(BUY, 100, order_type=OrderType.STOP, stop_price="90.00")
    venue.quote("99.99", "100.01")
    assert venue.words(order) == venue.words(stop) == ["Acknowledged"]
    assert venue.words(ioc) == ["Acknowledged", "Canceled"]
    venue.quote("99.99", "100.03", 200, at=OPEN)
    assert venue.words(order)[1:] == venue.words(stop)[1:] == ["Filled 100 @ 100.03"]


def test_yesterdays_last_quote_is_nobodys_offer_today() -> None:
    venue = new_york()
    venue.quote("99.99", "100.01")
    venue.advance(OPEN + DAY)
    order = venue.send(BUY, 100)
    assert venue.words(order) == ["Acknowledged"]
    venue.quote("104.99", "105.01")
    assert venue.words(order)[1:] == ["Filled 100 @ 105.01"]


def test_a_day_order_expires_at_the_close_and_trades_no_more_at_that_instant() -> None:
    venue = new_york()
    order = venue.send(BUY, 100, "99.00")
    venue.advance(CLOSE - timedelta(seconds=1))
    assert venue.words(order) == ["Acknowledged"]
    venue.quote("98.99", "99.00", at=CLOSE)
    assert venue.words(order) == ["Acknowledged", "Expired"]
    assert venue.reports[-1].broker_at == CLOSE


def test_a_day_order_that_comes_after_the_close_lives_through_the_next_session() -> None:
    venue = new_york(at=CLOSE + timedelta(hours=1))
    order = venue.send(BUY, 100, "99.00")
    venue.advance(CLOSE + DAY - timedelta(seconds=1))
    assert venue.words(order) == ["Acknowledged"]
    venue.advance(CLOSE + DAY)
    assert venue.words(order) == ["Acknowledged", "Expired"]


def test_a_day_order_of_friday_evening_ends_on_monday() -> None:
    friday_evening = CLOSE + timedelta(days=4, hours=1)
    venue = new_york(at=friday_evening)
    order = venue.send(BUY, 100, "99.00")
    monday_close = CLOSE + timedelta(days=7) - timedelta(hours=1)  # summer time began on the Sunday between
    venue.advance(monday_close - timedelta(seconds=1))
    assert venue.words(order) == ["Acknowledged"]
    venue.advance(monday_close)
    assert venue.words(order)[1:] == ["Expired"]


def test_gtc_outlives_the_close_and_gtd_ends_when_it_says() -> None:
    venue = new_york()
    gtc = venue.send(BUY, 100, "99.00", time_in_force=TimeInForce.GTC)
    gtd = venue.send(BUY, 100, "99.00", time_in_force=TimeInForce.GTD, expire_at=OPEN + 2 * DAY)
    venue.advance(OPEN + 2 * DAY)
    assert venue.words(gtd)[1:] == ["Expired"]
    venue.quote("98.99", "99.00")
    assert venue.words(gtc)[1:] == ["Filled 100 @ 99.00"]


def test_opg_takes_part_in_the_first_quote_of_the_session_only() -> None:
    venue = new_york(at=OPEN - timedelta(hours=1))
    opg = venue.send(BUY, 100, time_in_force=TimeInForce.OPG)
    venue.quote("99.99", "100.01")
    assert venue.words(opg) == ["Acknowledged"]
    venue.quote("101.00", "100.00", at=OPEN)
    assert venue.words(opg) == ["Acknowledged"], "a crossed quote opens nothing"
    venue.quote("99.99", "100.05", 60, at=OPEN + timedelta(seconds=3))
    assert venue.words(opg)[1:] == ["Filled 60 @ 100.05", "Expired"]


def test_an_opg_that_comes_after_the_opening_waits_for_the_next_one() -> None:
    venue = new_york()
    venue.quote("99.99", "100.01")
    opg = venue.send(BUY, 100, "100.00", time_in_force=TimeInForce.OPG)
    venue.quote("99.00", "99.02", at=OPEN + timedelta(minutes=1))
    assert venue.words(opg) == ["Acknowledged"]
    venue.quote("99.97", "99.99", at=OPEN + DAY)
    assert venue.words(opg)[1:] == ["Filled 100 @ 99.99"]


def test_cls_trades_at_the_close_against_the_last_quote_and_the_rest_expires() -> None:
    venue = new_york()
    cls = venue.send(SELL, 100, time_in_force=TimeInForce.CLS)
    dear = venue.send(SELL, 10, "100.50", time_in_force=TimeInForce.CLS)
    venue.quote("99.99", "100.01", 1000)
    venue.quote("99.50", "99.52", 80, at=CLOSE - timedelta(seconds=2))
    assert venue.words(cls) == ["Acknowledged"]
    venue.quote("50.00", "50.02", at=CLOSE + timedelta(minutes=5))
    assert venue.words(cls)[1:] == ["Filled 80 @ 99.50", "Expired"]
    assert venue.words(dear)[1:] == ["Expired"]
    assert {report.broker_at for report in venue.last} == {CLOSE}


def test_cls_without_a_quote_in_the_session_expires() -> None:
    venue = new_york(at=OPEN - timedelta(hours=1))
    venue.quote("99.99", "100.01")
    cls = venue.send(SELL, 100, time_in_force=TimeInForce.CLS)
    venue.advance(CLOSE)
    assert venue.words(cls)[1:] == ["Expired"]


def test_a_cls_for_tomorrow_is_not_touched_by_the_close_of_today() -> None:
    venue = new_york()
    today = venue.send(SELL, 10, time_in_force=TimeInForce.CLS)
    venue.quote("99.99", "100.01")
    venue.advance(CLOSE)
    tomorrow = venue.send(SELL, 10, time_in_force=TimeInForce.CLS)
    venue.advance(CLOSE + timedelta(hours=1))
    assert venue.words(today)[1:] == ["Filled 10 @ 99.99"]
    assert venue.words(tomorrow) == ["Acknowledged"]


# ---------------------------------------------------------------------- cancel and replace


def test_a_cancel_ends_the_rest_and_a_second_one_is_refused() -> None:
    venue = Venue()
    venue.quote("99.99", "100.01", 40)
    order = venue.send(BUY, 100)
    venue.cancel(order)
    venue.cancel(order)
    assert venue.words(order) == ["Acknowledged", "Filled 40 @ 100.01", "Canceled", "CancelRefused"]


def test_a_smaller_quantity_at_the_same_price_keeps_its_place() -> None:
    venue = Venue()
    first, second = venue.send(BUY, 100, "100.00"), venue.send(BUY, 100, "100.00")
    venue.replace(first, 60, "100.00")
    venue.quote("99.98", "100.00", 80)
    assert venue.words(first)[-1] == "Filled 60 @ 100.00"
    assert venue.words(second)[-1] == "Filled 20 @ 100.00"


@pytest.mark.parametrize(("quantity", "limit"), [(120, "100.02"), (100, "100.01")])
def test_a_larger_quantity_or_another_price_loses_its_place(quantity: int, limit: str) -> None:
    venue = Venue()
    first, second = venue.send(BUY, 100, "100.02"), venue.send(BUY, 100, "100.02")
    venue.replace(first, quantity, limit)
    venue.quote("99.98", "100.00", 100)
    assert venue.words(second)[-1] == "Filled 100 @ 100.00"
    assert venue.words(first)[-1] == "Replaced"


def test_a_replace_that_reaches_the_touch_trades_at_once() -> None:
    venue = Venue()
    venue.quote("99.99", "100.01")
    order = venue.send(BUY, 100, "99.00")
    venue.replace(order, 100, "100.05")
    assert venue.words(order) == ["Acknowledged", "Replaced", "Filled 100 @ 100.01"]


def test_a_total_at_or_below_the_filled_quantity_cancels_the_rest() -> None:
    venue = Venue()
    venue.quote("99.99", "100.01", 40)
    order = venue.send(BUY, 100)
    (answer,) = venue.replace(order, 40)
    assert isinstance(answer, Canceled)
    assert "at or below the filled quantity" in answer.reason
    venue.quote("99.99", "100.01", 100)
    assert venue.words(order)[-1] == "Canceled"


def test_a_replace_that_no_venue_takes_leaves_the_old_terms() -> None:
    venue = Venue()
    order = venue.send(BUY, 100, "99.00")
    (answer,) = venue.replace(order, 100, "99.005")
    assert isinstance(answer, ReplaceRefused)
    assert "tick size" in answer.reason
    venue.quote("98.99", "99.00")
    assert venue.words(order)[-1] == "Filled 100 @ 99.00"


def test_a_stop_is_moved_by_a_replace() -> None:
    venue = Venue()
    venue.quote("99.99", "100.01")
    stop = venue.send(BUY, 100, order_type=OrderType.STOP, stop_price="101.00")
    venue.replace(stop, 100, stop_price="102.00")
    venue.quote("101.48", "101.50")
    assert venue.words(stop) == ["Acknowledged", "Replaced"]
    venue.quote("101.98", "102.00")
    assert venue.words(stop)[-1] == "Filled 100 @ 102.00"


# ---------------------------------------------------------------------- refusals


def test_every_type_is_taken_with_its_times_in_force_and_refused_clearly_with_the_others() -> None:
    prices: dict[OrderType, dict[str, str]] = {
        OrderType.MARKET: {},
        OrderType.LIMIT: {"limit": "90.00"},
        OrderType.STOP: {"stop_price": "110.00"},
        OrderType.STOP_LIMIT: {"stop_price": "110.00", "limit": "110.00"},
        OrderType.TRAILING_STOP: {"trail_amount": "1.00"},
    }
    for order_type in OrderType:
        for time_in_force in TimeInForce:
            venue = Venue()
            fields = dict(prices.get(order_type, {}))
            order = venue.send(
                BUY,
                10,
                fields.pop("limit", None),
                order_type=order_type,
                time_in_force=time_in_force,
                expire_at=OPEN + DAY if time_in_force is TimeInForce.GTD else None,
                **fields,
            )
            first = venue.words(order)[0]
            expected = "Acknowledged" if time_in_force in SUPPORTED.get(order_type, ()) else "Rejected"
            assert first == expected, (order_type, time_in_force)
            if expected == "Rejected":
                (report,) = venue.reports
                assert isinstance(report, Rejected)
                assert "is not supported" in report.reason


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"quantity": "0"}, "quantity must be greater than 0"),
        ({"quantity": "1.5"}, "lot size"),
        ({"limit": "100.005"}, "tick size"),
        ({"order_type": OrderType.LIMIT}, "LIMIT needs a limit_price"),
        ({"order_type": OrderType.MARKET, "limit": "100.00"}, "MARKET takes no limit_price"),
        ({"order_type": OrderType.STOP}, "STOP needs a stop_price"),
        ({"order_type": OrderType.LIMIT, "limit": "1.00", "stop_price": "1.00"}, "LIMIT takes no stop_price"),
        ({"order_type": OrderType.TRAILING_STOP}, "exactly one"),
        ({"order_type": OrderType.TRAILING_STOP, "trail_amount": "0"}, "greater than 0"),
        ({"order_type": OrderType.TRAILING_STOP, "trail_percent": "100"}, "less than 100"),
        ({"trail_amount": "1"}, "no trail"),
        ({"time_in_force": TimeInForce.GTD}, "GTD needs expire_at"),
        ({"time_in_force": TimeInForce.GTD, "expire_at": OPEN}, "has passed"),
    ],
)
def test_what_no_venue_takes_is_rejected_with_the_field_and_the_fix(fields: dict[str, object], word: str) -> None:
    venue = Venue()
    fields = dict(fields)
    order = venue.send(BUY, fields.pop("quantity", "10"), fields.pop("limit", None), **fields)  # type: ignore[arg-type]
    (report,) = venue.reports
    assert isinstance(report, Rejected)
    assert word in report.reason
    assert not venue.engine.is_live(order.broker_order_id)


def test_what_is_above_the_largest_order_is_rejected() -> None:
    venue = Venue(largest=300)
    venue.send(BUY, 301, "100.00")
    (report,) = venue.last
    assert isinstance(report, Rejected)
    assert "above the largest order" in report.reason
    venue.send(BUY, 300, "100.00")
    assert not any(isinstance(one, Rejected) for one in venue.last)


def test_an_unknown_instrument_is_rejected() -> None:
    venue, other = Venue(), Venue(US_EQUITIES)
    order = venue.order(BUY, 10)
    other.engine._books.clear()
    (report,) = other.engine.submit(order)
    assert isinstance(report, Rejected)
    assert "unknown instrument" in report.reason


# ---------------------------------------------------------------------- latency, fees, holdings


def test_an_order_reaches_the_book_after_its_latency_and_trades_on_the_quote_of_then() -> None:
    venue = Venue(latency=Latency(order_ms=50, report_ms=20))
    venue.quote("99.99", "100.01")
    order = venue.send(BUY, 100)
    venue.quote("100.99", "101.01", at=OPEN + timedelta(milliseconds=49))
    assert venue.words(order) == []
    venue.advance(OPEN + timedelta(milliseconds=69))
    assert venue.words(order) == []
    venue.advance(OPEN + timedelta(milliseconds=70))
    assert venue.words(order) == ["Acknowledged", "Filled 100 @ 101.01"]
    assert venue.reports[-1].broker_at == OPEN + timedelta(milliseconds=50)


def test_jitter_repeats_itself_with_the_seed_and_never_reorders() -> None:
    def run(seed: int) -> list[tuple[str, object]]:
        venue = Venue(latency=Latency(order_ms=5, order_jitter_ms=30, report_ms=5, report_jitter_ms=30), seed=seed)
        venue.quote("99.99", "100.01", 10_000)
        orders = [venue.send(BUY, 10) for _ in range(20)]
        venue.advance(timedelta(seconds=5))
        assert [report.broker_order_id for report in venue.reports] == [
            order.broker_order_id for order in orders for _ in range(2)
        ]
        return [(report.broker_order_id or "", report.broker_at) for report in venue.reports]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_fees_follow_the_model_and_the_maker_rests_before_the_quote_came() -> None:
    venue = Venue(fees=BasisPointFees(maker=Decimal("-1"), taker=Decimal("2")))
    rester = venue.send(BUY, 100, "100.00")
    venue.quote("99.98", "100.00", 300)
    taker = venue.send(BUY, 100, "100.00")
    (made,), (took,) = venue.fills(rester), venue.fills(taker)
    assert (made.liquidity, made.fee) == (MAKER, Decimal("-1"))
    assert (took.liquidity, took.fee) == (TAKER, Decimal("2"))


def test_a_fee_for_each_unit_has_a_minimum() -> None:
    fees = PerUnitFees(Decimal("0.005"), minimum=Decimal("1"))
    instrument = Venue().instrument
    assert fees.fee(instrument, BUY, Decimal(10), Decimal(100), TAKER) == 1
    assert fees.fee(instrument, BUY, Decimal(1000), Decimal(100), TAKER) == 5


def test_holdings_follow_the_executions_to_the_last_digit() -> None:
    venue = Venue(fees=PerUnitFees(Decimal("0.003")))
    account = venue.order(BUY, 1).broker_account_id
    venue.engine.holdings.deposit(account, "USD", Decimal(1_000_000))
    venue.quote("99.99", "100.01")
    venue.send(BUY, 100)
    venue.send(SELL, 30)
    (position,) = venue.engine.holdings.position_snapshots([account])
    (cash,) = venue.engine.holdings.cash_snapshots([account])
    assert position.quantity == 70
    assert cash.amount == Decimal(1_000_000) - 100 * Decimal("100.01") + 30 * Decimal("99.99") - Decimal("0.390")
