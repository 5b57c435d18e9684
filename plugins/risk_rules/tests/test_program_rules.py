"""What programs may do: approved versions in their stages, children within their parents."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.decision import Outcome, Verdict
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import EventId, OrderId, StrategyId
from oms_kernel.domain.order import Order, OrderRequest, Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.guard import make_rule
from oms_kernel.testkit.builders import a_trading_account, an_instrument
from oms_kernel.testkit.scene import Scene
from oms_risk_rules.controlled_rollout import ControlledRollout
from oms_risk_rules.parent_child_guard import ParentChildGuard

ALGO = StrategyId("algo")


def made(cls: Any, scope: Scope = EVERYTHING, **params: Any) -> Any:
    return make_rule(cls, params, scope)


def rebuilt(scene: Scene, rule: Any) -> Any:
    """The rule's memory from no more of the log than its horizon."""
    state = rule.initial_state()
    for recorded in scene.events:
        if recorded.recorded_at >= scene.now - rule.horizon:
            state, _ = rule.fold(state, recorded)
    return state


@pytest.fixture
def scene() -> Scene:
    return Scene()


# controlled_rollout --------------------------------------------------------------------------------------


def rollout(version: str = "v1", **stage: Any) -> Any:
    return made(ControlledRollout, versions={version: stage})


def by(scene: Scene, version: str | None = "v1", **fields: Any) -> OrderRequest:
    return scene.order(**{"limit_price": "100", "strategy_id": ALGO, "algo_version": version, **fields})


@pytest.mark.parametrize(
    ("version", "code"), [("v1", ""), ("v2", "version_not_approved"), ("V1", "version_not_approved")]
)
def test_only_versions_that_are_listed_may_trade(scene: Scene, version: str, code: str) -> None:
    assert scene.judge(rollout(), by(scene, version)).code == code


def test_an_order_of_a_strategy_has_to_name_its_version(scene: Scene) -> None:
    assert scene.judge(rollout(), by(scene, None)).code == "no_algo_version"


def test_people_need_no_version_unless_they_are_asked(scene: Scene) -> None:
    assert scene.judge(rollout(), scene.order()).outcome is Outcome.PASS
    asked = made(ControlledRollout, versions={"v1": {}}, manual_too=True)
    assert scene.judge(asked, scene.order()).code == "no_algo_version"
    assert scene.judge(rollout(), scene.order(algo_version="v2")).code == "version_not_approved"


def test_instruments_and_venues_of_a_stage(scene: Scene) -> None:
    elsewhere = scene.another_instrument("ELSE", venue="XNYS")
    rule = rollout(instruments=["ACME", "OTHER"], venues=["XSIM"])
    assert scene.judge(rule, by(scene)).outcome is Outcome.PASS
    verdict = scene.judge(rule, by(scene, instrument=elsewhere))
    assert (verdict.code, verdict.would_pass) == ("instrument_not_in_stage", "one of ACME, OTHER")
    assert scene.judge(rollout(venues=["XSIM"]), by(scene, instrument=elsewhere)).code == "venue_not_in_stage"


@pytest.mark.parametrize(("placed", "outcome"), [(1, "PASS"), (2, "PASS"), (3, "DENY")])
def test_orders_of_a_day_below_at_and_above(scene: Scene, placed: int, outcome: str) -> None:
    for _ in range(placed):
        scene.accept(by(scene))
    verdict = scene.judge(rollout(max_orders_per_day=3), by(scene))
    assert verdict.outcome == outcome
    assert (verdict.observed, verdict.limit, verdict.unit) == (Decimal(placed + 1), Decimal(3), "orders")


@pytest.mark.parametrize(("quantity", "outcome"), [(99, "PASS"), (100, "PASS"), (101, "DENY")])
def test_the_value_of_a_day_below_at_and_above(scene: Scene, quantity: int, outcome: str) -> None:
    scene.accept(by(scene, quantity=50))
    scene.accept(by(scene, quantity=50, side=Side.SELL))
    verdict = scene.judge(rollout(max_notional_per_day=20_000), by(scene, quantity=quantity))
    assert verdict.outcome == outcome
    assert verdict.observed == Decimal(10_000 + 100 * quantity)
    assert verdict.would_pass == ("10000 USD are left" if outcome == "DENY" else "")


def test_denied_orders_and_other_versions_use_nothing(scene: Scene) -> None:
    scene.deny(by(scene))
    scene.accept(by(scene, "v2"))
    scene.accept(scene.order())
    assert scene.judge(rollout(max_orders_per_day=1), by(scene)).outcome is Outcome.PASS


def test_a_stage_of_nothing_lets_nothing_in(scene: Scene) -> None:
    assert scene.judge(rollout(max_orders_per_day=0), by(scene)).outcome is Outcome.DENY
    assert scene.judge(rollout(max_notional_per_day=0), by(scene, quantity=1)).outcome is Outcome.DENY


