"""Each import rule is broken by a planted import, and none by the imports that are allowed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
EDGES = ("api", "stream", "sessions", "strategies", "workers", "cli", "dashboard")

ALLOWED = {
    "oms_kernel/domain/order.py": "import msgspec",
    "oms_kernel/host.py": "import pluggy\nfrom oms_kernel.domain import order",
    "oms_risk_rules/plugin.py": "from oms_kernel import host",
    "oms_app/config.py": "import msgspec",
    "oms_app/store/tables.py": "import sqlalchemy\nfrom oms_app import config\nfrom oms_kernel.domain import order",
    "oms_app/flow/intake.py": "from oms_app.store import tables",
    **{f"oms_app/{edge}/door.py": "from oms_app.flow import intake" for edge in EDGES},
    "oms_app/bootstrap.py": "\n".join(f"from oms_app.{edge} import door" for edge in EDGES),
    "oms_app/cli/processes.py": "def run():\n    from oms_app.bootstrap import door",
}
PLANTED = [
    ("kernel-alone", "oms_kernel/engine.py", "def later():\n    import flask"),
    ("kernel-alone", "oms_kernel/engine.py", "from oms_app import config"),
    ("kernel-alone", "oms_kernel/engine.py", "import oms_risk_rules"),
    ("domain-pure", "oms_kernel/domain/fill.py", "import random"),
    ("domain-pure", "oms_kernel/domain/fill.py", "import pluggy"),
    ("plugins-independent", "oms_strategies/plugin.py", "from oms_risk_rules import plugin"),
    ("plugins-know-the-kernel-only", "oms_strategies/plugin.py", "import sqlalchemy"),
    ("plugins-know-the-kernel-only", "oms_strategies/plugin.py", "from oms_app import config"),
    ("app-knows-no-plugin", "oms_app/sessions/brokers.py", "import oms_sim_broker"),
    ("app-layers", "oms_app/api/orders.py", "from oms_app.stream import door"),
    ("app-layers", "oms_app/api/orders.py", "from oms_app import bootstrap"),
    ("app-layers", "oms_app/flow/routing.py", "from oms_app.api import door"),
    ("app-layers", "oms_app/store/queries.py", "from oms_app.flow import intake"),
    ("app-layers", "oms_app/config.py", "from oms_app.store import tables"),
    ("app-layers", "oms_app/placeless.py", ""),
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project under the rules of this one, with allowed imports only."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in RULES["root_packages"]:
        plant(tmp_path, f"{package}/__init__.py", "")
    for path, source in ALLOWED.items():
        plant(tmp_path, path, source)
    return tmp_path


@pytest.mark.integration
def test_allowed_imports_break_no_rule(project: Path) -> None:
    assert broken(project) == set()


@pytest.mark.integration
@pytest.mark.parametrize(("rule", "path", "source"), PLANTED, ids=lambda text: text.replace("\n", " "))
def test_a_planted_import_breaks_its_rule(project: Path, rule: str, path: str, source: str) -> None:
    plant(project, path, source)
    assert rule in broken(project)


def test_every_rule_has_a_planted_import() -> None:
    assert {rule for rule, _, _ in PLANTED} == {contract["id"] for contract in RULES["contracts"]}


def plant(project: Path, path: str, source: str) -> None:
    """Write a module, and make its folders packages."""
    file = project / path
    file.parent.mkdir(parents=True, exist_ok=True)
    for parent in file.relative_to(project).parents:
        if parent != Path():
            (project / parent / "__init__.py").touch()
    file.write_text(source + "\n")


def broken(project: Path) -> set[str]:
    """The ids of the rules that the project breaks."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    verdicts = {
        contract["id"]: re.search(rf"{re.escape(contract['name'])}\s*(KEPT|BROKEN)", " ".join(done.stdout.split()))
        for contract in RULES["contracts"]
    }
    assert all(verdicts.values()), done.stdout + done.stderr
    return {name for name, verdict in verdicts.items() if verdict and verdict[1] == "BROKEN"}
