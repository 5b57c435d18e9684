"""The rules over what an order would lead to, and the monitors, keep their contracts."""

from oms_kernel.domain import events as ev
from oms_kernel.domain.breaks import BreakType, Difference, Severity
from oms_kernel.domain.decision import Outcome
from oms_kernel.domain.ids import BrokerOrderId, ConnectionId
from oms_kernel.domain.order import OrderRequest, Side
from oms_kernel.domain.scope import Scope
from oms_kernel.testkit.builders import ACCOUNT_ID, BROKER_ACCOUNT_ID, a_uuid
from oms_kernel.testkit.monitor_suite import MonitorConformanceSuite
from oms_kernel.testkit.rule_suite import RuleConformanceSuite
from oms_kernel.testkit.scene import Scene
from oms_risk_rules.buying_power import BuyingPower
from oms_risk_rules.concentration import ConcentrationLimit
from oms_risk_rules.doubt_monitor import DoubtMonitor
from oms_risk_rules.exposure_limits import GrossExposure, NetExposure
from oms_risk_rules.exposure_monitors import ConcentrationMonitor, ExposureMonitor
from oms_risk_rules.flow_monitor import FlowMonitor
from oms_risk_rules.loss_limits import MaxDailyLoss, MaxDrawdown
from oms_risk_rules.loss_monitors import DailyLossMonitor, DrawdownMonitor
from oms_risk_rules.max_position import MaxPosition
from oms_risk_rules.open_breaks_monitor import OpenBreaksMonitor
from oms_risk_rules.open_order_limits import OpenOrderCount, OpenOrderValue
from oms_risk_rules.position_monitor import PositionMonitor
from oms_risk_rules.stale_data_monitor import StaleDataMonitor


class TestMaxPositionInValue(RuleConformanceSuite):
    contributed = MaxPosition
    params = {"max_notional": "10000"}
    scope = Scope(account_id=ACCOUNT_ID)
    without_quote = Outcome.DENY

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.hold(60)
        return scene.order(Side.BUY, 40)

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.hold(60)
        return scene.order(Side.BUY, 41)


class TestGrossExposure(RuleConformanceSuite):
    contributed = GrossExposure
    params = {"max_exposure": "20000"}
    without_quote = Outcome.DENY

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.hold(-100, instrument=scene.another_instrument("OTHER"))
        return scene.order(Side.BUY, 100)

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.hold(-100, instrument=scene.another_instrument("OTHER"))
        return scene.order(Side.BUY, 101)


class TestNetExposure(RuleConformanceSuite):
    contributed = NetExposure
    params = {"max_exposure": "10000"}
    without_quote = Outcome.DENY

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.hold(-100, instrument=scene.another_instrument("OTHER"))
        return scene.order(Side.BUY, 200)

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.hold(-100, instrument=scene.another_instrument("OTHER"))
        return scene.order(Side.BUY, 201)


class TestBuyingPower(RuleConformanceSuite):
    contributed = BuyingPower
    params = {}
    without_quote = Outcome.DENY

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.pay(1000)
        return scene.order(Side.BUY, 10, limit_price="100")

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.pay(1000)
        return scene.order(Side.BUY, 11, limit_price="100")


class TestOpenOrderCount(RuleConformanceSuite):
    contributed = OpenOrderCount
    params = {"max_orders": 2}

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.accept(scene.order(limit_price="99"))
        return scene.order()

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.accept(scene.order(limit_price="99"))
        scene.accept(scene.order(limit_price="98"))
        return scene.order()


class TestOpenOrderValue(RuleConformanceSuite):
    contributed = OpenOrderValue
    params = {"max_value": "10000"}
    without_quote = Outcome.DENY

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.accept(scene.order(quantity=10, limit_price="50"))
        return scene.order(quantity=90)

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.accept(scene.order(quantity=10, limit_price="50"))
        return scene.order(quantity=95)


class TestConcentration(RuleConformanceSuite):
    contributed = ConcentrationLimit
    params = {"max_percent": "25"}
    without_quote = Outcome.DENY

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.pay(100_000)
        return scene.order(Side.BUY, 250)

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.pay(100_000)
        return scene.order(Side.BUY, 251)


class TestMaxDailyLoss(RuleConformanceSuite):
    contributed = MaxDailyLoss
    params = {"max_loss": "1000"}
    without_quote = Outcome.DENY

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.mark_equity(0)
        scene.hold(100, 110)
        return scene.order(Side.BUY, 1)

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.mark_equity(0)
        scene.hold(100, 111)
        return scene.order(Side.BUY, 1)


class TestMaxDrawdown(RuleConformanceSuite):
    contributed = MaxDrawdown
    params = {"max_drawdown_percent": "10"}
    without_quote = Outcome.DENY

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.pay(10_000)
        scene.mark_equity(10_000)
        scene.hold(100, 110)
        return scene.order(Side.BUY, 1)

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.pay(10_000)
        scene.mark_equity(10_000)
        scene.hold(100, 111)
        return scene.order(Side.BUY, 1)


