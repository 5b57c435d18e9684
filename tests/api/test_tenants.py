"""Tenants over HTTP: made and closed by superusers, changed by their administrators, hidden from everybody else."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oms_app.flow.audit import cli_actor
from oms_app.store import auth_epochs
from oms_app.store.platform import PLATFORM_TENANT
from tests.api.conftest import opened
from tests.api.desk import PASSWORD, Desk
from tests.api.people_desk import People


@pytest.fixture(scope="module")
def desk(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with opened(migrated_file, tmp_path_factory.mktemp("tenants")) as made:
        yield made


@pytest.fixture(scope="module")
def people(desk: Desk) -> People:
    return People(desk)


@pytest.fixture(scope="module")
def superuser(people: People) -> str:
    """The token of somebody who runs the platform."""
    return people.token(people.person(is_superuser=True))


@pytest.fixture(scope="module")
def admin(people: People) -> str:
    """The token of an administrator of the desk's tenant."""
    return people.token(people.person("ADMIN"))


def new_slug() -> str:
    return f"desk-{uuid.uuid4().hex[:10]}"


def test_a_superuser_signs_in_without_any_tenant(people: People, superuser: str) -> None:
    assert people.send(superuser, "GET", "/tenants/current").json["tenant_id"] == PLATFORM_TENANT


def test_a_superuser_makes_a_tenant_with_ledger_epoch_audit_and_an_invited_administrator(
    desk: Desk, people: People, superuser: str
) -> None:
    address, slug = people.address("first"), new_slug()
    body = {
        "name": "Blue Desk",
        "slug": slug,
        "domain": f"{slug}.example.com",
        "time_zone": "Europe/Berlin",
        "base_currency": "EUR",
        "settings": {"require_totp": True},
        "admin_email": address,
    }
    answer = people.send(superuser, "POST", "/tenants", body)
    assert answer.status_code == 201, answer.json
    made = answer.json
    assert made["settings"] == {
        "require_idempotency_key": False, "require_totp": True, "allow_private_webhooks": False,
        "required_limits": [], "second_person_release": False, "second_person_limits": False, "approval_window_s": 900,
        "strategy_dead_man_s": 0,
    }  # fmt: skip
    assert (made["slug"], made["domain"], made["is_active"]) == (slug, f"{slug}.example.com", True)
    with desk.services.store.read_unit(made["tenant_id"]) as unit:
        assert auth_epochs.read(unit, made["tenant_id"]) >= 1
    (ledger,) = [ledger for tenant, ledger in desk.services.store.ledgers() if tenant == made["tenant_id"]]
    kinds = [recorded.event.action for recorded in desk.services.store.events(made["tenant_id"], ledger, 0)]  # type: ignore[attr-defined]
    assert kinds == ["tenant.created", "invitation.created"]
    accepted = desk.client.post(
        "/api/v1/invitations/accept", json={"token": people.mailbox.last(address).token, "password": "a first password"}
    )
    assert accepted.json["tenant_id"] == made["tenant_id"]


def test_whoever_runs_the_platform_no_longer_is_refused_at_once(desk: Desk, people: People) -> None:
    address = people.person(is_superuser=True)
    token = people.token(address)
    assert people.send(token, "GET", "/tenants").status_code == 200
    desk.services.people.set_superuser(cli_actor(), address, False)
    assert people.send(token, "GET", "/tenants").status_code == 401
    assert people.sign_in(address).status_code == 401


def test_whoever_is_no_superuser_makes_and_closes_no_tenant(desk: Desk, people: People, admin: str) -> None:
    refusal = people.send(admin, "POST", "/tenants", {"name": "Mine"})
    assert (refusal.status_code, refusal.json["code"]) == (403, "not_permitted")
    closed = people.send(admin, "POST", f"/tenants/{desk.tenant_id}/deactivate")
    assert closed.status_code == 403
    assert desk.send("POST", "/api/v1/tenants", {"name": "By key"}).status_code == 403


def test_another_tenant_is_as_if_it_did_not_exist(people: People, admin: str) -> None:
    other = people.tenant()
    for method, rest, body in (
        ("GET", "", None), ("PATCH", "", {"name": "x"}), ("POST", "/deactivate", None), ("POST", "/activate", None),
        ("GET", "/settings", None), ("PUT", "/settings", {}),
    ):  # fmt: skip
        theirs = people.send(admin, method, f"/tenants/{other.tenant_id}{rest}", body)
        nobodys = people.send(admin, method, f"/tenants/{uuid.uuid4()}{rest}", body)
        assert theirs.status_code == nobodys.status_code == 404
        assert _same(theirs.json) == _same(nobodys.json)


