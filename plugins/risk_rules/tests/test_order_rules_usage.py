"""How much of a limit over the order is used at a moment, for the bars that people look at."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from oms_kernel.contracts.rules import Usage
from oms_kernel.domain.ids import StrategyId
from oms_kernel.domain.order import Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.guard import make_rule
from oms_kernel.testkit.builders import ACCOUNT_ID
from oms_kernel.testkit.scene import Scene
from oms_risk_rules.adv_participation import AdvParticipation
from oms_risk_rules.broker_link_guard import BrokerLinkGuard
from oms_risk_rules.clock_guard import ClockGuard
from oms_risk_rules.controlled_rollout import ControlledRollout
from oms_risk_rules.message_rate import MessageRate
from oms_risk_rules.reject_storm import RejectStorm
from oms_risk_rules.repeated_execution import RepeatedExecution

ALGO = StrategyId("algo")


def used(scene: Scene, cls: Any, scope: Scope = EVERYTHING, **params: Any) -> list[Usage]:
    rule = make_rule(cls, params, scope)
    return list(rule.usage(scene.view(), scene.memory(rule)))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_message_rates_of_each_account_and_of_a_scope(scene: Scene) -> None:
    other = scene.another_account()
    scene.accept(scene.order())
    scene.accept(scene.order())
    apart = used(scene, MessageRate)
    assert [(one.account_id, one.figure, one.used) for one in apart] == [
        (ACCOUNT_ID, "per_second", Decimal(2)),
        (ACCOUNT_ID, "per_minute", Decimal(2)),
        (other, "per_second", Decimal(0)),
        (other, "per_minute", Decimal(0)),
    ]
    assert apart[0].limit == Decimal(40)
    together = used(scene, MessageRate, per="SCOPE")
    assert [(one.account_id, one.used) for one in together] == [(None, Decimal(2)), (None, Decimal(2))]


def test_refusals_and_executions_of_those_who_had_some(scene: Scene) -> None:
    scene.deny(scene.order(strategy_id=ALGO))
    scene.fill(scene.acknowledge(scene.accept(scene.order(strategy_id=ALGO))), 100)
    (storm,) = used(scene, RejectStorm)
    assert (storm.account_id, storm.strategy_id, storm.used, storm.limit) == (ACCOUNT_ID, ALGO, Decimal(1), Decimal(10))
    (executed,) = used(scene, RepeatedExecution)
    assert (executed.strategy_id, executed.used, executed.headroom) == (ALGO, Decimal(1), Decimal(9))
    scene.wait(minutes=5)
    assert used(scene, RejectStorm) == []


def test_the_newest_count_of_a_sender_is_shown(scene: Scene) -> None:
    for number in range(7):
        scene.deny(scene.order(strategy_id=StrategyId(f"algo {number % 3}")))
    shown = {one.strategy_id: one.used for one in used(scene, RejectStorm)}
    assert shown == {"algo 0": Decimal(3), "algo 1": Decimal(2), "algo 2": Decimal(2)}


def test_shares_of_a_days_volume_where_it_is_known(scene: Scene) -> None:
    unknown = scene.another_instrument("UNKNOWN")
    scene.hold(10)
    scene.hold(10, instrument=unknown)
    scene.accept(scene.order(quantity=8, limit_price="99"))
    scene.accept(scene.order(Side.SELL, 2, limit_price="101"))
    scene.facts(average_daily_volume=1000)
    (share,) = used(scene, AdvParticipation)
    assert (share.account_id, share.instrument_id) == (ACCOUNT_ID, scene.instrument.instrument_id)
    assert (share.used, share.limit, share.unit) == (Decimal(2), Decimal(5), "%")


def test_doubts_and_clock(scene: Scene) -> None:
    assert used(scene, BrokerLinkGuard) == []
    scene.link(in_doubt=2)
    assert [one.used for one in used(scene, BrokerLinkGuard, max_in_doubt=3)] == [Decimal(2)]
    scene.clock_offset = timedelta(milliseconds=-30)
    assert [(one.used, one.limit) for one in used(scene, ClockGuard)] == [(Decimal(30), Decimal(1000))]
    scene.clock_offset = None
    assert used(scene, ClockGuard) == []


def test_stages_of_versions(scene: Scene) -> None:
    elsewhere = scene.another_account()
    for account_id in (ACCOUNT_ID, elsewhere):
        scene.accept(scene.order(limit_price="100", strategy_id=ALGO, algo_version="v1", account_id=account_id))
    versions = {"v1": {"max_orders_per_day": 5, "max_notional_per_day": "50000"}, "v2": {}}
    shown = used(scene, ControlledRollout, versions=versions)
    assert [(one.figure, one.used, one.unit) for one in shown] == [
        ("v1 2026-03-02", Decimal(2), "orders"),
        ("v1 2026-03-02", Decimal(20_000), "USD"),
    ]
    one_account = used(scene, ControlledRollout, Scope(account_id=ACCOUNT_ID), versions=versions)
    assert [one.used for one in one_account] == [Decimal(1), Decimal(10_000)]
