"""The built wheels install with plain pip into an empty environment, in any sensible combination."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from oms_risk_rules.plugin import MONITORS, ORDER_RULES, POSITION_RULES

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = {
    "oms_kernel": "oms_kernel",
    "oms_app": "oms_app",
    "oms_sim_broker": "oms_sim_broker",
    "oms_risk_rules": "oms_risk_rules",
    "oms_compliance_checks": "oms_compliance_checks",
    "oms_strategies": "oms_strategies",
    "oms_webhook_sinks": "oms_webhook_sinks",
}
RISK_RULES = {contributed.name for contributed in (*ORDER_RULES, *POSITION_RULES, *MONITORS)}
IMPORT_EVERY_MODULE = """
import importlib, pkgutil, sys
import oms_kernel

names = [module.name for module in pkgutil.walk_packages(oms_kernel.__path__, "oms_kernel.")
         if not module.name.startswith("oms_kernel.testkit")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""
INSTALLED = """
from importlib.metadata import distributions
print(*sorted({d.name.lower() for d in distributions()} - {"pip", "setuptools"}))
"""

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of every distribution of the workspace."""
    folder = tmp_path_factory.mktemp("dist")
    uv = Path(sys.executable).with_name("uv")
    run(str(uv), "build", "--quiet", "--all-packages", "--out-dir", str(folder), cwd=ROOT)
    return folder


@pytest.fixture
def environment(tmp_path: Path, built: Path) -> Environment:
    """An empty virtual environment."""
    return Environment(tmp_path, built)


class Environment:
    """A virtual environment with nothing but pip, and the wheels that may be installed into it."""

    def __init__(self, folder: Path, built: Path) -> None:
        self._folder = folder
        self._built = built
        self._programs = folder / "venv" / "bin"
        venv.create(folder / "venv", with_pip=True, symlinks=True)

    def install(self, *names: str) -> None:
        """Install our wheels by file, what they need from wherever pip is told to look."""
        self.run("pip", "install", "--quiet", *(str(wheel(self._built, name)) for name in names))

    def run(self, program: str, *arguments: str) -> str:
        """The standard output of a program of the environment."""
        return run(str(self._programs / program), *arguments, cwd=self._folder, OMS_HOME=str(self._folder / "home"))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_wheel_holds_its_package_and_nothing_else(built: Path, name: str) -> None:
    with zipfile.ZipFile(wheel(built, name)) as archive:
        names = archive.namelist()
    information = f"{name}-0.1.0.dist-info"
    assert {entry.partition("/")[0] for entry in names} == {DISTRIBUTIONS[name], information}
    assert f"{DISTRIBUTIONS[name]}/py.typed" in names
    assert f"{information}/licenses/LICENSE" in names
    assert not [entry for entry in names if "__pycache__" in entry or "/tests/" in entry]


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_an_sdist_holds_its_sources_and_nothing_else(built: Path, name: str) -> None:
    with tarfile.open(built / f"{name}-0.1.0.tar.gz") as archive:
        entries = {entry.split("/")[1] for entry in archive.getnames()}
    assert entries - {".gitignore"} == {
        DISTRIBUTIONS[name],
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "PKG-INFO",
    }


def test_the_kernel_alone_imports_with_its_three_needs(environment: Environment) -> None:
    environment.install("oms_kernel")
    assert environment.run("python", "-c", INSTALLED).split() == [
        "msgspec",
        "oms-kernel",
        "packaging",
        "pluggy",
    ]
    assert int(environment.run("python", "-W", "error", "-c", IMPORT_EVERY_MODULE)) > 1


def test_the_application_lists_the_plugins_that_are_installed_and_no_more(environment: Environment) -> None:
    environment.install("oms_kernel", "oms_app")
    assert plugins(environment) == {}

    environment.install("oms_kernel", "oms_sim_broker", "oms_risk_rules")
    listed = plugins(environment)
    assert set(listed) == {"oms-sim-broker", "oms-risk-rules"}
    assert len(contributions(listed["oms-sim-broker"])) == 1
    assert contributions(listed["oms-risk-rules"]) == RISK_RULES

    environment.run("pip", "uninstall", "--quiet", "--yes", "oms-risk-rules")
    assert set(plugins(environment)) == {"oms-sim-broker"}


def plugins(environment: Environment) -> dict[str, dict]:
    """What `oms plugins list --json` says, by distribution."""
    answer = json.loads(environment.run("oms", "plugins", "list", "--json"))
    return {plugin["distribution"]: plugin for plugin in answer["plugins"]}


def contributions(plugin: dict) -> set[str]:
    """The names of what a plugin contributes."""
    return {entry["name"] for entry in plugin["contributions"]}


def wheel(folder: Path, name: str) -> Path:
    """The one wheel of a distribution."""
    (found,) = folder.glob(f"{name}-*.whl")
    return found


def run(*command: str, cwd: Path, **environment: str) -> str:
    """The standard output of a command that succeeds."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "OMS_", "VIRTUAL"))}
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout
