"""What a rule may answer: the same numbers that the log can store, and nothing that the host knows better."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms_kernel.domain.decision import Gate, Outcome, RuleSeverity, Verdict, denied, passed
from oms_kernel.domain.errors import InvalidNumber
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.money import bounded
from oms_kernel.domain.scope import Scope, ScopeLevel
from oms_kernel.soundness import LONGEST_TEXT, MOST_INPUTS, complete, is_sound, known_of
from oms_kernel.terms import Terms

TERMS = Terms(limit_id="limit-1", version=3, scope=Scope(is_firm=True))
KNOWN = known_of("size", "acme", Gate.RISK, TERMS)


def fits(number: Decimal) -> bool:
    try:
        bounded(number)
    except InvalidNumber:
        return False
    return True


EDGES = [
    "999999999999999999.999999999999",
    "-999999999999999999.999999999999",
    "1E+17",
    "1E+18",
    "1E-12",
    "1E-13",
    "1.0000000000000000000",
    "0E-50",
    "-0",
    "NaN",
    "sNaN",
    "Infinity",
    "-Infinity",
    "1E+999999",
    "1E-999999",
]


@pytest.mark.parametrize("number", [Decimal(text) for text in EDGES], ids=EDGES)
def test_a_figure_is_sound_exactly_when_the_log_can_store_it(number: Decimal) -> None:
    told: dict[str, Any] = {"observed": number, "limit": number, "quote_price": number, "inputs": {"x": number}}
    for name, value in told.items():
        verdict = msgspec.structs.replace(passed("size"), **{name: value})
        assert is_sound(verdict) is fits(number), name


@given(st.decimals())
def test_any_figure_is_sound_exactly_when_the_log_can_store_it(number: Decimal) -> None:
    assert is_sound(passed("size", observed=number)) is fits(number)


class Number(Decimal):
    """A number that could do anything when it is looked at."""


@pytest.mark.parametrize(
    "fields",
    [
        {"outcome": "PASS"},
        {"observed": 1},
        {"observed": 1.5},
        {"limit": Number(1)},
        {"limit": True},
        {"code": None},
        {"message": b"bytes"},
        {"unit": 7},
        {"would_pass": ["a list"]},
        {"inputs": [("x", Decimal(1))]},
        {"inputs": {"x": None}},
        {"inputs": {"x": 1}},
        {"inputs": {7: Decimal(1)}},
        {"inputs": {f"x{number}": Decimal(1) for number in range(MOST_INPUTS + 1)}},
        {"makes_way": {OrderId("o"): Decimal(-1)}},
        {"makes_way": {OrderId("o"): None}},
        {"quote_at": datetime(2026, 1, 1)},  # noqa: DTZ001
        {"quote_at": "2026-01-01"},
    ],
    ids=str,
)
def test_a_field_of_another_type_or_size_is_not_sound(fields: dict[str, Any]) -> None:
    assert is_sound(passed("size"))
    assert not is_sound(msgspec.structs.replace(passed("size"), **fields))


def test_a_completed_verdict_has_what_the_rule_told_and_what_only_the_host_knows() -> None:
    told = Verdict(
        rule="another name",
        outcome=Outcome.DENY,
        gate=Gate.COMPLIANCE,
        plugin="another plugin",
        code="too_large",
        message="it is too large",
        observed=Decimal(7),
        limit=Decimal(5),
        unit="units",
        quote_price=Decimal(100),
        quote_at=datetime(2026, 1, 1, tzinfo=UTC),
        inputs={"added": Decimal(7)},
        would_pass="a quantity of at most 5",
        severity=RuleSeverity.SHADOW,
        limit_id="another limit",
        limit_version=9,
        scope=ScopeLevel.INSTRUMENT,
        is_floor=True,
        makes_way={OrderId("o"): Decimal(0)},
    )
    completed = complete(told, KNOWN)
    host = {
        "rule": "size",
        "plugin": "acme",
        "gate": Gate.RISK,
        "severity": RuleSeverity.HARD,
        "limit_id": "limit-1",
        "limit_version": 3,
        "scope": ScopeLevel.FIRM,
    }
    assert {name: getattr(completed, name) for name in host} == host
    kept = set(Verdict.__struct_fields__) - set(host)
    assert {name: getattr(completed, name) for name in kept} == {name: getattr(told, name) for name in kept}


def test_without_a_row_of_limits_there_is_no_scope_to_name() -> None:
    assert complete(passed("size"), known_of("size", "acme", Gate.RISK, Terms())).scope is None


def test_the_denial_of_a_soft_limit_is_a_hold_and_of_any_other_stays_one() -> None:
    refusal = denied("size", "size", "too large")
    outcomes = {
        severity: complete(refusal, known_of("size", "acme", Gate.RISK, Terms(severity=severity))).outcome
        for severity in RuleSeverity
    }
    assert outcomes == {
        RuleSeverity.HARD: Outcome.DENY,
        RuleSeverity.SOFT: Outcome.HOLD,
        RuleSeverity.SHADOW: Outcome.DENY,
    }
    soft = known_of("size", "acme", Gate.RISK, Terms(severity=RuleSeverity.SOFT))
    assert complete(passed("size"), soft).outcome is Outcome.PASS


@pytest.mark.parametrize("name", ["code", "message", "unit", "would_pass"])
def test_texts_are_cut_to_what_the_log_takes(name: str) -> None:
    completed = complete(msgspec.structs.replace(passed("size"), **{name: "x" * 10_000}), KNOWN)
    assert getattr(completed, name) == "x" * LONGEST_TEXT


def test_a_floor_is_one_only_when_the_rule_says_exactly_that() -> None:
    for told, kept in ((True, True), (False, False), (1, False), ("yes", False)):
        assert complete(msgspec.structs.replace(passed("size"), is_floor=told), KNOWN).is_floor is kept
