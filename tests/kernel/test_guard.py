"""The guard answers for a rule whatever the rule does."""

import logging
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

import msgspec
import pytest

from oms_kernel.contracts.plugin import NoParams, Secret
from oms_kernel.domain.decision import Gate, Outcome, Verdict, passed
from oms_kernel.guard import PLUGIN_FAILED, PLUGIN_QUARANTINED, FoldFailed, Guard, GuardedRule, guard_rule
from oms_kernel.registry import Registered
from oms_kernel.terms import Terms

DENIED = Verdict(
    rule="whatever",
    outcome=Outcome.DENY,
    code="too_much",
    message="too much",
    observed=Decimal(7),
    limit=Decimal(5),
    unit="shares",
)


class Answers:
    """A rule that answers with what it was given, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def assess(self, intent: Any, view: Any, state: Any) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Counts:
    """A rule with memory: it counts events and fails at the third."""

    def assess(self, intent: Any, view: Any, state: Any) -> Verdict:
        return passed("counts")

    def initial_state(self) -> int:
        return 0

    def fold(self, state: int, event: Any) -> tuple[int, tuple[Any, ...]]:
        if state == 2:
            raise ValueError("no third")
        return state + 1, ()


def guarded(rule: Any, name: str = "too_much") -> GuardedRule:
    return GuardedRule("row-1", "acme", name, Gate.RISK, Terms(), rule)


def test_a_pass_is_completed_with_the_names_that_only_the_host_knows() -> None:
    rule = guarded(Answers(passed("too_much")))
    assert rule.assess(None, None, None) == Verdict(  # type: ignore[arg-type]
        rule="too_much", outcome=Outcome.PASS, gate=Gate.RISK, plugin="acme"
    )


def test_a_denial_keeps_its_figures_and_gets_the_registered_name() -> None:
    verdict = guarded(Answers(DENIED)).assess(None, None, None)  # type: ignore[arg-type]
    assert verdict == msgspec.structs.replace(DENIED, rule="too_much", plugin="acme")


def test_a_compliance_check_denies_at_the_compliance_gate() -> None:
    rule = GuardedRule("k", "acme", "c", Gate.COMPLIANCE, Terms(), Answers(DENIED))
    assert rule.assess(None, None, None).gate is Gate.COMPLIANCE  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "failure",
    [ValueError("secret text"), SystemExit(3), GeneratorExit(), RecursionError("deep"), MemoryError()],
    ids=lambda failure: type(failure).__name__,
)
def test_a_rule_that_raises_denies_and_says_which_plugin_but_not_what_it_said(failure: BaseException) -> None:
    rule = guarded(Answers(failure))
    verdict = rule.assess(None, None, None)  # type: ignore[arg-type]
    assert (verdict.outcome, verdict.code, verdict.plugin, verdict.rule) == (
        Outcome.DENY,
        PLUGIN_FAILED,
        "acme",
        "too_much",
    )
    assert "acme" in verdict.message and type(failure).__name__ in verdict.message
    assert "secret" not in verdict.message
    assert rule.guard.errors == 1


@pytest.mark.parametrize(
    "garbage",
    [
        None,
        True,
        "PASS",
        Outcome.PASS,
        (DENIED,),
        msgspec.structs.replace(DENIED, outcome="DENY"),
        msgspec.structs.replace(DENIED, observed=7.5),
        msgspec.structs.replace(DENIED, observed=Decimal("NaN")),
        msgspec.structs.replace(DENIED, limit=Decimal("Infinity")),
        msgspec.structs.replace(DENIED, observed=Decimal("1e18")),
        msgspec.structs.replace(DENIED, message=None),
        msgspec.structs.replace(DENIED, unit=3),
        msgspec.structs.replace(DENIED, quote_at=datetime(2026, 1, 1)),  # noqa: DTZ001
        msgspec.structs.replace(DENIED, quote_at="now"),
    ],
    ids=[
        *("none", "true", "text", "outcome", "tuple", "texted_outcome", "float", "nan", "infinity", "too_long"),
        *("no_message", "number_unit", "naive", "texted_time"),
    ],
)
def test_what_is_no_verdict_denies(garbage: Any) -> None:
    rule = guarded(Answers(garbage))
    assert rule.assess(None, None, None).code == PLUGIN_FAILED  # type: ignore[arg-type]
    assert rule.guard.errors == 1


def test_an_endless_message_is_cut() -> None:
    long = msgspec.structs.replace(DENIED, message="x" * 100_000)
    assert len(guarded(Answers(long)).assess(None, None, None).message) == 500  # type: ignore[arg-type]


def test_an_error_whose_text_raises_still_only_denies() -> None:
    class Nasty(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    assert guarded(Answers(Nasty())).assess(None, None, None).code == PLUGIN_FAILED  # type: ignore[arg-type]


def test_ctrl_c_goes_through() -> None:
    with pytest.raises(KeyboardInterrupt):
        guarded(Answers(KeyboardInterrupt())).assess(None, None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("where", ["rule", "process"])
def test_a_quarantined_plugin_denies_without_being_called(where: str) -> None:
    rule = guarded(Answers(passed("too_much")))
    if where == "rule":
        rule.quarantined = "it hung"
    else:
        rule.guard.quarantined = "it hung"
    verdict = rule.assess(None, None, None)  # type: ignore[arg-type]
    assert (verdict.outcome, verdict.code) == (Outcome.DENY, PLUGIN_QUARANTINED)
    assert "acme" in verdict.message
    assert rule.guard.calls == 0


def test_a_quarantined_rule_with_memory_is_not_called_and_does_not_judge_by_an_incomplete_memory_later() -> None:
    rule = guarded(Counts(), "counts")
    rule.quarantined = "it hung"
    state, _ = rule.fold(1, None)  # type: ignore[arg-type]
    assert (state, rule.initial_state()) == (rule.fold(state, None)[0], state)  # type: ignore[arg-type]
    assert rule.guard.calls == 0
    rule.quarantined = ""
    assert rule.assess(None, None, state).code == PLUGIN_FAILED  # type: ignore[arg-type]
    assert rule.assess(None, None, rule.initial_state()).outcome is Outcome.PASS  # type: ignore[arg-type]


def test_calls_errors_and_latency_of_all_rules_of_a_plugin_are_summed() -> None:
    guard = Guard("acme")
    one = GuardedRule("1", "acme", "a", Gate.RISK, Terms(), Answers(passed("a")), guard)
    two = GuardedRule("2", "acme", "b", Gate.RISK, Terms(), Answers(KeyError("gone")), guard)
    for rule in (one, one, two):
        rule.assess(None, None, None)  # type: ignore[arg-type]
    assert (guard.calls, guard.errors, guard.last_error) == (3, 1, "KeyError: 'gone'")
    assert 0 < guard.max_s <= guard.total_s


def test_a_plugin_that_fails_at_every_order_is_logged_at_the_first_tenth_and_hundredth(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rule = guarded(Answers(ValueError("again")))
    with caplog.at_level(logging.ERROR):
        for _ in range(120):
            rule.assess(None, None, None)  # type: ignore[arg-type]
    assert [record.getMessage().rsplit("(", 1)[1] for record in caplog.records] == [
        "failure 1)",
        "failure 10)",
        "failure 100)",
    ]


def test_a_rule_with_memory_is_folded_and_loses_its_memory_for_good_when_a_fold_fails() -> None:
    rule = guarded(Counts(), "counts")
    state = rule.initial_state()
    for _ in range(2):
        state, triggers = rule.fold(state, None)  # type: ignore[arg-type]
        assert triggers == ()
    assert state == 2
    assert rule.assess(None, None, state).outcome is Outcome.PASS  # type: ignore[arg-type]
    state, _ = rule.fold(state, None)  # type: ignore[arg-type]
    assert isinstance(state, FoldFailed)
    assert rule.fold(state, None) == (state, ())  # type: ignore[arg-type]
    assert rule.assess(None, None, state).code == PLUGIN_FAILED  # type: ignore[arg-type]


def test_a_rule_with_memory_is_asked_with_its_initial_state_before_the_first_event() -> None:
    class Remembers(Counts):
        def assess(self, intent: Any, view: Any, state: Any) -> Verdict:
            assert state == 0
            return passed("counts")

    assert guarded(Remembers(), "counts").assess(None, None, None).outcome is Outcome.PASS  # type: ignore[arg-type]


def test_a_rule_without_memory_keeps_none() -> None:
    rule = guarded(Answers(DENIED))
    assert not rule.stateful
    assert rule.initial_state() is None
    assert rule.fold(None, None) == (None, ())  # type: ignore[arg-type]


def test_other_calls_are_counted_and_timed_and_their_errors_go_on() -> None:
    guard = Guard("acme")
    tally = guard.tally()
    with guard.measured(tally):
        pass
    with pytest.raises(ValueError, match="no"), guard.measured(tally):
        raise ValueError("no")
    assert (guard.calls, guard.errors) == (2, 1)


class Limit:
    """A rule with a parameter, whose making may fail."""

    name = "limit"
    title = "A limit"

    class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        most: Decimal

    def __init__(self, params: "Limit.Params") -> None:
        if params.most > 100:
            raise RuntimeError("cannot be")

    def assess(self, intent: Any, view: Any, state: Any) -> Verdict:
        return passed("limit")


def made_from(params: object) -> Verdict:
    registered = Registered(name="limit", plugin="acme", distribution="acme", contributed=Limit)
    rule = guard_rule(registered, params, key="1", gate=Gate.RISK, terms=Terms(), guard=Guard("acme"))
    return rule.assess(None, None, None)  # type: ignore[arg-type]


def test_a_rule_is_made_from_stored_parameters() -> None:
    assert made_from({"most": "10"}).outcome is Outcome.PASS


@pytest.mark.parametrize("params", [{"most": "101"}, {"most": "ten"}, {}, {"least": "1"}, None], ids=repr)
def test_a_rule_that_cannot_be_made_denies_every_order(params: object) -> None:
    assert made_from(params).code == PLUGIN_FAILED


def test_a_secret_in_the_parameters_never_reaches_a_verdict_or_the_counters() -> None:
    class Leaks:
        Params: ClassVar[type[msgspec.Struct]] = NoParams

        def assess(self, intent: Any, view: Any, state: Any) -> Verdict:
            raise ValueError(f"cannot use {Secret('hunter2')}")

    rule = guarded(Leaks())
    assert "hunter2" not in rule.assess(None, None, None).message  # type: ignore[arg-type]
    assert "hunter2" not in str(rule.guard.last_error)
