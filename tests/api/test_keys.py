"""API keys of programs: test and live, networks, quotas of their own, rotation with overlap, and who may make them."""

import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import select, update

from oms_app.flow.api_keys import is_well_formed, new_api_key
from oms_app.flow.client_address import TrustedProxies
from oms_app.flow.key_terms import AddressNotAllowed, KeyTerms, checked_networks
from oms_app.flow.machine_keys import KeyWish
from oms_app.flow.scopes import Scope
from oms_app.store import auth_epochs, tables
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import AccountId
from tests.api.desk import PASSWORD, Desk

READER = ["view:orders"]
TRADER = ["view:orders", "place:orders", "cancel:orders"]


def make(desk: Desk, **fields: object) -> Any:
    """The answer to asking for a key, as the administrator's key."""
    return desk.send("POST", "/api/v1/api-keys", {"name": "bot", "scopes": READER, **fields})


def signed_in(desk: Desk) -> dict[str, str]:
    """Headers of a session whose person has just proved it anew."""
    tokens = desk.client.post("/api/v1/auth/login", json={"email": "admin@example.com", "password": PASSWORD}).json
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    proved = desk.client.post("/api/v1/auth/step-up", json={"password": PASSWORD}, headers=headers)
    assert proved.status_code == 200, proved.json
    return headers


def me(desk: Desk, key: str, address: str = "127.0.0.1") -> Any:
    return desk.client.get("/api/v1/auth/me", headers={"X-API-Key": key}, environ_base={"REMOTE_ADDR": address})


def test_keys_say_by_their_beginning_whether_they_are_for_tests() -> None:
    live, test = new_api_key(), new_api_key(is_test=True)
    assert live.startswith("oms_live_")
    assert test.startswith("oms_test_")
    assert is_well_formed(live) and is_well_formed(test)
    assert not is_well_formed("oms_live_" + test.removeprefix("oms_test_"))
    assert not is_well_formed(live[:-1] + ("0" if live[-1] != "0" else "1"))


def test_a_key_that_may_place_orders_is_made_by_a_person_who_proved_it_anew(desk: Desk) -> None:
    refused = make(desk, scopes=TRADER)
    assert (refused.status_code, refused.json["code"]) == (403, "step_up_required")
    made = desk.client.post("/api/v1/api-keys", json={"name": "bot", "scopes": TRADER}, headers=signed_in(desk))
    assert made.status_code == 201, made.json
    placed = desk.send("POST", "/api/v1/orders", desk.order(), key=made.json["api_key"])
    assert placed.status_code == 201, placed.json


def test_a_test_key_reaches_simulated_accounts_only_and_nothing_beyond_accounts(desk: Desk) -> None:
    key = desk.services.identity.machine_keys.create(
        desk.principal, KeyWish(name="t", scopes=tuple(TRADER), is_test=True)
    ).api_key
    assert me(desk, key).json["account_ids"] == [desk.ids["account_id"]]
    assert desk.send("POST", "/api/v1/orders", desk.order(), key=key).status_code == 201
    with desk.services.store.tenant_unit(desk.tenant_id) as unit:
        unit.connection.execute(
            update(tables.BROKER_CONNECTIONS)
            .where(tables.BROKER_CONNECTIONS.c.tenant_id == desk.tenant_id)
            .values(broker="a_real_one")
        )
        auth_epochs.bump(unit, desk.tenant_id)
    assert me(desk, key).json["account_ids"] == []
    refused = desk.send("POST", "/api/v1/orders", desk.order(), key=key)
    assert (refused.status_code, refused.json["code"]) == (404, "unknown_account")
    assert desk.send("GET", "/api/v1/orders", key=key).json["items"] == []
    wide = make(desk, is_test=True, scopes=["admin:tenants"])
    assert (wide.status_code, wide.json["errors"][0]["field"]) == (422, "scopes")
    real = make(desk, is_test=True, account_ids=[desk.ids["account_id"]])
    assert (real.status_code, real.json["errors"][0]["field"]) == (422, "account_ids")


def test_a_key_names_accounts_of_its_tenant_only(desk: Desk) -> None:
    refused = make(desk, account_ids=["0190f3a1-0000-7000-8000-0000000000aa"])
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "account_ids")
    assert make(desk, account_ids=[desk.ids["account_id"]]).status_code == 201


def test_a_key_is_refused_from_outside_its_networks(desk: Desk) -> None:
    made = make(desk, networks=["10.1.0.0/16", "2001:db8::/32"]).json
    assert me(desk, made["api_key"], "10.1.2.3").status_code == 200
    assert me(desk, made["api_key"], "::ffff:10.1.2.3").status_code == 200
    assert me(desk, made["api_key"], "2001:db8::7").status_code == 200
    refused = me(desk, made["api_key"], "10.2.0.1")
    assert (refused.status_code, refused.json["code"]) == (403, "address_not_allowed")
    assert me(desk, made["api_key"], "2001:db9::7").status_code == 403
    wider = desk.send("PATCH", f"/api/v1/api-keys/{made['key_id']}", {"networks": []})
    assert wider.json["networks"] == []
    assert me(desk, made["api_key"], "10.2.0.1").status_code == 200
    wrong = make(desk, networks=["10.1.0.0/16", "10.0.0.1/8"])
    assert (wrong.status_code, wrong.json["errors"][0]["field"]) == (422, "networks[1]")


