"""Which changes of a limit, or of what guards limits, let more through: all that cannot be judged counts as looser."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from oms_app.flow.limit_draft import LimitDraft, as_values, from_values
from oms_app.flow.loosening import loosened, loosened_settings
from oms_app.flow.tenant_settings import TenantSettings
from oms_kernel.domain.controls import Action
from oms_kernel.domain.decision import RuleSeverity
from oms_kernel.domain.ids import AccountId, InstrumentId
from oms_kernel.domain.scope import EVERYTHING, Scope

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ONE, OTHER = AccountId("one"), AccountId("other")
BEFORE = LimitDraft(
    rule="rule",
    params={"max_quantity": "10", "min_resting_ms": 500, "window_s": 60, "list": ["A"]},
    scope=Scope(account_id=ONE),
    severity=RuleSeverity.SOFT,
    action=Action.REDUCE_ONLY,
    effective_from=NOW - DAY,
    effective_until=NOW + DAY,
)


def params(**changed: Any) -> dict[str, Any]:
    return {"params": {**BEFORE.params, **changed}}


@pytest.mark.parametrize(
    "change",
    [
        {},
        params(max_quantity="9.999"),
        params(max_quantity="10.00"),
        {"severity": RuleSeverity.HARD},
        {"scope": EVERYTHING},
        {"name": "another"},
        {"effective_from": None},
        {"effective_from": NOW},
        {"effective_until": None},
        {"effective_until": NOW + 2 * DAY},
    ],
    ids=str,
)
def test_what_can_only_deny_more_or_as_much_is_not_looser(change: dict[str, Any]) -> None:
    assert loosened(BEFORE, msgspec.structs.replace(BEFORE, **change), NOW) == ()


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        (params(max_quantity="10.001"), ("params.max_quantity",)),
        (params(max_quantity=None), ("params.max_quantity",)),
        (params(min_resting_ms=499), ("params.min_resting_ms",)),
        (params(min_resting_ms=501), ("params.min_resting_ms",)),
        (params(window_s=61), ("params.window_s",)),
        (params(window_s=59), ("params.window_s",)),
        (params(list=["A", "B"]), ("params.list",)),
        (params(further=True), ("params.further",)),
        ({"severity": RuleSeverity.SHADOW}, ("severity",)),
        ({"action": Action.HALT}, ("action",)),
        ({"action": None}, ("action",)),
        ({"scope": Scope(account_id=OTHER)}, ("scope",)),
        ({"scope": Scope(account_id=ONE, instrument_id=InstrumentId("i"))}, ("scope",)),
        ({"effective_from": NOW + timedelta(hours=1)}, ("effective_from",)),
        ({"effective_until": NOW + timedelta(hours=1)}, ("effective_until",)),
        (
            {**params(max_quantity="11"), "severity": RuleSeverity.SHADOW},
            ("params.max_quantity", "severity"),
        ),
    ],
    ids=str,
)
def test_what_may_let_more_through_is_named(change: dict[str, Any], fields: tuple[str, ...]) -> None:
    assert loosened(BEFORE, msgspec.structs.replace(BEFORE, **change), NOW) == fields


def test_a_limit_that_never_ended_and_now_ends_is_looser_and_one_yet_to_begin_may_begin_later_only_so() -> None:
    always = msgspec.structs.replace(BEFORE, effective_from=None, effective_until=None)
    assert loosened(always, msgspec.structs.replace(always, effective_until=NOW + DAY), NOW) == ("effective_until",)
    coming = msgspec.structs.replace(BEFORE, effective_from=NOW + DAY, effective_until=None)
    later = msgspec.structs.replace(coming, effective_from=NOW + 2 * DAY)
    assert loosened(coming, later, NOW) == ("effective_from",)
    assert loosened(later, coming, NOW) == ()


@pytest.mark.parametrize(
    ("before", "after", "fields"),
    [
        ({}, {"second_person_limits": True, "required_limits": ("a",), "approval_window_s": 60}, ()),
        ({"second_person_limits": True}, {}, ("second_person_limits",)),
        ({"second_person_release": True}, {}, ("second_person_release",)),
        ({"required_limits": ("a", "b")}, {"required_limits": ("b", "c")}, ("required_limits",)),
        ({}, {"approval_window_s": 901}, ("approval_window_s",)),
        ({"require_totp": True}, {}, ()),
    ],
    ids=str,
)
def test_settings_that_take_a_safeguard_away_are_named(
    before: dict[str, Any], after: dict[str, Any], fields: tuple[str, ...]
) -> None:
    assert loosened_settings(TenantSettings(**before), TenantSettings(**after)) == fields


def test_a_draft_survives_being_written_down() -> None:
    firm = LimitDraft(rule="rule", scope=Scope(instrument_id=InstrumentId("i"), is_firm=True))
    for draft in (BEFORE, firm, LimitDraft(rule="rule")):
        assert from_values(as_values(draft)) == draft
