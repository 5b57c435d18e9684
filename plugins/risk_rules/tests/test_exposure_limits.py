"""Gross and net exposure and leverage: over which scope, what nets, and what is missing."""

from typing import Any

import pytest

from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.decision import Outcome, Verdict
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import StrategyId
from oms_kernel.domain.order import Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.guard import make_rule
from oms_kernel.testkit.builders import ACCOUNT_ID
from oms_kernel.testkit.scene import Scene
from oms_risk_rules.exposure_limits import GrossExposure, NetExposure

MOMENTUM = StrategyId("momentum")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def gross(scope: Scope = EVERYTHING, **params: Any) -> Any:
    return make_rule(GrossExposure, params, scope)


def net(scope: Scope = EVERYTHING, **params: Any) -> Any:
    return make_rule(NetExposure, params, scope)


def buy(scene: Scene, rule: Any, quantity: int, **fields: Any) -> Verdict:
    return scene.judge(rule, scene.order(Side.BUY, quantity, **fields))


def test_long_and_short_add_up_gross_and_cancel_out_net(scene: Scene) -> None:
    scene.hold(-50, instrument=scene.another_instrument("OTHER"))
    assert buy(scene, gross(max_exposure=10_000), 50).outcome is Outcome.PASS
    assert buy(scene, gross(max_exposure=10_000), 51).observed == 10_100
    assert buy(scene, net(max_exposure=10_000), 150).outcome is Outcome.PASS
    assert buy(scene, net(max_exposure=10_000), 151).observed == 10_100


def test_the_verdict_tells_what_there_was_and_what_the_order_adds(scene: Scene) -> None:
    scene.hold(20, instrument=scene.another_instrument("OTHER"))
    for rule in (gross(max_exposure=10_000), net(max_exposure=10_000)):
        verdict = buy(scene, rule, 30)
        assert (verdict.observed, verdict.inputs) == (5_000, {"without_the_order": 2_000, "order": 3_000})


def test_a_hedge_raises_gross_and_not_net(scene: Scene) -> None:
    scene.hold(100, instrument=scene.another_instrument("OTHER"))
    hedge = scene.order(Side.SELL, 100)
    assert scene.judge(gross(max_exposure=10_000), hedge).outcome is Outcome.DENY
    assert scene.judge(net(max_exposure=10_000), hedge).outcome is Outcome.PASS


def test_open_sells_do_not_make_room_for_buys(scene: Scene) -> None:
    scene.accept(scene.order(Side.SELL, 100, limit_price="101"))
    assert buy(scene, net(max_exposure=10_000), 100).outcome is Outcome.PASS
    assert buy(scene, net(max_exposure=10_000), 101).outcome is Outcome.DENY
    assert buy(scene, gross(max_exposure=10_000), 100).outcome is Outcome.PASS
    assert buy(scene, gross(max_exposure=10_000), 101).outcome is Outcome.DENY


def test_the_tenant_is_measured_as_a_whole_and_each_account_alone_when_the_limit_says_so(scene: Scene) -> None:
    other = scene.another_account()
    scene.hold(60, account_id=other)
    assert buy(scene, gross(max_exposure=10_000), 41).outcome is Outcome.DENY
    assert buy(scene, gross(max_exposure=10_000, per="ACCOUNT"), 100).outcome is Outcome.PASS
    assert buy(scene, gross(max_exposure=10_000, per="ACCOUNT"), 101).outcome is Outcome.DENY
    assert buy(scene, net(max_exposure=10_000), 41).outcome is Outcome.DENY
    assert buy(scene, net(max_exposure=10_000, per="ACCOUNT"), 41).outcome is Outcome.PASS


def test_accounts_do_not_net_in_the_gross_exposure_of_a_tenant(scene: Scene) -> None:
    scene.hold(-60, account_id=scene.another_account())
    assert buy(scene, gross(max_exposure=10_000), 40).outcome is Outcome.PASS
    assert buy(scene, gross(max_exposure=10_000), 41).outcome is Outcome.DENY
    assert buy(scene, net(max_exposure=10_000), 160).outcome is Outcome.PASS


def test_a_limit_for_the_firm_measures_every_account_of_the_ledger(scene: Scene) -> None:
    scene.hold(60, account_id=scene.another_account())
    assert buy(scene, gross(Scope(is_firm=True), max_exposure=10_000), 41).outcome is Outcome.DENY


