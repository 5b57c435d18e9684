"""The checks keep the contract."""

from datetime import UTC, datetime

import msgspec

from oms_compliance_checks.restricted_list import RestrictedList
from oms_compliance_checks.self_trade_prevention import SelfTradePrevention
from oms_compliance_checks.trading_hours import TradingHours
from oms_kernel.domain.calendar import US_EQUITIES
from oms_kernel.domain.order import OrderRequest, Side
from oms_kernel.testkit.builders import an_instrument
from oms_kernel.testkit.rule_suite import ComplianceConformanceSuite
from oms_kernel.testkit.scene import Scene


class TestRestrictedList(ComplianceConformanceSuite):
    contributed = RestrictedList
    params = {"restrictions": [{"symbol": "BAD"}]}
    has_figures = False

    def permitted(self, scene: Scene) -> OrderRequest:
        return scene.order()

    def forbidden(self, scene: Scene) -> OrderRequest:
        return scene.order(instrument=scene.add(an_instrument("BAD")), limit_price="1")


class TestTradingHours(ComplianceConformanceSuite):
    contributed = TradingHours
    has_figures = False

    def permitted(self, scene: Scene) -> OrderRequest:
        return scene.order()

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.calendars["us-equities"] = US_EQUITIES
        listed = msgspec.structs.replace(scene.instrument, calendar="us-equities")
        scene.add(listed)
        scene.now = datetime(2026, 3, 7, 12, tzinfo=UTC)
        return scene.order()


class TestSelfTradePrevention(ComplianceConformanceSuite):
    contributed = SelfTradePrevention

    def permitted(self, scene: Scene) -> OrderRequest:
        scene.accept(scene.order(Side.SELL, limit_price="101"))
        return scene.order(Side.BUY, limit_price="100.99")

    def forbidden(self, scene: Scene) -> OrderRequest:
        scene.accept(scene.order(Side.SELL, limit_price="101"))
        return scene.order(Side.BUY, limit_price="101")
