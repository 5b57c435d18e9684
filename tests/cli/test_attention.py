"""`oms alerts`, `reconcile`, `breaks`, `reports`, and what people do to `orders`, against a real API over HTTP."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

from oms_app.api import create_api
from oms_app.bootstrap import build_services
from oms_app.cli.main import cli
from oms_app.config import load_settings
from oms_app.store import migrate, reconciliation_runs
from oms_app.store.limits import put_limit
from oms_kernel.domain.controls import Category
from oms_kernel.domain.decision import RuleSeverity
from tests.api.desk import Desk, seed
from tests.api.test_breaches import breached
from tests.app_kit import CHEAP
from tests.broker_side import BrokerSide
from tests.waiting import until


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A tenant that can trade, with its API on a port of its own that the commands find."""
    settings = load_settings({"OMS_HOME": str(tmp_path / "home"), **CHEAP})
    migrate.upgrade(settings.migrate_database_url)
    services = build_services(settings)
    app = create_api(services)
    desk = Desk(services, seed(services), app)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("OMS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMS_URL", f"http://127.0.0.1:{server.port}")
    monkeypatch.setenv("OMS_API_KEY", desk.api_key)
    yield desk
    server.shutdown()
    thread.join()
    server.server_close()
    services.close()


@pytest.fixture
def differing(desk: Desk) -> BrokerSide:
    """A broker whose cash and position are not ours; one run has found both."""
    broker = BrokerSide(desk.services, desk.ids)
    broker.cash["USD"] += Decimal("12.50")
    broker.positions[broker.instrument_id] = Decimal(-3)
    broker.look()
    return broker


def oms(*arguments: str, code: int = 0) -> Result:
    """The outcome of a command line that ends with this code."""
    done = CliRunner().invoke(cli, list(arguments))
    assert done.exit_code == code, done.output
    return done


def told(*arguments: str) -> Any:
    """The JSON document of a command."""
    return json.loads(oms(*arguments, "--json").stdout)


def test_alerts_are_listed_and_acknowledged(differing: BrokerSide) -> None:
    assert "cash of USD" in oms("alerts", "list").output
    (worst,) = told("alerts", "list", "--severity", "critical")["items"]
    assert told("alerts", "ack", worst["alert_id"]) == {"acknowledged": 1}
    assert [one["severity"] for one in told("alerts", "list")["items"]] == ["WARNING"]
    assert len(told("alerts", "list", "--all")["items"]) == 2
    assert "1 acknowledged" in oms("alerts", "ack", "--all").output
    assert told("alerts", "list")["items"] == []
    assert "give alert ids" in oms("alerts", "ack", code=2).output
    assert "unknown_alert" in oms("alerts", "ack", "00000000-0000-0000-0000-000000000000", code=3).output


def test_breaks_are_listed_acknowledged_and_resolved(differing: BrokerSide) -> None:
    listed = told("breaks", "list")["items"]
    by_type = {one["break_type"]: one["break_id"] for one in listed}
    assert "1000012.5" in oms("breaks", "list", "--type", "cash").output
    (taken,) = told("breaks", "ack", by_type["CASH"])["items"]
    assert taken["acknowledged_by"].startswith("key:")
    ended = told("breaks", "resolve", by_type["CASH"], "--text", "interest")
    assert (ended["resolution"], ended["resolution_text"]) == ("explained", "interest")
    without = oms("breaks", "resolve", by_type["QUANTITY"], "--text", "moved", "--accept-broker", code=3)
    assert "price" in without.output
    accepted = told("breaks", "resolve", by_type["QUANTITY"], "--text", "moved", "--accept-broker", "--price", "99.5")
    assert accepted["resolution"] == "accepted_broker"
    assert told("breaks", "list")["items"] == []
    assert len(told("breaks", "list", "--all")["items"]) == 2


def test_breaches_of_limits_are_listed_assigned_and_closed(desk: Desk) -> None:
    risk, case = breached(desk), breached(desk, "limit-2", category=Category.SURVEILLANCE)
    for breach_id, more in ((risk, ()), (case, ("--surveillance",))):
        assert "the day's loss is 1200" in oms("risk", "breaches", "list", *more).output
        taken = told("risk", "breaches", "assign", breach_id, "--to", "user:anna", "--text", "have a look", *more)
        assert (taken["status"], taken["assigned_to"]) == ("ASSIGNED", "user:anna")
        finding = ("--finding", "expected", "--text", "the roll")
        assert told("risk", "breaches", "close", breach_id, *finding, *more)["finding"] == "EXPECTED"
        assert told("risk", "breaches", "list", *more)["items"] == []
        assert len(told("risk", "breaches", "list", "--all", *more)["items"]) == 1
        assert "closed before" in oms("risk", "breaches", "close", breach_id, *finding, *more, code=3).output


