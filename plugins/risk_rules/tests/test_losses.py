"""A day's loss and the fall from the high-water mark: what the rules deny and what the monitors tell."""

from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

import pytest

from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.decision import Outcome, Verdict
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import StrategyId
from oms_kernel.domain.order import Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.guard import make_rule
from oms_kernel.testkit.builders import ACCOUNT_ID, a_trading_account
from oms_kernel.testkit.scene import Scene
from oms_risk_rules.loss_limits import MaxDailyLoss, MaxDrawdown
from oms_risk_rules.loss_monitors import DailyLossMonitor, DrawdownMonitor

MOMENTUM = StrategyId("momentum")


@pytest.fixture
def scene() -> Scene:
    """10,000 at the day's beginning and at the highest, and 100 units bought at 100, so that a price is a loss."""
    scene = Scene()
    scene.pay(10_000)
    scene.mark_equity(10_000)
    scene.hold(100, 100)
    return scene


def lose(scene: Scene, amount: int) -> None:
    """Let the position of 100 units lose this much."""
    price = 100 - Decimal(amount) / 100
    scene.quote(bid=price, ask=price)


def day(scope: Scope = EVERYTHING, **params: Any) -> Any:
    return make_rule(MaxDailyLoss, params, scope)


def high(scope: Scope = EVERYTHING, **params: Any) -> Any:
    return make_rule(MaxDrawdown, params, scope)


RULES = {
    "day": (MaxDailyLoss, {"max_loss": 1_000}),
    "day, percent": (MaxDailyLoss, {"max_loss_percent": 10}),
    "day, the tighter": (MaxDailyLoss, {"max_loss_percent": 10, "max_loss": 5_000}),
    "drawdown": (MaxDrawdown, {"max_drawdown": 1_000}),
    "drawdown, percent": (MaxDrawdown, {"max_drawdown_percent": 10}),
    "drawdown, the tighter": (MaxDrawdown, {"max_drawdown_percent": 50, "max_drawdown": 1_000}),
}
both_rules = pytest.mark.parametrize(("contributed", "params"), RULES.values(), ids=RULES.keys())
Params = dict[str, Any]


def buy(scene: Scene, contributed: Any, params: Params, quantity: int = 1) -> Verdict:
    return scene.judge(make_rule(contributed, params, EVERYTHING), scene.order(Side.BUY, quantity))


@both_rules
@pytest.mark.parametrize(("lost", "outcome"), [(-500, "PASS"), (999, "PASS"), (1_000, "PASS"), (1_001, "DENY")])
def test_losses_below_at_and_above_the_limit(
    scene: Scene, contributed: Any, params: Params, lost: int, outcome: str
) -> None:
    lose(scene, lost)
    verdict = buy(scene, contributed, params)
    assert verdict.outcome == outcome
    assert (verdict.observed, verdict.limit, verdict.unit) == (lost if lost > 0 else verdict.observed, 1_000, "USD")


@both_rules
def test_what_reduces_passes_after_the_loss(scene: Scene, contributed: Any, params: Params) -> None:
    lose(scene, 2_000)
    rule = make_rule(contributed, params, EVERYTHING)
    assert scene.judge(rule, scene.order(Side.SELL, 100)).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(Side.SELL, 101)).outcome is Outcome.DENY
    assert buy(scene, contributed, params).would_pass == "only an order that reduces the position"


@both_rules
def test_open_sells_count_before_a_further_one(scene: Scene, contributed: Any, params: Params) -> None:
    lose(scene, 2_000)
    scene.accept(scene.order(Side.SELL, 60))
    rule = make_rule(contributed, params, EVERYTHING)
    assert scene.judge(rule, scene.order(Side.SELL, 40)).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(Side.SELL, 41)).outcome is Outcome.DENY


@both_rules
def test_modifying_upwards_is_denied_after_the_loss_and_downwards_passes(
    scene: Scene, contributed: Any, params: Params
) -> None:
    order = scene.acknowledge(scene.accept(scene.order(Side.BUY, 10, limit_price="80")))
    lose(scene, 2_000)
    rule = make_rule(contributed, params, EVERYTHING)
    assert scene.judge_replace(rule, order, quantity=11).outcome is Outcome.DENY
    assert scene.judge_replace(rule, order, quantity=5).outcome is Outcome.PASS


@both_rules
def test_without_a_price_of_what_is_held_what_adds_is_denied_and_what_reduces_passes(
    scene: Scene, contributed: Any, params: Params
) -> None:
    scene.lose_quotes()
    verdict = buy(scene, contributed, params)
    assert (verdict.outcome, verdict.code) == (Outcome.DENY, "no_equity")
    rule = make_rule(contributed, params, EVERYTHING)
    assert scene.judge(rule, scene.order(Side.SELL, 100)).outcome is Outcome.PASS


@both_rules
def test_without_a_rate_for_cash_what_adds_is_denied(scene: Scene, contributed: Any, params: Params) -> None:
    scene.pay(1, "CHF")
    assert buy(scene, contributed, params).code == "no_equity"


@both_rules
def test_an_account_that_was_never_marked_is_not_known(contributed: Any, params: Params) -> None:
    verdict = buy(Scene(), contributed, params)
    assert (verdict.outcome, verdict.code) == (Outcome.DENY, "no_equity")
    assert "marked" in verdict.message


@both_rules
def test_money_that_is_moved_is_neither_gain_nor_loss(scene: Scene, contributed: Any, params: Params) -> None:
    scene.pay(-5_000)
    assert buy(scene, contributed, params).observed == 0


@both_rules
def test_the_smallest_digit_decides(scene: Scene, contributed: Any, params: Params) -> None:
    lose(scene, 1_000)
    assert buy(scene, contributed, params).outcome is Outcome.PASS
    scene.pay("0")
    scene.hold("0.000000000001", 101)
    assert buy(scene, contributed, params).outcome is Outcome.DENY


