"""The checks and monitors keep their contracts."""

from datetime import UTC, datetime, time
from decimal import Decimal
from typing import ClassVar

import msgspec

from oms_compliance_checks.access_control import AccessControl
from oms_compliance_checks.algo_tag import AlgoTag
from oms_compliance_checks.allowed_instruments import AllowedInstruments
from oms_compliance_checks.cnc_no_short import CncNoShort
from oms_compliance_checks.cooldown import Cooldown
from oms_compliance_checks.day_trade_counter import DayTradeCounter
from oms_compliance_checks.halt_status import HaltStatus
from oms_compliance_checks.min_resting_time import MinRestingTime
from oms_compliance_checks.mis_square_off import MisSquareOff, MisSquareOffMonitor
from oms_compliance_checks.order_to_trade_ratio import OrderToTradeRatio
from oms_compliance_checks.restricted_list import RestrictedList
from oms_compliance_checks.self_trade_prevention import SelfTradePrevention
from oms_compliance_checks.short_sale import ShortSale
from oms_compliance_checks.spoof_layer_alert import SpoofLayerAlert
from oms_compliance_checks.trading_hours import TradingHours
from oms_compliance_checks.wash_trade_pattern import WashTradePattern
from oms_kernel.domain.calendar import US_EQUITIES, Calendar
from oms_kernel.domain.decision import Outcome
from oms_kernel.domain.instrument import AssetClass
from oms_kernel.domain.order import OrderRequest, Product, Side
from oms_kernel.testkit.builders import an_instrument
from oms_kernel.testkit.monitor_suite import MonitorConformanceSuite
from oms_kernel.testkit.rule_suite import ComplianceConformanceSuite
from oms_kernel.testkit.scene import Scene

INDIA = Calendar(
    name="india", time_zone="Asia/Kolkata", weekdays=(1, 2, 3, 4, 5), opens_at=time(9, 15), closes_at=time(15, 30)
)
CUT_OFF = datetime(2026, 3, 2, 9, 50, tzinfo=UTC)
"""15:20 in India."""


def listed_in(scene: Scene, calendar: Calendar) -> None:
    """Let the scene's instrument trade by this calendar."""
    scene.calendars[calendar.name] = calendar
    scene.instrument = scene.add(msgspec.structs.replace(scene.instrument, calendar=calendar.name))


class TestRestrictedList(ComplianceConformanceSuite):
    contributed = RestrictedList
    params = {"restrictions": [{"symbol": "BAD"}]}
    has_figures = False

    def permitted(self, scene: Scene) -> OrderRequest:
        return scene.order()

    def forbidden(self, scene: Scene) -> OrderRequest:
        return scene.order(instrument=scene.add(an_instrument("BAD")), limit_price="1")


class TestAllowedInstruments(ComplianceConformanceSuite):
    contributed = AllowedInstruments
    params = {"asset_classes": ["EQUITY"], "currencies": ["USD"]}
    has_figures = False

    def permitted(self, scene: Scene) -> OrderRequest:
        return scene.order()

    def forbidden(self, scene: Scene) -> OrderRequest:
        return scene.order(instrument=scene.add(an_instrument("COIN", asset_class=AssetClass.CRYPTO)), limit_price="1")


class TestAccessControl(ComplianceConformanceSuite):
    contributed = AccessControl
    params: ClassVar = {"approved": [{"principal": "user:trader"}]}
    has_figures = False

    def permitted(self, scene: Scene) -> OrderRequest:
        return scene.order()

    def forbidden(self, scene: Scene) -> OrderRequest:
        return scene.order(account_id=scene.another_account())

    def rule(self) -> AccessControl:
        rule: AccessControl = super().rule()
        only = frozenset({Scene().order().account_id})
        rule.accounts = {"user:trader": only}
        return rule


class TestAlgoTag(ComplianceConformanceSuite):
    contributed = AlgoTag
    params = {"required": ["desk"], "applies_to": "ALL"}
    has_figures = False

    def permitted(self, scene: Scene) -> OrderRequest:
        return scene.order(desk="rates")

    def forbidden(self, scene: Scene) -> OrderRequest:
        return scene.order()


class TestTradingHours(ComplianceConformanceSuite):
    contributed = TradingHours
    has_figures = False

    def permitted(self, scene: Scene) -> OrderRequest:
        return scene.order()

    def forbidden(self, scene: Scene) -> OrderRequest:
        listed_in(scene, US_EQUITIES)
        scene.now = datetime(2026, 3, 7, 12, tzinfo=UTC)
        return scene.order()


class TestHaltStatus(ComplianceConformanceSuite):
    contributed = HaltStatus
    has_figures = False

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.facts(is_halted=False, in_auction=False)
        return scene.order()

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.facts(is_halted=True, in_auction=False)
        return scene.order()


class TestCncNoShort(ComplianceConformanceSuite):
    contributed = CncNoShort

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.hold(100)
        return scene.order(Side.SELL, 100, product=Product.CNC, limit_price="100")

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.hold(100)
        return scene.order(Side.SELL, 101, product=Product.CNC, limit_price="100")


class TestMisSquareOff(ComplianceConformanceSuite):
    contributed = MisSquareOff
    has_figures = False

    def permitted(self, scene: Scene) -> OrderRequest:
        listed_in(scene, INDIA)
        return scene.order(product=Product.CNC)

    def forbidden(self, scene: Scene) -> OrderRequest:
        listed_in(scene, INDIA)
        scene.now = CUT_OFF
        return scene.order(product=Product.MIS, limit_price="100")


