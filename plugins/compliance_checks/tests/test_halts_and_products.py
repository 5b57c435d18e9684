"""Sessions with margins and half days, halts, bands, delivery and intraday products."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms_compliance_checks.cnc_no_short import CncNoShort
from oms_compliance_checks.halt_status import HaltStatus
from oms_compliance_checks.mis_square_off import MisSquareOff, MisSquareOffMonitor, cut_off_at
from oms_compliance_checks.trading_hours import TradingHours
from oms_kernel.contracts.plugin import parse_params
from oms_kernel.contracts.rules import Trigger
from oms_kernel.domain.calendar import US_EQUITIES, Calendar
from oms_kernel.domain.decision import Outcome
from oms_kernel.domain.order import Product, Side, TimeInForce
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.testkit.builders import ACCOUNT_ID
from oms_kernel.testkit.scene import Scene

INDIA = Calendar(
    name="india",
    time_zone="Asia/Kolkata",
    weekdays=(1, 2, 3, 4, 5),
    opens_at=time(9, 15),
    closes_at=time(15, 30),
    early_closes={date(2026, 3, 3): time(13)},
)
MONDAY_0915 = datetime(2026, 3, 2, 3, 45, tzinfo=UTC)
MONDAY_1520 = datetime(2026, 3, 2, 9, 50, tzinfo=UTC)
TUESDAY_1250 = datetime(2026, 3, 3, 7, 20, tzinfo=UTC)


def scene_in(calendar: Calendar, at: datetime) -> Scene:
    scene = Scene()
    scene.calendars[calendar.name] = calendar
    scene.instrument = scene.add(msgspec.structs.replace(scene.instrument, calendar=calendar.name))
    scene.now = at
    scene.quote()
    return scene


def seconds_after(at: datetime, seconds: int) -> datetime:
    return datetime.fromtimestamp(at.timestamp() + seconds, UTC)


# trading_hours -------------------------------------------------------------------------------------------


def hours(**params: Any) -> TradingHours:
    return TradingHours(parse_params(TradingHours, params))


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(-1, "trading_hours"), (0, "after_open"), (299, "after_open"), (300, ""), (22_200, ""), (22_499, "before_close")],
)
def test_margins_at_both_ends_of_the_session_deny(seconds: int, code: str) -> None:
    scene = scene_in(INDIA, seconds_after(MONDAY_0915, seconds))
    verdict = scene.judge(hours(after_open_s=300, before_close_s=60), scene.order())
    assert verdict.code == code


def test_a_margin_says_how_long_it_was_and_when_the_order_would_pass() -> None:
    scene = scene_in(INDIA, seconds_after(MONDAY_0915, 60))
    verdict = scene.judge(hours(after_open_s=300), scene.order())
    assert (verdict.observed, verdict.limit, verdict.unit, verdict.headroom) == (60, 300, "s", -240)
    assert verdict.would_pass == "the order from 2026-03-02T03:50:00+00:00 on"


def test_an_order_that_may_wait_passes_a_closed_venue_but_no_margin() -> None:
    check = hours(after_open_s=300, allow_waiting=True)
    closed = scene_in(INDIA, seconds_after(MONDAY_0915, -60))
    assert closed.judge(check, closed.order(time_in_force=TimeInForce.GTC)).outcome is Outcome.PASS
    fresh = scene_in(INDIA, seconds_after(MONDAY_0915, 60))
    assert fresh.judge(check, fresh.order(time_in_force=TimeInForce.GTC)).code == "after_open"


@pytest.mark.parametrize(
    ("at", "code"),
    [(datetime(2026, 3, 3, 7, 29, 59, tzinfo=UTC), ""), (datetime(2026, 3, 3, 7, 30, tzinfo=UTC), "trading_hours")],
)
def test_a_half_day_ends_early(at: datetime, code: str) -> None:
    scene = scene_in(INDIA, at)
    assert scene.judge(hours(), scene.order()).code == code


@pytest.mark.parametrize(("at", "code"), [(TUESDAY_1250, "trading_hours"), (MONDAY_1520, "")])
def test_half_days_may_be_closed_altogether(at: datetime, code: str) -> None:
    scene = scene_in(INDIA, at)
    assert scene.judge(hours(closed_on_half_days=True), scene.order()).code == code


def test_a_closed_venue_says_when_it_opens() -> None:
    scene = scene_in(US_EQUITIES, datetime(2026, 3, 6, 22, tzinfo=UTC))
    verdict = scene.judge(hours(), scene.order())
    assert verdict.would_pass == "the order from 2026-03-09T13:30:00+00:00 on"


@pytest.mark.parametrize(("known_until", "code"), [("2026-03-02", ""), ("2026-03-01", "no_calendar"), (None, "")])
def test_a_day_whose_holidays_are_not_known_denies(known_until: str | None, code: str) -> None:
    until = None if known_until is None else date.fromisoformat(known_until)
    scene = scene_in(msgspec.structs.replace(INDIA, known_until=until), MONDAY_1520)
    assert scene.judge(hours(), scene.order()).code == code


def test_a_pause_within_the_session_is_closed() -> None:
    tokyo = Calendar(
        name="tokyo",
        time_zone="Asia/Tokyo",
        opens_at=time(9),
        closes_at=time(15, 30),
        break_from=time(11, 30),
        break_until=time(12, 30),
    )
    for at, code in ((time(11, 29), ""), (time(11, 30), "trading_hours"), (time(12, 30), "")):
        scene = scene_in(tokyo, datetime(2026, 3, 2, at.hour - 9, at.minute, tzinfo=UTC))
        assert scene.judge(hours(), scene.order()).code == code


# halt_status ---------------------------------------------------------------------------------------------


def halts(**params: Any) -> HaltStatus:
    return HaltStatus(parse_params(HaltStatus, params))


@pytest.mark.parametrize(
    ("facts", "params", "code"),
    [
        ({"is_halted": False, "in_auction": False}, {}, ""),
        ({"is_halted": True, "in_auction": False}, {}, "halted"),
        ({"is_halted": None, "in_auction": False}, {}, "no_facts"),
        ({"is_halted": False, "in_auction": True}, {}, "auction"),
        ({"is_halted": False, "in_auction": None}, {}, "no_facts"),
        ({"is_halted": False, "in_auction": True}, {"allow_auction": True}, ""),
        ({"is_halted": False, "in_auction": None}, {"allow_auction": True}, ""),
        ({"is_halted": True, "in_auction": True}, {"allow_auction": True}, "halted"),
    ],
    ids=str,
)
def test_an_instrument_trades_only_while_it_is_known_to(
    facts: dict[str, Any], params: dict[str, Any], code: str
) -> None:
    scene = Scene()
    scene.facts(**facts)
    assert scene.judge(halts(**params), scene.order()).code == code


def test_without_facts_nobody_knows() -> None:
    scene = Scene()
    verdict = scene.judge(halts(), scene.order())
    assert (verdict.code, verdict.message) == ("no_facts", "it is not known whether ACME is halted")


@pytest.mark.parametrize(("age", "code"), [(60, ""), (61, "stale_facts"), (3600, "stale_facts")])
def test_old_facts_are_none(age: int, code: str) -> None:
    scene = Scene()
    scene.facts(is_halted=False, in_auction=False)
    scene.wait(seconds=age)
    verdict = scene.judge(halts(max_age_s=60), scene.order(limit_price="100"))
    assert verdict.code == code
    if code:
        assert (verdict.observed, verdict.limit, verdict.unit) == (age, 60, "s")


@pytest.mark.parametrize(
    ("side", "price", "code"),
    [
        (Side.BUY, "105", ""),
        (Side.BUY, "105.01", "outside_band"),
        (Side.BUY, "50", ""),
        (Side.SELL, "95", ""),
        (Side.SELL, "94.99", "outside_band"),
        (Side.SELL, "150", ""),
        (Side.BUY, None, ""),
    ],
)
def test_an_order_keeps_to_the_side_of_the_band_that_it_could_break(side: Side, price: str | None, code: str) -> None:
    scene = Scene()
    scene.facts(is_halted=False, in_auction=False, limit_up="105", limit_down="95")
    verdict = scene.judge(halts(), scene.order(side, limit_price=price))
    assert verdict.code == code
    if code:
        assert verdict.headroom == Decimal("-0.01")
        assert verdict.would_pass == ("a price of 105 or less" if side is Side.BUY else "a price of 95 or more")


def test_a_market_order_under_a_band_needs_a_quote() -> None:
    scene = Scene()
    scene.facts(is_halted=False, in_auction=False, limit_up="105")
    scene.lose_quotes()
    assert scene.judge(halts(), scene.order()).code == "no_quote"
    assert scene.judge(halts(), scene.order(Side.SELL)).outcome is Outcome.PASS


def test_a_modification_into_a_halt_or_out_of_the_band_is_denied() -> None:
    scene = Scene()
    scene.facts(is_halted=False, in_auction=False, limit_up="105")
    order = scene.accept(scene.order(limit_price="99"))
    assert scene.judge_replace(halts(), order, limit_price="105").outcome is Outcome.PASS
    assert scene.judge_replace(halts(), order, limit_price="106").code == "outside_band"
    scene.facts(is_halted=True)
    assert scene.judge_replace(halts(), order, quantity=1).code == "halted"


# cnc_no_short --------------------------------------------------------------------------------------------

NO_SHORT = CncNoShort(parse_params(CncNoShort, {}))


def delivery(scene: Scene, quantity: int | str, side: Side = Side.SELL) -> Any:
    return scene.order(side, quantity, product=Product.CNC, limit_price="100")


@pytest.mark.parametrize(("quantity", "outcome"), [("99", "PASS"), ("100", "PASS"), ("101", "DENY"), ("100.5", "DENY")])
def test_a_delivery_sale_is_covered_by_what_is_held(quantity: str, outcome: str) -> None:
    scene = Scene()
    scene.instrument = scene.add(msgspec.structs.replace(scene.instrument, lot_size=Decimal("0.5")))
    scene.hold(100)
    verdict = scene.judge(NO_SHORT, delivery(scene, quantity))
    assert (verdict.outcome, verdict.observed, verdict.limit) == (outcome, Decimal(quantity), 100)


def test_open_sales_take_from_what_may_be_delivered_also_while_in_doubt() -> None:
    scene = Scene()
    scene.hold(100)
    scene.accept(scene.order(Side.SELL, 30, limit_price="101"))
    assert scene.judge(NO_SHORT, delivery(scene, 70)).outcome is Outcome.PASS
    other = scene.accept(scene.order(Side.SELL, 30, limit_price="102", product=Product.CNC))
    verdict = scene.judge(NO_SHORT, delivery(scene, 41))
    assert (verdict.limit, verdict.would_pass) == (40, "a quantity of at most 40")
    assert verdict.inputs == {"held": 100, "open_sales": 60}
    scene.doubt(other)
    assert scene.judge(NO_SHORT, delivery(scene, 40)).limit == 40


def test_two_delivery_sales_that_pass_alone_fail_together() -> None:
    scene = Scene()
    scene.hold(100)
    first, second = delivery(scene, 60), delivery(scene, 60)
    assert scene.judge(NO_SHORT, first).outcome is Outcome.PASS
    assert scene.judge(NO_SHORT, second).outcome is Outcome.PASS
    scene.accept(first)
    assert scene.judge(NO_SHORT, second).outcome is Outcome.DENY


@pytest.mark.parametrize("held", [0, -50])
def test_nothing_can_be_delivered_where_nothing_is_held(held: int) -> None:
    scene = Scene()
    if held:
        scene.hold(held)
    verdict = scene.judge(NO_SHORT, delivery(scene, 1))
    assert (verdict.limit, verdict.would_pass) == (0, "product MIS, or a purchase first")


@pytest.mark.parametrize("product", [None, Product.MIS, Product.NRML])
def test_other_products_and_purchases_may_go_short(product: Product | None) -> None:
    scene = Scene()
    assert scene.judge(NO_SHORT, scene.order(Side.SELL, 5, product=product)).outcome is Outcome.PASS
    assert scene.judge(NO_SHORT, delivery(scene, 5, Side.BUY)).outcome is Outcome.PASS


def test_a_modification_counts_what_is_left_of_the_order_at_its_larger_total() -> None:
    scene = Scene()
    scene.hold(100)
    order = scene.acknowledge(scene.accept(delivery(scene, 80)))
    order = scene.fill(order, 30)
    assert scene.judge_replace(NO_SHORT, order, quantity=100).outcome is Outcome.PASS
    assert scene.judge_replace(NO_SHORT, order, quantity=101).outcome is Outcome.DENY
    assert scene.judge_replace(NO_SHORT, order, quantity=50).outcome is Outcome.PASS


# mis_square_off ------------------------------------------------------------------------------------------

SQUARE_OFF = MisSquareOff(parse_params(MisSquareOff, {}))


def intraday(scene: Scene, side: Side = Side.BUY, quantity: int = 10) -> Any:
    return scene.order(side, quantity, product=Product.MIS, limit_price="100")


@pytest.mark.parametrize(
    ("at", "outcome"),
    [
        (seconds_after(MONDAY_1520, -1), "PASS"),
        (MONDAY_1520, "DENY"),
        (datetime(2026, 3, 2, 18, 29, 59, tzinfo=UTC), "DENY"),
        (datetime(2026, 3, 2, 18, 30, tzinfo=UTC), "PASS"),
        (seconds_after(TUESDAY_1250, -1), "PASS"),
        (TUESDAY_1250, "DENY"),
    ],
    ids=["before", "at", "late", "next_day", "half_day_before", "half_day_at"],
)
def test_intraday_orders_end_at_the_cut_off_and_begin_anew_the_next_day(at: datetime, outcome: str) -> None:
    scene = scene_in(INDIA, at)
    verdict = scene.judge(SQUARE_OFF, intraday(scene))
    assert (verdict.outcome, verdict.code) == (outcome, "after_cut_off" if outcome == "DENY" else "")


@pytest.mark.parametrize("product", [None, Product.CNC, Product.NRML])
def test_other_products_have_no_cut_off(product: Product | None) -> None:
    scene = scene_in(INDIA, MONDAY_1520)
    assert scene.judge(SQUARE_OFF, scene.order(product=product)).outcome is Outcome.PASS


def test_what_closes_an_intraday_position_passes_after_the_cut_off() -> None:
    scene = scene_in(INDIA, MONDAY_1520)
    scene.hold(10)
    assert scene.judge(SQUARE_OFF, intraday(scene, Side.SELL, 10)).outcome is Outcome.PASS
    assert scene.judge(SQUARE_OFF, intraday(scene, Side.SELL, 11)).code == "after_cut_off"


def test_an_open_intraday_order_may_only_shrink_after_the_cut_off() -> None:
    scene = scene_in(INDIA, seconds_after(MONDAY_1520, -60))
    order = scene.accept(intraday(scene))
    scene.now = MONDAY_1520
    assert scene.judge_replace(SQUARE_OFF, order, quantity=5).outcome is Outcome.PASS
    assert scene.judge_replace(SQUARE_OFF, order, quantity=15).code == "after_cut_off"
    assert scene.judge_replace(SQUARE_OFF, order, limit_price="101").code == "after_cut_off"


def test_an_intraday_order_by_an_unknown_calendar_is_denied() -> None:
    scene = Scene()
    intent, view = scene.intent(intraday(scene))
    lost = msgspec.structs.replace(intent, instrument=msgspec.structs.replace(intent.instrument, calendar="nowhere"))
    assert SQUARE_OFF.assess(lost, view, None).code == "no_calendar"


def test_the_cut_off_lies_as_long_before_the_close_as_always() -> None:
    assert cut_off_at(INDIA, date(2026, 3, 2), time(15, 20)) == MONDAY_1520
    assert cut_off_at(INDIA, date(2026, 3, 3), time(15, 20)) == TUESDAY_1250
    always = Calendar(name="24x7")
    assert cut_off_at(always, date(2026, 3, 2), time(23)) == datetime(2026, 3, 2, 23, tzinfo=UTC)


# mis_square_off_monitor ----------------------------------------------------------------------------------


def monitor(scope: Scope = EVERYTHING, **params: Any) -> MisSquareOffMonitor:
    return MisSquareOffMonitor(parse_params(MisSquareOffMonitor, params), scope)


def trade(scene: Scene, quantity: int, side: Side = Side.BUY, product: Product | None = Product.MIS) -> None:
    order = scene.acknowledge(scene.accept(scene.order(side, quantity, product=product, limit_price="100")))
    scene.fill(order, quantity)


def after_trades(*trades: tuple[int, Side, Product | None], at: datetime = MONDAY_1520) -> Scene:
    scene = scene_in(INDIA, seconds_after(MONDAY_1520, -3600))
    for quantity, side, product in trades:
        trade(scene, quantity, side, product)
    scene.now = at
    return scene


BOUGHT = (10, Side.BUY, Product.MIS)
DELIVERED = (5, Side.BUY, Product.CNC)


@pytest.mark.parametrize(
    ("at", "found"),
    [
        (seconds_after(MONDAY_1520, -1), 0),
        (MONDAY_1520, 1),
        (seconds_after(MONDAY_1520, 3600), 1),
        (datetime(2026, 3, 3, 5, tzinfo=UTC), 0),
        (TUESDAY_1250, 1),
        (datetime(2026, 3, 7, 12, tzinfo=UTC), 0),
    ],
    ids=["before", "at", "after", "next_morning", "next_cut_off", "saturday"],
)
def test_an_open_intraday_position_is_found_from_the_cut_off_on(at: datetime, found: int) -> None:
    assert len(after_trades(BOUGHT, at=at).watch(monitor())) == found


@pytest.mark.parametrize(
    ("trades", "positions", "observed"),
    [
        ((BOUGHT,), "INTRADAY", [10]),
        ((BOUGHT,), "MIXED", []),
        ((BOUGHT, DELIVERED), "INTRADAY", []),
        ((BOUGHT, DELIVERED), "MIXED", [15]),
        ((BOUGHT, DELIVERED), "ALL", [15]),
        ((DELIVERED,), "ALL", []),
        ((BOUGHT, (10, Side.SELL, Product.MIS)), "ALL", []),
        (((10, Side.SELL, Product.MIS),), "INTRADAY", [-10]),
        ((BOUGHT, (4, Side.SELL, Product.MIS)), "INTRADAY", [6]),
    ],
    ids=str,
)
def test_only_the_positions_that_are_meant_are_closed(trades: Any, positions: str, observed: list[int]) -> None:
    found = after_trades(*trades).watch(monitor(positions=positions))
    assert [trigger.observed for trigger in found] == observed


def test_the_trigger_is_for_the_one_position_and_names_the_day() -> None:
    scene = after_trades(BOUGHT)
    (found,) = scene.watch(monitor())
    assert isinstance(found, Trigger)
    assert found.scope == Scope(account_id=ACCOUNT_ID, instrument_id=scene.instrument.instrument_id)
    assert found.key == f"{ACCOUNT_ID}:{scene.instrument.instrument_id}:2026-03-02"
    assert found.message == "10 ACME of intraday orders are open after the cut-off"


def test_a_limit_of_another_account_or_instrument_closes_nothing_here() -> None:
    scene = after_trades(BOUGHT)
    other = scene.another_account()
    assert scene.watch(monitor(Scope(account_id=other))) == ()
    assert scene.watch(monitor(Scope(instrument_id=scene.another_instrument("B").instrument_id))) == ()
    assert len(scene.watch(monitor(Scope(account_id=ACCOUNT_ID)))) == 1
