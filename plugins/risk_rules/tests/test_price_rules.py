"""Prices against the market and against one's own: collars, swapped fields, creeping, market orders."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.calendar import US_EQUITIES
from oms_kernel.domain.decision import Outcome
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import EventId, StrategyId
from oms_kernel.domain.order import OrderType, Side, TimeInForce
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.guard import make_rule
from oms_kernel.testkit.builders import an_instrument
from oms_kernel.testkit.scene import Scene
from oms_risk_rules.collar_over_time import CollarOverTime
from oms_risk_rules.market_order_guard import MarketOrderGuard
from oms_risk_rules.price_collar import PriceCollar
from oms_risk_rules.swapped_price_quantity import SwappedPriceQuantity

ALGO = StrategyId("algo")


def made(cls: Any, scope: Scope = EVERYTHING, **params: Any) -> Any:
    return make_rule(cls, params, scope)


def last(scene: Scene, price: str | None, **others: Any) -> None:
    quote = scene.quotes[scene.instrument.instrument_id]
    traded = None if price is None else Decimal(price)
    scene.quotes[scene.instrument.instrument_id] = msgspec.structs.replace(quote, last=traded, **others)


@pytest.fixture
def scene() -> Scene:
    return Scene()


# price_collar --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "price", "outcome"),
    [
        (Side.BUY, "100.04", "PASS"),
        (Side.BUY, "100.05", "PASS"),
        (Side.BUY, "100.06", "DENY"),
        (Side.BUY, "1", "PASS"),
        (Side.SELL, "99.95", "PASS"),
        (Side.SELL, "99.94", "DENY"),
    ],
)
def test_a_collar_in_ticks_below_at_and_above(scene: Scene, side: Side, price: str, outcome: str) -> None:
    scene.quote("100", "100")
    verdict = scene.judge(made(PriceCollar, max_deviation_ticks=5), scene.order(side, limit_price=price))
    assert (verdict.outcome, verdict.unit) == (outcome, "ticks")
    assert bool(verdict.would_pass) is (outcome == "DENY")
    assert verdict.code == ("price_collar" if outcome == "DENY" else "")


def test_of_percent_and_ticks_the_narrower_holds(scene: Scene) -> None:
    scene.quote("100", "100")
    rule = made(PriceCollar, max_deviation_percent=1, max_deviation_ticks=500)
    assert scene.judge(rule, scene.order(limit_price="101")).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(limit_price="101.01")).unit == "%"
    narrow = made(PriceCollar, max_deviation_percent=10, max_deviation_ticks=50)
    verdict = scene.judge(narrow, scene.order(limit_price="100.51"))
    assert (verdict.outcome, verdict.unit, verdict.observed) == (Outcome.DENY, "ticks", Decimal(51))
    assert verdict.would_pass == "a limit price of at most 100.5"


def test_a_collar_needs_percent_or_ticks() -> None:
    with pytest.raises(InvalidRequest, match="max_deviation_percent or max_deviation_ticks"):
        parse_params(PriceCollar, {"reference": "MID"})


@pytest.mark.parametrize(
    ("side", "price", "hint"),
    [
        (Side.BUY, "120", "a limit price of at most 101"),
        (Side.SELL, "80", "a limit price of at least 99"),
    ],
)
def test_a_collar_says_which_price_would_pass(scene: Scene, side: Side, price: str, hint: str) -> None:
    scene.quote("100", "100")
    verdict = scene.judge(made(PriceCollar, max_deviation_percent=1), scene.order(side, limit_price=price))
    assert verdict.would_pass == hint


@pytest.mark.parametrize(("side", "price", "inside"), [(Side.BUY, "120", "1.01"), (Side.SELL, "0.5", "0.99")])
def test_the_price_that_would_pass_lies_on_the_tick_grid_within_the_band(side: Side, price: str, inside: str) -> None:
    scene = Scene()
    scene.quote("1", "1")
    rule = made(PriceCollar, max_deviation_percent="1.7")
    hint = scene.judge(rule, scene.order(side, limit_price=price)).would_pass
    assert hint.endswith(f" {inside}")
    assert scene.judge(rule, scene.order(side, limit_price=inside)).outcome is Outcome.PASS


def test_a_price_too_far_on_the_winning_side_is_told_the_other_edge(scene: Scene) -> None:
    scene.quote("100", "100")
    rule = made(PriceCollar, max_deviation_percent=1, passive_too=True)
    assert scene.judge(rule, scene.order(limit_price="50")).would_pass == "a limit price of at least 99"
    assert scene.judge(rule, scene.order(Side.SELL, limit_price="150")).would_pass == "a limit price of at most 101"


def test_the_reference_may_be_the_last_trade(scene: Scene) -> None:
    last(scene, "90")
    rule = made(PriceCollar, max_deviation_percent=10, reference="LAST")
    assert scene.judge(rule, scene.order(limit_price="99")).outcome is Outcome.PASS
    verdict = scene.judge(rule, scene.order(limit_price="99.01"))
    assert (verdict.outcome, verdict.quote_price) == (Outcome.DENY, Decimal(90))


@pytest.mark.parametrize("price", [None, "0", "NaN", "Infinity", "-1"])
def test_a_reference_that_is_no_number_above_zero_denies(scene: Scene, price: str | None) -> None:
    last(scene, price)
    rule = made(PriceCollar, max_deviation_percent=10, reference="LAST")
    assert scene.judge(rule, scene.order(limit_price="100")).code == "no_quote"


@pytest.mark.parametrize(("micros", "outcome"), [(1_499_999, "PASS"), (1_500_000, "PASS"), (1_500_001, "DENY")])
def test_a_collar_may_ask_for_younger_quotes(scene: Scene, micros: int, outcome: str) -> None:
    rule = made(PriceCollar, max_deviation_percent=10, max_age_s="1.5")
    verdict = scene.wait(microseconds=micros).judge(rule, scene.order(limit_price="100"))
    assert verdict.outcome == outcome
    if outcome == "DENY":
        assert (verdict.code, verdict.observed, verdict.limit, verdict.unit) == (
            "stale_quote",
            Decimal("1.500001"),
            Decimal("1.5"),
            "s",
        )


# swapped_price_quantity ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantity", "price", "outcome"),
    [
        (100, "1", "DENY"),
        (100, "49", "DENY"),  # 51 % away: far
        (100, "50", "PASS"),  # 50 % away is not far yet
        (100, "151", "DENY"),
        (110, "1", "DENY"),  # 10 % from the market: the quantity is the price that was meant
        (111, "1", "PASS"),
        (90, "1", "DENY"),
        (89, "1", "PASS"),
        (100, "1.5", "PASS"),  # no quantity in whole lots
        (1, "100", "PASS"),
        (100, "100", "PASS"),
        (1_000_000, "0.01", "PASS"),
    ],
)
def test_what_looks_swapped(scene: Scene, quantity: int, price: str, outcome: str) -> None:
    assert scene.judge(made(SwappedPriceQuantity), scene.order(quantity=quantity, limit_price=price)).outcome == outcome


def test_the_sale_of_many_shares_for_one_yen_instead_of_one_share_for_many() -> None:
    scene = Scene(an_instrument(currency="JPY", tick_size=Decimal(1)))
    scene.quote("610000", "612000")
    verdict = scene.judge(made(SwappedPriceQuantity), scene.order(Side.SELL, 610_000, limit_price="1"))
    assert (verdict.outcome, verdict.code) == (Outcome.DENY, "swapped_price_quantity")
    assert verdict.would_pass == "1 units at 610000, or confirmed_quantity 610000"
    assert verdict.inputs == {"limit_price": Decimal(1), "quantity": Decimal(610_000), "market": Decimal(611_000)}


def test_a_confirmed_quantity_is_meant(scene: Scene) -> None:
    order = scene.order(quantity=100, limit_price="1", confirmed_quantity=Decimal(100))
    assert scene.judge(made(SwappedPriceQuantity), order).outcome is Outcome.PASS
    other = scene.order(quantity=100, limit_price="1", confirmed_quantity=Decimal(10))
    assert scene.judge(made(SwappedPriceQuantity), other).outcome is Outcome.DENY


def test_swaps_need_a_market_to_compare_with_and_a_price(scene: Scene) -> None:
    scene.lose_quotes()
    rule = made(SwappedPriceQuantity)
    assert scene.judge(rule, scene.order(quantity=100, limit_price="1")).code == "no_quote"
    assert scene.judge(rule, scene.order(quantity=100)).outcome is Outcome.PASS


def test_new_terms_may_be_swapped_too(scene: Scene) -> None:
    order = scene.accept(scene.order(quantity=100, limit_price="99"))
    rule = made(SwappedPriceQuantity)
    assert scene.judge_replace(rule, order, limit_price="98").outcome is Outcome.PASS
    assert scene.judge_replace(rule, order, limit_price="1").outcome is Outcome.DENY


def test_both_levels_are_parameters(scene: Scene) -> None:
    wide = made(SwappedPriceQuantity, far_percent=5, near_percent=50)
    assert scene.judge(wide, scene.order(quantity=140, limit_price="90")).outcome is Outcome.DENY
    assert scene.judge(made(SwappedPriceQuantity), scene.order(quantity=140, limit_price="90")).outcome is Outcome.PASS


# collar_over_time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "price", "outcome"),
    [
        (Side.BUY, "101.99", "PASS"),
        (Side.BUY, "102", "PASS"),
        (Side.BUY, "102.01", "DENY"),
        (Side.BUY, "50", "PASS"),
        (Side.SELL, "98", "PASS"),
        (Side.SELL, "97.99", "DENY"),
        (Side.SELL, "150", "PASS"),
    ],
)
def test_a_move_away_below_at_and_above_the_limit(scene: Scene, side: Side, price: str, outcome: str) -> None:
    scene.accept(scene.order(side, limit_price="100"))
    assert scene.judge(made(CollarOverTime), scene.order(side, limit_price=price)).outcome == outcome


def test_small_steps_add_up(scene: Scene) -> None:
    rule = made(CollarOverTime, max_move_percent="1.5")
    steps = []
    for price in range(100, 110):
        verdict = scene.judge(rule, scene.order(limit_price=price))
        steps.append(verdict.outcome)
        if verdict.outcome is Outcome.DENY:
            break
        scene.accept(scene.order(limit_price=price))
        scene.wait(seconds=1)
    assert steps == [Outcome.PASS, Outcome.PASS, Outcome.PASS, Outcome.DENY]
    assert (verdict.observed, verdict.inputs["average"]) == (Decimal("1.980198019802"), Decimal(101))


def test_the_average_is_forgotten_after_the_window_and_not_earlier(scene: Scene) -> None:
    rule = made(CollarOverTime, window_s=60)
    scene.accept(scene.order(limit_price="100"))
    assert scene.wait(seconds=60).judge(rule, scene.order(limit_price="110")).outcome is Outcome.DENY
    assert scene.wait(seconds=1).judge(rule, scene.order(limit_price="110")).outcome is Outcome.PASS


def test_sides_instruments_and_accounts_have_averages_of_their_own(scene: Scene) -> None:
    other = scene.another_account()
    elsewhere = scene.another_instrument("ELSE")
    scene.accept(scene.order(limit_price="100"))
    rule = made(CollarOverTime)
    assert scene.judge(rule, scene.order(Side.SELL, limit_price="50")).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(limit_price="150", instrument=elsewhere)).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(limit_price="150", account_id=other)).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(limit_price="150")).outcome is Outcome.DENY


def test_only_orders_of_the_limits_scope_make_the_average(scene: Scene) -> None:
    scene.accept(scene.order(limit_price="50"))
    scene.accept(scene.order(limit_price="100", strategy_id=ALGO))
    rule = made(CollarOverTime, Scope(strategy_id=ALGO))
    verdict = scene.judge(rule, scene.order(limit_price="102", strategy_id=ALGO))
    assert (verdict.outcome, verdict.inputs["average"]) == (Outcome.PASS, Decimal(100))


def test_new_terms_are_judged_and_enter_the_average(scene: Scene) -> None:
    rule = made(CollarOverTime, max_move_percent=2)
    order = scene.accept(scene.order(limit_price="100"))
    assert scene.judge_replace(rule, order, limit_price="102.01").outcome is Outcome.DENY
    assert scene.judge_replace(rule, order, limit_price="102").outcome is Outcome.PASS
    order = scene.replace(order, limit_price="102")
    assert scene.judge_replace(rule, order, limit_price="103.02").observed == Decimal(2)
    assert scene.judge_replace(rule, order, limit_price="103.03").outcome is Outcome.DENY


def test_denied_orders_and_orders_with_a_trigger_make_no_average(scene: Scene) -> None:
    scene.deny(scene.order(limit_price="50"))
    scene.accept(scene.order(order_type=OrderType.STOP, stop_price="60"))
    rule = made(CollarOverTime)
    assert scene.judge(rule, scene.order(limit_price="100")).outcome is Outcome.PASS
    scene.accept(scene.order(limit_price="100"))
    stop = scene.order(order_type=OrderType.STOP, stop_price="150")
    assert scene.judge(rule, stop).outcome is Outcome.PASS


def test_market_orders_count_at_the_quote(scene: Scene) -> None:
    scene.accept(scene.order())
    scene.quote("110", "110.01")
    verdict = scene.judge(made(CollarOverTime), scene.order())
    assert (verdict.outcome, verdict.inputs["average"]) == (Outcome.DENY, Decimal("100.01"))
    scene.lose_quotes()
    assert scene.judge(made(CollarOverTime), scene.order()).outcome is Outcome.PASS


@pytest.mark.parametrize(("window_s", "average"), [(60, 100), (3600, 99)])
def test_the_average_is_the_same_when_it_is_built_from_its_horizon_only(
    scene: Scene, window_s: int, average: int
) -> None:
    rule = made(CollarOverTime, window_s=window_s)
    for price in (90, 95, 100, 101):
        scene.accept(scene.order(limit_price=price))
        scene.wait(minutes=16)
    scene.accept(scene.order(limit_price="100"))
    intent, view = scene.intent(scene.order(limit_price="103"))
    state = rule.initial_state()
    for recorded in scene.events:
        if recorded.recorded_at >= scene.now - rule.horizon:
            state, _ = rule.fold(state, recorded)
    verdict = rule.assess(intent, view, state)
    assert verdict == rule.assess(intent, view, scene.memory(rule))
    assert verdict.inputs["average"] == Decimal(average)


# market_order_guard --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ask", "outcome"), [("100.99", "PASS"), ("101", "PASS"), ("101.01", "DENY")])
def test_a_spread_below_at_and_above_the_limit(scene: Scene, ask: str, outcome: str) -> None:
    scene.quote("99", ask)
    rule = made(MarketOrderGuard, max_spread_bps=200)
    verdict = scene.judge(rule, scene.order())
    assert (verdict.outcome, verdict.unit) == (outcome, "bps")
    assert verdict.inputs == {"bid": Decimal(99), "ask": Decimal(ask)}


@pytest.mark.parametrize(
    ("bid", "ask", "code"),
    [(None, "100", "no_quote"), ("100", None, "no_quote"), ("0", "0", "no_quote"), ("101", "100", "crossed_quote")],
)
def test_a_market_order_needs_a_sound_quote(scene: Scene, bid: str | None, ask: str | None, code: str) -> None:
    scene.quote(bid, ask)
    assert scene.judge(made(MarketOrderGuard), scene.order()).code == code


def test_a_locked_quote_has_no_spread(scene: Scene) -> None:
    scene.quote("100", "100")
    verdict = scene.judge(made(MarketOrderGuard), scene.order())
    assert (verdict.outcome, verdict.observed) == (Outcome.PASS, Decimal(0))


def in_new_york(hour: int) -> Scene:
    """A scene on a Monday in March, when New York is five hours behind UTC."""
    scene = Scene(an_instrument(calendar=US_EQUITIES.name))
    scene.calendars[US_EQUITIES.name] = US_EQUITIES
    scene.now = datetime(2026, 3, 2, hour, 30, tzinfo=UTC)
    scene.quote()
    return scene


@pytest.mark.parametrize(("hour", "code"), [(13, "market_closed"), (14, ""), (20, ""), (21, "market_closed")])
def test_a_market_order_is_let_in_while_the_venue_is_open(hour: int, code: str) -> None:
    scene = in_new_york(hour)
    assert scene.judge(made(MarketOrderGuard), scene.order()).code == code


def test_a_market_order_may_wait_for_the_venue_where_that_is_meant() -> None:
    scene = in_new_york(3)
    assert scene.judge(made(MarketOrderGuard, closed_too=True), scene.order()).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"limit_price": "100"}, "PASS"),
        ({"time_in_force": TimeInForce.OPG}, "PASS"),
        ({"time_in_force": TimeInForce.CLS}, "PASS"),
        ({"order_type": OrderType.MARKET_ON_CLOSE}, "PASS"),
        ({"order_type": OrderType.STOP, "stop_price": "110"}, "PASS"),
        ({}, "DENY"),
    ],
    ids=str,
)
def test_only_orders_that_trade_at_once_at_any_price_are_judged(fields: dict[str, Any], outcome: str) -> None:
    scene = in_new_york(3)
    assert scene.judge(made(MarketOrderGuard), scene.order(**fields)).outcome == outcome


def test_orders_behind_a_trigger_are_judged_where_asked_for() -> None:
    scene = in_new_york(3)
    rule = made(MarketOrderGuard, triggers_too=True)
    for fields in (
        {"order_type": OrderType.STOP, "stop_price": "110"},
        {"order_type": OrderType.MARKET_IF_TOUCHED, "stop_price": "90"},
        {"order_type": OrderType.TRAILING_STOP, "trail_amount": "1"},
    ):
        assert scene.judge(rule, scene.order(**fields)).code == "market_closed"


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"is_halted": True}, "market_halted"),
        ({"in_auction": True}, "in_auction"),
        ({"is_halted": False, "in_auction": False}, ""),
        ({}, ""),
    ],
    ids=str,
)
def test_halts_and_auctions_are_known_from_the_facts(scene: Scene, facts: dict[str, Any], code: str) -> None:
    scene.facts(**facts)
    assert scene.judge(made(MarketOrderGuard), scene.order()).code == code


def test_what_is_not_known_denies_where_facts_are_needed(scene: Scene) -> None:
    rule = made(MarketOrderGuard, needs_facts=True)
    assert scene.judge(rule, scene.order()).code == "no_facts"
    scene.facts(is_halted=False)
    assert scene.judge(rule, scene.order()).code == "no_facts"
    assert scene.judge(made(MarketOrderGuard, needs_facts=True, auction_too=True), scene.order()).code == ""
    scene.facts(in_auction=False)
    assert scene.judge(rule, scene.order()).outcome is Outcome.PASS


def test_an_auction_may_be_let_in_and_a_halt_never(scene: Scene) -> None:
    rule = made(MarketOrderGuard, auction_too=True, closed_too=True)
    scene.facts(in_auction=True)
    assert scene.judge(rule, scene.order()).outcome is Outcome.PASS
    scene.facts(is_halted=True)
    assert scene.judge(rule, scene.order()).code == "market_halted"


def test_new_terms_of_a_market_order_are_judged_as_a_new_one_is(scene: Scene) -> None:
    order = scene.accept(scene.order(quantity=10))
    assert scene.judge_replace(made(MarketOrderGuard), order, quantity=20).outcome is Outcome.PASS
    scene.quote("90", "110")
    assert scene.judge_replace(made(MarketOrderGuard), order, quantity=20).outcome is Outcome.DENY


@pytest.mark.parametrize("cls", [MarketOrderGuard, CollarOverTime])
def test_a_liquidation_passes_in_any_market(scene: Scene, cls: Any) -> None:
    scene.accept(scene.order(Side.SELL, limit_price="100"))
    scene.quote("50", "150")
    rule = made(cls)
    intent, view = scene.intent(scene.order(Side.SELL))
    assert rule.assess(intent, view, scene.memory(rule)).outcome is Outcome.DENY
    request = msgspec.structs.replace(intent.request, liquidation_id=EventId("close-all"))
    ours = msgspec.structs.replace(intent, request=request)
    assert rule.assess(ours, view, scene.memory(rule)).outcome is Outcome.PASS
