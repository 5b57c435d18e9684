"""Limits over HTTP: made, changed, ended, by one person or by two; the firm's; and the rules that they configure."""

import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from oms_app.flow.scopes import Scope
from oms_kernel.domain.ids import AccountId
from tests.api.conftest import opened
from tests.api.desk import Desk
from tests.api.people_desk import People

RISK = "/api/v1/risk"
LIMITS = f"{RISK}/limits"
QUANTITY = {"rule": "max_order_quantity", "params": {"max_quantity": "100"}}


@pytest.fixture(scope="module")
def desk(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with opened(migrated_file, tmp_path_factory.mktemp("limits")) as made:
        yield made


@pytest.fixture
def limit(desk: Desk) -> Iterator[dict[str, Any]]:
    """A limit that is ended after the test."""
    made = desk.send("POST", LIMITS, QUANTITY)
    assert made.status_code == 201, made.json
    yield made.json
    with desk.services.store.tenant_unit(desk.tenant_id) as unit:
        from oms_app.store.limits import end_limit

        end_limit(unit, made.json["limit_id"])


def version(limit: dict[str, Any]) -> str:
    """The limit's ETag."""
    return f'"v{limit["version"]}"'


def settle(desk: Desk, **settings: object) -> None:
    """Let the tenant's settings be these, as whoever runs the machine does."""
    from oms_app.flow.audit import cli_actor

    desk.services.tenancy.change_settings(cli_actor(), desk.tenant_id, settings)


@pytest.fixture
def two_persons(desk: Desk) -> Iterator[None]:
    settle(desk, second_person_limits=True)
    yield
    settle(desk)


def person(desk: Desk, people: People, role: str = "MANAGER", *, stepped_up: bool = True) -> str:
    """The token of a new person of the tenant."""
    from tests.api.desk import PASSWORD

    token = people.token(people.person(role))
    if stepped_up:
        assert people.send(token, "POST", "/auth/step-up", {"password": PASSWORD}).status_code == 200
    return token


@pytest.fixture(scope="module")
def people(desk: Desk) -> People:
    return People(desk)


def test_the_catalogue_tells_every_rule_with_its_parameters_and_units(desk: Desk) -> None:
    found = {one["name"]: one for one in desk.send("GET", f"{RISK}/rules").json["items"]}
    rule = found["max_order_quantity"]
    assert rule["kind"] == "risk_rule"
    assert rule["plugin"] == "risk_rules"
    assert rule["params_schema"]["properties"]["max_quantity"]["x-unit"]
    assert rule["description"]
    assert found["restricted_list"]["kind"] == "compliance_check"
    kinds = [one["kind"] for one in desk.send("GET", f"{RISK}/rules").json["items"]]
    assert kinds == sorted(kinds, key=["compliance_check", "risk_rule", "monitor"].index)


def test_a_limit_is_in_force_from_the_next_order_on_until_it_is_ended(desk: Desk, limit: dict[str, Any]) -> None:
    assert (limit["level"], limit["severity"], limit["is_in_force"]) == ("TENANT", "HARD", True)
    denied = desk.place(quantity="101")
    assert (denied.status_code, denied.json["code"]) == (422, "risk_denied")
    (verdict,) = [one for one in denied.json["verdicts"] if one["outcome"] == "DENY"]
    assert (verdict["limit_id"], verdict["limit_version"]) == (limit["limit_id"], limit["version"])
    path = f"{LIMITS}/{limit['limit_id']}"
    tighter = desk.send("PATCH", path, {"params": {"max_quantity": "50"}}, If_Match=version(limit))
    assert (tighter.status_code, tighter.json["version"]) == (200, limit["version"] + 1), tighter.json
    assert tighter.headers["ETag"] == version({"version": limit["version"] + 1})
    assert desk.place(quantity="51").status_code == 422
    stale = desk.send("PATCH", path, {"name": "x"}, If_Match=version(limit))
    assert (stale.status_code, stale.json["code"]) == (412, "stale_version")
    refused = desk.send("POST", f"{path}/end")
    assert (refused.status_code, refused.json["code"]) == (403, "step_up_required")
    ended = desk.client.delete(path, headers=desk.person())
    assert (ended.status_code, ended.json["is_active"]) == (200, False), ended.json
    assert desk.place(quantity="101").status_code == 201
    assert desk.send("PATCH", path, {"name": "x"}).status_code == 409
    assert limit["limit_id"] not in [one["limit_id"] for one in desk.send("GET", LIMITS).json["items"]]
    everything = desk.send("GET", f"{LIMITS}?with_ended=true").json["items"]
    assert limit["limit_id"] in [one["limit_id"] for one in everything]


@pytest.mark.parametrize(
    ("change", "needs_proof"),
    [
        ({"params": {"max_quantity": "99"}}, False),
        ({"params": {"max_quantity": "101"}}, True),
        ({"severity": "SOFT"}, True),
        ({"severity": "SHADOW"}, True),
        ({"name": "A name"}, False),
        ({"effective_from": "2099-01-01T00:00:00Z"}, True),
        ({"effective_until": "2099-01-01T00:00:00Z"}, True),
    ],
)
def test_a_key_may_tighten_a_limit_and_a_person_who_proved_it_may_loosen_it(
    desk: Desk, limit: dict[str, Any], change: dict[str, Any], needs_proof: bool
) -> None:
    path = f"{LIMITS}/{limit['limit_id']}"
    by_key = desk.send("PATCH", path, change)
    assert by_key.status_code == (403 if needs_proof else 200), by_key.json
    if needs_proof:
        assert desk.client.patch(path, json=change, headers=desk.person(stepped_up=False)).status_code == 403
        assert desk.client.patch(path, json=change, headers=desk.person()).status_code == 200


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"rule": "rule_of_nobody"}, "rule"),
        ({"params": {"max_quantity": "0"}}, "params.max_quantity"),
        ({"params": {"max_quantity": 1.5e300}}, "params.max_quantity"),
        ({"params": {"largest": "5"}}, "params"),
        ({"params": {}}, "params"),
        ({"account_id": str(uuid.uuid4())}, "account_id"),
        ({"strategy_id": str(uuid.uuid4())}, "strategy_id"),
        ({"instrument_id": str(uuid.uuid4())}, "instrument_id"),
        ({"severity": "LOUD"}, "severity"),
        ({"action": "EXPLODE"}, "action"),
        ({"action": "HALT"}, "action"),
        ({"effective_until": "2001-01-01T00:00:00Z"}, "effective_until"),
        (
            {"effective_from": "2098-01-01T00:00:00Z", "effective_until": "2097-01-01T00:00:00Z"},
            "effective_until",
        ),
        ({"effective_from": "2026-01-01"}, "effective_from"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_with_a_limit_names_the_field_and_stores_nothing(
    desk: Desk, change: dict[str, Any], field: str
) -> None:
    before = desk.event_count()
    refused = desk.send("POST", LIMITS, {**QUANTITY, **change})
    assert refused.status_code in (404, 422), refused.json
    (error,) = refused.json["errors"]
    assert error["field"] == field
    assert error["fix"]
    assert desk.event_count() == before


def test_an_unknown_rule_is_told_those_that_there_are(desk: Desk) -> None:
    refused = desk.send("POST", LIMITS, {"rule": "max_order"})
    assert "max_order_quantity" in refused.json["errors"][0]["detail"]


def test_two_limits_in_force_never_bear_one_name(desk: Desk, limit: dict[str, Any]) -> None:
    assert desk.send("PATCH", f"{LIMITS}/{limit['limit_id']}", {"name": "Only one"}).status_code == 200
    again = desk.send("POST", LIMITS, {**QUANTITY, "name": "Only one"})
    assert (again.status_code, again.json["errors"][0]["field"]) == (409, "name")


def test_every_change_is_on_record_with_before_and_after(desk: Desk, limit: dict[str, Any]) -> None:
    path = f"{LIMITS}/{limit['limit_id']}"
    assert desk.send("PATCH", path, {"params": {"max_quantity": "70"}, "reason": "Smaller"}).status_code == 200
    found = desk.services.reader.events(desk.tenant_id, desk.ids["ledger_id"], desk.event_count() - 1, 10)
    event = found[-1].event
    assert (event.action, event.object_id) == ("limit.changed", limit["limit_id"])
    assert event.before["params"] == {"max_quantity": "100"}
    assert event.after["params"] == {"max_quantity": "70"}


def test_a_key_that_reaches_some_accounts_sets_and_sees_limits_of_these_only(desk: Desk, limit: dict[str, Any]) -> None:
    own = AccountId(desk.ids["account_id"])
    held = desk.key(Scope.MANAGE_RISK, Scope.VIEW_ORDERS, account_ids=[own])
    elsewhere = desk.key(Scope.MANAGE_RISK, Scope.VIEW_ORDERS, account_ids=[AccountId(str(uuid.uuid4()))])
    refused = desk.send("POST", LIMITS, QUANTITY, key=held)
    assert (refused.status_code, refused.json["code"]) == (403, "not_permitted")
    made = desk.send("POST", LIMITS, {**QUANTITY, "account_id": own}, key=held)
    assert (made.status_code, made.json["level"]) == (201, "ACCOUNT"), made.json
    path = f"{LIMITS}/{made.json['limit_id']}"
    assert desk.send("GET", path, key=held).status_code == 200
    assert desk.send("GET", path, key=elsewhere).status_code == 404
    assert desk.send("PATCH", f"{LIMITS}/{limit['limit_id']}", {"name": "y"}, key=held).status_code == 404
    listed = [one["limit_id"] for one in desk.send("GET", LIMITS, key=elsewhere).json["items"]]
    assert limit["limit_id"] in listed
    assert made.json["limit_id"] not in listed
    assert desk.client.delete(path, headers=desk.person()).status_code == 200


def test_lists_are_narrowed(desk: Desk, limit: dict[str, Any]) -> None:
    for query, there in (
        ("rule=max_order_quantity", True),
        ("rule=max_position", False),
        ("level=TENANT", True),
        ("level=FIRM", False),
        ("severity=HARD", True),
        ("severity=SOFT", False),
        (f"account_id={uuid.uuid4()}", False),
    ):
        found = desk.send("GET", f"{LIMITS}?{query}").json["items"]
        assert (limit["limit_id"] in [one["limit_id"] for one in found]) is there, query


def test_a_change_waits_for_a_second_person_who_is_not_the_one_who_asked(
    desk: Desk, people: People, limit: dict[str, Any], two_persons: None
) -> None:
    path = f"{LIMITS}/{limit['limit_id']}"
    asker, other = person(desk, people), person(desk, people)
    wide = {"params": {"max_quantity": "500"}}
    needless = people.send(asker, "PATCH", path.removeprefix("/api/v1"), wide)
    assert (needless.status_code, needless.json["errors"][0]["field"]) == (422, "reason")
    asked = people.send(asker, "PATCH", path.removeprefix("/api/v1"), {**wide, "reason": "A big client"})
    assert (asked.status_code, asked.json["status"]) == (202, "PENDING"), asked.json
    (edit,) = asked.json["edits"]
    assert edit["fields"] == [{"field": "params.max_quantity", "before": "100", "after": "500"}]
    assert edit["loosens"] == ["params.max_quantity"]
    assert desk.place(quantity="101").status_code == 422
    change = f"/risk/limit-changes/{asked.json['change_id']}"
    again = people.send(asker, "PATCH", path.removeprefix("/api/v1"), {**wide, "reason": "Again"})
    assert again.json["change_id"] == asked.json["change_id"]
    different = people.send(other, "POST", f"{path.removeprefix('/api/v1')}/end", {"reason": "Another idea"})
    assert (different.status_code, different.json["code"]) == (409, "conflict")
    own = people.send(asker, "POST", f"{change}/approve")
    assert (own.status_code, own.json["code"]) == (403, "not_permitted")
    assert people.send(other, "POST", f"{change}/withdraw").status_code == 403
    idle = person(desk, people, stepped_up=False)
    assert people.send(idle, "POST", f"{change}/approve").json["code"] == "step_up_required"
    assert desk.send("POST", f"/api/v1{change}/approve").json["code"] == "step_up_required"
    approved = people.send(other, "POST", f"{change}/approve", {"reason": "Seen the mandate"})
    assert (approved.status_code, approved.json["status"]) == (200, "APPROVED"), approved.json
    assert approved.json["decided_by"] != approved.json["asked_by"]
    assert desk.place(quantity="101").status_code == 201
    assert people.send(other, "POST", f"{change}/approve").status_code == 409
    listed = people.send(asker, "GET", "/risk/limit-changes?status=APPROVED").json["items"]
    assert asked.json["change_id"] in [one["change_id"] for one in listed]


def test_a_change_is_rejected_or_withdrawn_without_effect(
    desk: Desk, people: People, limit: dict[str, Any], two_persons: None
) -> None:
    path = f"/risk/limits/{limit['limit_id']}"
    asker, other = person(desk, people), person(desk, people, stepped_up=False)
    for token, word, status in ((other, "reject", "REJECTED"), (asker, "withdraw", "WITHDRAWN")):
        asked = people.send(asker, "PATCH", path, {"severity": "SHADOW", "reason": "Too strict"})
        assert asked.status_code == 202, asked.json
        done = people.send(token, "POST", f"/risk/limit-changes/{asked.json['change_id']}/{word}")
        assert (done.status_code, done.json["status"]) == (200, status), done.json
    assert desk.send("GET", f"/api/v1{path}").json["severity"] == "HARD"
    assert people.send(asker, "GET", "/risk/limit-changes?status=PENDING").json["items"] == []
    assert people.send(asker, "GET", "/risk/limit-changes?status=pending").status_code == 422


def test_a_change_is_not_carried_out_when_its_limit_moved_meanwhile(
    desk: Desk, people: People, limit: dict[str, Any], two_persons: None
) -> None:
    asker, other = person(desk, people), person(desk, people)
    path = f"/risk/limits/{limit['limit_id']}"
    asked = people.send(asker, "PATCH", path, {"severity": "SOFT", "reason": "Try it"})
    assert asked.status_code == 202, asked.json
    settle(desk)
    assert desk.send("PATCH", f"/api/v1{path}", {"params": {"max_quantity": "90"}}).status_code == 200
    settle(desk, second_person_limits=True)
    refused = people.send(other, "POST", f"/risk/limit-changes/{asked.json['change_id']}/approve")
    assert (refused.status_code, refused.json["code"]) == (409, "conflict")
    assert people.send(other, "POST", f"/risk/limit-changes/{asked.json['change_id']}/reject").status_code == 200


def test_a_new_limit_needs_no_second_person_and_neither_safeguard_is_taken_away_by_one(
    desk: Desk, people: People, two_persons: None
) -> None:
    made = desk.send("POST", LIMITS, QUANTITY)
    assert made.status_code == 201
    admin = person(desk, people, "ADMIN")
    refused = people.send(admin, "PUT", f"/tenants/{desk.tenant_id}/settings", {})
    assert (refused.status_code, refused.json["code"]) == (403, "not_permitted")
    assert refused.json["errors"][0]["field"] == "settings.second_person_limits"
    settle(desk)
    ended = desk.client.delete(f"{LIMITS}/{made.json['limit_id']}", headers=desk.person())
    assert ended.status_code == 200


def test_a_limit_of_the_firm_is_kept_by_superusers_and_covers_and_is_shown_to_every_tenant(
    desk: Desk, people: People
) -> None:
    root = people.person(is_superuser=True)
    with desk.services.store.tenant_unit(desk.tenant_id) as unit:
        from oms_app.store import people as rows

        rows.put_member(unit, people.id_of(root), "MANAGER", ())
    token = people.token(root)
    body = {"rule": "max_order_quantity", "params": {"max_quantity": "40"}, "name": "House"}
    assert desk.send("POST", f"{RISK}/firm-limits", body).status_code == 403
    mixed = people.send(token, "POST", "/risk/firm-limits", {**body, "account_id": desk.ids["account_id"]})
    assert mixed.status_code == 422
    made = people.send(token, "POST", "/risk/firm-limits", body)
    assert (made.status_code, made.json["level"]) == (201, "FIRM"), made.json
    limit_id = made.json["limit_id"]
    assert desk.place(quantity="41").status_code == 422
    (shown,) = desk.send("GET", f"{LIMITS}?level=FIRM").json["items"]
    assert (shown["limit_id"], shown["name"]) == (limit_id, "House")
    assert desk.send("PATCH", f"{LIMITS}/{limit_id}", {"name": "Mine"}).status_code == 404
    path = f"/risk/firm-limits/{limit_id}"
    assert people.send(token, "PATCH", path, {"params": {"max_quantity": "41"}}).json["code"] == "step_up_required"
    assert people.send(token, "PATCH", path, {"params": {"max_quantity": "39"}}).status_code == 200
    assert desk.place(quantity="40").status_code == 422
    from tests.api.desk import PASSWORD

    assert people.send(token, "POST", "/auth/step-up", {"password": PASSWORD}).status_code == 200
    assert people.send(token, "DELETE", path).json["is_active"] is False
    assert desk.place(quantity="41").status_code == 201


def test_a_required_limit_that_is_missing_denies_and_an_unknown_one_cannot_be_required(
    desk: Desk, people: People
) -> None:
    admin = person(desk, people, "ADMIN")
    path = f"/tenants/{desk.tenant_id}/settings"
    unknown = people.send(admin, "PUT", path, {"required_limits": ["rule_of_nobody"]})
    assert (unknown.status_code, unknown.json["errors"][0]["field"]) == (422, "settings.required_limits")
    required = people.send(admin, "PUT", path, {"required_limits": ["max_order_quantity"]})
    assert (required.status_code, required.json["required_limits"]) == (200, ["max_order_quantity"]), required.json
    denied = desk.place()
    assert denied.status_code == 422
    assert [one["code"] for one in denied.json["verdicts"] if one["outcome"] == "DENY"] == ["limit_missing"]
    made = desk.send("POST", LIMITS, QUANTITY)
    assert desk.place().status_code == 201
    by_key = desk.send("PUT", f"/api/v1{path}", {})
    assert (by_key.status_code, by_key.json["code"]) == (403, "step_up_required")
    assert people.send(admin, "PUT", path, {}).json["required_limits"] == []
    assert desk.client.delete(f"{LIMITS}/{made.json['limit_id']}", headers=desk.person()).status_code == 200


def test_the_sizes_of_the_environment_are_limits_of_the_firm_without_a_row(migrated_file: Path, tmp_path: Path) -> None:
    sizes = {"risk_max_order_size": Decimal(30), "risk_max_position_size": Decimal(50)}
    with opened(migrated_file, tmp_path, **sizes) as desk:
        listed = {one["limit_id"]: one for one in desk.send("GET", f"{LIMITS}?level=FIRM").json["items"]}
        assert set(listed) == {"env:RISK_MAX_ORDER_SIZE", "env:RISK_MAX_POSITION_SIZE"}
        assert listed["env:RISK_MAX_ORDER_SIZE"]["params"] == {"max_quantity": "30"}
        denied = desk.place(quantity="31")
        (verdict,) = [one for one in denied.json["verdicts"] if one["outcome"] == "DENY"]
        assert (denied.status_code, verdict["limit_id"], verdict["scope"]) == (422, "env:RISK_MAX_ORDER_SIZE", "FIRM")
        assert desk.place(quantity="30").status_code == 201
        denied = desk.place(quantity="21")
        (verdict,) = [one for one in denied.json["verdicts"] if one["outcome"] == "DENY"]
        assert (denied.status_code, verdict["limit_id"]) == (422, "env:RISK_MAX_POSITION_SIZE")
        assert desk.send("POST", LIMITS, {**QUANTITY, "name": "wider"}).status_code == 201
        assert desk.place(quantity="31").status_code == 422
        position = desk.send("GET", f"{RISK}/usage?rule=max_position").json["items"][0]
        assert (position["limit_id"], position["used"]) == ("env:RISK_MAX_POSITION_SIZE", "30")