def test_the_last_use_of_a_key_is_kept_with_its_address(desk: Desk) -> None:
    made = make(desk).json
    path = f"/api/v1/api-keys/{made['key_id']}"
    assert desk.send("GET", path).json["last_used_at"] is None
    me(desk, made["api_key"], "192.0.2.7")
    shown = desk.send("GET", path).json
    assert shown["last_used_at"] is not None
    assert shown["last_used_address"] == "192.0.2.7"


def test_a_rotated_key_keeps_its_id_and_rights_and_both_secrets_work_until_the_overlap_ends(desk: Desk) -> None:
    made = make(desk, networks=["127.0.0.0/8"]).json
    old = made["api_key"]
    rotated = desk.send("POST", "/api/v1/auth/rotate-api-key", {"overlap_s": 3600}, key=old)
    assert rotated.status_code == 200, rotated.json
    new = rotated.json["api_key"]
    assert new != old
    assert rotated.json["previous_prefix"] == made["prefix"]
    for key in (old, new):
        assert me(desk, key).json["principal"] == f"key:{made['key_id']}"
        assert me(desk, key, "10.0.0.1").status_code == 403
    again = desk.send("POST", "/api/v1/auth/rotate-api-key", key=old)
    assert (again.status_code, again.json["code"]) == (409, "conflict")
    at_once = desk.send("POST", "/api/v1/auth/rotate-api-key", {"overlap_s": 0}, key=new)
    assert at_once.status_code == 200
    assert [me(desk, key).status_code for key in (old, new, at_once.json["api_key"])] == [401, 401, 200]
    assert desk.send("DELETE", f"/api/v1/api-keys/{made['key_id']}").status_code == 204
    assert me(desk, at_once.json["api_key"]).status_code == 401


def test_an_overlap_ends_by_the_clock_and_lasts_at_most_seven_days(desk: Desk) -> None:
    keys = desk.services.identity.machine_keys
    made = keys.create(desk.principal, KeyWish(name="k", scopes=("view:orders",)))
    assert keys.rotate(desk.principal, made.row.key_id, overlap=timedelta(days=7)).api_key
    with desk.services.store.tenant_unit(desk.tenant_id) as unit:
        ended = datetime.now(UTC) - timedelta(seconds=1)
        unit.connection.execute(
            update(tables.API_KEY_HASHES)
            .where(tables.API_KEY_HASHES.c.key_id == made.row.key_id)
            .values(previous_until=ended)
        )
        auth_epochs.bump(unit, desk.tenant_id)
    assert me(desk, made.api_key).status_code == 401
    with pytest.raises(InvalidRequest):
        keys.rotate(desk.principal, made.row.key_id, overlap=timedelta(days=7, seconds=1))
    path = f"/api/v1/api-keys/{made.row.key_id}/rotate"
    assert desk.send("POST", path, {"overlap_s": 7 * 86_400 + 1}).status_code == 422
    assert desk.send("POST", path).status_code == 200