def test_a_strategy_is_measured_by_its_own_book(scene: Scene) -> None:
    scene.hold(90)
    scene.hold(60, strategy_id=MOMENTUM)
    rule = gross(Scope(account_id=ACCOUNT_ID, strategy_id=MOMENTUM), max_exposure=10_000)
    assert buy(scene, rule, 40, strategy_id=MOMENTUM).outcome is Outcome.PASS
    assert buy(scene, rule, 41, strategy_id=MOMENTUM).observed == 10_100
    assert buy(scene, gross(max_exposure=15_000), 1).outcome is Outcome.DENY


def test_an_instrument_is_measured_alone(scene: Scene) -> None:
    scene.hold(500, instrument=scene.another_instrument("OTHER"))
    rule = gross(Scope(instrument_id=scene.instrument.instrument_id), max_exposure=10_000)
    assert buy(scene, rule, 100).outcome is Outcome.PASS
    assert buy(scene, rule, 101).outcome is Outcome.DENY


def test_leverage_is_measured_by_equity_and_the_tighter_limit_holds(scene: Scene) -> None:
    scene.pay(5_000)
    assert buy(scene, gross(max_leverage=2), 100).outcome is Outcome.PASS
    denied = buy(scene, gross(max_leverage=2), 101)
    assert (denied.limit, denied.inputs["equity"]) == (10_000, 5_000)
    assert buy(scene, gross(max_leverage=2, max_exposure=9_000), 91).limit == 9_000
    assert buy(scene, gross(max_leverage=1, max_exposure=9_000), 51).limit == 5_000


@pytest.mark.parametrize("cash", [0, -5_000])
def test_without_equity_above_zero_a_leverage_allows_nothing_that_adds(scene: Scene, cash: int) -> None:
    scene.hold(10, 100)
    scene.pay(cash)
    assert buy(scene, gross(max_leverage=2), 1).outcome is Outcome.DENY
    assert scene.judge(gross(max_leverage=2), scene.order(Side.SELL, 10)).outcome is Outcome.PASS


def test_leverage_with_an_unknown_equity_denies(scene: Scene) -> None:
    scene.pay(100, "EUR")
    verdict = buy(scene, gross(max_leverage=2), 1)
    assert (verdict.outcome, verdict.code) == (Outcome.DENY, "no_equity")


def test_a_missing_price_of_what_is_held_elsewhere_denies_and_names_it(scene: Scene) -> None:
    other = scene.another_instrument("OTHER")
    scene.hold(1, instrument=other)
    del scene.quotes[other.instrument_id]
    for rule in (gross(max_exposure=10_000), net(max_exposure=10_000)):
        verdict = buy(scene, rule, 1)
        assert (verdict.outcome, verdict.code) == (Outcome.DENY, "no_quote")
        assert "OTHER" in verdict.message


def test_a_missing_rate_for_what_is_held_elsewhere_denies_and_names_it(scene: Scene) -> None:
    scene.hold(1, instrument=scene.another_instrument("OTHER", currency="CHF"))
    verdict = buy(scene, gross(max_exposure=10_000), 1)
    assert (verdict.outcome, verdict.code) == (Outcome.DENY, "no_fx_rate")
    assert "CHF" in verdict.message


def test_accounts_in_different_currencies_have_no_common_exposure(scene: Scene) -> None:
    scene.another_account(base_currency="EUR")
    for rule in (gross(max_exposure=10_000), net(max_exposure=10_000)):
        assert buy(scene, rule, 1).code == "no_base_currency"
    assert buy(scene, gross(max_exposure=10_000, per="ACCOUNT"), 1).outcome is Outcome.PASS


@pytest.mark.parametrize("contributed", [GrossExposure, NetExposure])
def test_a_limit_without_any_figure_is_refused(contributed: Any) -> None:
    with pytest.raises(InvalidRequest, match="max_leverage"):
        parse_params(contributed, {})


def test_a_limit_of_nothing_lets_reduce_only(scene: Scene) -> None:
    scene.hold(10)
    rule = gross(max_exposure=0)
    assert buy(scene, rule, 1).would_pass == "only an order that reduces the position"
    assert scene.judge(rule, scene.order(Side.SELL, 10)).outcome is Outcome.PASS
