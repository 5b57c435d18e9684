"""Alerts, breaks, runs and unbooked reports through HTTP: who sees them, who acts, and what comes of it."""

import uuid
from decimal import Decimal
from typing import Any

import pytest

from oms_app.flow.scopes import Scope
from oms_app.store import reconciliation_runs
from oms_kernel.contracts.broker import Filled
from oms_kernel.domain.order import Side
from tests.api.desk import Desk, seed
from tests.broker_side import BrokerSide

Shown = dict[str, Any]


@pytest.fixture
def broker(desk: Desk) -> BrokerSide:
    """The broker's side of the tenant's account."""
    return BrokerSide(desk.services, desk.ids)


@pytest.fixture
def differing(broker: BrokerSide) -> BrokerSide:
    """A broker whose cash and position are not ours; one run has found both."""
    broker.cash["USD"] += Decimal("12.50")
    broker.positions[broker.instrument_id] = Decimal(-3)
    assert broker.look().opened == 2
    return broker


def listed(desk: Desk, path: str, key: str | None = None) -> list[Shown]:
    response = desk.send("GET", f"/api/v1{path}", key=key)
    assert response.status_code == 200, response.json
    items: list[Shown] = response.json["items"]
    return items


def the_break(desk: Desk, break_type: str) -> Shown:
    (found,) = listed(desk, f"/reconciliation/breaks?break_type={break_type}&resolved=false")
    return found


def stranger(desk: Desk) -> str:
    """A key of the tenant that may do everything, with an account that is not the one of the tests."""
    own = str(uuid.uuid4())
    return desk.key(*Scope, account_ids=[own])  # type: ignore[list-item]


@pytest.fixture
def neighbour(desk: Desk) -> str:
    """The key of another tenant's administrator."""
    mine = dict(vars(desk))
    desk.ids = seed(desk.services, catalogue=False)
    desk.become("neighbour@example.com")
    key = desk.api_key
    vars(desk).update(mine)
    return key


# Alerts -----------------------------------------------------------------------------------------------------


def test_an_alert_says_what_is_the_matter_and_what_to_do(desk: Desk, differing: BrokerSide) -> None:
    alerts = listed(desk, "/alerts?severity=CRITICAL")
    assert [alert["text"] for alert in alerts] == ["quantity of ACME: we say 0, the broker says -3"]
    (alert,) = alerts
    assert (alert["source"], alert["account_id"]) == ("reconciliation", desk.ids["account_id"])
    assert alert["what_to_do"].startswith("Compare the executions")
    assert (alert["acknowledged_at"], alert["acknowledged_by"]) == (None, "")
    assert desk.send("GET", f"/api/v1/alerts/{alert['alert_id']}").json == alert


def test_alerts_are_filtered_by_each_of_their_fields_and_cut_into_pages(desk: Desk, differing: BrokerSide) -> None:
    everything = listed(desk, "/alerts")
    assert [alert["severity"] for alert in everything] == ["WARNING", "CRITICAL"]
    newest, oldest = everything
    for query, expected in (
        ("severity=WARNING", [newest]),
        ("source=reconciliation", everything),
        ("source=booking", []),
        (f"account_id={desk.ids['account_id']}", everything),
        (f"account_id={uuid.uuid4()}", []),
        ("acknowledged=false", everything),
        ("acknowledged=true", []),
        (f"raised_after={oldest['raised_at']}", everything),
        (f"raised_before={oldest['raised_at']}", []),
        (f"from={oldest['raised_at']}", everything),
        (f"to={oldest['raised_at']}", []),
    ):
        assert listed(desk, f"/alerts?{query}") == expected, query
    first = desk.send("GET", "/api/v1/alerts?limit=1").json
    assert (first["items"], first["total_count"], first["has_next"]) == ([newest], 2, True)
    assert listed(desk, f"/alerts?limit=1&cursor={first['next_cursor']}") == [oldest]
    assert desk.send("GET", "/api/v1/alerts?severity=LOUD").status_code == 422