def test_of_many_who_rotate_one_key_at_once_one_succeeds(desk: Desk) -> None:
    made = make(desk).json
    answers: list[int] = []

    def rotate() -> None:
        client = desk.app.test_client()
        sent = client.post("/api/v1/auth/rotate-api-key", headers={"X-API-Key": made["api_key"]})
        answers.append(sent.status_code)

    threads = [threading.Thread(target=rotate) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(answers) == [200, 409, 409, 409, 409, 409]


def test_nobody_gets_the_secret_of_a_key_that_may_do_more_than_they(desk: Desk) -> None:
    strong = desk.services.identity.machine_keys.create(desk.principal, KeyWish(name="s", scopes=("view:positions",)))
    weak = desk.key(Scope.ADMIN_TENANTS)
    refused = desk.send("POST", f"/api/v1/api-keys/{strong.row.key_id}/rotate", key=weak)
    assert (refused.status_code, refused.json["code"]) == (403, "not_permitted")
    assert me(desk, strong.api_key).status_code == 200


def test_a_persons_session_and_a_strange_key_rotate_nothing(desk: Desk) -> None:
    own = desk.client.post("/api/v1/auth/rotate-api-key", headers=signed_in(desk))
    assert own.status_code == 409
    unknown = "/api/v1/api-keys/0190f3a1-0000-7000-8000-0000000000aa"
    for method, path in (("POST", unknown + "/rotate"), ("GET", unknown), ("DELETE", unknown)):
        assert desk.send(method, path).status_code == 404
    assert desk.send("PATCH", unknown, {"name": "x"}).status_code == 404


def test_a_trading_key_is_rotated_and_changed_by_a_person_who_proved_it_anew(desk: Desk) -> None:
    key = desk.services.identity.machine_keys.create(desk.principal, KeyWish(name="t", scopes=tuple(TRADER)))
    path = f"/api/v1/api-keys/{key.row.key_id}"
    assert desk.send("POST", path + "/rotate").json["code"] == "step_up_required"
    assert desk.send("PATCH", path, {"networks": []}).json["code"] == "step_up_required"
    headers = signed_in(desk)
    assert desk.client.post(path + "/rotate", headers=headers).status_code == 200
    changed = desk.client.patch(path, json={"name": "renamed", "requests_per_s": 5}, headers=headers)
    assert (changed.json["name"], changed.json["requests_per_s"], changed.json["burst"]) == ("renamed", 5, 10)


def test_each_change_of_a_key_moves_the_epoch_and_is_recorded(desk: Desk) -> None:
    store, keys = desk.services.store, desk.services.identity.machine_keys
    epochs, heads = [store.auth_epoch(desk.tenant_id)], [desk.event_count()]
    made = keys.create(desk.principal, KeyWish(name="k", scopes=("view:orders",)))
    key_id = made.row.key_id
    for act in (
        lambda: keys.change(desk.principal, key_id, fields=["name"], wish=KeyWish(name="n", scopes=())),
        lambda: keys.rotate(desk.principal, key_id, overlap=timedelta(0)),
        lambda: keys.revoke(desk.principal, key_id),
    ):
        epochs.append(store.auth_epoch(desk.tenant_id))
        heads.append(desk.event_count())
        act()
    epochs.append(store.auth_epoch(desk.tenant_id))
    heads.append(desk.event_count())
    assert len(set(epochs)) == len(epochs) == 5
    assert [after - before for before, after in pairwise(heads)] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "203.0.113.5, 10.0.0.2", "203.0.113.5"),
        ("10.0.0.1", "203.0.113.5:4711, 10.0.0.2", "203.0.113.5"),
        ("10.0.0.1", "[2001:db8::1]:443", "2001:db8::1"),
        ("10.0.0.1", "203.0.113.5, nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("::ffff:10.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("198.51.100.1", "203.0.113.5", "198.51.100.1"),
    ],
)
def test_only_trusted_proxies_say_who_the_client_is(peer: str, forwarded: str, client: str) -> None:
    proxies = TrustedProxies([ip_network("10.0.0.0/8")])
    assert proxies.client(peer, forwarded) == client


def test_networks_are_given_once_and_as_networks() -> None:
    assert checked_networks(["10.0.0.1", "10.0.0.1/32", "2001:DB8::/32"]) == ("10.0.0.1/32", "2001:db8::/32")
    for text in ("10.0.0.1/33", "10.0.0.1/8", "localhost", "", "1.2.3", "::/129"):
        with pytest.raises(InvalidRequest):
            checked_networks([text])
    with pytest.raises(AddressNotAllowed):
        KeyTerms(key_id="k", networks=("10.0.0.0/8",)).check_address("no address")


def test_account_ids_of_a_key_are_kept(desk: Desk) -> None:
    key = desk.key(Scope.VIEW_ORDERS, account_ids=[AccountId(desk.ids["account_id"])])
    assert me(desk, key).json["account_ids"] == [desk.ids["account_id"]]


def test_a_brokers_credentials_are_given_by_a_person_who_proved_it_anew_and_never_shown(desk: Desk) -> None:
    path = "/api/v1/brokers/sim_broker/credentials"
    body = {"credentials": {"token": "a token of the simulator"}}
    assert desk.send("PUT", path, body).json["code"] == "step_up_required"
    headers = signed_in(desk)
    given = desk.client.put(path, json=body, headers=headers)
    assert given.status_code == 200, given.json
    assert given.json == {"connection_id": desk.ids["connection_id"], "credentials": ["token"]}
    table = tables.BROKER_CONNECTIONS
    with desk.services.store.read_unit(desk.tenant_id) as unit:
        sealed = unit.connection.scalar(select(table.c.credentials).where(table.c.tenant_id == desk.tenant_id))
    opened = desk.services.sealer.open(desk.tenant_id, "broker_connections", desk.ids["connection_id"], bytes(sealed))
    assert opened == body["credentials"]
    assert "a token of" not in desk.send("GET", "/api/v1/brokers").text
    strange = desk.client.put(path, json={"credentials": {"passphrase": "x"}}, headers=headers)
    assert (strange.status_code, strange.json["errors"][0]["field"]) == (422, "credentials.passphrase")
    taken = desk.client.put(path, json={"credentials": {"token": None}}, headers=headers)
    assert taken.json["credentials"] == []
    unknown = {**body, "connection_id": "0190f3a1-0000-7000-8000-0000000000aa"}
    assert desk.client.put(path, json=unknown, headers=headers).status_code == 404