class TestOrderToTradeRatio(ComplianceConformanceSuite):
    contributed = OrderToTradeRatio
    params = {"block_ratio": "3", "min_orders": 1}

    def permitted(self, scene: Scene) -> OrderRequest:
        for _ in range(2):
            scene.accept(scene.order())
        return scene.order()

    def forbidden(self, scene: Scene) -> OrderRequest:
        for _ in range(3):
            scene.accept(scene.order())
        return scene.order()


class TestCooldown(ComplianceConformanceSuite):
    contributed = Cooldown
    params = {"pause_s": 60, "after": ["FILL"]}

    has_figures = False

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.hold(10)
        scene.wait(seconds=60)
        scene.quote()
        return scene.order()

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.hold(10)
        return scene.order()

    def test_its_denial_shows_observed_limit_and_unit(self) -> None:
        """It has figures while the pause lasts, and none without one."""
        scene = Scene()
        verdict = scene.judge(self.rule(), self.forbidden(scene))
        assert (verdict.observed, verdict.limit, verdict.unit, verdict.is_floor) == (0, 60, "s", True)
        assert verdict.would_pass


class TestWashTradePattern(ComplianceConformanceSuite):
    contributed = WashTradePattern
    params = {"block_s": 60}
    has_figures = False

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.hold(100)
        return scene.order()

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.hold(100)
        scene.hold(-100)
        return scene.order()

    def test_its_denial_shows_observed_limit_and_unit(self) -> None:
        """It has figures while the block lasts, and none without one."""
        scene = Scene()
        verdict = scene.judge(self.rule(), self.forbidden(scene))
        assert (verdict.observed, verdict.limit, verdict.unit, verdict.is_floor) == (0, 60, "s", True)
        assert verdict.would_pass


class TestShortSale(ComplianceConformanceSuite):
    contributed = ShortSale
    params = {
        "locates": [{"locate_id": "L1", "symbol": "ACME", "quantity": "100", "valid_on": "2026-03-02"}],
        "price_test": False,
    }

    def permitted(self, scene: Scene) -> OrderRequest:
        return scene.order(Side.SELL, 100, locate_id="L1")

    def forbidden(self, scene: Scene) -> OrderRequest:
        return scene.order(Side.SELL, 101, locate_id="L1")


class TestSelfTradePrevention(ComplianceConformanceSuite):
    contributed = SelfTradePrevention

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.accept(scene.order(Side.SELL, limit_price="101"))
        return scene.order(Side.BUY, limit_price="100.99")

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.accept(scene.order(Side.SELL, limit_price="101"))
        return scene.order(Side.BUY, limit_price="101")


class TestSelfTradePreventionByCancelling(TestSelfTradePrevention):
    params = {"mode": "BOTH"}


class TestDayTradeCounter(ComplianceConformanceSuite):
    contributed = DayTradeCounter
    params = {"rules": [{"effective_from": "2020-01-01", "max_day_trades": 2}]}

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.pay(1_000)
        self._day_trade(scene)
        return scene.order()

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.pay(1_000)
        self._day_trade(scene)
        self._day_trade(scene)
        return scene.order()

    def _day_trade(self, scene: Scene) -> None:
        scene.hold(1)
        scene.hold(-1)


class TestMinRestingTime(MonitorConformanceSuite):
    contributed = MinRestingTime
    params = {"min_resting_ms": 500}

    def calm(self, scene: Scene) -> None:
        order = scene.acknowledge(scene.accept(scene.order(limit_price="99")))
        scene.wait(milliseconds=500)
        scene.cancel(order)

    def alarming(self, scene: Scene) -> None:
        order = scene.acknowledge(scene.accept(scene.order(limit_price="99")))
        scene.wait(milliseconds=499)
        scene.cancel(order)


class TestSpoofLayerAlert(MonitorConformanceSuite):
    contributed = SpoofLayerAlert

    def calm(self, scene: Scene) -> None:
        for price in ("99.90", "99.80", "99.70"):
            scene.cancel(scene.acknowledge(scene.accept(scene.order(limit_price=price))))

    def alarming(self, scene: Scene) -> None:
        self.calm(scene)
        scene.hold(-10)


class TestMisSquareOffMonitor(MonitorConformanceSuite):
    contributed = MisSquareOffMonitor

    def calm(self, scene: Scene) -> None:
        listed_in(scene, INDIA)
        scene.now = datetime(2026, 3, 2, 9, 49, 59, tzinfo=UTC)
        scene.quote()
        order = scene.acknowledge(scene.accept(scene.order(quantity=10, product=Product.MIS, limit_price="100")))
        scene.fill(order, 10)

    def alarming(self, scene: Scene) -> None:
        self.calm(scene)
        scene.now = CUT_OFF


def test_the_monitor_shows_what_is_open_and_that_nothing_should_be() -> None:
    scene = Scene()
    TestMisSquareOffMonitor().alarming(scene)
    (found,) = TestMisSquareOffMonitor().found(scene)
    assert (found.observed, found.limit, found.unit) == (Decimal(10), Decimal(0), "quantity")


def test_no_check_passes_by_saying_hold() -> None:
    """A hold is the host's, for a soft limit; a check says PASS or DENY."""
    for suite in (TestCncNoShort(), TestShortSale(), TestHaltStatus()):
        scene = Scene()
        assert scene.judge(suite.rule(), suite.forbidden(scene)).outcome is Outcome.DENY
