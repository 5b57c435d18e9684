"""The commands that need no server: database, plugins, doctor, verify, and what `oms run` refuses before it starts."""

from __future__ import annotations

import json
import stat
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from oms_app.cli import connection, errors
from oms_app.cli.demo import CONNECTION_ID, LEDGER_ID, TENANT_ID, read_demo_file, write_private
from oms_app.cli.main import COMMANDS, EXIT_CODES, cli
from oms_app.cli.ports import PortReservation
from oms_app.store import leases, monitoring_rounds
from oms_app.store.config_rows import connection_resource
from oms_app.store.limits import list_limits, put_limit
from oms_app.store.monitoring_rounds import RoundRow
from oms_kernel.domain.events import PluginReleased
from tests.app_kit import demo_services, demo_settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home that the commands find."""
    for name in ("OMS_URL", "OMS_API_KEY", "OMS_DATABASE_URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def oms(*arguments: str) -> Result:
    """The outcome of a command line."""
    return CliRunner().invoke(cli, list(arguments))


def test_help_lists_every_command_and_every_exit_code() -> None:
    text = oms("--help").output
    for name in COMMANDS:
        assert f"\n  {name} " in text
    for code, meaning in EXIT_CODES.items():
        assert f"{code}" in text
        assert meaning.split(":")[0] in text


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself(name: str) -> None:
    done = oms(name, "--help")
    assert done.exit_code == 0
    assert done.output.startswith(f"Usage: cli {name}")


def test_every_error_has_its_own_documented_exit_code() -> None:
    kinds = [errors.CommandFailed, errors.WrongSettings, errors.Refusal, errors.Unavailable, errors.Denied]
    kinds.append(errors.OutcomeUnknown)
    assert [kind.exit_code for kind in kinds] == [1, 2, 3, 4, 5, 6]
    assert errors.refusal(422, {"code": "risk_denied"}).exit_code == 5
    assert errors.refusal(504, {"code": "outcome_unknown"}).exit_code == 6
    assert errors.refusal(503, {"code": "unavailable"}).exit_code == 4
    assert errors.refusal(409, {"code": "order_conflict"}).exit_code == 3


def test_a_problem_is_told_with_its_field_fix_and_rules() -> None:
    problem = {
        "detail": "too many", "code": "risk_denied", "fix": "send less", "order_id": "o-1",
        "errors": [{"field": "quantity", "detail": "is too large"}],
        "verdicts": [{"rule": "max_order_quantity", "outcome": "DENY", "message": "1 exceeds 0"}],
    }  # fmt: skip
    text = errors.refusal(422, problem).message
    for words in ("too many (risk_denied)", "fix: send less", "order: o-1", "quantity: is too large", "1 exceeds 0"):
        assert words in text


def test_without_a_connection_people_are_told_how_to_get_one(home: Path) -> None:
    done = oms("positions")
    assert done.exit_code == 2
    assert "oms run" in done.output
    home.mkdir()
    (home / "demo.json").write_text("no json")
    assert "cannot be read" in oms("positions").output


def test_connection_facts_come_from_options_then_environment_then_the_demo(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    (home / "demo.json").write_text(json.dumps({"url": "http://demo", "api_key": "k0", "account_id": "a"}))
    assert connection.facts() == connection.Facts("http://demo", "k0", "a")
    monkeypatch.setenv("OMS_URL", "http://env")
    monkeypatch.setenv("OMS_API_KEY", "k1")
    assert connection.facts() == connection.Facts("http://env", "k1", None)
    assert connection.facts("http://option", "k2") == connection.Facts("http://option", "k2", None)


def test_the_database_is_brought_to_its_schema_and_checked(home: Path) -> None:
    assert oms("db", "upgrade").exit_code == 0
    assert oms("db", "check").exit_code == 0
    assert oms("db", "revision").exit_code == 2
    demo_settings(home)
    services, facts = demo_services(demo_settings(home))
    services.close()
    done = oms("verify", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["is_clean"]
    assert facts.ledger_id in oms("verify").output


def test_a_row_that_is_not_what_the_log_says_is_found(home: Path) -> None:
    services, facts = demo_services(demo_settings(home))
    with services.store.tenant_unit(facts.tenant_id) as unit:  # type: ignore[arg-type]
        unit.connection.exec_driver_sql(
            "UPDATE cash_balances SET amount = '999' WHERE tenant_id = ?", (facts.tenant_id,)
        )
    services.close()
    done = oms("verify")
    assert done.exit_code == 1
    assert "cash_balances" in done.output
    assert "differ from the log" in done.output


def test_an_old_schema_is_told_by_check_and_doctor(home: Path) -> None:
    home.mkdir(mode=0o700)
    (home / "oms.db").touch(mode=0o600)
    done = oms("db", "check")
    assert done.exit_code == 1
    assert "oms db upgrade" in done.output
    done = oms("doctor", "--json")
    assert done.exit_code == 1
    findings = {one["name"]: one for one in json.loads(done.output.split("\nError")[0])["findings"]}
    assert findings["migrations"]["status"] == "failed"
    assert findings["migrations"]["fix"] == "oms db upgrade"


def test_the_doctor_finds_a_healthy_machine_healthy_and_an_open_home_open(home: Path) -> None:
    services, _facts = demo_services(demo_settings(home))
    services.close()
    done = oms("doctor", "--json")
    facts = json.loads(done.output)
    assert {one["status"] for one in facts["findings"]} == {"ok"}, facts
    names = {one["name"] for one in facts["findings"]}
    assert {"python", "clock", "home", "disk", "database", "migrations", "redis", "plugins", "sim broker"} <= names
    assert facts["settings"]["secret_key"] in {"", "********"}
    (home / "secret_key").chmod(0o644)
    assert "chmod 600" in oms("doctor").output


def test_the_doctor_misses_the_rounds_of_a_ledger_that_has_monitors(home: Path) -> None:
    services, _facts = demo_services(demo_settings(home))
    round_ = RoundRow(
        tenant_id=TENANT_ID,
        ledger_id=LEDGER_ID,
        holder="worker:1",
        ended_at=services.clock() + timedelta(minutes=5),
        duration_ms=1,
        lag_ms=0,
        monitors=1,
        failures=(),
        rounds=1,
    )

    def monitoring() -> dict[str, str]:
        answered = oms("doctor", "--json").output.split("\nError")[0]
        (found,) = [one for one in json.loads(answered)["findings"] if one["name"] == "monitoring"]
        return dict(found)

    try:
        assert monitoring()["detail"] == "0 ledgers with monitors are watched"
        with services.store.tenant_unit(TENANT_ID) as unit:
            put_limit(unit, "watch", rule="daily_loss_monitor", params={"max_loss": "100"})
        found = monitoring()
        assert (found["status"], f"tenant {TENANT_ID}: the monitors of 1 ledgers" in found["detail"]) == (
            "warning",
            True,
        )
        assert "oms worker" in found["fix"]
        with services.store.platform_unit() as unit:
            monitoring_rounds.put_rounds(unit, [round_])
        assert (monitoring()["status"], monitoring()["detail"]) == ("ok", "1 ledgers with monitors are watched")
        long_ago = services.clock() - timedelta(seconds=6)
        with services.store.platform_unit() as unit:
            monitoring_rounds.put_rounds(unit, [msgspec.structs.replace(round_, ended_at=long_ago)])
        assert monitoring()["status"] == "warning"
        with services.store.platform_unit() as unit:
            leases.acquire(unit, connection_resource(CONNECTION_ID), "session:1", timedelta(minutes=5))
        assert monitoring()["status"] == "failed", "the system runs, and nobody watches"
    finally:
        services.close()


def test_the_doctor_says_what_does_not_answer(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    services, _facts = demo_services(demo_settings(home))
    services.close()
    monkeypatch.setenv("OMS_REDIS_URL", "redis://127.0.0.1:1/0")
    (home / "sim_broker.endpoint.json").write_text('{"host": "127.0.0.1", "port": 1}')
    done = oms("doctor")
    assert done.exit_code == 1
    assert "OMS_REDIS_URL" in done.output
    assert "names nobody who answers" in done.output


def test_plugins_are_listed_shown_and_checked(home: Path) -> None:
    listed = json.loads(oms("plugins", "list", "--json").output)["plugins"]
    names = {one["name"] for one in listed}
    assert {"sim_broker", "risk_rules", "compliance_checks", "strategies", "webhook_sinks"} <= names
    for one in listed:
        assert set(one) == {"name", "distribution", "version", "status", "reason", "load_ms", "contributions"}
        assert all(set(item) == {"kind", "name", "title"} for item in one["contributions"])
    assert "max_order_quantity" in oms("plugins", "list").output
    shown = oms("plugins", "show", "risk_rules")
    assert "max_quantity" in shown.output
    assert json.loads(oms("plugins", "show", "risk_rules", "--json").output)["parameters"]["max_order_quantity"]
    assert oms("plugins", "show", "nobody").exit_code == 1
    assert oms("plugins", "check").exit_code == 0


def test_a_disabled_plugin_is_shown_as_disabled(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMS_DISABLED_PLUGINS", "risk_rules")
    listed = json.loads(oms("plugins", "list", "--json").output)["plugins"]
    (one,) = [one for one in listed if one["name"] == "risk_rules"]
    assert (one["status"], one["contributions"]) == ("DISABLED", [])


def test_limits_of_an_uninstalled_rule_are_listed_with_the_way_out_and_can_be_ended(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, facts = demo_services(demo_settings(home))
    with services.store.tenant_unit(facts.tenant_id) as unit:  # type: ignore[arg-type]
        put_limit(unit, "tenant-wide", rule="rule_of_old", params={})
    services.close()
    done = oms("plugins", "check")
    assert done.exit_code == 1
    for words in ("tenant-wide", "rule_of_old", "install the plugin again", "oms plugins end-limit LIMIT_ID"):
        assert words in done.output
    ended = json.loads(oms("plugins", "end-limit", "tenant-wide", "--json").output)["ended"]
    assert ended == [
        {"tenant_id": facts.tenant_id, "limit_id": "tenant-wide", "rule": "rule_of_old", "account_id": None}
    ]
    assert oms("plugins", "check").exit_code == 0
    again = oms("plugins", "end-limit", "tenant-wide")
    assert (again.exit_code, "is no limit without a rule" in again.output) == (1, True)


def test_a_plugin_in_quarantine_is_listed_with_the_way_out_and_can_be_released(home: Path) -> None:
    services, facts = demo_services(demo_settings(home))
    try:
        services.control.quarantine_plugin(facts.tenant_id, facts.ledger_id, "risk_rules", "it hung")  # type: ignore[arg-type]
        done = oms("plugins", "check")
        assert done.exit_code == 1
        for words in ("risk_rules", "it hung", "oms plugins release NAME"):
            assert words in done.output
        (released,) = json.loads(oms("plugins", "release", "risk_rules", "--json").output)["released"]
        assert (released["plugin"], released["ledger_id"]) == ("risk_rules", facts.ledger_id)
        assert oms("plugins", "check").exit_code == 0
        events = services.reader.events(facts.tenant_id, facts.ledger_id, 0)  # type: ignore[arg-type]
        assert events[-1].event == PluginReleased(plugin="risk_rules", principal="system:command_line")
    finally:
        services.close()
    assert oms("plugins", "release", "risk_rules").exit_code == 1
    assert oms("verify").exit_code == 0


def test_only_a_limit_whose_rule_is_gone_can_be_ended_by_its_id(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(oms("plugins", "check", "--json").output) == {
        "broken": [],
        "limits_without_rule": [],
        "quarantines": [],
    }
    services, facts = demo_services(demo_settings(home))
    with services.store.tenant_unit(facts.tenant_id) as unit:  # type: ignore[arg-type]
        in_force = {row.limit_id: row.rule for row in list_limits(unit)}
    services.close()
    by_rule = {rule: limit_id for limit_id, rule in in_force.items()}
    assert oms("plugins", "end-limit", by_rule["price_collar"]).exit_code == 1
    monkeypatch.setenv("OMS_DISABLED_PLUGINS", "risk_rules")
    listed = json.loads(oms("plugins", "check", "--json").output.split("\nError")[0])["limits_without_rule"]
    assert by_rule["price_collar"] in {one["limit_id"] for one in listed}
    assert by_rule["restricted_list"] not in {one["limit_id"] for one in listed}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--feed", "/nowhere/at/all.csv"], "there is no such file"),
        (["--feed", __file__, "--speed", "0"], "greater than 0"),
        (["--feed", __file__, "--speed", "fast"], "greater than 0"),
        (["--port", "70000"], "--port"),
    ],
)
def test_run_refuses_what_it_cannot_do_before_it_starts_anything(home: Path, arguments: list[str], words: str) -> None:
    done = oms("run", *arguments)
    assert done.exit_code == 2
    assert words in done.output
    assert not (home / "oms.db").exists()


def test_a_reserved_port_is_kept_and_a_second_reservation_is_refused() -> None:
    held = PortReservation("127.0.0.1", 0, "--port")
    try:
        with pytest.raises(errors.WrongSettings, match=f"port {held.port} of 127.0.0.1 is in use"):
            PortReservation("127.0.0.1", held.port, "--port")
    finally:
        held.close()


def test_seeding_again_changes_nothing_and_a_lost_file_gets_new_credentials(home: Path) -> None:
    settings = demo_settings(home)
    services, first = demo_services(settings)
    head = services.reader.heads([first.ledger_id])  # type: ignore[list-item]
    services.close()
    services, second = demo_services(settings)
    try:
        since = services.reader.events(first.tenant_id, first.ledger_id, head[first.ledger_id])  # type: ignore[arg-type, index]
        assert {recorded.event.kind for recorded in since} == {"admin_acted"}  # who made the new credentials
        assert second.account_id == first.account_id
        assert second.password != first.password
        services.identity.sign_in(second.email, second.password)
        services.identity.caller_of_key(first.api_key)
    finally:
        services.close()
    path = home / "demo.json"
    write_private(path, second)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_demo_file(path) == second
