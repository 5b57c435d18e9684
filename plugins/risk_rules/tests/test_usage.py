"""How much of each limit is used, as people see it: by account, instrument and side, and nothing that is not known."""

from decimal import Decimal
from typing import Any

import pytest

from oms_kernel.contracts.rules import Usage
from oms_kernel.domain.controls import Category
from oms_kernel.domain.decision import Gate
from oms_kernel.domain.order import Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.guard import GuardedRule, make_rule
from oms_kernel.soundness import is_sound_usage
from oms_kernel.terms import Terms
from oms_kernel.testkit.builders import ACCOUNT_ID
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
from oms_risk_rules.plugin import MONITORS, POSITION_RULES
from oms_risk_rules.position_monitor import PositionMonitor

Row = tuple[str, int | str, int | str, str]


@pytest.fixture
def scene() -> Scene:
    """100,000 at the highest and at the day's beginning; 100 units bought at 110, worth 100; 50 more on order at 80."""
    scene = Scene()
    scene.pay(100_000)
    scene.mark_equity(100_000)
    scene.hold(100, 110)
    scene.acknowledge(scene.accept(scene.order(Side.BUY, 50, limit_price="80")))
    return scene


def usage_of(scene: Scene, contributed: Any, params: dict[str, Any], scope: Scope = EVERYTHING) -> tuple[Usage, ...]:
    rule = make_rule(contributed, params, scope)
    guarded = GuardedRule("key", "risk_rules", contributed.name, Gate.RISK, Terms(scope=scope), rule)
    found = guarded.usage(scene.view(), scene.memory(rule))
    assert guarded.guard.errors == 0, guarded.guard.last_error
    assert all(is_sound_usage(one) for one in found)
    return found


def rows(found: tuple[Usage, ...]) -> list[tuple[str, Decimal, Decimal, str]]:
    return [(one.figure, one.used, one.limit, one.unit) for one in found]


TABLE: dict[str, tuple[Any, dict[str, Any], list[Row]]] = {
    "position": (MaxPosition, {"max_quantity": 500}, [("long", 150, 500, "units"), ("short", 0, 500, "units")]),
    "position in value": (MaxPosition, {"max_long_notional": 20_000}, [("long value", 15_000, 20_000, "USD")]),
    "gross": (GrossExposure, {"max_exposure": 20_000}, [("", 15_000, 20_000, "USD")]),
    "net": (NetExposure, {"max_exposure": 20_000}, [("", 15_000, 20_000, "USD")]),
    "leverage": (GrossExposure, {"max_leverage": 2}, [("", 15_000, 198_000, "USD")]),
    "funds": (BuyingPower, {"reserve": 9_000}, [("", 15_000, 90_000, "USD")]),
    "orders": (OpenOrderCount, {}, [("", 1, 200, "orders")]),
    "open value": (OpenOrderValue, {"max_value": 9_000}, [("", 4_000, 9_000, "USD")]),
    "share": (ConcentrationLimit, {"max_percent": 20}, [("", "15.151515151515", 20, "%")]),
    "share of gross": (ConcentrationLimit, {"max_percent": 20, "of": "GROSS"}, [("", 100, 20, "%")]),
    "small share": (ConcentrationLimit, {"max_percent": 20, "free_below": 15_000}, []),
    "loss": (MaxDailyLoss, {"max_loss": 5_000}, [("", 1_000, 5_000, "USD")]),
    "drawdown": (MaxDrawdown, {"max_drawdown_percent": 10}, [("", 1_000, 10_000, "USD")]),
    "watched loss": (DailyLossMonitor, {"max_loss_percent": 5}, [("", 1_000, 5_000, "USD")]),
    "watched drawdown": (DrawdownMonitor, {"max_drawdown": 5_000}, [("", 1_000, 5_000, "USD")]),
    "watched position": (
        PositionMonitor,
        {"max_quantity": 500, "max_notional": 20_000},
        [("long", 100, 500, "units"), ("long value", 10_000, 20_000, "USD")],
    ),
    "watched exposure": (
        ExposureMonitor,
        {"max_gross": 20_000, "max_net": 30_000, "max_leverage": 1},
        [("gross", 15_000, 20_000, "USD"), ("net", 15_000, 30_000, "USD"), ("leveraged", 15_000, 99_000, "USD")],
    ),
    "watched share": (ConcentrationMonitor, {"max_percent": 20}, [("", "15.151515151515", 20, "%")]),
    "breaks": (OpenBreaksMonitor, {"max_breaks": 3}, [("", 0, 3, "breaks")]),
    "doubts": (DoubtMonitor, {}, [("", 0, 5, "orders")]),
    "flow": (FlowMonitor, {"min_orders": 1}, [("", 1, 2, "x")]),
    "little flow": (FlowMonitor, {}, []),
}


