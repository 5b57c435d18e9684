"""The tutorial of a risk rule is done as it stands: its package is made, tested, installed, tried and put in force."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import update

from oms_app.api import create_api
from oms_app.bootstrap import Services
from oms_app.cli.demo import DemoFacts
from oms_app.cli.main import cli
from oms_app.store import tables
from oms_app.store.quotes import put_quotes
from oms_kernel.domain.ids import InstrumentId, TenantId
from oms_kernel.domain.market import Quote
from tests.app_kit import CHEAP, demo_services, demo_settings

PAGE = (Path(__file__).parents[2] / "docs" / "tutorials" / "risk_rule.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```\w+ title=\"([^\"]+)\"\n(.*?)```", PAGE, re.DOTALL))
LINES = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the tutorial makes, and beside its modules the metadata that an installation writes."""
    folder = tmp_path_factory.mktemp("tutorial") / "oms-min-price"
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    points = project["entry-points"]["oms.plugins"]
    facts = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    facts.mkdir()
    needs = "".join(f"Requires-Dist: {need}\n" for need in project["dependencies"])
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (facts / "METADATA").write_text(head + needs)
    (facts / "entry_points.txt").write_text("[oms.plugins]\n" + "".join(f"{a} = {b}\n" for a, b in points.items()))
    return folder


@pytest.fixture
def installed(package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package where this process finds it."""
    monkeypatch.syspath_prepend(package)
    yield package
    for name in [name for name in sys.modules if name.partition(".")[0] == "oms_min_price"]:
        del sys.modules[name]


@pytest.fixture
def demo(installed: Path, tmp_path: Path) -> Iterator[tuple[Services, DemoFacts, Path]]:
    """The demo tenant with a ready session, in a home of its own."""
    home = tmp_path / "home"
    home.mkdir()
    services, facts = demo_services(demo_settings(home))
    with services.store.platform_unit() as unit:
        lease = update(tables.LEASES).where(tables.LEASES.c.resource == f"connection:{facts.connection_id}")
        tomorrow = unit.now + timedelta(days=1)
        unit.connection.execute(lease.values(holder="test", token=1, expires_at=tomorrow))
    tenant_id = TenantId(facts.tenant_id)
    with services.store.tenant_unit(tenant_id) as unit:
        ready = update(tables.BROKER_CONNECTIONS).where(tables.BROKER_CONNECTIONS.c.tenant_id == tenant_id)
        unit.connection.execute(ready.values(status="READY", last_heard_at=unit.now))
    yield services, facts, home
    services.close()


def quote_spy(services: Services) -> None:
    """SPY at 450.00 to 450.02, now."""
    with services.store.platform_unit() as unit:
        found = unit.connection.execute(tables.INSTRUMENTS.select().where(tables.INSTRUMENTS.c.symbol == "SPY"))
        hundred = Decimal(100)
        quote = Quote(
            instrument_id=InstrumentId(found.one().instrument_id),
            bid=Decimal("450.00"),
            bid_size=hundred,
            ask=Decimal("450.02"),
            ask_size=hundred,
            data_at=unit.now,
            received_at=unit.now,
        )
        put_quotes(unit, [quote])


def oms(home: Path, folder: Path, line: str) -> Result:
    words = [str(folder / word) if word.endswith(".yaml") else word for word in shlex.split(line)[1:]]
    return CliRunner().invoke(cli, words, env={"OMS_HOME": str(home), **CHEAP})


def test_the_page_says_all_of_it() -> None:
    assert set(FILES) == {
        "pyproject.toml",
        "oms_min_price/__init__.py",
        "oms_min_price/plugin.py",
        "tests/test_min_price.py",
        "trial.yaml",
    }
    assert [line for line in LINES if line.startswith("oms orders place")] == ["oms orders place BUY 10 SPY"] * 2


def test_its_tests_pass(package: Path) -> None:
    assert "python -m pytest -q" in LINES
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=package,
        env={**os.environ, "PYTHONPATH": str(package), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (passed,) = re.findall(r"(\d+) passed", done.stdout)
    assert int(passed) > 20


def test_the_rule_is_listed_tried_and_put_in_force(demo: tuple[Services, DemoFacts, Path], installed: Path) -> None:
    services, facts, home = demo
    app = create_api(services)
    answers: list[Any] = []
    for line in LINES:
        if line.startswith("sed "):
            subprocess.run(line, shell=True, cwd=installed, check=True)
        elif line.startswith("oms orders place"):
            quote_spy(services)
            side, quantity, symbol = shlex.split(line)[3:]
            body = {"account_id": facts.account_id, "symbol": symbol, "side": side, "quantity": quantity}
            answers.append(
                app.test_client().post(
                    "/api/v1/orders", json={**body, "order_type": "MARKET"}, headers={"X-API-Key": facts.api_key}
                )
            )
        elif line.startswith("oms "):
            done = oms(home, installed, line)
            assert done.exit_code == (7 if "--dry-run" in line else 0), (line, done.output)
            assert "min_price" in done.output or "--dry-run" not in line
    on_trial, in_force = answers
    assert on_trial.status_code == 201, on_trial.json
    assert in_force.status_code == 422, in_force.json
    (verdict,) = [one for one in in_force.json["verdicts"] if one["outcome"] == "DENY"]
    assert (verdict["rule"], verdict["observed"], verdict["limit"], verdict["unit"]) == (
        "min_price",
        "450.01",
        "1000000",
        "USD",
    )
    assert verdict["would_pass"] == "an order that only reduces the position"
    found = app.test_client().get("/api/v1/risk/verdicts?severity=SHADOW", headers={"X-API-Key": facts.api_key})
    assert [one["order_id"] for one in found.json["items"]] == [on_trial.json["order_id"]]