def test_an_alert_is_acknowledged_once_by_name_and_leaves_the_open_ones(desk: Desk, differing: BrokerSide) -> None:
    newest, oldest = listed(desk, "/alerts")
    path = f"/api/v1/alerts/{oldest['alert_id']}/acknowledge"
    trader = desk.key(Scope.VIEW_ORDERS, Scope.CANCEL_ORDERS)
    answer = desk.send("POST", path, key=trader)
    assert answer.status_code == 200, answer.json
    assert answer.json["acknowledged_at"] is not None
    assert answer.json["acknowledged_by"].startswith("key:")
    before = desk.event_count()
    assert desk.send("POST", path).json == answer.json, "once more changes nothing"
    assert desk.event_count() == before
    assert listed(desk, "/alerts?acknowledged=false") == [newest]
    both = {"alert_ids": [newest["alert_id"], oldest["alert_id"]]}
    assert desk.send("POST", "/api/v1/alerts/acknowledge", both).json == {"acknowledged": 1}
    assert listed(desk, "/alerts?acknowledged=false") == []


def test_one_unknown_alert_refuses_the_whole_request(desk: Desk, differing: BrokerSide) -> None:
    known = listed(desk, "/alerts")[0]["alert_id"]
    answer = desk.send("POST", "/api/v1/alerts/acknowledge", {"alert_ids": [known, str(uuid.uuid4())]})
    assert (answer.status_code, answer.json["code"]) == (404, "unknown_alert")
    assert answer.json["errors"][0]["fix"].startswith("GET /api/v1/alerts")
    assert len(listed(desk, "/alerts?acknowledged=false")) == 2
    assert desk.send("POST", "/api/v1/alerts/acknowledge", {"alert_ids": []}).status_code == 422
    many = {"alert_ids": [str(uuid.uuid4()) for _ in range(501)]}
    assert desk.send("POST", "/api/v1/alerts/acknowledge", many).status_code == 422


def test_alerts_of_other_accounts_and_tenants_are_not_there(desk: Desk, differing: BrokerSide, neighbour: str) -> None:
    alert_id = listed(desk, "/alerts")[0]["alert_id"]
    for key in (stranger(desk), neighbour):
        assert listed(desk, "/alerts", key) == []
        for method, path in (("GET", f"/alerts/{alert_id}"), ("POST", f"/alerts/{alert_id}/acknowledge")):
            answer = desk.send(method, f"/api/v1{path}", key=key)
            assert (answer.status_code, answer.json["code"]) == (404, "unknown_alert")
    assert len(listed(desk, "/alerts?acknowledged=false")) == 2


def test_an_alert_of_the_whole_ledger_is_only_for_who_may_use_every_account(desk: Desk) -> None:
    desk.services.control.quarantine_plugin(desk.tenant_id, desk.ids["ledger_id"], "slow", "it hung")  # type: ignore[arg-type]
    (alert,) = listed(desk, "/alerts")
    assert (alert["account_id"], alert["source"]) == (None, "guard")
    own = desk.key(*Scope, account_ids=[desk.ids["account_id"]])  # type: ignore[list-item]
    assert listed(desk, "/alerts", own) == []
    assert desk.send("POST", f"/api/v1/alerts/{alert['alert_id']}/acknowledge", key=own).status_code == 404
    assert desk.send("POST", f"/api/v1/alerts/{alert['alert_id']}/acknowledge").status_code == 200


# Breaks -----------------------------------------------------------------------------------------------------


def test_a_break_shows_both_sides_its_age_and_what_to_do(desk: Desk, differing: BrokerSide) -> None:
    found = the_break(desk, "CASH")
    assert (found["ours"], found["theirs"], found["currency"]) == ("1000000", "1000012.5", "USD")
    assert (found["severity"], found["is_critical"], found["is_resolved"]) == ("WARNING", False, False)
    assert found["proposed_fix"].startswith("Look for a deposit")
    assert 0 <= Decimal(found["hours_unresolved"]) < 1
    assert (found["auto_fixed"], found["resolution"], found["resolution_text"]) == (False, "", "")
    assert the_break(desk, "QUANTITY")["is_critical"] is True
    assert desk.send("GET", f"/api/v1/reconciliation/breaks/{found['break_id']}").json["break_id"] == found["break_id"]


