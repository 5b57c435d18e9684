"""The rules keep the contract."""

from oms_kernel.domain.decision import Outcome
from oms_kernel.domain.order import OrderRequest, Side
from oms_kernel.testkit.rule_suite import RuleConformanceSuite
from oms_kernel.testkit.scene import Scene
from oms_risk_rules.duplicate_order import DuplicateOrder
from oms_risk_rules.max_order_notional import MaxOrderNotional
from oms_risk_rules.max_order_quantity import MaxOrderQuantity
from oms_risk_rules.max_position import MaxPosition
from oms_risk_rules.message_rate import MessageRate
from oms_risk_rules.price_collar import PriceCollar


class TestMaxOrderQuantity(RuleConformanceSuite):
    contributed = MaxOrderQuantity
    params = {"max_quantity": "100"}

    def permitted(self, scene: Scene) -> OrderRequest:
        return scene.order(quantity=100)

    def forbidden(self, scene: Scene) -> OrderRequest:
        return scene.order(quantity=101)


class TestMaxOrderNotional(RuleConformanceSuite):
    contributed = MaxOrderNotional
    params = {"max_notional": "1000.1"}
    without_quote = Outcome.DENY

    def permitted(self, scene: Scene) -> OrderRequest:
        return scene.order(quantity=10)

    def forbidden(self, scene: Scene) -> OrderRequest:
        return scene.order(quantity=11)


class TestPriceCollar(RuleConformanceSuite):
    contributed = PriceCollar
    params = {"max_deviation_percent": "5"}
    without_quote = Outcome.DENY

    def permitted(self, scene: Scene) -> OrderRequest:
        return scene.order(limit_price="105.01")

    def forbidden(self, scene: Scene) -> OrderRequest:
        return scene.order(limit_price="105.02")


class TestMaxPosition(RuleConformanceSuite):
    contributed = MaxPosition
    params = {"max_quantity": "100"}

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.hold(60)
        return scene.order(Side.BUY, 40)

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.hold(60)
        return scene.order(Side.BUY, 41)


class TestMessageRate(RuleConformanceSuite):
    contributed = MessageRate
    params = {"per_second": 3, "per_minute": 10, "cancel_reserve_percent": 0}

    def permitted(self, scene: Scene) -> OrderRequest:
        for quantity in (1, 2):
            scene.accept(scene.order(quantity=quantity))
        return scene.order(quantity=3)

    def forbidden(self, scene: Scene) -> OrderRequest:
        for quantity in (1, 2, 3):
            scene.accept(scene.order(quantity=quantity))
        return scene.order(quantity=4)


class TestDuplicateOrder(RuleConformanceSuite):
    contributed = DuplicateOrder
    params = {"window_s": 5}

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.accept(scene.order(quantity=10))
        scene.wait(seconds=5)
        return scene.order(quantity=10)

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.accept(scene.order(quantity=10))
        scene.wait(seconds=1)
        return scene.order(quantity=10)
