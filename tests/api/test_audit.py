"""The audit trail over HTTP: searched by every filter, exported and verified elsewhere, and a person erased from it."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.scopes import Scope
from oms_app.store import audit_verifier
from oms_app.store.verify import verify
from oms_kernel.domain.ids import LedgerId, TenantId
from tests.api.conftest import opened
from tests.api.desk import PASSWORD, Desk

WHO = Actor("user:0197a3f0-0000-7000-8000-000000000001", address="203.0.113.7", agent="=cmd()", request_id="req-7")


@pytest.fixture(scope="module")
def desk(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A tenant in which something happened: three orders, one of them refused, and changes by a person."""
    with opened(migrated_file, tmp_path_factory.mktemp("audited")) as made:
        for quantity in ("10", "20"):
            assert made.place(quantity=quantity).status_code == 201
        with made.services.store.tenant_unit(made.tenant_id) as unit:
            for number in range(4):
                action = AdminAction(
                    "limit.changed",
                    "limit",
                    f"limit-{number}",
                    before={"limit": number},
                    after={"limit": number + 1},
                    note="raised",
                    account_id=made.ids["account_id"],  # type: ignore[arg-type]
                )
                record(unit, WHO, action)
        yield made


def searched(desk: Desk, **filters: Any) -> list[dict[str, Any]]:
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    answer = desk.send("GET", f"/api/v1/audit?{query}")
    assert answer.status_code == 200, answer.json
    items: list[dict[str, Any]] = answer.json["items"]
    return items


def test_the_search_shows_orders_and_everything_else_newest_first(desk: Desk) -> None:
    found = searched(desk, limit=500)
    assert [entry["seq"] for entry in found] == list(range(desk.event_count(), 0, -1))
    kinds = {entry["kind"] for entry in found}
    assert {"order_accepted", "admin_acted", "account_opened"} <= kinds
    newest = found[0]
    assert (newest["action"], newest["object_id"], newest["actor"]) == ("limit.changed", "limit-3", WHO.principal_id)
    assert (newest["before"], newest["after"]) == ({"limit": 3}, {"limit": 4})
    assert (newest["address"], newest["agent"], newest["note"]) == ("203.0.113.7", "=cmd()", "raised")
    assert newest["decision"] == "ALLOWED"


def test_every_filter_finds_exactly_what_it_names(desk: Desk) -> None:
    everything = searched(desk, limit=500)
    order = next(entry for entry in everything if entry["kind"] == "order_accepted")
    filters: dict[str, Any] = {
        "actor": WHO.principal_id,
        "action": "limit.changed",
        "kind": "order_accepted",
        "object_type": "limit",
        "object_id": "limit-2",
        "account_id": desk.ids["account_id"],
        "order_id": order["order_id"],
        "request_id": "req-7",
    }
    for name, value in filters.items():
        wanted = [entry["seq"] for entry in everything if entry[name] == value]
        assert wanted, name
        assert [entry["seq"] for entry in searched(desk, limit=500, **{name: value})] == wanted, name
    by_kind = [entry["seq"] for entry in searched(desk, action="order_accepted")]
    assert by_kind == [entry["seq"] for entry in everything if entry["kind"] == "order_accepted"]
    of_order = [entry["seq"] for entry in searched(desk, object_id=order["order_id"])]
    assert of_order == [entry["seq"] for entry in everything if entry["order_id"] == order["order_id"]]
    assert searched(desk, object_type="order", object_id=order["order_id"])
    assert searched(desk, actor="user:nobody") == []


def test_an_order_is_found_by_the_request_that_placed_changed_or_cancelled_it(desk: Desk) -> None:
    order = desk.send("POST", "/api/v1/orders", desk.order(quantity="30"), X_Request_ID="placed-30").json
    path = f"/api/v1/orders/{order['order_id']}"
    assert desk.send("PUT", path, {"quantity": "31"}, X_Request_ID="changed-31").status_code in (200, 202)
    assert desk.send("DELETE", path, X_Request_ID="cancelled-31").status_code in (200, 202)
    for request_id, kind in (
        ("placed-30", "order_accepted"),
        ("changed-31", "replace_requested"),
        ("cancelled-31", "cancel_requested"),
    ):
        (entry,) = searched(desk, request_id=request_id)
        assert (entry["kind"], entry["order_id"], entry["request_id"]) == (kind, order["order_id"], request_id)