def test_an_administrator_lists_and_changes_only_their_own_tenant(desk: Desk, people: People, admin: str) -> None:
    listed = people.send(admin, "GET", "/tenants").json["items"]
    assert [one["tenant_id"] for one in listed] == [desk.tenant_id]
    changed = people.send(admin, "PATCH", f"/tenants/{desk.tenant_id}", {"name": "Renamed", "time_zone": "Asia/Tokyo"})
    assert (changed.json["name"], changed.json["time_zone"]) == ("Renamed", "Asia/Tokyo")
    refusal = people.send(admin, "PATCH", f"/tenants/{desk.tenant_id}", {"domain": "rival.example.com"})
    assert (refusal.status_code, refusal.json["errors"][0]["field"]) == (403, "domain")


def test_a_superuser_lists_every_tenant_but_not_the_platform(people: People, superuser: str) -> None:
    other = people.tenant()
    ids = {one["tenant_id"] for one in people.send(superuser, "GET", "/tenants?limit=500").json["items"]}
    assert other.tenant_id in ids
    assert PLATFORM_TENANT not in ids


WRONG: list[tuple[str, Any]] = [
    ("slug", "ab"), ("slug", "UPPER"), ("slug", "with space"), ("slug", "-edge"), ("slug", "two--hyphens"),
    ("slug", "admin"), ("slug", "platform"), ("slug", "tenant-1"), ("domain", "localhost"), ("domain", "10.0.0.1"),
    ("domain", "http://x.example.com"), ("domain", "x.example.com:80"), ("time_zone", "Mars/Olympus"),
    ("time_zone", "../etc/passwd"), ("base_currency", "usd"), ("base_currency", "U$"), ("name", " "),
    ("settings", {"colour": "red"}), ("settings", {"require_totp": "yes"}), ("admin_email", "nobody"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), WRONG, ids=[f"{field} {value}" for field, value in WRONG])
def test_a_wrong_field_is_named(people: People, superuser: str, field: str, value: Any) -> None:
    answer = people.send(superuser, "POST", "/tenants", {"name": "x", "slug": new_slug(), field: value})
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"].startswith(field)


def test_a_taken_slug_or_domain_is_told_as_such(people: People, superuser: str) -> None:
    slug = new_slug()
    taken = people.tenant(slug=slug, domain=f"{slug}.example.com")
    for field, value in (("slug", taken.slug), ("domain", taken.domain)):
        answer = people.send(superuser, "POST", "/tenants", {"name": "x", field: value})
        assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field)
    without = people.send(superuser, "POST", "/tenants", {"name": "Blue & Söhne"})
    assert without.json["slug"] == "blue-shne"
    again = people.send(superuser, "POST", "/tenants", {"name": "Blue & Söhne"})
    assert again.json["slug"].startswith("blue-shne-")


def test_settings_are_replaced_and_an_unknown_one_is_named(desk: Desk, people: People, admin: str) -> None:
    path = f"/tenants/{desk.tenant_id}/settings"
    assert people.send(admin, "PUT", path, {"allow_private_webhooks": True}).json["allow_private_webhooks"] is True
    assert people.send(admin, "PUT", path, {}).json["allow_private_webhooks"] is False
    refusal = people.send(admin, "PUT", path, {"colour": True})
    assert (refusal.status_code, refusal.json["errors"][0]["field"]) == (422, "colour")
    assert "require_totp" in refusal.json["errors"][0]["fix"]


