"""`oms risk` on a database of this machine: the file of limits shown first, applied once, and written back."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from oms_app.cli.main import cli
from tests.app_kit import CHEAP, demo_services, demo_settings

EXAMPLE = Path(__file__).parents[2] / "examples" / "limits.yaml"


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeded")
    services, _facts = demo_services(demo_settings(folder))
    services.close()
    return folder


@pytest.fixture
def home(seeded: Path, tmp_path: Path) -> Path:
    """A home of its own with the demo tenant."""
    return Path(shutil.copytree(seeded, tmp_path / "home"))


def oms(home: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["risk", *words], env={"OMS_HOME": str(home), **CHEAP})


def written(home: Path, text: str) -> str:
    """The path of a file with this text."""
    path = home / "limits.yaml"
    path.write_text(text)
    return str(path)


def test_the_example_is_shown_then_applied_and_then_changes_nothing(home: Path) -> None:
    first = oms(home, "apply", str(EXAMPLE), "--dry-run")
    assert first.exit_code == 7, first.output
    assert "+ limit House fat finger: max_order_quantity" in first.output
    assert "+ limit Bitcoin position: max_position on instrument SIM:BTCUSD" in first.output
    assert "+ limit Order size: max_order_quantity" in first.output, "the demo's own limits are not taken over"
    assert "LOOSER" not in first.output
    assert "required_limits: [] -> " in first.output
    assert oms(home, "apply", str(EXAMPLE), "--dry-run").output == first.output
    applied = oms(home, "apply", str(EXAMPLE), "--reason", "Quarterly review", "--json")
    assert applied.exit_code == 0, applied.output
    assert json.loads(applied.output)["has_changes"] is True
    again = oms(home, "apply", str(EXAMPLE), "--dry-run", "--json")
    assert (again.exit_code, json.loads(again.output)["has_changes"]) == (0, False), again.output
    limits = json.loads(oms(home, "limits", "--tenant", "demo", "--json").output)["limits"]
    bitcoin = next(one for one in limits if one["name"] == "Bitcoin position")
    assert bitcoin["params"] == {"max_quantity": "12.5"}
    assert bitcoin["scope"] == {"instrument": "SIM:BTCUSD"}
    assert {one["name"] for one in limits if one["level"] == "FIRM"} == {"House fat finger"}


def test_what_was_exported_changes_nothing_when_it_is_applied(home: Path) -> None:
    assert oms(home, "apply", str(EXAMPLE)).exit_code == 0
    for words in (("export",), ("export", "--tenant", "demo")):
        text = oms(home, *words).output
        assert "Bitcoin position" in text
        file = written(home, text)
        applied = oms(home, "apply", file, "--prune", "--dry-run", *words[1:])
        assert applied.exit_code == 0, applied.output


def test_prune_ends_what_the_file_does_not_name(home: Path) -> None:
    file = written(
        home, "limits:\n  - name: Demo max position\n    rule: max_position\n    params: {max_quantity: 50000}\n"
    )
    kept = oms(home, "apply", file, "--tenant", "demo", "--dry-run")
    assert (kept.exit_code, "1 unchanged" in kept.output) == (0, True), kept.output
    pruned = oms(home, "apply", file, "--tenant", "demo", "--prune")
    assert pruned.exit_code == 0, pruned.output
    assert "- limit Demo price collar: price_collar" in pruned.output
    looser = pruned.output.partition("LOOSER: ")[2]
    assert "changes let more through" in looser
    assert "  ! limit Demo price collar: price_collar: ended" in looser
    limits = json.loads(oms(home, "limits", "--tenant", "demo", "--json").output)["limits"]
    assert [one["rule"] for one in limits] == ["max_position"]


def test_a_limit_is_found_by_its_name_and_changed_field_by_field(home: Path) -> None:
    named = "limits:\n  - {{name: Mine, rule: max_order_quantity, account: Paper, {0}}}\n"
    first = written(home, named.format("params: {max_quantity: 10}"))
    assert oms(home, "apply", first, "--tenant", "demo").exit_code == 0
    second = written(home, named.format("severity: SOFT, params: {max_quantity: 12}"))
    shown = oms(home, "apply", second, "--tenant", "demo", "--dry-run")
    assert "~ limit Mine: max_order_quantity on account Paper  (looser: params.max_quantity, severity)" in shown.output
    assert "severity: HARD -> SOFT" in shown.output
    assert (
        "LOOSER: 1 of 1 changes would let more through\n  ! limit Mine: max_order_quantity on account Paper: params"
        in (shown.output)
    )
    assert "params.max_quantity: 10 -> 12" in shown.output
    assert "1 changed" in shown.output


def test_what_only_tightens_is_not_told_as_looser(home: Path) -> None:
    file = written(home, "limits:\n- {name: Demo max position, rule: max_position, params: {max_quantity: 4}}\n")
    shown = oms(home, "apply", file, "--tenant", "demo", "--dry-run")
    assert ("50000 -> 4" in shown.output, "LOOSER" in shown.output) == (True, False), shown.output


def test_a_cut_off_is_written_as_people_write_it(home: Path) -> None:
    text = "limits:\n- {name: Square off, rule: mis_square_off, params: {cut_off: %s}}\n"
    applied = oms(home, "apply", written(home, text % "15:20"), "--tenant", "demo")
    assert applied.exit_code == 0, applied.output
    again = oms(home, "apply", written(home, text % '"15:20:00"'), "--tenant", "demo", "--dry-run")
    assert (again.exit_code, "1 unchanged" in again.output) == (0, True), again.output
    wrong = oms(home, "apply", written(home, text % "25:00"), "--tenant", "demo")
    assert (wrong.exit_code, "params.cut_off: " in wrong.output) == (1, True)
    assert "such as 15:20" in wrong.output


def test_every_fault_is_told_with_file_line_path_and_fix(seeded: Path) -> None:
    text = "limits:\n- rule: nothing\n- rule: max_order_quantity\n  params: {max_quantity: -1}\n"
    result = oms(seeded, "apply", written(seeded, text), "--tenant", "demo")
    assert result.exit_code == 1, result.output
    assert "limits.yaml has 2 faults; nothing was changed" in result.output
    assert "limits.yaml:2: limits[0].rule: no loaded plugin provides the rule 'nothing'" in result.output
    assert "limits.yaml:4: limits[1].params.max_quantity: " in result.output
    assert result.output.count("fix: ") == 2
    broken = oms(seeded, "apply", written(seeded, "limits: ["), "--tenant", "demo")
    assert "limits.yaml:1: the file: this is no YAML" in broken.output
    assert "Traceback" not in result.output + broken.output


def test_limits_at_the_top_of_a_file_need_a_tenant(seeded: Path) -> None:
    file = written(seeded, "limits: []")
    result = oms(seeded, "apply", file)
    assert (result.exit_code, "--tenant" in result.output) == (1, True)


def test_rules_are_listed_with_their_parameters(home: Path) -> None:
    found = {one["name"]: one for one in json.loads(oms(home, "rules", "--json").output)["rules"]}
    assert found["max_position"]["params_schema"]["properties"]["max_quantity"]["x-unit"]
    assert "max_position" in oms(home, "rules").output


def test_usage_is_listed(seeded: Path) -> None:
    found = json.loads(oms(seeded, "usage", "--tenant", "demo", "--json").output)["usage"]
    (count,) = [one for one in found if one["rule"] == "open_order_count"]
    assert (count["used"], count["of"], count["unit"]) == ("0", "2000", "orders")
    assert "open_order_count" in oms(seeded, "usage", "--tenant", "demo").output


def test_where_limits_take_two_persons_the_machine_asks_as_well_and_asks_once(home: Path) -> None:
    on = written(home, "settings: {second_person_limits: true}")
    assert oms(home, "apply", on, "--tenant", "demo").exit_code == 0
    wide = "limits:\n- {name: Demo max position, rule: max_position, params: {max_quantity: 90000}}\n"
    wide += "- {name: New, rule: max_position, "
    file = written(home, wide + "params: {max_quantity: 5}}\n")
    without = oms(home, "apply", file, "--tenant", "demo")
    assert (without.exit_code, "reason" in without.output) == (1, True), without.output
    words = ("apply", file, "--tenant", "demo", "--reason", "Bigger book", "--json")
    (asked,) = json.loads(oms(home, *words).output)["sections"]
    assert [one["kind"] for one in asked["waiting"]] == ["CHANGE"]
    assert [one["kind"] for one in asked["edits"]] == ["CREATE"]
    (again,) = json.loads(oms(home, *words).output)["sections"]
    assert (again["change_id"], again["edits"]) == (asked["change_id"], [])
    (listed,) = json.loads(oms(home, "changes", "--tenant", "demo", "--json").output)["changes"]
    assert (listed["change_id"], listed["reason"]) == (asked["change_id"], "Bigger book")
    assert "Bigger book" in oms(home, "changes", "--tenant", "demo").output
    limits = json.loads(oms(home, "limits", "--tenant", "demo", "--json").output)["limits"]
    quantities = {one["name"]: one["params"]["max_quantity"] for one in limits if one["rule"] == "max_position"}
    assert quantities == {"Demo max position": "50000", "New": 5}
    off = written(home, "settings: {second_person_limits: false}")
    (waits,) = json.loads(oms(home, "apply", off, *words[2:]).output)["sections"]
    assert [one["kind"] for one in waits["waiting"]] == ["SETTINGS"]