def test_breaks_are_filtered_by_each_of_their_fields(desk: Desk, differing: BrokerSide) -> None:
    newest, oldest = (one["break_type"] for one in listed(desk, "/reconciliation/breaks"))
    assert {newest, oldest} == {"CASH", "QUANTITY"}
    found_at = min(one["found_at"] for one in listed(desk, "/reconciliation/breaks"))
    for query, count in (
        ("severity=CRITICAL", 1),
        ("break_type=CASH", 1),
        (f"account_id={desk.ids['account_id']}", 2),
        (f"account_id={uuid.uuid4()}", 0),
        (f"broker_account_id={desk.ids['broker_account_id']}", 2),
        (f"broker_account_id={uuid.uuid4()}", 0),
        ("resolved=true", 0),
        (f"found_after={found_at}", 2),
        (f"found_before={found_at}", 0),
        (f"from={found_at}", 2),
        (f"to={found_at}", 0),
    ):
        assert len(listed(desk, f"/reconciliation/breaks?{query}")) == count, query
    assert desk.send("GET", "/api/v1/reconciliation/breaks?break_type=ODD").status_code == 422


def test_a_break_is_acknowledged_then_explained_in_a_persons_words(desk: Desk, differing: BrokerSide) -> None:
    path = f"/api/v1/reconciliation/breaks/{the_break(desk, 'CASH')['break_id']}"
    taken = desk.send("POST", path + "/acknowledge").json
    assert taken["acknowledged_by"] == desk.send("GET", "/api/v1/auth/me").json["principal"]
    ended = desk.send("POST", path + "/resolve", {"action": "explain", "text": "Interest of October."})
    assert ended.status_code == 200, ended.json
    assert (ended.json["resolution"], ended.json["is_resolved"]) == ("explained", True)
    assert (ended.json["resolution_text"], ended.json["resolved_by"]) == (
        "Interest of October.",
        taken["acknowledged_by"],
    )
    assert listed(desk, "/reconciliation/breaks?resolved=true")[0]["resolution_text"] == "Interest of October."
    for again in ("/acknowledge", "/resolve"):
        body = {"action": "explain", "text": "again"} if again == "/resolve" else None
        answer = desk.send("POST", path + again, body)
        assert (answer.status_code, answer.json["code"]) == (409, "order_conflict")


def test_accepting_the_brokers_figure_makes_it_ours_and_the_next_run_finds_nothing(
    desk: Desk, differing: BrokerSide
) -> None:
    cash, position = the_break(desk, "CASH"), the_break(desk, "QUANTITY")
    accept: Shown = {"action": "accept_broker", "text": "Transfer, ticket 4711."}
    done = desk.send("POST", f"/api/v1/reconciliation/breaks/{cash['break_id']}/resolve", accept)
    assert (done.status_code, done.json["resolution"]) == (200, "accepted_broker")
    path = f"/api/v1/reconciliation/breaks/{position['break_id']}/resolve"
    without = desk.send("POST", path, accept)
    assert (without.status_code, without.json["errors"][0]["field"]) == (422, "price")
    assert desk.send("POST", path, {**accept, "price": "100"}).status_code == 200
    (held,) = listed(desk, "/positions")
    assert held["quantity"] == "-3"
    assert listed(desk, "/executions?book=EXTERNAL")[0]["price"] == "100"
    differing.cash["USD"] = Decimal(listed(desk, "/accounts")[0]["cash"]["USD"])
    before = desk.event_count()
    differing.look()
    assert desk.event_count() == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"action": "explain", "text": "x", "price": "1"}, "price"),
        ({"action": "explain"}, "text"),
        ({"action": "explain", "text": " "}, "text"),
        ({"action": "forget", "text": "x"}, "action"),
        ({"text": "x"}, "action"),
    ],
    ids=repr,
)
def test_a_resolution_without_its_words_changes_nothing(
    desk: Desk, differing: BrokerSide, body: Shown, field: str
) -> None:
    before = desk.event_count()
    path = f"/api/v1/reconciliation/breaks/{the_break(desk, 'CASH')['break_id']}/resolve"
    answer = desk.send("POST", path, body)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field)
    assert desk.event_count() == before


