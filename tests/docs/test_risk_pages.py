"""The guides of risk and compliance are held to the code: what they name is there, and their commands run."""

import json
import re
import shlex
import shutil
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from oms_app.api.app import ENDPOINTS
from oms_app.api.documentation import flask_path_to_openapi
from oms_app.cli.main import cli
from oms_app.dashboard.answering import PAGES as LINKS
from oms_app.dashboard.answering import RISK_PAGES
from oms_app.flow.breaches import Finding
from oms_app.flow.limit_changes import LASTS
from oms_app.flow.scopes import ROLES, Scope
from oms_app.flow.tenant_settings import TenantSettings
from oms_kernel.consequences import EFFECTS
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.controls import Action
from oms_kernel.host import PluginHost
from oms_kernel.registry import Kind
from tests.app_kit import CHEAP, demo_services, demo_settings

ROOT = Path(__file__).parents[2]
PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("risk", "compliance")}
REGISTRIES = PluginHost().load()
RULES = {name for kind in (Kind.RISK_RULE, Kind.COMPLIANCE_CHECK, Kind.MONITOR) for name in REGISTRIES.of(kind)}
PLACEHOLDER = re.compile(r"\b[A-Z]+_ID\b")
OVER_HTTP = ("oms orders", "oms risk breaches", "oms risk monitoring", "oms kill list")
"""Commands that ask a running API; their words are checked, they are not run here."""


def table(page: str, head: str) -> list[list[str]]:
    """The rows of the table with this head."""
    lines = page[page.index(f"| {head} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


CONTROLS = table(PAGES["risk"], "Control")


def test_every_usual_control_has_a_row() -> None:
    assert len(CONTROLS) == 50
    assert len({control for control, _, _ in CONTROLS}) == 50


@pytest.mark.parametrize(("control", "kind", "where"), CONTROLS, ids=lambda text: text)
def test_a_control_is_where_the_page_says(control: str, kind: str, where: str) -> None:
    named = re.findall(r"`([^`]+)`", where)
    rules = {name for name in named if name in RULES}
    files = {name for name in named if name.endswith(".py")}
    words = {"required_limits", "reduce_only", "Idempotency-Key", "lag_ms"}
    assert rules or files, control
    assert not [name for name in files if not (ROOT / name).is_file()]
    assert set(named) - rules - files <= words
    of_kind = {
        "rule": REGISTRIES.of(Kind.RISK_RULE),
        "check": REGISTRIES.of(Kind.COMPLIANCE_CHECK),
        "monitor": REGISTRIES.of(Kind.MONITOR),
    }
    for word, registry in of_kind.items():
        assert (word in kind) is any(name in registry for name in rules), (control, word)


def test_no_installed_rule_is_left_out() -> None:
    assert sorted(name for name in RULES if f"`{name}`" not in PAGES["risk"]) == []


def test_the_table_of_actions_is_what_actions_do() -> None:
    states = {"as before": None, "only what reduces": TradingState.REDUCE_ONLY}
    rows = table(PAGES["risk"], "Action")
    assert [Action(name) for name, *_ in rows] == list(Action)
    for name, new, working, positions in rows:
        effect = EFFECTS[Action(name)]
        assert effect.cancel_working is (working == "are cancelled")
        assert effect.flatten is (positions == "are closed")
        if new in states:
            assert effect.trading_state is states[new]
        else:
            assert effect.trading_state in (TradingState.CANCEL_ONLY, TradingState.HALTED)


def test_every_page_of_the_dashboard_is_told_of() -> None:
    assert [name for name, _ in table(PAGES["risk"], "Page")] == [label for _, label, _ in RISK_PAGES]
    assert {"Risk", "Compliance"} <= {label for _, label, _ in LINKS}
    assert all("page Compliance" in page for page in PAGES.values())


def test_numbers_and_words_are_as_told() -> None:
    risk, compliance = PAGES["risk"], PAGES["compliance"]
    assert f"`approval_window_s` (60 s to a day, {TenantSettings().approval_window_s} s unless changed)" in risk
    assert f"at most {LASTS.total_seconds() / 3600:.0f} hours" in risk
    for page in (risk, compliance):
        assert [word.value for word in Finding if word.value not in page] == []
    assert [name for name in TradingState if name.value not in risk and name is not TradingState.ACTIVE] == []
    assert {role for role, scopes in ROLES.items() if Scope.MANAGE_RISK in scopes} == {"MANAGER", "ADMIN"}
    for scope in (Scope.VIEW_AUDIT, Scope.MANAGE_COMPLIANCE):
        (roles,) = re.findall(rf"\| `{scope}` \| ([A-Z, ]+) \|", compliance)
        assert set(roles.split(", ")) == {role.value for role, scopes in ROLES.items() if scope in scopes}


@pytest.mark.parametrize("page", PAGES)
def test_every_path_exists(page: str) -> None:
    known = {re.sub(r"\{\w+\}", "{}", flask_path_to_openapi(one.path)) + " " + one.method for one in ENDPOINTS}
    named = re.findall(r"`(GET|POST|PUT|PATCH|DELETE)\s+(/api/v1/[^`\s]+)`", PAGES[page])
    assert len(named) > 6
    assert [path for method, path in named if re.sub(r"\{\w+\}", "{}", path) + " " + method not in known] == []


def commands(page: str) -> list[str]:
    """Every line of the page's shell blocks, without its comment."""
    blocks = re.findall(r"```bash\n(.*?)```", PAGES[page], re.DOTALL)
    return [re.split(r"\s{2,}#", line)[0].strip() for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("line", [line for page in PAGES for line in commands(page)])
def test_every_command_is_one_with_these_options(line: str) -> None:
    words = shlex.split(line)
    assert words.pop(0) == "oms"
    command: click.Command = cli
    while (
        isinstance(command, click.Group) and words and (found := command.get_command(click.Context(command), words[0]))
    ):
        command = found
        words.pop(0)
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert not isinstance(command, click.Group) or command.invoke_without_command
    assert {word for word in words if word.startswith("-")} <= options


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("risk-pages")
    services, _facts = demo_services(demo_settings(folder))
    services.close()
    return folder


def oms(home: Path, line: str) -> Result:
    words = [str(home / word) if word.endswith(".yaml") else word for word in shlex.split(line)[1:]]
    return CliRunner().invoke(cli, words, env={"OMS_HOME": str(home), **CHEAP})


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_one_after_the_other(home: Path, tmp_path: Path, page: str) -> None:
    """On a copy of the demo, with the page's own files; a dry run finds differences before they are applied."""
    own = Path(shutil.copytree(home, tmp_path / "home"))
    for name, text in re.findall(r"```yaml\n# (\S+\.yaml)\n(.*?)```", PAGES[page], re.DOTALL):
        (own / name).write_text(text)
    ran = 0
    for line in commands(page):
        if PLACEHOLDER.search(line) or line.startswith(OVER_HTTP):
            continue
        done = oms(own, line)
        assert done.exit_code == (7 if "--dry-run" in line else 0), (line, done.output)
        ran += 1
    assert ran > 5
    (name,) = re.findall(r"# (\S+\.yaml)", PAGES[page])
    again = oms(own, f"oms risk apply {name} --dry-run --json")
    assert (again.exit_code, json.loads(again.output)["has_changes"]) == (0, False)
