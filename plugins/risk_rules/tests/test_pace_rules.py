"""How often and how much over a time: reserves for cancels, refusals, executions, shares of a day's volume."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms_kernel.domain.controls import Action
from oms_kernel.domain.decision import Gate, Outcome, Verdict
from oms_kernel.domain.events import OrderDenied, ReplaceDenied
from oms_kernel.domain.ids import EventId, StrategyId
from oms_kernel.domain.order import Order, Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.guard import make_rule
from oms_kernel.testkit.builders import ACCOUNT_ID, an_instrument
from oms_kernel.testkit.scene import Scene
from oms_risk_rules.adv_participation import AdvParticipation
from oms_risk_rules.duplicate_order import DuplicateOrder
from oms_risk_rules.message_rate import MessageRate
from oms_risk_rules.reject_storm import RejectStorm
from oms_risk_rules.repeated_execution import RepeatedExecution

ALGO, OTHER_ALGO = StrategyId("algo"), StrategyId("other")


def made(cls: Any, scope: Scope = EVERYTHING, **params: Any) -> Any:
    return make_rule(cls, params, scope)


def rebuilt(scene: Scene, rule: Any) -> Any:
    """The rule's memory from no more of the log than its horizon."""
    state = rule.initial_state()
    for recorded in scene.events:
        if recorded.recorded_at >= scene.now - rule.horizon:
            state, _ = rule.fold(state, recorded)
    return state


def liquidates(scene: Scene, rule: Any, **fields: Any) -> Verdict:
    intent, view = scene.intent(scene.order(**fields))
    request = msgspec.structs.replace(intent.request, liquidation_id=EventId("close-all"))
    verdict: Verdict = rule.assess(msgspec.structs.replace(intent, request=request), view, scene.memory(rule))
    return verdict


@pytest.fixture
def scene() -> Scene:
    return Scene()


# message_rate --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sent", "outcome"), [(6, "PASS"), (7, "PASS"), (8, "DENY")])
def test_orders_leave_a_fifth_of_the_rate_to_cancels(scene: Scene, sent: int, outcome: str) -> None:
    for _ in range(sent):
        scene.accept(scene.order())
    verdict = scene.judge(made(MessageRate, per_second=10), scene.order())
    assert (verdict.outcome, verdict.limit, verdict.observed) == (outcome, Decimal(8), Decimal(sent + 1))


@pytest.mark.parametrize(
    ("per_second", "reserve", "limit"), [(50, 20, 40), (3, 20, 2), (1, 20, 1), (1, 90, 1), (10, 0, 10), (7, 50, 3)]
)
def test_the_share_of_orders_is_rounded_down_but_never_to_nothing(
    scene: Scene, per_second: int, reserve: int, limit: int
) -> None:
    rule = made(MessageRate, per_second=per_second, cancel_reserve_percent=reserve)
    assert scene.judge(rule, scene.order()).limit == Decimal(limit)


def test_the_minute_has_its_reserve_too(scene: Scene) -> None:
    for _ in range(4):
        scene.accept(scene.order())
        scene.wait(seconds=5)
    verdict = scene.judge(made(MessageRate, per_second=50, per_minute=5), scene.order())
    assert (verdict.outcome, verdict.limit, verdict.unit) == (Outcome.DENY, Decimal(4), "messages/min")


def test_cancels_use_what_orders_leave_and_take_from_them(scene: Scene) -> None:
    working = [scene.accept(scene.order(quantity=number, limit_price="99")) for number in range(1, 6)]
    scene.wait(seconds=5)
    rule = made(MessageRate, per_second=5)
    for order in working:
        scene.cancel(order)
    verdict = scene.judge(rule, scene.order())
    assert (verdict.outcome, verdict.observed, verdict.limit) == (Outcome.DENY, Decimal(6), Decimal(4))