def test_breaks_of_other_accounts_and_tenants_are_not_there(desk: Desk, differing: BrokerSide, neighbour: str) -> None:
    break_id = the_break(desk, "CASH")["break_id"]
    path = f"/api/v1/reconciliation/breaks/{break_id}"
    body = {"action": "explain", "text": "x"}
    for key in (stranger(desk), neighbour):
        assert listed(desk, "/reconciliation/breaks", key) == []
        for method, end, sent in (("GET", "", None), ("POST", "/acknowledge", None), ("POST", "/resolve", body)):
            answer = desk.send(method, path + end, sent, key=key)
            assert (answer.status_code, answer.json["code"]) == (404, "unknown_break")
    assert the_break(desk, "CASH")["acknowledged_at"] is None


def test_a_foreign_order_is_shown_as_external_with_the_break_that_adopted_it(desk: Desk, broker: BrokerSide) -> None:
    broker.has_foreign_order()
    broker.look()
    (order,) = listed(desk, "/orders")
    assert (order["is_external"], order["state"], order["broker_order_ids"]) == (True, "WORKING", ["FOREIGN-1"])
    (adopted,) = listed(desk, "/reconciliation/breaks?break_type=EXTERNAL_ORDER")
    assert (adopted["auto_fixed"], adopted["resolution"], adopted["order_id"]) == (True, "fixed", order["order_id"])
    refused = desk.send("POST", f"/api/v1/orders/{order['order_id']}/cancel")
    assert (refused.status_code, refused.json["code"]) == (409, "order_conflict")
    mine = desk.place().json["order_id"]
    everything = desk.send("POST", "/api/v1/orders/cancel-all", {}).json["results"]
    assert [(one["order_id"], one["problem"]) for one in everything] == [(mine, None)], "others' orders are left alone"
    kinds = [event["kind"] for event in listed(desk, f"/orders/{order['order_id']}/events")]
    assert kinds[:2] == ["order_adopted", "break_found"] and "alert_raised" in kinds
    told = desk.send("GET", "/api/v1/openapi.json").json["components"]["schemas"]["Event"]["properties"]["kind"]
    assert all(kind in told["description"] for kind in kinds)


# Runs -------------------------------------------------------------------------------------------------------


def test_a_comparison_is_asked_for_and_read_until_the_session_has_done_it(desk: Desk) -> None:
    answer = desk.send("POST", f"/api/v1/broker-accounts/{desk.ids['broker_account_id']}/reconcile")
    assert answer.status_code == 202, answer.json
    run = answer.json
    assert (run["trigger"], run["status"], run["broker_account_id"]) == (
        "REQUESTED",
        "REQUESTED",
        desk.ids["broker_account_id"],
    )
    assert answer.headers["Location"] == f"/api/v1/reconciliation/runs/{run['run_id']}"
    assert desk.send("GET", answer.headers["Location"]).json == run
    assert listed(desk, f"/reconciliation/runs?connection_id={desk.ids['connection_id']}") == [run]
    assert listed(desk, f"/reconciliation/runs?connection_id={uuid.uuid4()}") == []
    with desk.services.store.tenant_unit(desk.tenant_id) as unit:
        (asked,) = reconciliation_runs.requested(unit, desk.ids["connection_id"])  # type: ignore[arg-type]
    assert asked.run_id == run["run_id"]


def test_without_a_ready_session_a_comparison_is_503_with_when_to_try_again(desk: Desk) -> None:
    desk.end_session()
    answer = desk.send("POST", f"/api/v1/broker-accounts/{desk.ids['broker_account_id']}/reconcile")
    assert (answer.status_code, answer.json["code"]) == (503, "no_session")
    assert int(answer.headers["Retry-After"]) >= 1
    assert "try again" in answer.json["fix"]
    assert listed(desk, "/reconciliation/runs") == []


