"""Breaches of limits and cases of surveillance through HTTP: who sees them, who handles them, what is kept."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oms_app.flow.consequences import overstep
from oms_app.flow.scopes import ROLES, Role, Scope
from oms_app.store import monitoring_rounds
from oms_app.store.monitoring_rounds import LATE_AFTER, RoundRow
from oms_kernel.contracts.rules import Trigger
from oms_kernel.domain.controls import Action, Category
from oms_kernel.domain.ids import AccountId, EventId, InstrumentId, LedgerId, TenantId
from oms_kernel.domain.scope import Scope as LimitScope
from oms_kernel.terms import Terms
from tests.api.conftest import opened
from tests.api.desk import PASSWORD, Desk

Shown = dict[str, Any]


@pytest.fixture
def desk(migrated_file: Path, tmp_path: Path) -> Iterator[Desk]:
    with opened(migrated_file, tmp_path) as made:
        yield made


def breached(
    desk: Desk,
    limit_id: str = "limit-1",
    *,
    category: Category = Category.RISK,
    account_id: str | None = "own",
    rule: str = "max_daily_loss",
    instrument_id: str | None = None,
    action: Action = Action.ALERT,
    **trigger: Any,
) -> str:
    """The id of a breach that a monitor found just now."""
    own = desk.ids["account_id"] if account_id == "own" else account_id
    scope = LimitScope(
        account_id=AccountId(own) if own else None,
        instrument_id=InstrumentId(instrument_id) if instrument_id else None,
    )
    terms = Terms(limit_id=limit_id, version=3, scope=scope, category=category, action=action)
    found = Trigger(message="the day's loss is 1200", observed=None, key=limit_id, **trigger)
    made = desk.services.desk.transact(
        TenantId(desk.ids["tenant_id"]),
        LedgerId(desk.ids["ledger_id"]),
        lambda turn: overstep(turn, rule, "acme", terms, found),
    )
    assert made is not None
    return str(made)


def listed(desk: Desk, path: str, key: str | None = None) -> list[Shown]:
    response = desk.send("GET", f"/api/v1{path}", key=key)
    assert response.status_code == 200, response.json
    items: list[Shown] = response.json["items"]
    return items


def test_breaches_are_listed_newest_first_and_filtered_by_each_field(desk: Desk) -> None:
    first, second = breached(desk), breached(desk, "limit-2", rule="reject_storm", account_id=None)
    breached(desk, "limit-3", category=Category.SURVEILLANCE)
    found = listed(desk, "/risk/breaches")
    assert [one["breach_id"] for one in found] == [second, first]
    own = desk.ids["account_id"]
    oldest = found[1]
    assert (oldest["rule"], oldest["account_id"], oldest["status"]) == ("max_daily_loss", own, "OPEN")
    for query, expected in (
        ("rule=reject_storm", [second]),
        (f"account_id={own}", [first]),
        ("open=true", [second, first]),
        ("open=false", []),
        (f"from={oldest['breached_at']}", [second, first]),
        (f"to={oldest['breached_at']}", []),
        ("limit=1", [second]),
    ):
        assert [one["breach_id"] for one in listed(desk, f"/risk/breaches?{query}")] == expected, query


def test_a_breach_is_assigned_and_closed_with_a_finding_and_stays_closed(desk: Desk) -> None:
    breach_id = breached(desk)
    path = f"/api/v1/risk/breaches/{breach_id}"
    taken = desk.send("POST", path + "/assign", {"text": "asked the desk"})
    assert taken.status_code == 200, taken.json
    assert (taken.json["status"], [note["text"] for note in taken.json["notes"]]) == ("ASSIGNED", ["asked the desk"])
    assert taken.json["assigned_to"].startswith("key:")
    given = desk.send("POST", path + "/assign", {"assigned_to": "user:anna"})
    assert given.json["assigned_to"] == "user:anna"
    named = desk.send("POST", path + "/assign", {"assigned_to": "anna@example.com"})
    assert (named.status_code, named.json["errors"][0]["field"]) == (422, "assigned_to")
    assert desk.send("POST", path + "/close", {"finding": "JUSTIFIED"}).status_code == 422
    assert desk.send("POST", path + "/close", {"finding": "MAYBE", "text": "x"}).status_code == 422
    closed = desk.send("POST", path + "/close", {"finding": "JUSTIFIED", "text": "the position is closed"})
    assert (closed.status_code, closed.json["status"], closed.json["finding"]) == (200, "CLOSED", "JUSTIFIED")
    assert [note["text"] for note in closed.json["notes"]] == ["asked the desk", "the position is closed"]
    again = desk.send("POST", path + "/close", {"finding": "EXPECTED", "text": "again"})
    assert again.status_code == 409
    assert desk.send("GET", path).json == closed.json


def test_closing_a_breach_releases_nothing_and_lets_it_be_told_anew(desk: Desk) -> None:
    breach_id = breached(desk, action=Action.HALT)
    body = {"finding": "FALSE_ALARM", "text": "a wrong mark"}
    assert desk.send("POST", f"/api/v1/risk/breaches/{breach_id}/close", body).status_code == 200
    switches = desk.services.desk.transact(
        TenantId(desk.ids["tenant_id"]),
        LedgerId(desk.ids["ledger_id"]),
        lambda turn: [switch.breach_id for switch in turn.batch.book.switches()],
    )
    assert switches == [breach_id]
    assert breached(desk, action=Action.HALT) != breach_id


def test_who_may_look_may_not_close(desk: Desk) -> None:
    breach_id = breached(desk)
    viewer = desk.key(Scope.VIEW_POSITIONS)
    assert len(listed(desk, "/risk/breaches", viewer)) == 1
    body = {"finding": "EXPECTED", "text": "no"}
    assert desk.send("POST", f"/api/v1/risk/breaches/{breach_id}/close", body, key=viewer).status_code == 403
    assert desk.send("GET", "/api/v1/risk/monitoring", key=viewer).status_code == 403


def test_a_key_of_other_accounts_sees_and_closes_nothing(desk: Desk) -> None:
    breach_id = breached(desk)
    whole = breached(desk, "limit-2", account_id=None)
    stranger = desk.key(*Scope, account_ids=[AccountId(str(uuid.uuid4()))])
    assert listed(desk, "/risk/breaches", stranger) == []
    for one in (breach_id, whole, str(uuid.uuid4())):
        body = {"finding": "EXPECTED", "text": "no"}
        path = f"/api/v1/risk/breaches/{one}"
        assert desk.send("GET", path, key=stranger).status_code == 404
        assert desk.send("POST", path + "/close", body, key=stranger).status_code == 404


# Surveillance -----------------------------------------------------------------------------------------------


def test_a_case_shows_the_order_and_what_was_traded_around_it(desk: Desk) -> None:
    asked = {"account_id": desk.ids["account_id"], "symbol": "ACME", "side": "BUY", "quantity": "5"}
    placed = desk.send("POST", "/api/v1/orders", {**asked, "order_type": "LIMIT", "limit_price": "99"})
    assert placed.status_code == 201, placed.json
    order_id, instrument_id = placed.json["order_id"], placed.json["instrument_id"]
    case = breached(
        desk, category=Category.SURVEILLANCE, rule="wash_trade", instrument_id=instrument_id, order_id=order_id
    )
    (shown,) = listed(desk, "/compliance/alerts?open=true&rule=wash_trade")
    assert shown["breach_id"] == case
    whole = desk.send("GET", f"/api/v1/compliance/alerts/{case}").json
    assert (whole["order_id"], [order["order_id"] for order in whole["orders"]]) == (order_id, [order_id])
    assert whole["executions"] == []
    assert whole["category"] == "SURVEILLANCE"


def test_compliance_handles_its_cases_and_nobody_else_does(desk: Desk) -> None:
    case = breached(desk, category=Category.SURVEILLANCE)
    path = f"/api/v1/compliance/alerts/{case}"
    officer, risk = desk.key(*ROLES[Role.COMPLIANCE]), desk.key(*ROLES[Role.MANAGER])
    close = {"finding": "VIOLATION", "text": "told the regulator"}
    assert desk.send("GET", path, key=risk).status_code == 403
    assert desk.send("POST", path + "/close", close, key=risk).status_code == 403
    risk_path = f"/api/v1/risk/breaches/{case}"
    assert desk.send("GET", risk_path, key=risk).status_code == 404
    assert desk.send("POST", risk_path + "/close", close, key=risk).status_code == 404

    noted = desk.send("POST", path + "/notes", {"text": "both accounts have one owner"}, key=officer)
    assert (noted.status_code, noted.json["status"]) == (200, "ASSIGNED")
    assert desk.send("POST", path + "/notes", {"text": "  "}, key=officer).status_code == 422
    desk.send("POST", path + "/assign", {"assigned_to": "user:anna"}, key=officer)
    noted = desk.send("POST", path + "/notes", {"text": "she agrees"}, key=officer)
    assert noted.json["assigned_to"] == "user:anna"
    closed = desk.send("POST", path + "/close", close, key=officer)
    assert (closed.json["status"], closed.json["finding"]) == ("CLOSED", "VIOLATION")
    assert [note["text"] for note in closed.json["notes"]] == [
        "both accounts have one owner",
        "she agrees",
        "told the regulator",
    ]


def test_what_people_wrote_stands_beside_the_log_and_not_in_it(desk: Desk) -> None:
    case = breached(desk, category=Category.SURVEILLANCE)
    desk.send("POST", f"/api/v1/compliance/alerts/{case}/notes", {"text": "Mr Smith did it"})
    events = desk.services.store.events(TenantId(desk.ids["tenant_id"]), LedgerId(desk.ids["ledger_id"]), 0, 10_000)
    assert "Smith" not in repr(events)
    assert "breach_assigned" in [recorded.event.kind for recorded in events]


# Monitoring -------------------------------------------------------------------------------------------------


def test_the_last_round_of_monitoring_is_shown_to_its_tenant_only(desk: Desk) -> None:
    ledger_id = LedgerId(desk.ids["ledger_id"])
    row = RoundRow(
        tenant_id=TenantId(desk.ids["tenant_id"]),
        ledger_id=ledger_id,
        holder="worker:1",
        ended_at=datetime.now(UTC),
        duration_ms=3,
        lag_ms=40,
        monitors=2,
        failures=("limit-1",),
        rounds=7,
    )
    with desk.services.store.platform_unit() as unit:
        monitoring_rounds.put_rounds(unit, [row])
        monitoring_rounds.put_rounds(unit, [row])
    (shown,) = listed(desk, "/risk/monitoring")
    assert (shown["ledger_id"], shown["monitors"], shown["failures"]) == (ledger_id, 2, ["limit-1"])
    assert shown["age_ms"] >= 0
    assert shown["is_late"] is False
    old = msgspec.structs.replace(row, ended_at=row.ended_at - LATE_AFTER)
    with desk.services.store.platform_unit() as unit:
        monitoring_rounds.put_rounds(unit, [old])
    (shown,) = listed(desk, "/risk/monitoring")
    assert (shown["is_late"], shown["age_ms"] > 5000) == (True, True)
    with desk.services.store.read_unit(TenantId(desk.ids["tenant_id"])) as unit:
        assert monitoring_rounds.list_rounds(unit, TenantId(str(uuid.uuid4()))) == []


# Personal data ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("home", ["desk", pytest.param("postgres_desk", marks=pytest.mark.integration)])
def test_an_erasure_takes_a_persons_notes_and_leaves_those_of_others(home: str, request: pytest.FixtureRequest) -> None:
    desk: Desk = request.getfixturevalue(home)
    anna = desk.services.identity.create_user("anna@example.com", PASSWORD, desk.tenant_id, "COMPLIANCE")
    case = breached(desk, category=Category.SURVEILLANCE)
    principal = msgspec.structs.replace(desk.principal, principal_id=f"user:{anna}")
    ledger_id = LedgerId(desk.ids["ledger_id"])
    desk.services.breaches.note(principal, ledger_id, EventId(case), Category.SURVEILLANCE, "anna wrote this")
    path = f"/api/v1/compliance/alerts/{case}"
    desk.send("POST", path + "/notes", {"text": "somebody else wrote that"})
    assert desk.send("DELETE", f"/api/v1/users/{anna}/personal-data").status_code == 204
    notes = [note["text"] for note in desk.send("GET", path).json["notes"]]
    assert notes == ["", "somebody else wrote that"]
