"""The rules over the order itself keep the contract."""

from datetime import timedelta
from typing import Any

import pytest

from oms_kernel.domain.decision import Gate, Outcome
from oms_kernel.domain.ids import StrategyId
from oms_kernel.domain.order import OrderRequest
from oms_kernel.domain.scope import EVERYTHING
from oms_kernel.guard import PLUGIN_FAILED, GuardedRule, make_rule
from oms_kernel.terms import Terms
from oms_kernel.testkit.rule_suite import RuleConformanceSuite
from oms_kernel.testkit.scene import Scene
from oms_risk_rules.adv_participation import AdvParticipation
from oms_risk_rules.basket_notional import BasketNotional
from oms_risk_rules.broker_link_guard import BrokerLinkGuard
from oms_risk_rules.clock_guard import ClockGuard
from oms_risk_rules.collar_over_time import CollarOverTime
from oms_risk_rules.controlled_rollout import ControlledRollout
from oms_risk_rules.fat_finger_confirm import FatFingerConfirm
from oms_risk_rules.market_order_guard import MarketOrderGuard
from oms_risk_rules.max_order_notional import MaxOrderNotional
from oms_risk_rules.max_order_quantity import MaxOrderQuantity
from oms_risk_rules.min_order_notional import MinOrderNotional
from oms_risk_rules.parent_child_guard import ParentChildGuard
from oms_risk_rules.plugin import ORDER_RULES
from oms_risk_rules.price_collar import PriceCollar
from oms_risk_rules.reject_storm import RejectStorm
from oms_risk_rules.repeated_execution import RepeatedExecution
from oms_risk_rules.stale_market_data import StaleMarketData
from oms_risk_rules.swapped_price_quantity import SwappedPriceQuantity

ALGO = StrategyId("algo")


class TestBasketNotional(RuleConformanceSuite):
    contributed = BasketNotional
    params = {"max_notional": "1000.1"}
    without_quote = Outcome.DENY

    def permitted(self, scene: Scene) -> OrderRequest:
        return scene.order(quantity=10)

    def forbidden(self, scene: Scene) -> OrderRequest:
        return scene.order(quantity=11)


class TestMinOrderNotional(RuleConformanceSuite):
    contributed = MinOrderNotional
    params = {"min_notional": "1000.1"}
    without_quote = Outcome.DENY

    def permitted(self, scene: Scene) -> OrderRequest:
        return scene.order(quantity=10)

    def forbidden(self, scene: Scene) -> OrderRequest:
        return scene.order(quantity=9)


class TestSwappedPriceQuantity(RuleConformanceSuite):
    contributed = SwappedPriceQuantity
    without_quote = Outcome.DENY

    def permitted(self, scene: Scene) -> OrderRequest:
        return scene.order(quantity=1, limit_price="100")

    def forbidden(self, scene: Scene) -> OrderRequest:
        return scene.order(quantity=100, limit_price="1")


class TestCollarOverTime(RuleConformanceSuite):
    contributed = CollarOverTime
    params = {"max_move_percent": "2"}

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.accept(scene.order(limit_price="100"))
        return scene.order(limit_price="102")

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.accept(scene.order(limit_price="100"))
        return scene.order(limit_price="102.01")


class TestMarketOrderGuard(RuleConformanceSuite):
    contributed = MarketOrderGuard
    params = {"max_spread_bps": "2"}
    without_quote = Outcome.DENY

    def permitted(self, scene: Scene) -> OrderRequest:
        return scene.order()

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.quote("99.98", "100.01")
        return scene.order()


class TestAdvParticipation(RuleConformanceSuite):
    contributed = AdvParticipation

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.facts(average_daily_volume="2000")
        return scene.order(quantity=100)

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.facts(average_daily_volume="2000")
        return scene.order(quantity=101)


class TestRejectStorm(RuleConformanceSuite):
    contributed = RejectStorm
    params = {"max_rejects": 2}

    def permitted(self, scene: Scene) -> OrderRequest:
        for _ in range(2):
            scene.deny(scene.order())
        return scene.order()

    def forbidden(self, scene: Scene) -> OrderRequest:
        for _ in range(3):
            scene.deny(scene.order())
        return scene.order()


class TestRepeatedExecution(RuleConformanceSuite):
    contributed = RepeatedExecution
    params = {"max_executions": 2}

    def permitted(self, scene: Scene) -> OrderRequest:
        return self._traded(scene, 2)

    def forbidden(self, scene: Scene) -> OrderRequest:
        return self._traded(scene, 3)

    def _traded(self, scene: Scene, times: int) -> OrderRequest:
        for _ in range(times):
            scene.fill(scene.acknowledge(scene.accept(scene.order(strategy_id=ALGO))), 100)
        return scene.order(strategy_id=ALGO)


