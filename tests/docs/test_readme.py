"""The README is held to the code: its plugin runs, its files exist, its commands are commands."""

import re
import sys
import types
from pathlib import Path
from typing import Any

import click
import pytest

from oms_app.cli.main import cli
from oms_app.config import Settings, variable
from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.decision import Outcome
from oms_kernel.host import PluginHost, PluginStatus
from oms_kernel.registry import Kind
from oms_kernel.testkit.rule_suite import RuleConformanceSuite
from oms_kernel.testkit.scene import Scene

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def plugin() -> types.ModuleType:
    (source,) = (block for block in blocks("python") if "hookimpl" in block)
    module = types.ModuleType("readme_plugin")
    exec(compile(source, "README.md", "exec"), module.__dict__)
    sys.modules["readme_plugin"] = module
    return module


def test_the_plugin_of_the_readme_is_loaded(plugin: types.ModuleType) -> None:
    host = PluginHost(modules={"readme": plugin}, distributions=list)
    registries = host.load()
    assert [report.status for report in host.report()] == [PluginStatus.LOADED]
    assert list(registries.of(Kind.RISK_RULE)) == ["max_open_orders"]


def test_the_plugin_of_the_readme_denies_above_its_limit(plugin: types.ModuleType) -> None:
    rule = plugin.MaxOpenOrders(parse_params(plugin.MaxOpenOrders, {"limit": 1}))
    scene = Scene()
    order = scene.order(quantity=1)
    assert scene.judge(rule, order).outcome is Outcome.PASS
    scene.accept(order)
    verdict = scene.judge(rule, order)
    assert (verdict.outcome, verdict.observed, verdict.limit) == (Outcome.DENY, 2, 1)


def test_every_file_that_the_readme_links_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_setting_that_the_readme_names_exists() -> None:
    known = {variable(name) for name in Settings.__struct_fields__} | {"OMS_CONFIG", "OMS_API_KEY"}
    assert set(re.findall(r"\bOMS_[A-Z_]+\b", README)) <= known


def oms_commands() -> list[list[str]]:
    lines = [line.split("#")[0].split() for block in blocks("bash") for line in block.splitlines()]
    return [line[1:] for line in lines if line[:1] == ["oms"]]


@pytest.mark.parametrize("words", oms_commands(), ids=" ".join)
def test_every_oms_command_of_the_readme_is_a_command_with_these_options(words: list[str]) -> None:
    command: click.Command = cli
    while isinstance(command, click.Group) and not (command.invoke_without_command and words[0].startswith("--")):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None
        command = found
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {match for block in blocks("bash") for match in re.findall(r"^make ([a-z-]+)", block, re.MULTILINE)}
    assert named
    assert named <= targets


class TestReadmePlugin(RuleConformanceSuite):
    """The twenty lines keep the whole contract."""

    contributed: Any = None
    params = {"limit": 1}

    @pytest.fixture(autouse=True)
    def _plugin(self, plugin: types.ModuleType) -> None:
        type(self).contributed = plugin.MaxOpenOrders

    def permitted(self, scene: Scene) -> Any:
        return scene.order(quantity=1)

    def forbidden(self, scene: Scene) -> Any:
        order = scene.order(quantity=1)
        scene.accept(order)
        return order
