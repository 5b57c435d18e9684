"""All limits as one file over HTTP: the difference first, applied once, the same as by command line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oms_app.flow.scopes import Scope
from oms_kernel.domain.ids import AccountId
from tests.api.conftest import opened
from tests.api.desk import Desk
from tests.api.people_desk import People

APPLY = "/api/v1/risk/limits/apply"
FILE = """
limits:
  - {name: Size, rule: max_order_quantity, account: Paper, params: {max_quantity: 12.50}}
  - {name: Acme, rule: max_position, instrument: "XTEST:ACME", params: {max_quantity: 1000}}
"""


@pytest.fixture
def desk(migrated_file: Path, tmp_path: Path) -> Iterator[Desk]:
    with opened(migrated_file, tmp_path) as made:
        yield made


def send(desk: Desk, text: str, query: str = "", **headers: str) -> Any:
    """The answer to a file that is sent as it is."""
    given = headers or {"X-API-Key": desk.api_key}
    return desk.client.post(APPLY + query, data=text, headers={"Content-Type": "application/yaml", **given})


def test_a_file_is_shown_applied_and_applied_again_without_effect(desk: Desk) -> None:
    before = desk.event_count()
    shown = send(desk, FILE, "?dry_run=true")
    assert (shown.status_code, shown.json["dry_run"], shown.json["has_changes"]) == (200, True, True), shown.json
    (section,) = shown.json["sections"]
    assert [(edit["kind"], edit["name"]) for edit in section["edits"]] == [("CREATE", "Size"), ("CREATE", "Acme")]
    assert desk.event_count() == before
    assert send(desk, FILE).json["has_changes"] is True
    assert desk.event_count() == before + 2
    assert send(desk, FILE).json == {
        "dry_run": False,
        "has_changes": False,
        "sections": [{"tenant": section["tenant"], "edits": [], "waiting": [], "unchanged": 2, "change_id": ""}],
    }
    assert desk.event_count() == before + 2
    assert desk.place(quantity="13").status_code == 422
    exported = desk.send("GET", "/api/v1/risk/limits/export").json["yaml"]
    assert send(desk, exported, "?prune=true").json["has_changes"] is False


def test_the_same_as_a_json_document_with_exact_numbers(desk: Desk) -> None:
    limit = b'{"rule": "max_order_quantity", "params": {"max_quantity": 0.30}}'
    made = desk.send("POST", APPLY, b'{"document": {"limits": [' + limit + b"]}}")
    assert made.status_code == 200, made.json
    (stored,) = desk.send("GET", "/api/v1/risk/limits").json["items"]
    assert stored["params"] == {"max_quantity": "0.3"}
    both = desk.send("POST", APPLY, {"yaml": "limits: []", "document": {}})
    assert (both.status_code, both.json["errors"][0]["field"]) == (422, "yaml")


def test_what_loosens_needs_a_person_who_proved_it_and_settings_an_administrator(desk: Desk) -> None:
    assert send(desk, FILE).status_code == 200
    wider = FILE.replace("12.50", "13")
    assert send(desk, wider).json["code"] == "step_up_required"
    assert send(desk, "limits: []", "?prune=true").json["code"] == "step_up_required"
    assert send(desk, wider, **desk.person()).status_code == 200
    settings = "settings: {required_limits: [max_position]}"
    only_risk = desk.key(Scope.MANAGE_RISK)
    refused = send(desk, settings, **{"X-API-Key": only_risk})
    assert (refused.status_code, refused.json["code"]) == (403, "not_permitted")
    assert send(desk, settings).status_code == 200
    assert send(desk, "settings: {required_limits: []}").json["code"] == "step_up_required"


def test_a_file_about_others_and_a_key_of_some_accounts_are_refused(desk: Desk) -> None:
    people = People(desk)
    other = people.tenant()
    for text in ("firm: {limits: []}", f"tenants: {{{other.slug}: {{limits: []}}}}", "tenants: {nobody: {limits: []}}"):
        refused = send(desk, text)
        assert (refused.status_code, refused.json["code"]) == (403, "not_permitted"), refused.json
    held = desk.key(Scope.MANAGE_RISK, account_ids=[AccountId(desk.ids["account_id"])])
    assert send(desk, FILE, **{"X-API-Key": held}).status_code == 403
    root = people.token(people.person(is_superuser=True))
    both = FILE.replace("limits:", f"firm:\n  limits: []\ntenants:\n  {other.slug}:\n    limits: []\nlimits:")
    assert send(desk, f"tenants: {{{other.slug}: {{limits: []}}}}", Authorization=f"Bearer {root}").status_code == 200
    assert send(desk, both).status_code == 403


def test_a_file_with_a_fault_in_one_section_changes_none(desk: Desk) -> None:
    before = desk.event_count()
    refused = send(desk, FILE + "  - {rule: max_position, params: {max_quantity: -1}}\n")
    assert refused.status_code == 422
    (error,) = refused.json["errors"]
    assert error["field"] == "limits[2].params.max_quantity"
    assert error["detail"].startswith("line 5: ")
    assert desk.event_count() == before


def test_a_change_of_settings_that_waits_is_carried_out_at_the_approval(desk: Desk) -> None:
    people = People(desk)
    assert send(desk, "settings: {second_person_limits: true}").status_code == 200
    off = "settings: {second_person_limits: false}"
    assert send(desk, off).json["errors"][0]["field"] == "reason"
    body = {"yaml": off, "reason": "One person is enough"}
    asked = desk.client.post(APPLY, json=body, headers=desk.person())
    assert asked.status_code == 200, asked.json
    change_id = asked.json["sections"][0]["change_id"]
    own = desk.client.post(f"/api/v1/risk/limit-changes/{change_id}/approve", headers=desk.person())
    assert own.status_code == 403
    from tests.api.desk import PASSWORD

    token = people.token(people.person("MANAGER"))
    assert people.send(token, "POST", "/auth/step-up", {"password": PASSWORD}).status_code == 200
    assert people.send(token, "POST", f"/risk/limit-changes/{change_id}/approve").json["status"] == "APPROVED"
    assert desk.services.tenancy.settings(desk.tenant_id).second_person_limits is False