def test_a_key_acts_on_behalf_of_its_owner_from_the_address_of_the_request(desk: Desk) -> None:
    hook = {"url": "https://hooks.example.com/a-secret-path", "name": "hook", "params": {}, "event_kinds": ["*"]}
    made = desk.send("POST", "/api/v1/webhooks", hook, X_Request_ID="hook-1", User_Agent="a program")
    assert made.status_code == 201, made.json
    (entry,) = searched(desk, action="webhook.created")
    assert entry["actor"].startswith("key:")
    assert (entry["on_behalf_of"], entry["request_id"]) == (f"user:{desk.user_id}", "hook-1")
    assert (entry["address"], entry["agent"]) == ("127.0.0.1", "a program")
    assert entry["object_id"] == made.json["webhook_id"]
    assert (entry["after"]["host"], entry["after"]["event_kinds"]) == ("hooks.example.com", ["*"])
    assert "a-secret-path" not in repr(entry)


def test_times_cut_the_search(desk: Desk) -> None:
    everything = searched(desk, limit=500)
    middle = everything[2]["recorded_at"]
    later = [entry["seq"] for entry in everything if entry["recorded_at"] >= middle]
    assert [entry["seq"] for entry in searched(desk, **{"from": middle}, limit=500)] == later
    earlier = [entry["seq"] for entry in everything if entry["recorded_at"] < middle]
    assert [entry["seq"] for entry in searched(desk, to=middle, limit=500)] == earlier


def test_pages_follow_each_other_without_a_gap_while_more_is_recorded(desk: Desk) -> None:
    wanted = [entry["seq"] for entry in searched(desk, limit=500)]
    seen: list[int] = []
    cursor = ""
    while True:
        answer = desk.send("GET", f"/api/v1/audit?limit=3&with_total=true{cursor}").json
        seen += [entry["seq"] for entry in answer["items"]]
        with desk.services.store.tenant_unit(desk.tenant_id) as unit:
            record(unit, Actor("system:test"), AdminAction("test.looked", "test", "1"))
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert seen == wanted


@pytest.mark.parametrize("cursor", ["x", "AAAA", "MjAyNi0xMS0yMA", "0001", "____"])
def test_a_cursor_of_somewhere_else_is_refused(desk: Desk, cursor: str) -> None:
    assert desk.send("GET", f"/api/v1/audit?cursor={cursor}").status_code == 422


def test_only_who_may_view_audit_sees_it_and_a_key_held_to_accounts_sees_these_only(desk: Desk) -> None:
    others = desk.key(*(scope for scope in Scope if scope is not Scope.VIEW_AUDIT))
    for path in ("/api/v1/audit", "/api/v1/audit/export"):
        assert desk.send("GET", path, key=others).status_code == 403
    held = desk.key(Scope.VIEW_AUDIT, account_ids=[desk.ids["account_id"]])  # type: ignore[list-item]
    found = desk.send("GET", "/api/v1/audit?limit=500", key=held).json["items"]
    assert found
    assert {entry["account_id"] for entry in found} == {desk.ids["account_id"]}


def test_another_tenants_ledger_is_not_exported(desk: Desk) -> None:
    stranger = "0197a3f0-5b1e-7c41-9d1a-2f3b4c5d6e70"
    assert desk.send("GET", f"/api/v1/audit/export?ledger_id={stranger}").status_code == 404


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_an_export_is_verified_by_the_stand_alone_verifier(desk: Desk, tmp_path: Path, form: str) -> None:
    answer = desk.send("GET", f"/api/v1/audit/export?format={form}")
    assert answer.status_code == 200
    media = {"csv": "text/csv", "jsonl": "application/x-ndjson"}[form]
    assert answer.headers["Content-Type"].startswith(media)
    file = tmp_path / f"export.{form}"
    file.write_bytes(answer.data)
    command = [sys.executable, "-I", "-S", audit_verifier.__file__, str(file)]
    good = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (good.returncode, good.stderr) == (0, "")
    assert f"whole: {desk.event_count()} rows" in good.stdout
    file.write_bytes(answer.data.replace(b"limit-2", b"limit-9"))
    bad = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert bad.returncode == 1
    assert "first bad seq" in bad.stdout