def test_a_passing_rate_shows_both_counts(scene: Scene) -> None:
    scene.accept(scene.order())
    scene.wait(seconds=10)
    scene.accept(scene.order())
    verdict = scene.judge(made(MessageRate), scene.order())
    assert verdict.inputs == {"in_second": Decimal(2), "in_minute": Decimal(3)}


def test_a_scope_may_be_counted_as_a_whole(scene: Scene) -> None:
    other = scene.another_account()
    for account_id in (ACCOUNT_ID, other):
        scene.accept(scene.order(account_id=account_id))
    apart = made(MessageRate, per_second=2, cancel_reserve_percent=0)
    assert scene.judge(apart, scene.order()).outcome is Outcome.PASS
    together = made(MessageRate, per_second=2, cancel_reserve_percent=0, per="SCOPE")
    assert scene.judge(together, scene.order()).observed == Decimal(3)
    scene.cancel(scene.accept(scene.order(limit_price="99")))
    assert scene.judge(together, scene.order()).observed == Decimal(5)


def test_a_strategy_as_a_scope_counts_its_orders_changes_and_cancels_only(scene: Scene) -> None:
    scene.accept(scene.order())
    scene.deny(scene.order(strategy_id=OTHER_ALGO))
    order = scene.accept(scene.order(strategy_id=ALGO, limit_price="99"))
    scene.deny(scene.order(strategy_id=ALGO))
    order = scene.replace(order, quantity=50)
    scene.cancel(order)
    foreign = scene.accept(scene.order(limit_price="99"))
    scene.cancel(scene.replace(foreign, quantity=50))
    rule = made(MessageRate, Scope(strategy_id=ALGO), per="SCOPE")
    verdict = scene.judge(rule, scene.order(strategy_id=ALGO))
    assert verdict.inputs["in_second"] == Decimal(5)
    intent, view = scene.intent(scene.order(strategy_id=ALGO))
    assert rule.assess(intent, view, rebuilt(scene, rule)) == verdict


def test_an_instrument_as_a_scope_counts_its_messages_only(scene: Scene) -> None:
    elsewhere = scene.another_instrument("ELSE")
    scene.cancel(scene.accept(scene.order(instrument=elsewhere, limit_price="99")))
    scene.cancel(scene.accept(scene.order(limit_price="99")))
    rule = made(MessageRate, Scope(instrument_id=elsewhere.instrument_id), per="SCOPE")
    assert scene.judge(rule, scene.order(instrument=elsewhere)).inputs["in_second"] == Decimal(3)


def test_an_account_as_a_scope_counts_whatever_its_strategy(scene: Scene) -> None:
    other = scene.another_account()
    scene.accept(scene.order(strategy_id=ALGO))
    scene.cancel(scene.accept(scene.order(account_id=other, limit_price="99")))
    scene.cancel(scene.accept(scene.order(limit_price="99")))
    rule = made(MessageRate, Scope(account_id=ACCOUNT_ID), per="SCOPE")
    assert scene.judge(rule, scene.order()).inputs["in_second"] == Decimal(4)


def test_a_liquidation_is_not_slowed_down(scene: Scene) -> None:
    scene.accept(scene.order())
    rule = made(MessageRate, per_second=1)
    assert scene.judge(rule, scene.order()).outcome is Outcome.DENY
    assert liquidates(scene, rule).outcome is Outcome.PASS


# duplicate_order -----------------------------------------------------------------------------------------


def test_an_equal_order_after_the_window_shows_how_long_ago_the_first_was(scene: Scene) -> None:
    scene.accept(scene.order())
    verdict = scene.wait(seconds=7).judge(made(DuplicateOrder, window_s=5), scene.order())
    assert (verdict.outcome, verdict.observed, verdict.headroom) == (Outcome.PASS, Decimal(7), Decimal(2))
    assert verdict.message == ""