def test_a_new_risk_day_begins_where_the_account_says() -> None:
    scene = Scene(account=a_trading_account(time_zone="Asia/Tokyo"))
    scene.accept(by(scene))
    rule = rollout(max_orders_per_day=1)
    scene.wait(hours=2, minutes=59)
    assert scene.judge(rule, by(scene)).outcome is Outcome.DENY
    scene.wait(minutes=1)
    assert scene.judge(rule, by(scene)).outcome is Outcome.PASS


def test_accounts_count_together(scene: Scene) -> None:
    other = scene.another_account()
    scene.accept(by(scene, account_id=other))
    assert scene.judge(rollout(max_orders_per_day=1), by(scene)).outcome is Outcome.DENY


def test_new_terms_count_with_what_they_add(scene: Scene) -> None:
    rule = rollout(max_notional_per_day=10_000, max_orders_per_day=1)
    order = scene.accept(by(scene, quantity=60))
    assert scene.judge_replace(rule, order, quantity=100).outcome is Outcome.PASS
    assert scene.judge_replace(rule, order, quantity=101).code == "notional_per_day"
    order = scene.replace(order, quantity=100)
    verdict = scene.judge_replace(rule, order, quantity=101)
    assert (verdict.outcome, verdict.observed) == (Outcome.DENY, Decimal(10_100))
    assert scene.judge_replace(rule, order, quantity=10).outcome is Outcome.PASS


def test_terms_that_were_lowered_give_nothing_back(scene: Scene) -> None:
    order = scene.accept(by(scene, quantity=60))
    scene.replace(order, quantity=1)
    verdict = scene.judge(rollout(max_notional_per_day=10_000), by(scene, quantity=41))
    assert (verdict.outcome, verdict.observed) == (Outcome.DENY, Decimal(10_100))


def test_new_terms_of_yesterdays_order_count_with_what_they_add(scene: Scene) -> None:
    order = scene.accept(by(scene, quantity=90))
    scene.wait(hours=13)
    scene.quote()
    rule = rollout(max_notional_per_day=1_000)
    verdict = scene.judge_replace(rule, order, quantity=100)
    assert (verdict.outcome, verdict.observed) == (Outcome.PASS, Decimal(1_000))
    assert scene.judge_replace(rule, order, quantity=101).outcome is Outcome.DENY


def test_a_held_order_that_is_approved_counts_once(scene: Scene) -> None:
    order = scene.accept(by(scene), held=True)
    rule = rollout(max_orders_per_day=1, max_notional_per_day=10_000)
    intent, view = scene.intent(by(scene))
    approved = msgspec.structs.replace(intent, order_id=order.order_id)
    assert rule.assess(intent, view, scene.memory(rule)).outcome is Outcome.DENY
    assert rule.assess(approved, view.hiding(order.order_id), scene.memory(rule)).outcome is Outcome.PASS


def test_other_currencies_count_at_present_rates() -> None:
    scene = Scene(an_instrument(currency="EUR"))
    scene.rate("EUR", "USD", "1.5")
    scene.accept(by(scene, quantity=10))
    rule = rollout(max_notional_per_day=3_000)
    verdict = scene.judge(rule, by(scene, quantity=10))
    assert (verdict.outcome, verdict.observed, verdict.unit) == (Outcome.PASS, Decimal(3_000), "USD")
    scene.lose_quotes()
    assert scene.judge(rule, by(scene, quantity=10)).code == "no_fx_rate"


def test_a_day_in_a_currency_that_has_no_rate_any_more_is_denied(scene: Scene) -> None:
    foreign = scene.another_instrument("EURO", currency="EUR")
    scene.accept(by(scene, instrument=foreign))
    assert scene.judge(rollout(max_notional_per_day=10**6), by(scene)).code == "no_fx_rate"


def test_without_a_price_the_value_is_not_known(scene: Scene) -> None:
    scene.lose_quotes()
    assert scene.judge(rollout(max_notional_per_day=10_000), by(scene, limit_price=None)).code == "no_price"
    assert scene.judge(rollout(max_orders_per_day=1), by(scene, limit_price=None)).outcome is Outcome.PASS


def test_usage_is_the_same_from_the_horizon_only(scene: Scene) -> None:
    rule = rollout(max_notional_per_day=50_000)
    for _ in range(5):
        scene.accept(by(scene))
        scene.wait(hours=20)
    scene.accept(by(scene))
    intent, view = scene.intent(by(scene, quantity=7))
    assert rule.assess(intent, view, rebuilt(scene, rule)) == rule.assess(intent, view, scene.memory(rule))