def test_a_part_of_the_log_can_be_verified_and_a_filtered_export_says_that_it_cannot(
    desk: Desk, tmp_path: Path
) -> None:
    part = tmp_path / "part.jsonl"
    part.write_bytes(desk.send("GET", "/api/v1/audit/export?from_seq=3&to_seq=5").data)
    found = audit_verifier.check_files(part)
    assert (found.findings, found.rows, found.last_seq) == ((), 3, 5)
    middle = searched(desk, limit=500)[2]["recorded_at"]
    part.write_bytes(desk.send("GET", f"/api/v1/audit/export?from={middle}").data)
    assert audit_verifier.check_files(part).findings == ()
    filtered = desk.send("GET", "/api/v1/audit/export?action=limit.changed").data
    lines = [json.loads(line) for line in filtered.splitlines()]
    assert lines[0]["complete"] is False
    assert [line["object_id"] for line in lines[1:]] == ["limit-0", "limit-1", "limit-2", "limit-3"]
    part.write_bytes(filtered)
    with pytest.raises(audit_verifier.Unreadable, match="filtered"):
        audit_verifier.check_files(part)


def test_cells_of_a_csv_export_are_never_formulas(desk: Desk) -> None:
    rows = list(csv.DictReader(io.StringIO(desk.send("GET", "/api/v1/audit/export?format=csv").text)))
    assert "'=cmd()" in {row["agent"] for row in rows}
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for cell in row.values())


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "format=xml", "from=yesterday", "order_id=1", "colour=blue", "from_seq=0"]
)
def test_a_wrong_query_names_the_parameter(desk: Desk, query: str) -> None:
    for path in ("/api/v1/audit", "/api/v1/audit/export"):
        answer = desk.send("GET", f"{path}?{query}")
        assert answer.status_code == 422
        assert answer.json["errors"][0]["field"] == query.partition("=")[0]


# Personal data -------------------------------------------------------------------------------------------------


@pytest.fixture
def person(migrated_file: Path, tmp_path: Path) -> Iterator[tuple[Desk, str]]:
    """A tenant with a second member, who signed in and did something."""
    with opened(migrated_file, tmp_path) as made:
        user_id = made.services.identity.create_user("anna@example.com", PASSWORD, made.tenant_id, "TRADER")
        actor = Actor(f"user:{user_id}", address="198.51.100.4", agent="a browser")
        with made.services.store.tenant_unit(made.tenant_id) as unit:
            record(unit, actor, AdminAction("session.signed_in", "session", "s1"))
            changed = AdminAction("profile.changed", "profile", user_id, after={"phone_number": "+15550100"})
            record(unit, actor, changed)
        yield made, user_id


def entries_of(desk: Desk, user_id: str) -> list[dict[str, Any]]:
    return searched(desk, actor=f"user:{user_id}", limit=500)


def test_an_erasure_takes_texts_name_and_address_and_leaves_the_log_whole(person: tuple[Desk, str]) -> None:
    desk, user_id = person
    before = entries_of(desk, user_id)
    assert {entry["address"] for entry in before} == {"198.51.100.4"}
    assert {"phone_number": "+15550100"} in [entry["after"] for entry in before]
    signed_in = desk.client.post("/api/v1/auth/login", json={"email": "anna@example.com", "password": PASSWORD})
    token = {"Authorization": f"Bearer {signed_in.json['access_token']}"}
    assert desk.client.get("/api/v1/auth/me", headers=token).status_code == 200

    assert desk.send("DELETE", f"/api/v1/users/{user_id}/personal-data").status_code == 204

    after = entries_of(desk, user_id)
    assert [entry["hash"] for entry in after if entry["seq"] <= before[0]["seq"]] == [entry["hash"] for entry in before]
    assert {entry["address"] for entry in after} == {"(erased)"}
    assert {"phone_number": "(erased)"} in [entry["after"] for entry in after]
    assert searched(desk, action="user.erased")[0]["object_id"] == user_id
    assert verify(desk.services.store, desk.tenant_id, LedgerId(desk.ids["ledger_id"])).is_clean
    assert desk.client.get("/api/v1/auth/me", headers=token).status_code == 401
    again = desk.client.post("/api/v1/auth/login", json={"email": "anna@example.com", "password": PASSWORD})
    assert again.status_code == 401


def test_nothing_of_an_erased_person_is_left_in_the_database(person: tuple[Desk, str], tmp_path: Path) -> None:
    desk, user_id = person
    desk.client.post("/api/v1/auth/login", json={"email": "anna@example.com", "password": PASSWORD})
    assert desk.send("DELETE", f"/api/v1/users/{user_id}/personal-data").status_code == 204
    found = []
    from oms_app.store.tables import METADATA

    with desk.services.store.readers.connect() as connection:
        for table in METADATA.tables.values():
            rows = connection.connection.driver_connection.execute(f'SELECT * FROM "{table.name}"').fetchall()  # type: ignore[union-attr]
            found += [table.name for row in rows if "anna@" in repr(row) or "198.51.100.4" in repr(row)]
            found += [table.name for row in rows if "555" in repr(row) and "phone" in repr(row)]
    assert found == []