def test_a_duplicate_is_told_how_to_say_that_it_is_meant(scene: Scene) -> None:
    scene.accept(scene.order())
    verdict = scene.wait(seconds=1).judge(made(DuplicateOrder), scene.order())
    assert verdict.would_pass == "the same order with allow_duplicate, or later"
    assert (verdict.code, verdict.observed, verdict.headroom) == ("duplicate_order", Decimal(1), Decimal(-4))


def test_a_held_order_is_not_its_own_duplicate_when_it_is_approved(scene: Scene) -> None:
    order = scene.accept(scene.order(limit_price="99"), held=True)
    rule = made(DuplicateOrder, window_s=3600)
    intent, view = scene.intent(scene.order(limit_price="99"))
    approved = msgspec.structs.replace(intent, order_id=order.order_id)
    assert rule.assess(intent, view, scene.memory(rule)).outcome is Outcome.DENY
    assert rule.assess(approved, view.hiding(order.order_id), scene.memory(rule)).outcome is Outcome.PASS


def test_the_slices_of_a_liquidation_are_no_duplicates(scene: Scene) -> None:
    scene.accept(scene.order())
    assert liquidates(scene, made(DuplicateOrder)).outcome is Outcome.PASS


# reject_storm --------------------------------------------------------------------------------------------


def rejected(scene: Scene, **fields: Any) -> Order:
    return scene.reject(scene.acknowledge(scene.accept(scene.order(**fields))))


@pytest.mark.parametrize(("refusals", "triggers"), [(9, 0), (10, 0), (11, 1), (13, 3)])
def test_refusals_below_at_and_above_the_limit(scene: Scene, refusals: int, triggers: int) -> None:
    for _ in range(refusals):
        scene.deny(scene.order())
    rule = made(RejectStorm)
    assert len(scene.triggers(rule)) == triggers
    verdict = scene.judge(rule, scene.order())
    assert verdict.outcome == ("DENY" if triggers else "PASS")
    assert (verdict.observed, verdict.limit, verdict.unit) == (Decimal(refusals), Decimal(10), "refusals")


def test_a_trigger_is_for_the_account_of_manual_orders_and_for_the_strategy_of_its_own(scene: Scene) -> None:
    rule = made(RejectStorm, max_rejects=1)
    for strategy_id in (None, None, ALGO, ALGO):
        scene.deny(scene.order(strategy_id=strategy_id))
    manual, automatic = scene.triggers(rule)
    assert manual.scope == Scope(account_id=ACCOUNT_ID)
    assert automatic.scope == Scope(account_id=ACCOUNT_ID, strategy_id=ALGO)
    assert manual.key != automatic.key
    assert manual.message == f"account {ACCOUNT_ID} had 2 orders or changes refused within 60 s"
    assert automatic.message.startswith(f"strategy {ALGO} had")
    assert (automatic.observed, automatic.limit, automatic.unit) == (Decimal(2), Decimal(1), "refusals")


def test_rejects_of_the_broker_count_as_denials_do(scene: Scene) -> None:
    rejected(scene, strategy_id=ALGO)
    scene.deny(scene.order(strategy_id=ALGO))
    rule = made(RejectStorm, max_rejects=1)
    assert scene.judge(rule, scene.order(strategy_id=ALGO)).outcome is Outcome.DENY
    assert scene.judge(rule, scene.order()).outcome is Outcome.PASS


def refused(scene: Scene, *verdicts: Verdict) -> None:
    """A denial for exactly these reasons."""
    order = scene.deny(scene.order())
    stored = scene.events[-1].event
    assert isinstance(stored, OrderDenied)
    scene.events[-1] = msgspec.structs.replace(
        scene.events[-1], event=msgspec.structs.replace(stored, verdicts=verdicts)
    )
    assert order.order_id == stored.order_id


