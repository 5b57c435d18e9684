"""The rules over the order itself keep the contract."""

from datetime import timedelta


from oms_kernel.domain.decision import Outcome
from oms_kernel.domain.ids import StrategyId
from oms_kernel.domain.order import OrderRequest
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
from oms_risk_rules.min_order_notional import MinOrderNotional
from oms_risk_rules.parent_child_guard import ParentChildGuard
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