class TestBrokerLinkGuard(RuleConformanceSuite):
    contributed = BrokerLinkGuard
    params = {"max_in_doubt": 1}

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.link(in_doubt=1)
        return scene.order()

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.link(in_doubt=2)
        return scene.order()


class TestStaleMarketData(RuleConformanceSuite):
    contributed = StaleMarketData
    params = {"max_age_s": "2"}
    without_quote = Outcome.DENY

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.wait(seconds=2)
        return scene.order()

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.wait(seconds=2, microseconds=1)
        return scene.order()


class TestClockGuard(RuleConformanceSuite):
    contributed = ClockGuard

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.clock_offset = timedelta(seconds=1)
        return scene.order()

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.clock_offset = timedelta(seconds=-1, microseconds=-1)
        return scene.order()


class TestControlledRollout(RuleConformanceSuite):
    contributed = ControlledRollout
    params = {"versions": {"v1": {"max_notional_per_day": "20000", "instruments": ["ACME"], "venues": ["XSIM"]}}}
    without_quote = Outcome.DENY

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.accept(scene.order(limit_price="100", strategy_id=ALGO, algo_version="v1"))
        return scene.order(quantity=99, strategy_id=ALGO, algo_version="v1")

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.accept(scene.order(limit_price="100", strategy_id=ALGO, algo_version="v1"))
        return scene.order(quantity=100, strategy_id=ALGO, algo_version="v1")


class TestFatFingerConfirm(RuleConformanceSuite):
    contributed = FatFingerConfirm
    params = {"max_unconfirmed_notional": "1000.1"}
    without_quote = Outcome.DENY

    def permitted(self, scene: Scene) -> OrderRequest:
        return scene.order(quantity=10)

    def forbidden(self, scene: Scene) -> OrderRequest:
        return scene.order(quantity=11)


class TestParentChildGuard(RuleConformanceSuite):
    contributed = ParentChildGuard

    def permitted(self, scene: Scene) -> OrderRequest:
        parent = scene.accept(scene.order(quantity=100))
        scene.accept(scene.order(quantity=60, parent_order_id=parent.order_id))
        return scene.order(quantity=40, parent_order_id=parent.order_id)

    def forbidden(self, scene: Scene) -> OrderRequest:
        parent = scene.accept(scene.order(quantity=100))
        scene.accept(scene.order(quantity=60, parent_order_id=parent.order_id))
        return scene.order(quantity=41, parent_order_id=parent.order_id)


@pytest.mark.parametrize("rule", ORDER_RULES, ids=lambda rule: rule.name)
def test_a_rule_says_where_it_comes_from_and_when_it_is_asked(rule: Any) -> None:
    assert rule.source, "no regulation, guide or case"
    assert rule.rank in (10, 20, 50, 80)
    assert "liquidation" in rule.__doc__ or rule in KNOW_NO_LIQUIDATION


KNOW_NO_LIQUIDATION = {
    MaxOrderQuantity,
    MaxOrderNotional,
    BasketNotional,
    MinOrderNotional,
    PriceCollar,
    SwappedPriceQuantity,
    ParentChildGuard,
}
"""Rules that judge an order of a liquidation as any other: it can be made smaller, and has no limit price."""


@pytest.mark.parametrize("rule", ORDER_RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize("price", ["0.01", "99999999999999", None])
def test_extreme_figures_are_judged_and_make_no_rule_fail(rule: Any, price: str | None) -> None:
    """The host denies in place of a rule that fails: a person would then read of a broken plugin."""
    scene = Scene()
    scene.quote("0.01", "0.01")
    scene.facts(average_daily_volume="0.000000000001")
    scene.link()
    made = make_rule(rule, NEEDED.get(rule.name, {}), EVERYTHING)
    fields = {"strategy_id": ALGO, "algo_version": "v1"}
    scene.accept(scene.order(quantity=1000, limit_price="0.01", **fields))
    guarded = GuardedRule(rule.name, "risk_rules", rule.name, Gate.RISK, Terms(), made)
    intent, view = scene.intent(scene.order(quantity=9000, limit_price=price, **fields))
    verdict = guarded.assess(intent, view, scene.memory(made))
    assert verdict.code != PLUGIN_FAILED, guarded.guard.last_error


NEEDED: dict[str, dict[str, Any]] = {
    "max_order_quantity": {"max_quantity": "100"},
    "max_order_notional": {"max_notional": "100", "market_collar_percent": "10"},
    "basket_notional": {"max_notional": "100"},
    "min_order_notional": {"min_notional": "100"},
    "price_collar": {"max_deviation_percent": "0.5", "max_deviation_ticks": 3},
    "controlled_rollout": {"versions": {"v1": {"max_notional_per_day": "100"}}},
    "fat_finger_confirm": {"max_unconfirmed_notional": "100", "strategies_too": True},
}
