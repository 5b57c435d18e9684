"""The reference of rules is what the code says, and each of its examples is a limit that can be set."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from oms_app.flow.limit_draft import LimitDraft, check_draft
from oms_app.flow.limit_file import Entry, document_of, sections_of
from oms_app.flow.rule_catalogue import catalogue
from oms_kernel.domain.decision import RuleSeverity
from oms_kernel.host import PluginHost
from oms_kernel.testkit import rule_reference

ROOT = Path(__file__).parents[2]
EXAMPLES = (ROOT / "examples" / "rules.yaml").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
REGISTRIES = PluginHost().load()
RULES = catalogue(REGISTRIES)
ENTRIES = [entry for section in sections_of(document_of(EXAMPLES)) for entry in section.limits]


def test_the_written_reference_is_up_to_date() -> None:
    told = "run: python -m oms_kernel.testkit.rule_reference examples/rules.yaml docs/rules.md"
    assert rule_reference.page(REGISTRIES, rule_reference.examples_of(EXAMPLES)) == PAGE, told


def test_every_rule_stands_on_the_page_in_the_order_in_which_it_is_asked() -> None:
    assert re.findall(r"^### (\w+)$", PAGE, re.MULTILINE) == [rule.name for rule in RULES]
    assert {rule.kind.value for rule in RULES} == {"compliance_check", "risk_rule", "monitor"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_says_what_it_denies_what_it_follows_and_what_its_parameters_mean(rule) -> None:
    assert len(rule.source) > 5
    assert len(rule.description) > 40
    section = PAGE.split(f"\n### {rule.name}\n")[1].split("\n### ")[0]
    assert rule.source in section and rule.description.splitlines()[0] in section
    for name, shape in rule.params_schema["properties"].items():
        row = next(line for line in section.splitlines() if line.startswith(f"| `{name}` |"))
        assert row.split(" | ")[-1].removesuffix(" |").strip(), f"{name} has no meaning"
        assert (" | needed | " in row) is (name in rule.params_schema.get("required", ()))
        assert f" | {shape.get('x-unit', '')} | " in row


def test_every_rule_has_one_example_and_each_is_on_trial() -> None:
    assert sorted(entry.rule for entry in ENTRIES) == sorted(rule.name for rule in RULES)
    assert {entry.severity for entry in ENTRIES} == {RuleSeverity.SHADOW}
    assert PAGE.count("```yaml") == len(ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.rule)
def test_an_example_can_be_set(entry: Entry) -> None:
    draft = LimitDraft(rule=entry.rule, params=entry.params, action=entry.action, severity=entry.severity)
    check_draft(draft, REGISTRIES, NOON)
    assert entry.params or entry.rule == "cnc_no_short"
