"""Members: roles and scopes, kept out, removed; nobody gives more than they have, and one ADMIN always stays."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oms_app.flow.scopes import ROLES, Scope
from tests.api.conftest import opened
from tests.api.desk import PASSWORD
from tests.api.people_desk import People


@pytest.fixture(scope="module")
def people(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    with opened(migrated_file, tmp_path_factory.mktemp("members")) as desk:
        yield People(desk)


@pytest.fixture(scope="module")
def admin(people: People) -> str:
    """The token of an administrator."""
    return people.token(people.person("ADMIN"))


def scopes_of_token(people: People, token: str) -> set[str]:
    return set(people.send(token, "GET", "/auth/me").json["scopes"])


def test_each_role_may_do_what_it_says(people: People) -> None:
    viewing = {"view:orders", "view:positions"}
    trading = viewing | {"place:orders", "cancel:orders", "modify:orders", "run:strategies"}
    wanted = {
        "VIEWER": viewing,
        "TRADER": trading,
        "MANAGER": trading | {"manage:brokers", "manage:risk", "manage:webhooks"},
        "COMPLIANCE": viewing | {"view:audit", "manage:compliance"},
        "ADMIN": {str(scope) for scope in Scope},
    }
    assert {role: {str(scope) for scope in scopes} for role, scopes in ROLES.items()} == wanted
    for role, scopes in wanted.items():
        assert scopes_of_token(people, people.token(people.person(role))) == scopes


def test_a_role_and_extra_scopes_are_given_and_taken_with_the_next_request(people: People, admin: str) -> None:
    address = people.person("VIEWER")
    user_id, token = people.id_of(address), people.token(address)
    body = {"role": "TRADER", "scopes": ["manage:risk"]}
    changed = people.send(admin, "PATCH", f"/members/{user_id}", body)
    assert changed.json["scopes"] == ["manage:risk"]
    assert {"place:orders", "manage:risk"} <= set(changed.json["granted_scopes"])
    trader = people.token(address)
    assert {"place:orders", "manage:risk"} <= scopes_of_token(people, trader)
    assert people.send(admin, "PATCH", f"/members/{user_id}", {"role": "VIEWER", "scopes": []}).status_code == 200
    assert scopes_of_token(people, trader) == {"view:orders", "view:positions"}
    assert scopes_of_token(people, token) == {"view:orders", "view:positions"}


def test_a_key_can_do_no_more_than_its_owner_can_now(people: People, admin: str) -> None:
    address = people.person("ADMIN")
    owner = people.token(address)
    made = people.desk.services.identity.create_key(
        people.desk.services.identity.caller_of_token(owner).principal, "mine", ["view:orders", "manage:webhooks"]
    )
    assert people.desk.send("GET", "/api/v1/webhooks", key=made.api_key).status_code == 200
    assert people.send(admin, "PATCH", f"/members/{people.id_of(address)}", {"role": "VIEWER"}).status_code == 200
    assert people.desk.send("GET", "/api/v1/webhooks", key=made.api_key).status_code == 403
    assert people.desk.send("GET", "/api/v1/orders", key=made.api_key).status_code == 200
    people.send(admin, "POST", f"/members/{people.id_of(address)}/deactivate")
    assert people.desk.send("GET", "/api/v1/orders", key=made.api_key).status_code == 401


def test_a_member_who_is_kept_out_is_refused_at_once_and_may_return(people: People, admin: str) -> None:
    address = people.person("TRADER")
    token, path = people.token(address), f"/members/{people.id_of(address)}"
    assert people.send(admin, "POST", f"{path}/deactivate").json["is_active"] is False
    assert people.send(token, "GET", "/orders").status_code == 401
    assert people.sign_in(address).status_code == 401
    assert people.send(admin, "POST", f"{path}/activate").json["is_active"] is True
    assert people.sign_in(address).status_code == 200


def test_a_removed_member_is_gone_with_sessions_and_keys_and_may_be_invited_again(people: People, admin: str) -> None:
    address = people.person("ADMIN")
    user_id, token = people.id_of(address), people.token(address)
    services = people.desk.services
    key = services.identity.create_key(services.identity.caller_of_token(token).principal, "x", ["view:orders"])
    assert people.send(admin, "DELETE", f"/members/{user_id}").status_code == 204
    assert people.send(token, "GET", "/orders").status_code == 401
    assert people.desk.send("GET", "/api/v1/orders", key=key.api_key).status_code == 401
    assert people.send(admin, "GET", f"/members/{user_id}").status_code == 404
    assert people.send(admin, "DELETE", f"/members/{user_id}").status_code == 404
    assert people.send(admin, "POST", "/invitations", {"email": address, "role": "VIEWER"}).status_code == 201
    taken = people.public("/invitations/accept", {"token": people.mailbox.last(address).token})
    assert (taken.status_code, taken.json["is_new"]) == (201, False)
    assert scopes_of_token(people, people.token(address)) == {"view:orders", "view:positions"}
    assert people.desk.send("GET", "/api/v1/orders", key=key.api_key).status_code == 401


def test_nobody_gives_more_than_they_have_and_nobody_takes_from_who_has_more(people: People, admin: str) -> None:
    limited = people.person("VIEWER")
    people.send(admin, "PATCH", f"/members/{people.id_of(limited)}", {"scopes": ["admin:tenants"]})
    helper, target = people.token(limited), people.id_of(people.person("VIEWER"))
    boss = people.id_of(people.person("ADMIN"))
    refusals = [
        people.send(helper, "PATCH", f"/members/{target}", {"role": "ADMIN"}),
        people.send(helper, "PATCH", f"/members/{target}", {"scopes": ["place:orders"]}),
        people.send(helper, "PATCH", f"/members/{people.id_of(limited)}", {"role": "TRADER"}),
        people.send(helper, "PATCH", f"/members/{boss}", {"role": "VIEWER"}),
        people.send(helper, "POST", f"/members/{boss}/deactivate"),
        people.send(helper, "DELETE", f"/members/{boss}"),
        people.send(helper, "POST", "/invitations", {"email": people.address(), "role": "TRADER"}),
    ]
    assert [(one.status_code, one.json["code"]) for one in refusals] == [(403, "not_permitted")] * len(refusals)
    allowed = people.send(helper, "PATCH", f"/members/{target}", {"scopes": ["admin:tenants"]})
    assert allowed.status_code == 200


def test_the_last_active_administrator_stays(migrated_file: Path, tmp_path: Path) -> None:
    with opened(migrated_file, tmp_path) as desk:
        people = People(desk)
        path, second = f"/members/{desk.user_id}", people.person("ADMIN")
        token = people.token(second)
        assert people.send(token, "POST", f"{path}/deactivate").status_code == 200
        mine = f"/members/{people.id_of(second)}"
        refusals = [
            people.send(token, "PATCH", mine, {"role": "VIEWER"}),
            people.send(token, "POST", f"{mine}/deactivate"),
            people.send(token, "DELETE", mine),
        ]
        assert [one.status_code for one in refusals] == [409] * 3
        assert people.send(token, "POST", f"{path}/activate").status_code == 200
        assert people.send(token, "PATCH", mine, {"role": "VIEWER"}).status_code == 200


def test_members_of_another_tenant_are_as_if_they_did_not_exist(people: People, admin: str) -> None:
    other = people.tenant()
    theirs = people.id_of(people.person("VIEWER", tenant_id=other.tenant_id))
    for method, rest, body in (
        ("GET", "", None), ("PATCH", "", {"role": "ADMIN"}), ("DELETE", "", None),
        ("POST", "/activate", None), ("POST", "/deactivate", None),
    ):  # fmt: skip
        found = [people.send(admin, method, f"/members/{one}{rest}", body) for one in (theirs, uuid.uuid4())]
        assert [one.status_code for one in found] == [404, 404]
        assert _same(found[0].json) == _same(found[1].json)
    listed = people.send(admin, "GET", "/members?limit=500").json["items"]
    assert theirs not in {one["user_id"] for one in listed}


def test_members_are_listed_by_role_and_page(people: People, admin: str) -> None:
    people.person("COMPLIANCE")
    found = people.send(admin, "GET", "/members?role=COMPLIANCE").json
    assert {one["role"] for one in found["items"]} == {"COMPLIANCE"}
    first = people.send(admin, "GET", "/members?limit=1").json
    second = people.send(admin, "GET", f"/members?limit=1&cursor={first['next_cursor']}").json
    assert first["items"][0]["user_id"] != second["items"][0]["user_id"]


def test_each_change_is_told_in_the_audit_without_a_persons_values(people: People, admin: str) -> None:
    address = people.person("VIEWER")
    user_id = people.id_of(address)
    people.send(admin, "PATCH", f"/members/{user_id}", {"role": "TRADER"})
    services, tenant_id = people.desk.services, people.desk.tenant_id
    (ledger,) = [ledger for tenant, ledger in services.store.ledgers() if tenant == tenant_id]
    told: list[Any] = [one.event for one in services.store.events(tenant_id, ledger, 0, 5000)]
    mine = [one for one in told if getattr(one, "object_id", "") == user_id]
    assert [one.action for one in mine] == ["user.created", "member.role_changed"]
    assert (mine[1].before["role"], mine[1].after["role"]) == ("VIEWER", "TRADER")
    assert address not in repr(mine)
    assert PASSWORD not in repr(mine)


def _same(problem: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in problem.items() if name != "request_id"}