@pytest.mark.parametrize(
    ("rule_name", "gate", "counted"),
    [
        ("trading_state", Gate.ACCOUNT, False),
        ("reject_storm", Gate.RISK, False),
        ("max_position", Gate.RISK, True),
        ("restricted_list", Gate.COMPLIANCE, True),
    ],
)
def test_what_a_halt_or_the_storm_itself_refuses_is_no_storm(
    scene: Scene, rule_name: str, gate: Gate, counted: bool
) -> None:
    for _ in range(2):
        refused(scene, Verdict(rule=rule_name, outcome=Outcome.DENY, gate=gate))
    assert bool(scene.triggers(made(RejectStorm, max_rejects=1))) is counted


def test_a_denial_for_two_reasons_counts_when_one_of_them_does(scene: Scene) -> None:
    halted = Verdict(rule="trading_state", outcome=Outcome.DENY, gate=Gate.ACCOUNT)
    for _ in range(2):
        refused(scene, halted, Verdict(rule="max_position", outcome=Outcome.DENY))
    assert scene.triggers(made(RejectStorm, max_rejects=1))


def test_refused_changes_count_for_whoever_owns_the_order(scene: Scene) -> None:
    order = scene.accept(scene.order(strategy_id=ALGO, limit_price="99"))
    for quantity in (500, 600):
        scene.record(
            ReplaceDenied(
                account_id=ACCOUNT_ID,
                order_id=order.order_id,
                quantity=Decimal(quantity),
                verdicts=(Verdict(rule="max_position", outcome=Outcome.DENY),),
            )
        )
    (trigger,) = scene.triggers(made(RejectStorm, max_rejects=1))
    assert trigger.scope == Scope(account_id=ACCOUNT_ID, strategy_id=ALGO)
    assert trigger.order_id == order.order_id


def test_refusals_are_forgotten_after_the_window_and_not_earlier(scene: Scene) -> None:
    for _ in range(2):
        scene.deny(scene.order())
    rule = made(RejectStorm, max_rejects=1, window_s=60)
    assert scene.wait(seconds=60).judge(rule, scene.order()).outcome is Outcome.DENY
    assert scene.wait(seconds=3).judge(rule, scene.order()).outcome is Outcome.PASS


def test_only_refusals_under_the_limits_scope_count(scene: Scene) -> None:
    elsewhere = scene.another_instrument("ELSE")
    for _ in range(2):
        scene.deny(scene.order(strategy_id=ALGO))
        scene.deny(scene.order(instrument=elsewhere))
        rejected(scene, instrument=elsewhere)
    assert len(scene.triggers(made(RejectStorm, Scope(strategy_id=ALGO), max_rejects=1))) == 1
    assert len(scene.triggers(made(RejectStorm, Scope(instrument_id=elsewhere.instrument_id), max_rejects=1))) == 3
    assert not scene.triggers(made(RejectStorm, Scope(strategy_id=OTHER_ALGO), max_rejects=1))


def test_what_reduces_and_what_liquidates_passes_a_storm(scene: Scene) -> None:
    scene.hold(10)
    for _ in range(2):
        scene.deny(scene.order())
    rule = made(RejectStorm, max_rejects=1)
    assert scene.judge(rule, scene.order(Side.SELL, 10)).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(Side.SELL, 11)).outcome is Outcome.DENY
    assert liquidates(scene, rule, side=Side.SELL, quantity=11).outcome is Outcome.PASS


def test_new_terms_of_an_order_wait_for_the_end_of_the_storm_too(scene: Scene) -> None:
    order = scene.accept(scene.order(limit_price="99"))
    for _ in range(2):
        scene.deny(scene.order())
    assert scene.judge_replace(made(RejectStorm, max_rejects=1), order, quantity=200).outcome is Outcome.DENY
    assert scene.judge_replace(made(RejectStorm, max_rejects=2), order, quantity=200).outcome is Outcome.PASS


def test_a_storm_pauses_its_sender_unless_the_limit_says_otherwise() -> None:
    assert RejectStorm.default_action is Action.REDUCE_ONLY
    assert RejectStorm.takes_scope is True