def test_the_watch_is_shown(desk: Desk) -> None:
    assert "no ledger is watched" in oms("risk", "monitoring").output


def test_a_comparison_is_asked_for_and_waited_for(desk: Desk) -> None:
    (asked,) = told("reconcile")["items"]
    assert (asked["status"], asked["trigger"]) == ("REQUESTED", "REQUESTED")
    for named in (("--account", desk.ids["account_id"]), ("--broker-account", desk.ids["broker_account_id"])):
        assert told("reconcile", *named)["items"][0]["broker_account_id"] == desk.ids["broker_account_id"]
    assert "routed to no broker account" in oms("reconcile", "--account", "nobody", code=2).output
    assert "not every run is complete" in oms("reconcile", "--wait", "0.3", code=1).output


def test_waiting_ends_when_the_session_has_compared(desk: Desk) -> None:
    def answer() -> None:
        def asked() -> list[reconciliation_runs.Run]:
            with desk.services.store.tenant_unit(desk.tenant_id) as unit:
                return reconciliation_runs.requested(unit, desk.ids["connection_id"])  # type: ignore[arg-type]

        until(lambda: bool(asked()), "the run is asked for")
        (run,) = asked()
        with desk.services.store.tenant_unit(desk.tenant_id) as unit:
            reconciliation_runs.keep(unit, msgspec.structs.replace(run, status="COMPLETE", opened=2))

    session = threading.Thread(target=answer)
    session.start()
    (run,) = told("reconcile", "--wait", "20")["items"]
    session.join()
    assert (run["status"], run["opened"]) == ("COMPLETE", 2)


def test_without_a_session_a_comparison_is_unavailable_and_says_what_to_do(desk: Desk) -> None:
    desk.end_session()
    done = oms("reconcile", code=4)
    assert "no_session" in done.output and "fix: " in done.output


def test_reports_are_listed_and_dismissed_and_one_that_cannot_be_booked_says_why(desk: Desk) -> None:
    BrokerSide(desk.services, desk.ids).tells_of_an_unknown_execution()
    (report,) = told("reports", "list")["items"]
    refused = oms("reports", "book", report["report_id"], code=3)
    assert "unbookable" in refused.output and "fix: repair" in refused.output
    assert told("reports", "dismiss", report["report_id"], "--reason", "a test")["status"] == "DISMISSED"
    assert told("reports", "list")["items"] == []
    assert len(told("reports", "list", "--all")["items"]) == 1


def test_an_order_is_shown_with_its_changes_and_only_a_doubt_is_resolved(desk: Desk) -> None:
    order = desk.place().json
    desk.send("PATCH", f"/api/v1/orders/{order['order_id']}", {"quantity": "5"})
    shown = told("orders", "show", order["order_id"])
    assert [one["status"] for one in shown["modifications"]] == ["DONE"]
    assert "Modifications" in oms("orders", "show", order["order_id"]).output
    words = ("--reason", "not on their list", "--evidence", "ticket 4711")
    done = oms("orders", "resolve", order["order_id"], "not_at_broker", *words, code=3)
    assert "order_conflict" in done.output


def test_an_order_that_waits_is_shown_approved_and_declined(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with desk.services.store.tenant_unit(desk.tenant_id) as unit:
        most = {"max_quantity": "100"}
        put_limit(unit, str(uuid.uuid4()), rule="max_order_quantity", params=most, severity=RuleSeverity.SOFT)
    first, second = desk.place(quantity="150").json, desk.place(quantity="160").json
    assert {one["order"]["order_id"] for one in told("orders", "waiting")["items"]} == {
        first["order_id"],
        second["order_id"],
    }
    assert "max_order_quantity" in oms("orders", "waiting").output
    own = oms("orders", "approve", first["order_id"], "--reason", "mine", code=3)
    assert "not_permitted" in own.output
    desk.become("officer@example.com")
    monkeypatch.setenv("OMS_API_KEY", desk.api_key)
    assert told("orders", "approve", first["order_id"], "--reason", "seen")["state"] == "NEW"
    assert told("orders", "decline", second["order_id"], "--reason", "too large")["state"] == "CANCELED"
    assert told("orders", "waiting")["items"] == []