@pytest.mark.parametrize(("contributed", "params", "told"), TABLE.values(), ids=TABLE.keys())
def test_the_usage_of_a_limit(scene: Scene, contributed: Any, params: dict[str, Any], told: list[Row]) -> None:
    expected = [(name, Decimal(used), Decimal(limit), unit) for name, used, limit, unit in told]
    assert rows(usage_of(scene, contributed, params)) == expected


@pytest.mark.parametrize(("contributed", "params", "told"), TABLE.values(), ids=TABLE.keys())
def test_without_quotes_only_what_needs_none_is_told(
    scene: Scene, contributed: Any, params: dict[str, Any], told: list[Row]
) -> None:
    scene.lose_quotes()
    units = {"units", "orders", "breaks", "x"}
    kept = [name for name, _, _, unit in told if unit in units or contributed is OpenOrderValue]
    assert [one.figure for one in usage_of(scene, contributed, params)] == kept


def test_usage_names_the_account_and_the_instrument_that_it_is_of(scene: Scene) -> None:
    other = scene.another_account()
    scene.hold(5, account_id=other)
    found = usage_of(scene, PositionMonitor, {"max_quantity": 500})
    assert [(one.account_id, one.instrument_id) for one in found] == [
        (ACCOUNT_ID, scene.instrument.instrument_id),
        (other, scene.instrument.instrument_id),
    ]
    (together,) = usage_of(scene, PositionMonitor, {"max_quantity": 500, "per": "SCOPE"})
    assert (together.account_id, together.used) == (None, 105)
    (whole,) = usage_of(scene, GrossExposure, {"max_exposure": 1})
    assert (whole.account_id, whole.used) == (None, 15_500)
    assert len(usage_of(scene, GrossExposure, {"max_exposure": 1, "per": "ACCOUNT"})) == 2
    assert len(usage_of(scene, MaxDailyLoss, {"max_loss": 1}, Scope(account_id=other))) == 0


def test_a_sectors_share_is_told_by_its_name(scene: Scene) -> None:
    scene.facts(sector="Energy")
    (found,) = usage_of(scene, ConcentrationLimit, {"max_percent": 20, "by": "SECTOR"})
    assert (found.figure, found.instrument_id) == ("Energy", None)


def test_money_that_is_reserved_but_not_there_leaves_none_to_use(scene: Scene) -> None:
    assert rows(usage_of(scene, BuyingPower, {"reserve": 500_000})) == [("", Decimal(15_000), Decimal(0), "USD")]


def test_the_flow_is_told_as_a_ratio(scene: Scene) -> None:
    for number in range(5):
        scene.acknowledge(scene.accept(scene.order(Side.BUY, 1 + number, limit_price="80")))
    (found,) = usage_of(scene, FlowMonitor, {"min_orders": 1})
    assert (found.used, found.account_id) == (1, ACCOUNT_ID)
    scene.wait(minutes=2)
    assert usage_of(scene, FlowMonitor, {"min_orders": 1}) == ()


def test_every_limit_that_looks_at_the_days_result_asks_for_marks() -> None:
    asking = {one.name for one in (*POSITION_RULES, *MONITORS) if getattr(one, "needs_equity", False)}
    assert asking == {"max_daily_loss", "max_drawdown", "daily_loss_monitor", "drawdown_monitor"}


@pytest.mark.parametrize("contributed", [*POSITION_RULES, *MONITORS], ids=lambda one: one.name)
def test_each_names_its_source_and_explains_itself(contributed: Any) -> None:
    assert contributed.source
    assert len(contributed.__doc__ or "") > 100
    assert getattr(contributed, "category", Category.RISK) is Category.RISK
