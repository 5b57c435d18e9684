"""The project's own files agree with each other."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEMBERS = [ROOT, ROOT / "app", *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
PLUGINS = MEMBERS[2:]


def project(folder: Path) -> dict:
    """The parsed pyproject.toml of a distribution."""
    return tomllib.loads((folder / "pyproject.toml").read_text())


def test_requirements_for_people_without_uv_are_those_of_the_dev_group() -> None:
    lines = [line for line in (ROOT / "requirements-dev.txt").read_text().splitlines() if not line.startswith("#")]
    folders = [line.removeprefix("-e ") for line in lines if line.startswith("-e ")]
    assert {(ROOT / folder).resolve() for folder in folders} == set(MEMBERS)
    assert [line for line in lines if not line.startswith("-e ")] == project(ROOT)["dependency-groups"]["dev"]


@pytest.mark.parametrize("folder", MEMBERS, ids=lambda folder: folder.name)
def test_a_distribution_is_typed_licensed_and_described(folder: Path) -> None:
    metadata = project(folder)["project"]
    (package,) = project(folder)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert metadata["version"] == "0.1.0"
    assert metadata["license"] == "MIT"
    assert metadata["requires-python"] == ">=3.11"
    assert (folder / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert (folder / package / "py.typed").exists()
    assert (folder / metadata["readme"]).read_text().startswith("# ")


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_plugin_needs_the_kernel_and_no_other_distribution_of_the_project(folder: Path) -> None:
    metadata = project(folder)["project"]
    ours = [text for text in metadata["dependencies"] if text.startswith("oms")]
    assert ours == ["oms-kernel>=0.1,<0.2"]
    assert list(metadata["entry-points"]) == ["oms.plugins"]
    for module in metadata["entry-points"]["oms.plugins"].values():
        assert (folder / (module.replace(".", "/") + ".py")).exists()


def test_the_application_brings_no_plugin() -> None:
    needed = [re.split(r"[<>=\[]", text)[0] for text in project(ROOT / "app")["project"]["dependencies"]]
    assert [name for name in needed if name.startswith("oms-")] == ["oms-kernel"]


def test_every_distribution_is_measured_checked_and_bound_by_the_import_rules() -> None:
    packages = {project(folder)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"][0] for folder in MEMBERS}
    tools = project(ROOT)["tool"]
    assert set(tools["coverage"]["run"]["source_pkgs"]) == packages
    assert set(tools["importlinter"]["root_packages"]) == packages
    assert set(tools["ruff"]["lint"]["isort"]["known-first-party"]) == packages
    assert {(ROOT / folder).resolve() for folder in tools["mypy"]["mypy_path"].split(":")} == set(MEMBERS[1:])


def test_make_alone_lists_every_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in listed.splitlines() if line.startswith("  make")} == targets
    assert {"run", "test", "lint", "format", "bench", "docs", "clean"} <= targets
