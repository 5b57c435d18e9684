"""The worst case of a position: what is held, what is open on the order's side, and the order."""

from decimal import Decimal
from typing import Any

import pytest

from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.decision import Outcome
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import StrategyId
from oms_kernel.domain.order import Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.guard import make_rule
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


# Sides, value and scopes ---------------------------------------------------------------------------------


def limited(scope: Scope = EVERYTHING, **params: Any) -> Any:
    return make_rule(MaxPosition, params, scope)


@pytest.mark.parametrize(
    ("params", "side", "most"),
    [
        ({"max_quantity": 100, "max_long": 300}, Side.BUY, 300),
        ({"max_quantity": 100, "max_long": 300}, Side.SELL, 100),
        ({"max_quantity": 100, "max_short": 10}, Side.SELL, 10),
        ({"max_notional": 10_000, "max_short_notional": 1_000}, Side.SELL, 10),
        ({"max_notional": 10_000, "max_short_notional": 1_000}, Side.BUY, 100),
        ({"max_quantity": 200, "max_notional": 10_000}, Side.BUY, 100),
        ({"max_quantity": 50, "max_notional": 10_000}, Side.BUY, 50),
    ],
    ids=str,
)
def test_each_side_has_its_own_limit_and_the_tighter_of_quantity_and_value_holds(
    scene: Scene, params: dict[str, Any], side: Side, most: int
) -> None:
    assert scene.judge(limited(**params), scene.order(side, most)).outcome is Outcome.PASS
    denied = scene.judge(limited(**params), scene.order(side, most + 1))
    assert (denied.outcome, denied.would_pass) == (Outcome.DENY, f"a quantity of at most {most}")


def test_a_limit_of_no_short_position_lets_sell_what_is_held(scene: Scene) -> None:
    scene.hold(50)
    rule = limited(max_short=0)
    assert scene.judge(rule, scene.order(Side.SELL, 50)).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(Side.SELL, 51)).outcome is Outcome.DENY
    assert scene.judge(rule, scene.order(Side.BUY, 1_000_000)).outcome is Outcome.PASS


def test_a_strategys_limit_measures_its_own_book(scene: Scene) -> None:
    momentum = StrategyId("momentum")
    scene.hold(90)
    scene.hold(60, strategy_id=momentum)
    scene.accept(scene.order(Side.BUY, 500, limit_price="99"))
    scene.accept(scene.order(Side.BUY, 20, limit_price="99", strategy_id=momentum))
    rule = limited(Scope(strategy_id=momentum), max_quantity=100)
    assert scene.judge(rule, scene.order(Side.BUY, 20, strategy_id=momentum)).outcome is Outcome.PASS
    denied = scene.judge(rule, scene.order(Side.BUY, 21, strategy_id=momentum))
    assert (denied.observed, denied.inputs) == (101, {"position_and_open": 80, "order": 21})


def test_accounts_are_measured_alone_unless_the_limit_adds_them_up(scene: Scene) -> None:
    scene.hold(60, account_id=scene.another_account())
    assert scene.judge(limited(max_quantity=100), scene.order(Side.BUY, 100)).outcome is Outcome.PASS
    together = limited(max_quantity=100, per="SCOPE")
    assert scene.judge(together, scene.order(Side.BUY, 40)).outcome is Outcome.PASS
    assert scene.judge(together, scene.order(Side.BUY, 41)).outcome is Outcome.DENY
    assert scene.judge(together, scene.order(Side.SELL, 160)).outcome is Outcome.PASS
    assert scene.judge(together, scene.order(Side.SELL, 161)).outcome is Outcome.DENY


def test_value_over_accounts_in_different_currencies_denies(scene: Scene) -> None:
    scene.another_account(base_currency="EUR")
    verdict = scene.judge(limited(max_notional=10_000, per="SCOPE"), scene.order())
    assert (verdict.outcome, verdict.code) == (Outcome.DENY, "no_base_currency")


def test_the_position_is_valued_at_the_mark_and_not_at_the_orders_price(scene: Scene) -> None:
    rule = limited(max_notional=10_000)
    assert scene.judge(rule, scene.order(Side.BUY, 100, limit_price="500")).observed == 10_000
    scene.quote(bid=None, ask=None)
    assert scene.judge(rule, scene.order(Side.BUY, 1, limit_price="100")).code == "no_quote"


def test_a_limit_without_any_figure_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="at least one of max_quantity"):
        parse_params(MaxPosition, {"per": "SCOPE"})