def test_the_storm_is_the_same_from_its_horizon_only(scene: Scene) -> None:
    rule = made(RejectStorm, max_rejects=2)
    for _ in range(4):
        rejected(scene, strategy_id=ALGO)
        scene.wait(seconds=25)
    intent, view = scene.intent(scene.order(strategy_id=ALGO))
    assert rule.assess(intent, view, rebuilt(scene, rule)) == rule.assess(intent, view, scene.memory(rule))


# repeated_execution --------------------------------------------------------------------------------------


def traded(scene: Scene, times: int = 1, strategy_id: StrategyId | None = ALGO, **fields: Any) -> None:
    for _ in range(times):
        scene.fill(scene.acknowledge(scene.accept(scene.order(strategy_id=strategy_id, **fields))), 100)


@pytest.mark.parametrize(("executions", "triggers"), [(9, 0), (10, 0), (11, 1), (12, 2)])
def test_executions_below_at_and_above_the_limit(scene: Scene, executions: int, triggers: int) -> None:
    traded(scene, executions)
    rule = made(RepeatedExecution)
    assert len(scene.triggers(rule)) == triggers
    verdict = scene.judge(rule, scene.order(strategy_id=ALGO))
    assert verdict.outcome == ("DENY" if triggers else "PASS")
    assert (verdict.observed, verdict.limit, verdict.unit) == (Decimal(executions), Decimal(10), "executions")


def test_the_trigger_switches_off_the_strategy_in_its_account(scene: Scene) -> None:
    traded(scene, 2)
    (trigger,) = scene.triggers(made(RepeatedExecution, max_executions=1))
    assert trigger.scope == Scope(account_id=ACCOUNT_ID, strategy_id=ALGO)
    assert trigger.message == f"strategy {ALGO} executed 2 times within 60 s"
    assert RepeatedExecution.default_action is Action.HALT


def test_an_order_in_many_parts_is_one_execution_unless_parts_are_counted(scene: Scene) -> None:
    order = scene.acknowledge(scene.accept(scene.order(strategy_id=ALGO)))
    for _ in range(5):
        order = scene.fill(order, 10)
    assert scene.judge(made(RepeatedExecution), scene.order(strategy_id=ALGO)).observed == Decimal(1)
    by_part = made(RepeatedExecution, counted="FILLS", max_executions=4)
    assert scene.judge(by_part, scene.order(strategy_id=ALGO)).observed == Decimal(5)
    assert len(scene.triggers(by_part)) == 1


def test_an_order_that_trades_on_after_the_window_is_one_more_execution(scene: Scene) -> None:
    order = scene.fill(scene.acknowledge(scene.accept(scene.order(strategy_id=ALGO))), 10)
    rule = made(RepeatedExecution, max_executions=1)
    scene.wait(seconds=60)
    order = scene.fill(order, 10)
    assert not scene.triggers(rule)
    assert scene.judge(rule, scene.order(strategy_id=ALGO)).observed == Decimal(1)
    scene.wait(microseconds=1)
    scene.fill(order, 10)
    assert scene.judge(rule, scene.order(strategy_id=ALGO)).observed == Decimal(2)


def test_what_people_and_others_trade_does_not_count(scene: Scene) -> None:
    traded(scene, 3, strategy_id=None)
    scene.hold(100)
    rule = made(RepeatedExecution, max_executions=1)
    assert not scene.triggers(rule)
    assert scene.judge(rule, scene.order()).outcome is Outcome.PASS


def test_strategies_and_accounts_are_counted_apart(scene: Scene) -> None:
    other = scene.another_account()
    traded(scene, 2)
    traded(scene, 1, strategy_id=OTHER_ALGO)
    traded(scene, 1, account_id=other)
    rule = made(RepeatedExecution, max_executions=1)
    assert len(scene.triggers(rule)) == 1
    assert scene.judge(rule, scene.order(strategy_id=OTHER_ALGO)).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(strategy_id=ALGO, account_id=other)).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(strategy_id=ALGO)).outcome is Outcome.DENY


