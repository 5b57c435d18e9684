"""The worst case of a position: what is held, what is open on the order's side, and the order."""

from decimal import Decimal

import pytest

from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.decision import Outcome
from oms_kernel.domain.order import Side
from oms_kernel.testkit.builders import a_trading_account, an_instrument
from oms_kernel.testkit.scene import Scene
from oms_risk_rules.max_position import MaxPosition


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def rule() -> MaxPosition:
    return MaxPosition(parse_params(MaxPosition, {"max_quantity": 100}))


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(("quantity", "outcome"), [(99, "PASS"), (100, "PASS"), (101, "DENY")])
def test_from_flat_the_limit_holds_on_both_sides(
    scene: Scene, rule: MaxPosition, side: Side, quantity: int, outcome: str
) -> None:
    verdict = scene.judge(rule, scene.order(side, quantity))
    assert verdict.outcome == outcome
    if outcome == "DENY":
        assert (verdict.observed, verdict.limit, verdict.unit) == (Decimal(101), Decimal(100), "units")


def test_what_is_held_and_what_is_open_count_together(scene: Scene, rule: MaxPosition) -> None:
    scene.hold(50)
    scene.accept(scene.order(Side.BUY, 30, limit_price="99"))
    assert scene.judge(rule, scene.order(Side.BUY, 20)).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(Side.BUY, 21)).observed == Decimal(101)


def test_open_orders_of_the_other_side_are_not_counted_on(scene: Scene, rule: MaxPosition) -> None:
    scene.hold(80)
    scene.accept(scene.order(Side.SELL, 80, limit_price="101"))
    assert scene.judge(rule, scene.order(Side.BUY, 20)).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(Side.BUY, 21)).outcome is Outcome.DENY
    assert scene.judge(rule, scene.order(Side.SELL, 100)).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(Side.SELL, 101)).outcome is Outcome.DENY


@pytest.mark.parametrize(("held", "side"), [(500, Side.SELL), (-500, Side.BUY)])
def test_what_reduces_a_position_that_is_too_large_passes(
    scene: Scene, rule: MaxPosition, held: int, side: Side
) -> None:
    scene.hold(held)
    assert scene.judge(rule, scene.order(side, 10)).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(side, 600)).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(side, 601)).outcome is Outcome.DENY
    assert scene.judge(rule, scene.order(side.opposite, 1)).outcome is Outcome.DENY


def test_filled_quantity_counts_once(scene: Scene, rule: MaxPosition) -> None:
    order = scene.acknowledge(scene.accept(scene.order(Side.BUY, 60, limit_price="99")))
    scene.fill(order, 25, "99")
    assert scene.judge(rule, scene.order(Side.BUY, 40)).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(Side.BUY, 41)).observed == Decimal(101)


def test_a_cancelled_order_counts_no_more(scene: Scene, rule: MaxPosition) -> None:
    order = scene.accept(scene.order(Side.BUY, 100, limit_price="99"))
    assert scene.judge(rule, scene.order(Side.BUY, 1)).outcome is Outcome.DENY
    scene.cancel(order)
    assert scene.judge(rule, scene.order(Side.BUY, 100)).outcome is Outcome.PASS


def test_modifying_upwards_counts_the_larger_total_less_what_is_filled(scene: Scene, rule: MaxPosition) -> None:
    order = scene.acknowledge(scene.accept(scene.order(Side.BUY, 60, limit_price="99")))
    order = scene.fill(order, 25, "99")
    assert scene.judge_replace(rule, order, quantity=100).outcome is Outcome.PASS
    assert scene.judge_replace(rule, order, quantity=101).observed == Decimal(101)
    assert scene.judge_replace(rule, order, quantity=30).outcome is Outcome.PASS


def test_an_open_replace_counts_in_full(scene: Scene, rule: MaxPosition) -> None:
    order = scene.acknowledge(scene.accept(scene.order(Side.BUY, 20, limit_price="99")))
    scene.replace(order, quantity=70)
    assert scene.judge(rule, scene.order(Side.BUY, 30)).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(Side.BUY, 31)).outcome is Outcome.DENY


def test_other_instruments_and_accounts_do_not_count(scene: Scene, rule: MaxPosition) -> None:
    other = scene.open(a_trading_account("other"))  # type: ignore[arg-type]
    scene.hold(100, instrument=scene.add(an_instrument("OTHER")))
    scene.hold(100, account_id=other)
    assert scene.judge(rule, scene.order(Side.BUY, 100)).outcome is Outcome.PASS