def test_a_tenant_may_require_an_idempotency_key_of_every_order_but_of_no_cancel(
    migrated_file: Path, tmp_path: Path
) -> None:
    with opened(migrated_file, tmp_path) as desk:
        order_id = desk.place().json["order_id"]
        settings = f"/api/v1/tenants/{desk.tenant_id}/settings"
        assert desk.send("PUT", settings, {"require_idempotency_key": True}).status_code == 200
        refusals = [
            desk.place(),
            desk.send("POST", "/api/v1/orders/bulk", {"orders": [desk.order()]}),
            desk.send("PATCH", f"/api/v1/orders/{order_id}", {"quantity": "11"}),
        ]
        assert [one.status_code for one in refusals] == [422] * 3
        assert {one.json["errors"][0]["field"] for one in refusals} == {"Idempotency-Key"}
        assert desk.send("POST", "/api/v1/orders", desk.order(), Idempotency_Key="k1").status_code == 201
        assert desk.send("DELETE", f"/api/v1/orders/{order_id}").status_code == 202
        assert desk.send("PUT", settings, {}).status_code == 200
        assert desk.place().status_code == 201


def test_in_a_closed_tenant_nobody_signs_in_and_keys_and_tokens_are_refused_at_once(
    migrated_file: Path, tmp_path: Path
) -> None:
    with opened(migrated_file, tmp_path) as desk:
        people = People(desk)
        superuser = people.token(people.person(is_superuser=True))
        address = people.person("ADMIN")
        token = people.token(address)
        order_id = desk.place(order_type="LIMIT").json["order_id"]
        closed = people.send(superuser, "POST", f"/tenants/{desk.tenant_id}/deactivate")
        assert closed.json["is_active"] is False
        assert people.send(token, "GET", "/auth/me").status_code == 401
        assert desk.send("GET", "/api/v1/orders").status_code == 401
        assert desk.place().status_code == 401
        assert people.sign_in(address).status_code == 401
        assert desk.services.tenancy.get(desk.tenant_id).is_active is False
        _cancelled_by_an_operator(desk, order_id)
        assert people.send(superuser, "POST", f"/tenants/{desk.tenant_id}/activate").status_code == 200
        assert desk.send("GET", "/api/v1/orders").status_code == 200
        assert people.sign_in(address).status_code == 200


def _cancelled_by_an_operator(desk: Desk, order_id: str) -> None:
    from oms_app.flow.audit import CLI
    from oms_app.flow.principal import Principal

    operator = Principal(principal_id=CLI, tenant_id=desk.tenant_id, scopes=frozenset({"cancel:orders"}))
    (outcome,) = desk.services.amendment.cancel_all(operator)
    assert (outcome.order_id, outcome.error) == (order_id, None)


def test_at_a_tenants_domain_only_that_tenant_exists(desk: Desk, people: People) -> None:
    slug = new_slug()
    other = people.tenant(slug=slug, domain=f"{slug}.example.com")
    host = {"Host": f"{slug}.example.com:8000"}
    theirs = people.person("TRADER", tenant_id=other.tenant_id)
    mine, foreign = people.token(theirs), people.token(people.person("TRADER"))
    desk.services.hosts._until = float("-inf")  # the domain counts within two seconds; the test need not wait
    assert people.send(mine, "GET", "/auth/me", **host).status_code == 200
    refused = people.send(foreign, "GET", "/auth/me", **host)
    forged = people.send("x.y.z", "GET", "/auth/me", **host)
    assert (refused.status_code, refused.json["code"]) == (forged.status_code, forged.json["code"])
    by_key = desk.send("GET", "/api/v1/orders", **host)
    unknown = desk.send("GET", "/api/v1/orders", key=_altered(desk.api_key), **host)
    assert by_key.status_code == unknown.status_code == 401
    assert by_key.json["detail"] == "the API key is unknown, revoked or expired"
    both = people.person("TRADER")
    with desk.services.store.tenant_unit(other.tenant_id) as unit:
        from oms_app.store.people import put_member

        put_member(unit, people.id_of(both), "VIEWER", ())
    assert people.sign_in(both, **host).json["tenant_id"] == other.tenant_id
    assert people.sign_in(people.person("TRADER"), **host).status_code == 401
    body = {"email": both, "password": PASSWORD}
    for named in ({"tenant_id": desk.tenant_id}, {"tenant": "demo"}, {"tenant_id": str(uuid.uuid4())}):
        refused = people.public("/auth/login", {**body, **named}, **host)
        assert (refused.status_code, refused.json["code"]) == (401, "invalid_credentials")
    assert people.public("/auth/login", {**body, "tenant": slug}, **host).status_code == 200


def _altered(key: str) -> str:
    from oms_app.flow.api_keys import new_api_key

    return new_api_key()


def _same(problem: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in problem.items() if name != "request_id"}