def test_executions_are_forgotten_after_the_window_and_not_earlier(scene: Scene) -> None:
    traded(scene, 2)
    rule = made(RepeatedExecution, max_executions=1)
    assert scene.wait(seconds=60).judge(rule, scene.order(strategy_id=ALGO)).outcome is Outcome.DENY
    assert scene.wait(seconds=3).judge(rule, scene.order(strategy_id=ALGO)).outcome is Outcome.PASS


def test_only_executions_under_the_limits_scope_count(scene: Scene) -> None:
    elsewhere = scene.another_instrument("ELSE")
    traded(scene, 2)
    traded(scene, 1, instrument=elsewhere)
    narrow = made(RepeatedExecution, Scope(instrument_id=elsewhere.instrument_id), max_executions=1)
    assert not scene.triggers(narrow)
    assert len(scene.triggers(made(RepeatedExecution, Scope(strategy_id=ALGO), max_executions=1))) == 2


def test_a_strategy_that_was_stopped_may_reduce(scene: Scene) -> None:
    traded(scene, 2)
    rule = made(RepeatedExecution, max_executions=1)
    assert scene.judge(rule, scene.order(Side.SELL, 200, strategy_id=ALGO)).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(Side.SELL, 201, strategy_id=ALGO)).outcome is Outcome.DENY
    assert liquidates(scene, rule, strategy_id=ALGO).outcome is Outcome.PASS


def test_new_terms_of_a_stopped_strategy_are_denied(scene: Scene) -> None:
    order = scene.accept(scene.order(strategy_id=ALGO, limit_price="99"))
    traded(scene, 2)
    assert scene.judge_replace(made(RepeatedExecution, max_executions=1), order, quantity=200).outcome is Outcome.DENY
    assert scene.judge_replace(made(RepeatedExecution, max_executions=2), order, quantity=200).outcome is Outcome.PASS


def test_executions_are_the_same_from_the_horizon_only(scene: Scene) -> None:
    rule = made(RepeatedExecution, max_executions=2)
    for _ in range(6):
        traded(scene)
        scene.wait(seconds=25)
    intent, view = scene.intent(scene.order(strategy_id=ALGO))
    assert rule.assess(intent, view, rebuilt(scene, rule)) == rule.assess(intent, view, scene.memory(rule))


# adv_participation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("quantity", "outcome"), [(49, "PASS"), (50, "PASS"), (51, "DENY")])
def test_a_share_below_at_and_above_the_limit(scene: Scene, quantity: int, outcome: str) -> None:
    scene.facts(average_daily_volume=1000)
    verdict = scene.judge(made(AdvParticipation), scene.order(quantity=quantity))
    assert verdict.outcome == outcome
    assert (verdict.observed, verdict.limit, verdict.unit) == (Decimal(quantity) / 10, Decimal(5), "%")


@pytest.mark.parametrize("volume", [None, 0])
def test_without_a_volume_there_is_no_share(scene: Scene, volume: int | None) -> None:
    if volume is not None:
        scene.facts(average_daily_volume=volume)
    verdict = scene.judge(made(AdvParticipation), scene.order(quantity=1))
    assert (verdict.outcome, verdict.code) == (Outcome.DENY, "no_adv")


def test_open_orders_of_both_sides_and_what_was_traded_count(scene: Scene) -> None:
    scene.facts(average_daily_volume=1000)
    scene.accept(scene.order(Side.BUY, 10, limit_price="99"))
    scene.accept(scene.order(Side.SELL, 10, limit_price="101"))
    scene.fill(scene.acknowledge(scene.accept(scene.order(quantity=20))), 20)
    rule = made(AdvParticipation)
    assert scene.judge(rule, scene.order(quantity=10)).outcome is Outcome.PASS
    verdict = scene.judge(rule, scene.order(quantity=11))
    assert verdict.inputs == {
        "traded": Decimal(20),
        "open": Decimal(20),
        "order": Decimal(11),
        "average_daily_volume": Decimal(1000),
    }
    assert (verdict.outcome, verdict.would_pass) == (Outcome.DENY, "a quantity of at most 10")