@both_rules
def test_another_accounts_loss_is_its_own(scene: Scene, contributed: Any, params: Params) -> None:
    other = scene.another_account()
    scene.mark_equity(10_000, account_id=other)
    verdict = scene.judge(make_rule(contributed, params, EVERYTHING), scene.order(account_id=other))
    assert verdict.outcome is Outcome.DENY
    assert buy(scene, contributed, params).outcome is Outcome.PASS


def test_fees_and_what_is_realised_count_as_well_as_what_is_not(scene: Scene) -> None:
    scene.hold(-100, 90)
    verdict = buy(scene, MaxDailyLoss, {"max_loss": 999})
    assert (verdict.outcome, verdict.observed) == (Outcome.DENY, 1_000)


def test_yesterdays_loss_is_none_of_today_but_is_still_below_the_high(scene: Scene) -> None:
    lose(scene, 2_000)
    scene.wait(days=1)
    lose(scene, 2_000)
    assert buy(scene, MaxDailyLoss, {"max_loss": 1_000}).code == "no_equity"
    scene.mark_equity(8_000, 10_000)
    assert buy(scene, MaxDailyLoss, {"max_loss": 1_000}).outcome is Outcome.PASS
    assert buy(scene, MaxDrawdown, {"max_drawdown": 1_000}).outcome is Outcome.DENY


def test_the_percentage_is_of_the_equity_without_the_days_result(scene: Scene) -> None:
    lose(scene, 2_000)
    verdict = buy(scene, MaxDailyLoss, {"max_loss_percent": 15})
    assert (verdict.outcome, verdict.limit) == (Outcome.DENY, 1_500)
    assert verdict.inputs == {"day_pnl": -2_000, "equity": 8_000}


@pytest.mark.parametrize("contributed", [MaxDailyLoss, MaxDrawdown])
def test_a_limit_without_any_figure_is_refused(contributed: Any) -> None:
    with pytest.raises(InvalidRequest, match="at least one"):
        parse_params(contributed, {})


# Monitors ------------------------------------------------------------------------------------------------

MONITORS = {
    "day": (DailyLossMonitor, {"max_loss": 1_000}),
    "day, percent": (DailyLossMonitor, {"max_loss_percent": 10}),
    "drawdown": (DrawdownMonitor, {"max_drawdown": 1_000}),
    "drawdown, percent": (DrawdownMonitor, {"max_drawdown_percent": 10}),
}
both_monitors = pytest.mark.parametrize(("contributed", "params"), MONITORS.values(), ids=MONITORS.keys())


@both_monitors
@pytest.mark.parametrize(("lost", "told"), [(-500, 0), (999, 0), (1_000, 0), (1_001, 1)])
def test_a_monitor_tells_losses_above_the_limit(
    scene: Scene, contributed: Any, params: Params, lost: int, told: int
) -> None:
    lose(scene, lost)
    assert len(scene.watch(make_rule(contributed, params, EVERYTHING))) == told


@both_monitors
def test_its_trigger_shows_the_figures_and_stops_the_account_alone(
    scene: Scene, contributed: Any, params: Params
) -> None:
    scene.mark_equity(10_000, account_id=scene.another_account())
    scene.pay(10_000, account_id=scene.another_account("third"))
    lose(scene, 1_500)
    found = {trigger.scope: trigger for trigger in scene.watch(make_rule(contributed, params, EVERYTHING))}
    trigger = found[Scope(account_id=ACCOUNT_ID)]
    assert (trigger.observed, trigger.limit, trigger.unit) == (1_500, 1_000, "USD")
    assert trigger.key == f"{ACCOUNT_ID}:2026-03-02"
    assert trigger.code + "_monitor" == contributed.name
    assert "1500 USD" in trigger.message


@both_monitors
def test_what_is_not_known_is_not_told(scene: Scene, contributed: Any, params: Params) -> None:
    lose(scene, 2_000)
    scene.lose_quotes()
    assert scene.watch(make_rule(contributed, params, EVERYTHING)) == ()


@both_monitors
def test_a_new_risk_day_is_another_occasion(scene: Scene, contributed: Any, params: Params) -> None:
    monitor = make_rule(contributed, params, EVERYTHING)
    lose(scene, 2_000)
    (before,) = scene.watch(monitor)
    scene.wait(days=1)
    lose(scene, 2_000)
    scene.mark_equity(10_000)
    (after,) = scene.watch(monitor)
    assert (before.key[-10:], after.key[-10:]) == ("2026-03-02", "2026-03-03")


def test_the_risk_day_is_the_accounts_own() -> None:
    scene = Scene(account=a_trading_account(time_zone="America/New_York", day_roll=time(17)))
    scene.now = datetime(2026, 3, 2, 22, 30, tzinfo=UTC)
    scene.pay(10_000)
    scene.mark_equity(10_000)
    scene.hold(100, 200)
    scene.quote()
    (trigger,) = scene.watch(make_rule(DailyLossMonitor, {"max_loss": 1_000}, EVERYTHING))
    assert trigger.key == f"{ACCOUNT_ID}:2026-03-03"


@both_monitors
def test_a_limit_of_a_strategy_or_an_account_stops_no_more_than_that(
    scene: Scene, contributed: Any, params: Params
) -> None:
    lose(scene, 2_000)
    strategy = Scope(strategy_id=MOMENTUM)
    (trigger,) = scene.watch(make_rule(contributed, params, strategy))
    assert trigger.scope == Scope(account_id=ACCOUNT_ID, strategy_id=MOMENTUM)
    other = Scope(account_id=scene.another_account())
    assert scene.watch(make_rule(contributed, params, other)) == ()
