"""`oms audit` and the commands for a person's data, on a database of this machine."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from oms_app.bootstrap import Services, build_services
from oms_app.cli.demo import LEDGER_ID, TENANT_ID
from oms_app.cli.main import cli
from oms_app.config import load_settings
from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.store import audit_verifier
from tests.app_kit import CHEAP, demo_services, demo_settings


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose database has the demo tenant and its log."""
    folder = tmp_path_factory.mktemp("home")
    demo_services(demo_settings(folder))[0].close()
    return folder


@pytest.fixture
def services(home: Path) -> Iterator[Services]:
    made = build_services(load_settings({"OMS_HOME": str(home), **CHEAP}))
    yield made
    made.close()


def oms(home: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, list(words), env={"OMS_HOME": str(home), **CHEAP})


def test_a_person_is_exported_and_erased(home: Path, services: Services) -> None:
    user_id = services.identity.create_user("anna@example.com", "a password of the tests", TENANT_ID, "TRADER")
    held = oms(home, "users", "export", "anna@example.com")
    assert held.exit_code == 0, held.output
    assert json.loads(held.stdout)["person"]["user_id"] == user_id
    assert oms(home, "users", "erase", "anna@example.com", "--yes").exit_code == 0
    assert oms(home, "users", "export", "anna@example.com").exit_code == 1
    gone = json.loads(oms(home, "users", "export", user_id).stdout)
    assert gone["person"]["email"] == f"erased-{user_id}@invalid"
    assert oms(home, "audit", "verify").exit_code == 0


def test_a_log_is_vouched_for_checked_exported_and_a_forged_row_is_named(
    home: Path, services: Services, tmp_path: Path
) -> None:
    ledger_id = LEDGER_ID
    with services.store.tenant_unit(TENANT_ID) as unit:
        for number in range(3):
            record(unit, Actor("system:test"), AdminAction("limit.changed", "limit", str(number)))
    head = services.store.heads([ledger_id])[ledger_id]

    assert oms(home, "audit", "checkpoint").exit_code == 0
    points = home / "audit" / f"{ledger_id}.jsonl"
    whole = oms(home, "audit", "verify", "--ledger", ledger_id, "--json")
    assert whole.exit_code == 0, whole.output
    (report,) = json.loads(whole.stdout)["ledgers"]
    assert (report["events"], report["checkpoints"], report["first_bad_seq"]) == (head, 1, None)

    export, program = tmp_path / "log.jsonl", tmp_path / "program.py"
    assert oms(home, "audit", "export", "--ledger", ledger_id, "--output", str(export)).exit_code == 0
    assert oms(home, "audit", "verifier", "--output", str(program)).exit_code == 0
    assert program.read_text() == Path(audit_verifier.__file__).read_text()
    assert audit_verifier.main([str(export), "--checkpoints", str(points)]) == 0

    with sqlite3.connect(home / "oms.db") as connection:
        changed = "UPDATE event_log SET payload = replace(payload, 'system:test', 'system:evil') WHERE seq = ?"
        assert connection.execute(changed, (head - 1,)).rowcount == 1
    forged = oms(home, "audit", "verify", "--ledger", ledger_id, "--json")
    assert forged.exit_code == 1
    (report,) = json.loads(forged.stdout[: forged.stdout.rindex("}") + 1])["ledgers"]
    assert report["first_bad_seq"] == head - 1
    assert oms(home, "audit", "export", "--ledger", "nowhere").exit_code == 1