def test_an_order_that_is_filled_in_part_counts_once(scene: Scene) -> None:
    scene.facts(average_daily_volume=1000)
    scene.fill(scene.acknowledge(scene.accept(scene.order(quantity=40, limit_price="100"))), 15)
    assert scene.judge(made(AdvParticipation), scene.order(quantity=10)).observed == Decimal(5)


def test_orders_in_doubt_count_in_full(scene: Scene) -> None:
    scene.facts(average_daily_volume=1000)
    scene.hold(100)
    scene.wait(hours=12)
    scene.quote()
    scene.doubt(scene.accept(scene.order(Side.SELL, 30)))
    assert scene.judge(made(AdvParticipation), scene.order(Side.SELL, 20)).outcome is Outcome.PASS
    assert scene.judge(made(AdvParticipation), scene.order(Side.SELL, 21)).outcome is Outcome.DENY


def test_yesterdays_trades_do_not_count(scene: Scene) -> None:
    scene.facts(average_daily_volume=1000)
    scene.hold(50)
    assert scene.judge(made(AdvParticipation), scene.order(quantity=1)).outcome is Outcome.DENY
    scene.wait(hours=12)
    scene.quote()
    assert scene.judge(made(AdvParticipation), scene.order(quantity=50)).outcome is Outcome.PASS


def test_other_accounts_and_instruments_have_shares_of_their_own(scene: Scene) -> None:
    other = scene.another_account()
    elsewhere = scene.another_instrument("ELSE")
    for instrument in (scene.instrument, elsewhere):
        scene.facts(instrument, average_daily_volume=1000)
    scene.hold(50)
    rule = made(AdvParticipation)
    assert scene.judge(rule, scene.order(quantity=50, account_id=other)).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(quantity=50, instrument=elsewhere)).outcome is Outcome.PASS


def test_modifying_upwards_counts_the_new_total_less_what_is_filled(scene: Scene) -> None:
    scene.facts(average_daily_volume=1000)
    order = scene.fill(scene.acknowledge(scene.accept(scene.order(quantity=30, limit_price="99"))), 10)
    rule = made(AdvParticipation)
    assert scene.judge_replace(rule, order, quantity=50).outcome is Outcome.PASS
    verdict = scene.judge_replace(rule, order, quantity=51)
    assert (verdict.outcome, verdict.would_pass) == (Outcome.DENY, "a quantity of at most 50")
    scene.facts(average_daily_volume=100)
    assert scene.judge_replace(rule, order, quantity=20).outcome is Outcome.PASS


def test_the_share_is_exact_and_its_hint_in_whole_lots() -> None:
    scene = Scene(an_instrument(lot_size=Decimal("0.3")))
    scene.facts(average_daily_volume="33.3")
    rule = made(AdvParticipation, max_percent="10")
    assert scene.judge(rule, scene.order(quantity="3.3")).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(quantity="3.6")).would_pass == "a quantity of at most 3.3"


def test_shares_are_the_same_from_the_horizon_only(scene: Scene) -> None:
    scene.facts(average_daily_volume=1000)
    rule = made(AdvParticipation)
    for _ in range(4):
        scene.hold(7)
        scene.wait(hours=23)
        scene.quote()
    scene.hold(5)
    intent, view = scene.intent(scene.order(quantity=10))
    assert rule.assess(intent, view, rebuilt(scene, rule)) == rule.assess(intent, view, scene.memory(rule))
    assert rule.horizon >= timedelta(days=2)


def test_a_liquidation_has_no_largest_share(scene: Scene) -> None:
    assert liquidates(scene, made(AdvParticipation)).outcome is Outcome.PASS