def test_an_erasure_may_be_repeated_and_an_unknown_person_is_not_found(person: tuple[Desk, str]) -> None:
    desk, user_id = person
    for _ in range(2):
        assert desk.send("DELETE", f"/api/v1/users/{user_id}/personal-data").status_code == 204
    stranger = "0197a3f0-5b1e-7c41-9d1a-2f3b4c5d6e70"
    assert desk.send("DELETE", f"/api/v1/users/{stranger}/personal-data").status_code == 404
    trader = desk.key(Scope.VIEW_AUDIT)
    assert desk.send("DELETE", f"/api/v1/users/{user_id}/personal-data", key=trader).status_code == 403


def test_a_member_of_another_tenant_is_erased_by_whoever_runs_the_platform_only(person: tuple[Desk, str]) -> None:
    from oms_app.flow.audit import cli_actor
    from oms_app.flow.personal_data import PersonalData
    from oms_app.store import people
    from oms_app.store.tenants import create_tenant

    desk, user_id = person
    other = TenantId("0197a3f0-5b1e-7c41-9d1a-2f3b4c5d6e99")
    with desk.services.store.tenant_unit(other) as unit:
        create_tenant(unit, "Other")
        people.put_member(unit, user_id, "VIEWER", ())
    refused = desk.send("DELETE", f"/api/v1/users/{user_id}/personal-data")
    assert (refused.status_code, refused.json["code"]) == (409, "conflict")
    PersonalData(desk.services.store, desk.services.tenancy).erase(cli_actor(), user_id)
    assert {entry["address"] for entry in entries_of(desk, user_id)} == {"(erased)"}


def test_the_last_administrator_is_not_erased(person: tuple[Desk, str]) -> None:
    desk, _ = person
    refused = desk.send("DELETE", f"/api/v1/users/{desk.user_id}/personal-data")
    assert (refused.status_code, refused.json["code"]) == (409, "conflict")


def test_a_person_gets_everything_that_is_kept_about_them_and_no_secret(person: tuple[Desk, str]) -> None:
    desk, _user_id = person
    signed_in = desk.client.post("/api/v1/auth/login", json={"email": "anna@example.com", "password": PASSWORD})
    token = {"Authorization": f"Bearer {signed_in.json['access_token']}"}
    answer = desk.client.get("/api/v1/users/me/export", headers=token)
    assert answer.status_code == 200
    assert answer.json["person"]["email"] == "anna@example.com"
    assert len(answer.json["sessions"]) == 1
    (held,) = answer.json["tenants"]
    assert held["tenant_id"] == desk.tenant_id
    assert "198.51.100.4" in {text.get("address") for text in held["audit_texts"]}
    assert "hash" not in answer.text
    assert desk.send("GET", "/api/v1/users/me/export").status_code == 403


@pytest.mark.integration
def test_search_export_and_erasure_work_on_postgresql_as_well(postgres_desk: Desk, tmp_path: Path) -> None:
    desk = postgres_desk
    user_id = desk.services.identity.create_user("ben@example.com", PASSWORD, desk.tenant_id, "TRADER")
    signed_in = desk.client.post("/api/v1/auth/login", json={"email": "ben@example.com", "password": PASSWORD})
    token = {"Authorization": f"Bearer {signed_in.json['access_token']}"}
    body = desk.order(tags={"note": "a text of ben"})
    order = desk.client.post("/api/v1/orders", json=body, headers=token).json
    assert searched(desk, object_id=order["order_id"])
    assert searched(desk, actor=f"user:{user_id}", kind="order_accepted")
    held = desk.client.get("/api/v1/users/me/export", headers=token).json["tenants"]
    assert ["a text of ben" in text["text"] for one in held for text in one["texts"]] == [True]

    assert desk.send("DELETE", f"/api/v1/users/{user_id}/personal-data").status_code == 204

    assert {entry["address"] for entry in entries_of(desk, user_id)} <= {"", "(erased)"}
    shown = desk.send("GET", f"/api/v1/orders/{order['order_id']}").json
    assert "a text of ben" not in repr(shown)
    assert verify(desk.services.store, desk.tenant_id, LedgerId(desk.ids["ledger_id"])).is_clean
    export = tmp_path / "log.csv"
    export.write_bytes(desk.send("GET", "/api/v1/audit/export?format=csv").data)
    assert audit_verifier.check_files(export).findings == ()