def test_a_stage_refuses_what_it_does_not_know() -> None:
    with pytest.raises(InvalidRequest):
        parse_params(ControlledRollout, {"versions": {"v1": {"max_orders": 1}}})
    with pytest.raises(InvalidRequest):
        parse_params(ControlledRollout, {"versions": {"v1": {"max_notional_per_day": "-1"}}})


def test_a_liquidation_is_of_no_version(scene: Scene) -> None:
    rule = rollout()
    intent, view = scene.intent(by(scene, None))
    request = msgspec.structs.replace(intent.request, liquidation_id=EventId("close-all"))
    ours = msgspec.structs.replace(intent, request=request)
    assert rule.assess(ours, view, scene.memory(rule)).outcome is Outcome.PASS


# parent_child_guard --------------------------------------------------------------------------------------


def child(scene: Scene, parent: Order, quantity: int, **fields: Any) -> OrderRequest:
    return scene.order(quantity=quantity, **{"limit_price": "99", "parent_order_id": parent.order_id, **fields})


@pytest.fixture
def parent(scene: Scene) -> Order:
    return scene.accept(scene.order(quantity=100, limit_price="100"))


@pytest.fixture
def guard() -> ParentChildGuard:
    rule: ParentChildGuard = made(ParentChildGuard)
    return rule


@pytest.mark.parametrize(("quantity", "outcome"), [(39, "PASS"), (40, "PASS"), (41, "DENY")])
def test_children_below_at_and_above_their_parent(
    scene: Scene, parent: Order, guard: ParentChildGuard, quantity: int, outcome: str
) -> None:
    scene.accept(child(scene, parent, 60))
    verdict = scene.judge(guard, child(scene, parent, quantity))
    assert verdict.outcome == outcome
    assert (verdict.observed, verdict.limit, verdict.unit) == (Decimal(60 + quantity), Decimal(100), "units")
    assert verdict.inputs == {"children": Decimal(60), "order": Decimal(quantity), "parent": Decimal(100)}
    assert verdict.would_pass == ("a quantity of at most 40" if outcome == "DENY" else "")


def test_two_children_that_pass_alone_fail_together(scene: Scene, parent: Order, guard: ParentChildGuard) -> None:
    one, other = child(scene, parent, 60), child(scene, parent, 60)
    assert scene.judge(guard, one).outcome is Outcome.PASS
    assert scene.judge(guard, other).outcome is Outcome.PASS
    scene.accept(one)
    assert scene.judge(guard, other).outcome is Outcome.DENY


def test_filled_children_count_and_cancelled_ones_with_what_was_filled(
    scene: Scene, parent: Order, guard: ParentChildGuard
) -> None:
    filled = scene.acknowledge(scene.accept(child(scene, parent, 30)))
    scene.fill(filled, 30)
    scene.cancel(scene.accept(child(scene, parent, 50)))
    assert scene.judge(guard, child(scene, parent, 70)).outcome is Outcome.PASS
    assert scene.judge(guard, child(scene, parent, 71)).outcome is Outcome.DENY


def test_children_in_doubt_count_in_full(scene: Scene, guard: ParentChildGuard) -> None:
    scene.hold(500)
    parent = scene.accept(scene.order(Side.SELL, 100, limit_price="101"))
    scene.doubt(scene.accept(child(scene, parent, 60, side=Side.SELL)))
    assert scene.judge(guard, child(scene, parent, 40, side=Side.SELL)).outcome is Outcome.PASS
    assert scene.judge(guard, child(scene, parent, 41, side=Side.SELL)).outcome is Outcome.DENY


def test_an_open_change_of_a_child_counts_with_the_larger_total(
    scene: Scene, parent: Order, guard: ParentChildGuard
) -> None:
    working = scene.acknowledge(scene.accept(child(scene, parent, 20)))
    scene.replace(working, quantity=60)
    assert scene.judge(guard, child(scene, parent, 41)).outcome is Outcome.DENY
    assert scene.judge(guard, child(scene, parent, 40)).outcome is Outcome.PASS


def test_modifying_a_child_upwards_is_judged_and_downwards_passes(
    scene: Scene, parent: Order, guard: ParentChildGuard
) -> None:
    scene.accept(child(scene, parent, 50))
    working = scene.fill(scene.acknowledge(scene.accept(child(scene, parent, 30))), 10)
    assert scene.judge_replace(guard, working, quantity=50).outcome is Outcome.PASS
    verdict = scene.judge_replace(guard, working, quantity=51)
    assert (verdict.outcome, verdict.would_pass) == (Outcome.DENY, "a quantity of at most 50")
    scene.replace(parent, quantity=70)
    assert scene.judge_replace(guard, working, quantity=25).outcome is Outcome.PASS