def test_runs_and_broker_accounts_of_others_are_not_there(desk: Desk, neighbour: str) -> None:
    path = f"/api/v1/broker-accounts/{desk.ids['broker_account_id']}/reconcile"
    run = desk.send("POST", path).json
    for key in (stranger(desk), neighbour):
        assert desk.send("POST", path, key=key).status_code == 404
        assert desk.send("GET", f"/api/v1/reconciliation/runs/{run['run_id']}", key=key).status_code == 404
        assert listed(desk, "/reconciliation/runs", key) == []
    assert desk.send("POST", f"/api/v1/broker-accounts/{uuid.uuid4()}/reconcile").status_code == 404
    own = desk.key(*Scope, account_ids=[desk.ids["account_id"]])  # type: ignore[list-item]
    assert listed(desk, "/reconciliation/runs", own) == [run]


# Reports that could not be booked ---------------------------------------------------------------------------


def test_a_report_that_cannot_be_booked_waits_stops_its_account_and_is_dismissed_with_a_reason(
    desk: Desk, broker: BrokerSide
) -> None:
    broker.tells_of_an_unknown_execution()
    (report,) = listed(desk, "/unbooked-reports?status=OPEN")
    assert (report["kind"], report["account_id"]) == ("corrected", desk.ids["account_id"])
    assert report["report"]["exec_id"] == "UNSEEN-1" and "not booked" in report["error"]
    assert listed(desk, "/accounts")[0]["trading_state"] == "CANCEL_ONLY"
    path = f"/api/v1/unbooked-reports/{report['report_id']}"
    assert desk.send("GET", path).json == report
    refused = desk.send("POST", path + "/book")
    assert (refused.status_code, refused.json["code"]) == (422, "unbookable")
    assert "dismiss it" in refused.json["fix"]
    assert desk.send("POST", path + "/dismiss", {"reason": " "}).status_code == 422
    done = desk.send("POST", path + "/dismiss", {"reason": "A test of the broker."})
    assert (done.status_code, done.json["status"]) == (200, "DISMISSED")
    assert done.json["settled_by"].startswith("key:") and done.json["settled_at"] is not None
    assert listed(desk, "/accounts")[0]["trading_state"] == "ACTIVE"
    assert listed(desk, "/unbooked-reports?status=OPEN") == []
    again = desk.send("POST", path + "/dismiss", {"reason": "again"})
    assert (again.status_code, again.json["code"]) == (409, "order_conflict")
    assert desk.send("GET", "/api/v1/unbooked-reports?status=LOST").status_code == 422


def test_a_report_is_booked_once_what_hindered_it_is_repaired(desk: Desk, broker: BrokerSide) -> None:
    order = desk.place().json
    desk.send_all()
    broker.tells_of_an_unknown_execution(exec_id="E-1", correction_id="E-1-C", quantity=Decimal(4))
    (report,) = listed(desk, "/unbooked-reports")
    desk.report(
        order["order_id"],
        Filled,
        exec_id="E-1",
        instrument_id=order["instrument_id"],
        side=Side.BUY,
        quantity=Decimal(5),
        price=Decimal("99.5"),
        fee=Decimal(0),
    )
    done = desk.send("POST", f"/api/v1/unbooked-reports/{report['report_id']}/book")
    assert (done.status_code, done.json["status"]) == (200, "BOOKED"), done.json
    assert desk.send("GET", f"/api/v1/orders/{order['order_id']}").json["filled_quantity"] == "4"
    assert listed(desk, "/accounts")[0]["trading_state"] == "ACTIVE"


def test_reports_of_other_accounts_and_tenants_are_not_there(desk: Desk, broker: BrokerSide, neighbour: str) -> None:
    broker.tells_of_an_unknown_execution()
    report_id = listed(desk, "/unbooked-reports")[0]["report_id"]
    for key in (stranger(desk), neighbour):
        assert listed(desk, "/unbooked-reports", key) == []
        for method, end in (("GET", ""), ("POST", "/book"), ("POST", "/dismiss")):
            body = {"reason": "x"} if end == "/dismiss" else None
            answer = desk.send(method, f"/api/v1/unbooked-reports/{report_id}{end}", body, key=key)
            assert (answer.status_code, answer.json["code"]) == (404, "unknown_report")
    own = desk.key(*Scope, account_ids=[desk.ids["account_id"]])  # type: ignore[list-item]
    assert [one["report_id"] for one in listed(desk, "/unbooked-reports", own)] == [report_id]
