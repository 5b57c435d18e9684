"""How many orders may be open at once, and what they may be worth."""

from typing import Any

import pytest

from oms_kernel.domain.decision import Outcome
from oms_kernel.domain.ids import EventId, StrategyId
from oms_kernel.domain.order import Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.guard import make_rule
from oms_kernel.testkit.builders import ACCOUNT_ID, a_uuid
from oms_kernel.testkit.scene import Scene
from oms_risk_rules.open_order_limits import OpenOrderCount, OpenOrderValue

MOMENTUM = StrategyId("momentum")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def count(scope: Scope = EVERYTHING, **params: Any) -> Any:
    return make_rule(OpenOrderCount, params, scope)


def value(scope: Scope = EVERYTHING, **params: Any) -> Any:
    return make_rule(OpenOrderValue, params, scope)


def place(scene: Scene, orders: int, **fields: Any) -> None:
    for number in range(orders):
        scene.accept(scene.order(Side.BUY, 1, limit_price=90 + number, **fields))


@pytest.mark.parametrize(("open_orders", "outcome"), [(1, "PASS"), (2, "PASS"), (3, "DENY")])
def test_orders_below_at_and_above_the_limit(scene: Scene, open_orders: int, outcome: str) -> None:
    place(scene, open_orders)
    verdict = scene.judge(count(max_orders=3), scene.order())
    assert verdict.outcome == outcome
    assert (verdict.observed, verdict.limit, verdict.unit) == (open_orders + 1, 3, "orders")


def test_two_hundred_orders_are_the_default(scene: Scene) -> None:
    assert scene.judge(count(), scene.order()).limit == 200


@pytest.mark.parametrize("standing", ["held", "working", "in doubt", "partly filled"])
def test_whatever_may_still_trade_counts(scene: Scene, standing: str) -> None:
    intent, _ = scene.intent(scene.order())
    order = scene.accept(scene.order(limit_price="99"), held=standing == "held")
    if standing == "in doubt":
        scene.doubt(order)
    if standing in ("working", "partly filled"):
        order = scene.acknowledge(order)
    if standing == "partly filled":
        scene.fill(order, 99)
    assert count(max_orders=2).assess(intent, scene.view(), None).outcome is Outcome.PASS
    assert count(max_orders=1).assess(intent, scene.view(), None).outcome is Outcome.DENY


@pytest.mark.parametrize("end", ["filled", "cancelled", "rejected"])
def test_an_order_that_ended_makes_room(scene: Scene, end: str) -> None:
    order = scene.accept(scene.order(quantity=10, limit_price="99"))
    if end == "cancelled":
        scene.cancel(order)
    else:
        order = scene.acknowledge(order)
        scene.fill(order, 10) if end == "filled" else scene.reject(order)
    assert scene.judge(count(max_orders=1), scene.order()).outcome is Outcome.PASS


def test_a_modification_is_no_further_order(scene: Scene) -> None:
    order = scene.acknowledge(scene.accept(scene.order(limit_price="99")))
    assert scene.judge_replace(count(max_orders=1), order, quantity=500).outcome is Outcome.PASS


def test_an_order_of_a_liquidation_is_let_through(scene: Scene) -> None:
    place(scene, 3)
    request = scene.order(liquidation_id=EventId(a_uuid("liquidation")))
    assert scene.judge(count(max_orders=1), request).outcome is Outcome.PASS


def test_orders_are_counted_over_the_scope_or_for_each_account(scene: Scene) -> None:
    other = scene.another_account()
    place(scene, 2, account_id=other)
    assert scene.judge(count(max_orders=2), scene.order()).outcome is Outcome.DENY
    assert scene.judge(count(max_orders=2, per="ACCOUNT"), scene.order()).outcome is Outcome.PASS
    assert scene.judge(count(Scope(account_id=ACCOUNT_ID), max_orders=1), scene.order()).outcome is Outcome.PASS


def test_a_strategys_limit_counts_its_own_orders(scene: Scene) -> None:
    place(scene, 2)
    place(scene, 1, strategy_id=MOMENTUM)
    rule = count(Scope(strategy_id=MOMENTUM), max_orders=2)
    assert scene.judge(rule, scene.order(strategy_id=MOMENTUM)).observed == 2


def test_an_instruments_limit_counts_its_own_orders(scene: Scene) -> None:
    place(scene, 2, instrument=scene.another_instrument("OTHER"))
    rule = count(Scope(instrument_id=scene.instrument.instrument_id), max_orders=1)
    assert scene.judge(rule, scene.order()).observed == 1


def test_buys_and_sells_add_up_in_value(scene: Scene) -> None:
    scene.accept(scene.order(Side.BUY, 50, limit_price="100"))
    scene.accept(scene.order(Side.SELL, 30, limit_price="100"))
    assert scene.judge(value(max_value=10_000), scene.order(limit_price="100", quantity=20)).outcome is Outcome.PASS
    assert scene.judge(value(max_value=10_000), scene.order(limit_price="100", quantity=21)).outcome is Outcome.DENY


def test_each_order_counts_at_its_own_price(scene: Scene) -> None:
    scene.accept(scene.order(Side.BUY, 50, limit_price="20"))
    verdict = scene.judge(value(max_value=10_000), scene.order(limit_price="90", quantity=100))
    assert (verdict.outcome, verdict.observed) == (Outcome.PASS, 10_000)
    assert verdict.inputs == {"open": 1_000, "order": 9_000}


def test_what_can_only_reduce_passes_in_value(scene: Scene) -> None:
    scene.hold(200)
    assert scene.judge(value(max_value=10_000), scene.order(Side.SELL, 200, limit_price="100")).outcome is Outcome.PASS
    assert scene.judge(value(max_value=10_000), scene.order(Side.SELL, 201, limit_price="100")).outcome is Outcome.DENY


def test_raising_the_price_is_judged_and_lowering_it_passes_in_value(scene: Scene) -> None:
    order = scene.acknowledge(scene.accept(scene.order(Side.BUY, 100, limit_price="100")))
    assert scene.judge_replace(value(max_value=9_000), order, limit_price="99").outcome is Outcome.PASS
    assert scene.judge_replace(value(max_value=9_000), order, limit_price="101").outcome is Outcome.DENY
    assert scene.judge_replace(value(max_value=10_100), order, limit_price="101").outcome is Outcome.PASS


def test_an_open_order_without_a_price_denies_in_value(scene: Scene) -> None:
    scene.lose_quotes()
    scene.accept(scene.order(quantity=1))
    verdict = scene.judge(value(max_value=10_000), scene.order(limit_price="100", quantity=1))
    assert (verdict.outcome, verdict.code) == (Outcome.DENY, "no_price")


def test_value_over_accounts_in_different_currencies_denies(scene: Scene) -> None:
    scene.another_account(base_currency="EUR")
    assert scene.judge(value(max_value=10_000), scene.order(quantity=1)).code == "no_base_currency"
    assert scene.judge(value(max_value=10_000, per="ACCOUNT"), scene.order(quantity=1)).outcome is Outcome.PASS