def test_the_parents_own_quantity_may_not_fall_below_its_children(
    scene: Scene, parent: Order, guard: ParentChildGuard
) -> None:
    scene.accept(child(scene, parent, 60))
    assert scene.judge_replace(guard, parent, quantity=60).outcome is Outcome.PASS
    verdict = scene.judge_replace(guard, parent, quantity=59)
    assert (verdict.outcome, verdict.observed, verdict.limit) == (Outcome.DENY, Decimal(60), Decimal(59))
    childless = scene.accept(scene.order(quantity=100, limit_price="98"))
    assert scene.judge_replace(guard, childless, quantity=1).outcome is Outcome.PASS


def test_a_parent_that_grew_takes_more_children(scene: Scene, parent: Order, guard: ParentChildGuard) -> None:
    scene.replace(parent, quantity=200)
    assert scene.judge(guard, child(scene, parent, 200)).outcome is Outcome.PASS
    assert scene.judge(guard, child(scene, parent, 201)).outcome is Outcome.DENY


def test_the_parent_has_to_be_known_and_active(scene: Scene, parent: Order, guard: ParentChildGuard) -> None:
    unknown = scene.order(parent_order_id=OrderId("no-such-order"))
    assert scene.judge(guard, unknown).code == "parent_unknown"
    request = child(scene, parent, 1)
    scene.cancel(parent)
    assert scene.judge(guard, request).code == "parent_ended"


def test_parent_and_child_trade_the_same(scene: Scene, parent: Order, guard: ParentChildGuard) -> None:
    other, elsewhere = scene.another_account(), scene.another_instrument("ELSE")
    for fields in ({"account_id": other}, {"instrument": elsewhere}, {"side": Side.SELL}):
        assert scene.judge(guard, child(scene, parent, 1, **fields)).code == "parent_differs"


def test_a_parent_is_worked_for_so_many_days_only(scene: Scene, parent: Order) -> None:
    rule = made(ParentChildGuard, parent_days=1)
    request = child(scene, parent, 1)
    assert scene.wait(days=1).judge(rule, request).outcome is Outcome.PASS
    assert scene.wait(microseconds=1).judge(rule, request).code == "parent_too_old"


def test_a_parent_has_no_more_children_than_allowed(scene: Scene, parent: Order) -> None:
    rule = made(ParentChildGuard, max_children=3)
    for _ in range(2):
        scene.accept(child(scene, parent, 1))
    assert scene.judge(rule, child(scene, parent, 1)).outcome is Outcome.PASS
    scene.accept(child(scene, parent, 1))
    assert scene.judge(rule, child(scene, parent, 1)).code == "too_many_children"


def test_orders_without_a_parent_pass_and_denied_children_count_nothing(
    scene: Scene, parent: Order, guard: ParentChildGuard
) -> None:
    scene.deny(child(scene, parent, 100))
    assert scene.judge(guard, child(scene, parent, 100)).outcome is Outcome.PASS
    assert scene.judge(guard, scene.order(quantity=10**6)).outcome is Outcome.PASS


def test_a_held_child_counts_and_not_twice_when_it_is_approved(
    scene: Scene, parent: Order, guard: ParentChildGuard
) -> None:
    held = scene.accept(child(scene, parent, 100), held=True)
    intent, view = scene.intent(child(scene, parent, 100))
    assert guard.assess(intent, view, scene.memory(guard)).outcome is Outcome.DENY
    approved = msgspec.structs.replace(intent, order_id=held.order_id)
    verdict: Verdict = guard.assess(approved, view.hiding(held.order_id), scene.memory(guard))
    assert (verdict.outcome, verdict.observed) == (Outcome.PASS, Decimal(100))


def test_fractions_of_a_child_count() -> None:
    scene = Scene(an_instrument(lot_size=Decimal("0.000000000001")))
    parent = scene.accept(scene.order(quantity="0.3", limit_price="100"))
    rule = made(ParentChildGuard)
    scene.accept(scene.order(quantity="0.1", parent_order_id=parent.order_id))
    assert scene.judge(rule, scene.order(quantity="0.2", parent_order_id=parent.order_id)).outcome is Outcome.PASS
    above = scene.order(quantity="0.200000000001", parent_order_id=parent.order_id)
    assert scene.judge(rule, above).would_pass == "a quantity of at most 0.2"


def test_families_are_the_same_from_the_horizon_only(scene: Scene, parent: Order) -> None:
    rule = made(ParentChildGuard, parent_days=2)
    old = scene.accept(child(scene, parent, 10))
    assert old.is_active
    scene.wait(days=3)
    young = scene.accept(scene.order(quantity=100, limit_price="100"))
    scene.accept(child(scene, young, 60))
    for family in (parent, young):
        intent, view = scene.intent(child(scene, family, 41))
        assert rule.assess(intent, view, rebuilt(scene, rule)) == rule.assess(intent, view, scene.memory(rule))
