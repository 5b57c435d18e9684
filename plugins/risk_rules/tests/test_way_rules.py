"""What an order is sent over: the broker's link, the age of market data, the clock."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms_kernel.domain.decision import Outcome, Verdict
from oms_kernel.domain.ids import EventId
from oms_kernel.domain.instrument import AssetClass
from oms_kernel.domain.order import Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.guard import make_rule
from oms_kernel.testkit.builders import an_instrument
from oms_kernel.testkit.scene import Scene
from oms_risk_rules.broker_link_guard import BrokerLinkGuard
from oms_risk_rules.clock_guard import ClockGuard
from oms_risk_rules.stale_market_data import StaleMarketData


def made(cls: Any, scope: Scope = EVERYTHING, **params: Any) -> Any:
    return make_rule(cls, params, scope)


def liquidates(scene: Scene, rule: Any, **fields: Any) -> Verdict:
    intent, view = scene.intent(scene.order(**fields))
    request = msgspec.structs.replace(intent.request, liquidation_id=EventId("close-all"))
    verdict: Verdict = rule.assess(msgspec.structs.replace(intent, request=request), view, None)
    return verdict


@pytest.fixture
def scene() -> Scene:
    return Scene()


# broker_link_guard ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("doubts", "outcome"), [(1, "PASS"), (2, "PASS"), (3, "DENY")])
def test_doubts_below_at_and_above_the_limit(scene: Scene, doubts: int, outcome: str) -> None:
    scene.link(in_doubt=doubts)
    verdict = scene.judge(made(BrokerLinkGuard, max_in_doubt=2), scene.order())
    assert verdict.outcome == outcome
    assert (verdict.observed, verdict.limit, verdict.unit) == (Decimal(doubts), Decimal(2), "orders")


def test_by_default_one_doubt_is_too_many(scene: Scene) -> None:
    scene.link(in_doubt=1)
    assert scene.judge(made(BrokerLinkGuard), scene.order()).outcome is Outcome.DENY
    scene.link()
    assert scene.judge(made(BrokerLinkGuard), scene.order()).outcome is Outcome.PASS


def test_a_link_that_is_down_denies_and_says_why(scene: Scene) -> None:
    scene.link(is_ready=False, detail="logging in")
    verdict = scene.judge(made(BrokerLinkGuard), scene.order())
    assert (verdict.outcome, verdict.code) == (Outcome.DENY, "link_down")
    assert verdict.message == "the broker's session is not ready: logging in"
    assert verdict.would_pass == "the same order with queue_until"


def test_an_account_that_is_routed_nowhere_has_no_link(scene: Scene) -> None:
    assert scene.judge(made(BrokerLinkGuard), scene.order()).code == "no_link"


def test_an_order_that_may_wait_waits_for_the_session_unless_that_is_turned_off(scene: Scene) -> None:
    scene.link(is_ready=False)
    order = scene.order(queue_until=scene.now + timedelta(minutes=5))
    assert scene.judge(made(BrokerLinkGuard), order).outcome is Outcome.PASS
    strict = scene.judge(made(BrokerLinkGuard, queued_may_wait=False), order)
    assert (strict.code, strict.would_pass) == ("link_down", "")


def test_an_order_that_may_wait_does_not_pass_doubts(scene: Scene) -> None:
    scene.link(is_ready=False, in_doubt=1)
    order = scene.order(queue_until=scene.now + timedelta(minutes=5))
    assert scene.judge(made(BrokerLinkGuard), order).code == "broker_link_guard"


def test_what_reduces_passes_doubts_but_no_link_that_is_down(scene: Scene) -> None:
    scene.hold(10)
    scene.link(in_doubt=5)
    rule = made(BrokerLinkGuard)
    assert scene.judge(rule, scene.order(Side.SELL, 10)).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(Side.SELL, 11)).outcome is Outcome.DENY
    scene.link(is_ready=False)
    assert scene.judge(rule, scene.order(Side.SELL, 10)).code == "link_down"


def test_each_account_has_a_link_of_its_own(scene: Scene) -> None:
    other = scene.another_account()
    scene.link(is_ready=False)
    scene.link(account_id=other)
    assert scene.judge(made(BrokerLinkGuard), scene.order(account_id=other)).outcome is Outcome.PASS
    assert scene.judge(made(BrokerLinkGuard), scene.order()).outcome is Outcome.DENY


def test_new_terms_need_a_link_too(scene: Scene) -> None:
    order = scene.accept(scene.order(limit_price="99"))
    scene.link(is_ready=False)
    assert scene.judge_replace(made(BrokerLinkGuard), order, quantity=50).code == "link_down"
    scene.link()
    assert scene.judge_replace(made(BrokerLinkGuard), order, quantity=500).outcome is Outcome.PASS


def test_a_liquidation_goes_as_soon_as_it_can(scene: Scene) -> None:
    scene.link(is_ready=False, in_doubt=9)
    assert liquidates(scene, made(BrokerLinkGuard)).outcome is Outcome.PASS


# stale_market_data ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("micros", "outcome"), [(1_999_999, "PASS"), (2_000_000, "PASS"), (2_000_001, "DENY")])
def test_a_quote_below_at_and_above_the_age(scene: Scene, micros: int, outcome: str) -> None:
    verdict = scene.wait(microseconds=micros).judge(made(StaleMarketData, max_age_s=2), scene.order())
    assert (verdict.outcome, verdict.unit, verdict.limit) == (outcome, "s", Decimal(2))
    assert verdict.observed == Decimal(micros) / 1_000_000


def test_no_quote_and_one_that_the_platform_calls_stale_are_the_same(scene: Scene) -> None:
    rule = made(StaleMarketData, max_age_s=60)
    scene.wait(seconds=6)
    assert scene.judge(rule, scene.order(limit_price="99")).code == "no_quote"
    scene.lose_quotes()
    assert scene.judge(rule, scene.order(limit_price="99")).code == "no_quote"


def test_orders_with_a_price_need_market_data_as_well(scene: Scene) -> None:
    scene.wait(seconds=3)
    assert scene.judge(made(StaleMarketData, max_age_s=2), scene.order(limit_price="99")).outcome is Outcome.DENY


@pytest.mark.parametrize(("asset_class", "outcome"), [(AssetClass.EQUITY, "PASS"), (AssetClass.CRYPTO, "DENY")])
def test_an_asset_class_may_have_its_own_age(asset_class: AssetClass, outcome: str) -> None:
    scene = Scene(an_instrument(asset_class=asset_class))
    rule = made(StaleMarketData, max_age_s=5, by_asset_class={"CRYPTO": "0.5"})
    assert scene.wait(seconds=1).judge(rule, scene.order()).outcome == outcome


def test_the_feeds_own_time_counts_where_asked_for(scene: Scene) -> None:
    key = scene.instrument.instrument_id
    late = scene.quotes[key].data_at - timedelta(seconds=10)
    scene.quotes[key] = msgspec.structs.replace(scene.quotes[key], data_at=late)
    assert scene.judge(made(StaleMarketData), scene.order()).outcome is Outcome.PASS
    verdict = scene.judge(made(StaleMarketData, feed_time_too=True), scene.order())
    assert (verdict.outcome, verdict.observed) == (Outcome.DENY, Decimal(10))


def test_a_feed_ahead_of_us_makes_no_quote_younger(scene: Scene) -> None:
    key = scene.instrument.instrument_id
    early = scene.quotes[key].data_at + timedelta(seconds=10)
    scene.quotes[key] = msgspec.structs.replace(scene.quotes[key], data_at=early)
    scene.wait(seconds=3)
    rule = made(StaleMarketData, max_age_s=2, feed_time_too=True)
    assert scene.judge(rule, scene.order()).observed == Decimal(3)


def test_a_quote_from_the_future_has_no_negative_age(scene: Scene) -> None:
    key = scene.instrument.instrument_id
    early = scene.quotes[key].received_at + timedelta(seconds=1)
    scene.quotes[key] = msgspec.structs.replace(scene.quotes[key], received_at=early)
    assert scene.judge(made(StaleMarketData), scene.order()).observed == Decimal(0)


def test_only_the_orders_own_instrument_counts(scene: Scene) -> None:
    scene.wait(seconds=3)
    fresh = scene.another_instrument("FRESH")
    rule = made(StaleMarketData, max_age_s=2)
    assert scene.judge(rule, scene.order(instrument=fresh)).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order()).outcome is Outcome.DENY


def test_new_terms_need_fresh_data(scene: Scene) -> None:
    order = scene.accept(scene.order(limit_price="99"))
    rule = made(StaleMarketData, max_age_s=2)
    assert scene.judge_replace(rule, order, limit_price="98").outcome is Outcome.PASS
    assert scene.wait(seconds=3).judge_replace(rule, order, limit_price="98").outcome is Outcome.DENY


def test_a_liquidation_needs_no_quote(scene: Scene) -> None:
    scene.lose_quotes()
    assert liquidates(scene, made(StaleMarketData)).outcome is Outcome.PASS


# clock_guard ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1], ids=["ahead", "behind"])
@pytest.mark.parametrize(
    ("micros", "outcome", "code"),
    [
        (0, "PASS", ""),
        (50_000, "PASS", ""),
        (50_001, "PASS", "clock_drift"),
        (1_000_000, "PASS", "clock_drift"),
        (1_000_001, "DENY", "clock_guard"),
    ],
)
def test_offsets_below_at_and_above_both_levels(scene: Scene, sign: int, micros: int, outcome: str, code: str) -> None:
    scene.clock_offset = timedelta(microseconds=sign * micros)
    verdict = scene.judge(made(ClockGuard), scene.order())
    assert (verdict.outcome, verdict.code) == (outcome, code)
    assert (verdict.observed, verdict.limit, verdict.unit) == (Decimal(micros) / 1000, Decimal(1000), "ms")


def test_a_clock_that_nobody_measured_denies(scene: Scene) -> None:
    scene.clock_offset = None
    verdict = scene.judge(made(ClockGuard), scene.order())
    assert (verdict.outcome, verdict.code) == (Outcome.DENY, "no_clock_offset")


def test_a_drift_is_said_in_words_and_lets_the_order_pass(scene: Scene) -> None:
    scene.clock_offset = timedelta(milliseconds=75)
    verdict = scene.judge(made(ClockGuard), scene.order())
    assert (verdict.outcome, verdict.message) == (Outcome.PASS, "the clock is 75 ms away from the database's")


def test_both_levels_of_the_clock_are_parameters(scene: Scene) -> None:
    scene.clock_offset = timedelta(milliseconds=11)
    assert scene.judge(made(ClockGuard, max_offset_ms=10, warn_offset_ms=0), scene.order()).outcome is Outcome.DENY
    assert scene.judge(made(ClockGuard, warn_offset_ms=11), scene.order()).code == ""


def test_new_terms_are_timed_by_the_same_clock(scene: Scene) -> None:
    order = scene.accept(scene.order(limit_price="99"))
    assert scene.judge_replace(made(ClockGuard), order, quantity=50).outcome is Outcome.PASS
    scene.clock_offset = timedelta(seconds=2)
    assert scene.judge_replace(made(ClockGuard), order, quantity=50).outcome is Outcome.DENY


@pytest.mark.parametrize("offset", [None, timedelta(hours=1)])
def test_a_liquidation_waits_for_no_clock(scene: Scene, offset: timedelta | None) -> None:
    scene.clock_offset = offset
    assert liquidates(scene, made(ClockGuard)).outcome is Outcome.PASS