# Monitors ------------------------------------------------------------------------------------------------


class TestDailyLossMonitor(MonitorConformanceSuite):
    contributed = DailyLossMonitor
    params = {"max_loss": "1000"}

    def calm(self, scene: Scene) -> None:
        scene.mark_equity(0)
        scene.hold(100, 110)

    def alarming(self, scene: Scene) -> None:
        scene.mark_equity(0)
        scene.hold(100, 111)


class TestDrawdownMonitor(MonitorConformanceSuite):
    contributed = DrawdownMonitor
    params = {"max_drawdown": "1000"}

    def calm(self, scene: Scene) -> None:
        scene.mark_equity(0, 0)
        scene.hold(100, 110)

    def alarming(self, scene: Scene) -> None:
        scene.mark_equity(0, 0)
        scene.hold(100, 111)


class TestPositionMonitor(MonitorConformanceSuite):
    contributed = PositionMonitor
    params = {"max_quantity": "100"}

    def calm(self, scene: Scene) -> None:
        scene.hold(100)

    def alarming(self, scene: Scene) -> None:
        scene.hold(101)


class TestExposureMonitor(MonitorConformanceSuite):
    contributed = ExposureMonitor
    params = {"max_gross": "10000", "max_net": "10000"}

    def calm(self, scene: Scene) -> None:
        scene.hold(100)

    def alarming(self, scene: Scene) -> None:
        scene.hold(101)


class TestConcentrationMonitor(MonitorConformanceSuite):
    contributed = ConcentrationMonitor
    params = {"max_percent": "25"}

    def calm(self, scene: Scene) -> None:
        scene.pay(100_000)
        scene.hold(250)

    def alarming(self, scene: Scene) -> None:
        scene.pay(100_000)
        scene.hold(251)


class TestStaleDataMonitor(MonitorConformanceSuite):
    contributed = StaleDataMonitor
    params = {"max_age_s": 30}
    alarms_without_quotes = True

    def calm(self, scene: Scene) -> None:
        scene.hold(100)
        scene.wait(seconds=30)

    def alarming(self, scene: Scene) -> None:
        scene.hold(100)
        scene.wait(seconds=31)


class TestOpenBreaksMonitor(MonitorConformanceSuite):
    contributed = OpenBreaksMonitor
    params = {"max_age_s": 60}

    def calm(self, scene: Scene) -> None:
        _find_break(scene)
        scene.wait(seconds=59)

    def alarming(self, scene: Scene) -> None:
        _find_break(scene)
        scene.wait(seconds=61)


class TestDoubtMonitor(MonitorConformanceSuite):
    contributed = DoubtMonitor
    params = {"max_age_s": 60}

    def calm(self, scene: Scene) -> None:
        scene.doubt(scene.accept(scene.order(limit_price="99")))
        scene.wait(seconds=59)

    def alarming(self, scene: Scene) -> None:
        scene.doubt(scene.accept(scene.order(limit_price="99")))
        scene.wait(seconds=61)


class TestFlowMonitor(MonitorConformanceSuite):
    contributed = FlowMonitor
    params = {"min_orders": 2}

    def calm(self, scene: Scene) -> None:
        for price in ("97", "98", "99"):
            scene.acknowledge(scene.accept(scene.order(limit_price=price)))

    def alarming(self, scene: Scene) -> None:
        for number in range(2):
            _adopt(scene, number)


def _find_break(scene: Scene) -> None:
    difference = Difference(
        break_type=BreakType.CASH,
        broker_account_id=BROKER_ACCOUNT_ID,
        subject="USD",
        account_id=ACCOUNT_ID,
        currency="USD",
        ours="100",
        theirs="90",
    )
    scene.record(
        ev.BreakFound(
            account_id=ACCOUNT_ID,
            difference=difference,
            severity=Severity.WARNING,
            proposed_fix="look",
            as_of=scene.now,
        )
    )


def _adopt(scene: Scene, number: int) -> None:
    accepted = scene.order(limit_price="99")
    scene.record(
        ev.OrderAdopted(
            account_id=ACCOUNT_ID,
            order_id=a_uuid(f"adopted {number}"),  # type: ignore[arg-type]
            request=accepted,
            broker_account_id=BROKER_ACCOUNT_ID,
            connection_id=ConnectionId(a_uuid("connection")),
            symbol="ACME",
            currency="USD",
            multiplier=scene.instrument.multiplier,
            reservation=ev.Reservation(price=accepted.limit_price, source="limit_price"),
            trading_date="2026-03-02",
            broker_order_id=BrokerOrderId(f"EXT-{number}"),
            broker_at=scene.now,
        )
    )
