"""Strategies, webhooks, brokers and plugins through HTTP: made, changed, started, stopped, closed."""

from typing import Any

import msgspec
import pytest
from sqlalchemy import select, update

from oms_app.flow.sealing import CannotOpen, Sealer
from oms_app.store import tables
from oms_kernel.domain.ids import AccountId
from tests.api.desk import Desk

NOBODY = "0190f3a1-0000-7000-8000-0000000000aa"
ECHO: dict[str, object] = {"symbol": "ACME", "quantity": "1"}


def strategy_body(desk: Desk, **fields: object) -> dict[str, object]:
    name = next(iter(desk.services.registries.strategies))
    return {"name": "first", "strategy": name, "account_id": desk.ids["account_id"], **fields}


@pytest.fixture
def strategy(desk: Desk) -> dict[str, Any]:
    """A strategy of the first installed class that runs on parameters the test knows."""
    response = desk.send("POST", "/api/v1/strategies", strategy_body(desk, strategy="echo", params=ECHO))
    assert response.status_code == 201, response.json
    made: dict[str, Any] = response.json
    return made


def test_a_strategy_is_made_read_changed_and_closed(desk: Desk, strategy: dict[str, Any]) -> None:
    path = f"/api/v1/strategies/{strategy['strategy_id']}"
    assert desk.send("GET", path).json == strategy
    assert strategy["status"] == "STOPPED"
    changed = desk.send("PUT", path, {"name": "second", "params": {**ECHO, "quantity": "2"}})
    assert (changed.json["name"], changed.json["params"]["quantity"]) == ("second", "2")
    assert [one["name"] for one in desk.send("GET", "/api/v1/strategies").json["items"]] == ["second"]
    assert desk.send("DELETE", path).status_code == 204
    assert desk.send("GET", "/api/v1/strategies").json["items"] == []
    assert desk.send("GET", path).json["closed_at"]
    assert desk.send("POST", path + "/start").status_code == 409


def test_a_run_is_started_once_and_stopped(desk: Desk, strategy: dict[str, Any]) -> None:
    path = f"/api/v1/strategies/{strategy['strategy_id']}"
    run = desk.send("POST", path + "/start")
    assert (run.status_code, run.json["status"]) == (201, "STARTING")
    assert desk.send("POST", path + "/runs").json["code"] == "conflict"
    assert desk.send("PUT", path, {"params": ECHO}).status_code == 409
    assert desk.send("DELETE", path).status_code == 409
    assert desk.send("GET", path).json["status"] == "RUNNING"
    run_path = f"/api/v1/strategies/runs/{run.json['run_id']}"
    assert desk.send("GET", run_path).json == run.json
    stopping = desk.send("POST", path + "/stop")
    assert (stopping.status_code, stopping.json["status"]) == (202, "STOPPING")
    assert desk.send("DELETE", run_path).status_code == 202
    runs = desk.send("GET", path + "/runs").json
    assert [one["run_id"] for one in runs["items"]] == [run.json["run_id"]]
    with desk.services.store.tenant_unit(desk.tenant_id) as unit:
        unit.connection.execute(
            update(tables.STRATEGY_RUNS)
            .where(tables.STRATEGY_RUNS.c.tenant_id == desk.tenant_id)
            .values(status="STOPPED", updated_at=unit.now)
        )
    assert desk.send("POST", path + "/stop").json["code"] == "conflict"
    assert desk.send("DELETE", run_path).json["code"] == "conflict"


@pytest.mark.parametrize(
    ("fields", "status", "field"),
    [
        ({"strategy": "nothing_like_it"}, 422, "strategy"),
        ({"plugin": "echo"}, 422, "strategy"),
        ({"strategy": "echo", "params": ECHO, "account_id": NOBODY}, 404, "account_id"),
        ({"account_id": "mine"}, 422, "account_id"),
        ({"strategy": "echo", "params": {"symbol": "ACME", "quantity": "1", "colour": "red"}}, 422, "params"),
        ({"strategy": "echo", "params": {"symbol": 7}}, 422, "params.symbol"),
        ({"name": ""}, 422, "name"),
        ({"params": []}, 422, "params"),
    ],
    ids=repr,
)
def test_a_strategy_that_cannot_run_is_refused(
    quiet_desk: Desk, fields: dict[str, object], status: int, field: str
) -> None:
    desk = quiet_desk
    response = desk.send("POST", "/api/v1/strategies", strategy_body(desk, **fields))
    assert response.status_code == status, response.json
    assert field in [error["field"] for error in response.json["errors"]], response.json
    assert desk.send("GET", "/api/v1/strategies").json["items"] == []


def make_webhook(desk: Desk, **fields: object) -> Any:
    return desk.send("POST", "/api/v1/webhooks", {"url": "https://example.com/hook", **fields})


def test_a_key_of_one_account_reaches_no_webhook_because_webhooks_carry_all_accounts(desk: Desk) -> None:
    made = make_webhook(desk).json
    path = f"/api/v1/webhooks/{made['webhook_id']}"
    narrow = desk.key("manage:webhooks", account_ids=[AccountId(desk.ids["account_id"])])
    for method, where, body in (
        ("POST", "/api/v1/webhooks", {"url": "https://example.com/hook"}),
        ("GET", "/api/v1/webhooks", None),
        ("GET", path, None),
        ("PATCH", path, {"url": "https://example.com/other"}),
        ("GET", f"{path}/deliveries", None),
        ("DELETE", path, None),
    ):
        response = desk.send(method, where, body, key=narrow)
        assert (response.status_code, response.json["code"]) == (403, "not_permitted"), (method, where)
    assert desk.send("GET", path).json == {name: value for name, value in made.items() if name != "secret"}


def test_a_webhooks_secret_is_shown_once_and_stored_sealed(desk: Desk) -> None:
    made = make_webhook(desk, name="mine", event_kinds=["order_filled"])
    assert made.status_code == 201, made.json
    secret = made.json["secret"]
    assert secret.startswith("whsec_")
    path = f"/api/v1/webhooks/{made.json['webhook_id']}"
    for answer in (desk.send("GET", path), desk.send("GET", "/api/v1/webhooks")):
        assert secret not in answer.text
    with desk.services.store.read_unit(desk.tenant_id) as unit:
        row = unit.connection.execute(
            select(tables.WEBHOOKS).where(tables.WEBHOOKS.c.tenant_id == desk.tenant_id)
        ).one()
    assert secret.encode() not in bytes(row.credentials)
    sealer = desk.services.sealer
    opened = sealer.open(desk.tenant_id, "webhooks", row.webhook_id, bytes(row.credentials))
    assert opened["secret"] == secret
    for tenant, table, row_id in ((NOBODY, "webhooks", row.webhook_id), (desk.tenant_id, "webhooks", NOBODY)):
        with pytest.raises(CannotOpen):
            sealer.open(tenant, table, row_id, bytes(row.credentials))
    with pytest.raises(CannotOpen):
        Sealer("another secret").open(desk.tenant_id, "webhooks", row.webhook_id, bytes(row.credentials))


def test_a_webhook_is_changed_paused_and_closed_and_keeps_its_secret(desk: Desk) -> None:
    made = make_webhook(desk).json
    path = f"/api/v1/webhooks/{made['webhook_id']}"
    changed = desk.send("PUT", path, {"url": "https://example.com/other", "is_active": False, "name": "x"})
    assert (changed.json["url"], changed.json["is_active"], changed.json["name"]) == (
        "https://example.com/other",
        False,
        "x",
    )
    with desk.services.store.read_unit(desk.tenant_id) as unit:
        sealed = unit.connection.scalar(
            select(tables.WEBHOOKS.c.credentials).where(tables.WEBHOOKS.c.tenant_id == desk.tenant_id)
        )
    opened = desk.services.sealer.open(desk.tenant_id, "webhooks", made["webhook_id"], bytes(sealed))
    assert opened["secret"] == made["secret"]
    assert desk.send("GET", path + "/deliveries").json["items"] == []
    assert desk.send("DELETE", path).status_code == 204
    assert desk.send("GET", path).status_code == 404


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"url": "ftp://example.com"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": "https://user:pass@example.com"}, "url"),
        ({"url": "http://[::1"}, "url"),
        ({"url": 7}, "url"),
        ({"sink": "pigeon"}, "sink"),
        ({"event_kinds": ["order_eaten"]}, "event_kinds"),
        ({"event_kinds": "order_filled"}, "event_kinds"),
        ({"params": {"colour": "red"}}, "params"),
    ],
    ids=repr,
)
def test_a_webhook_that_cannot_work_is_refused(quiet_desk: Desk, fields: dict[str, object], field: str) -> None:
    desk = quiet_desk
    response = make_webhook(desk, **fields)
    assert response.status_code == 422, response.json
    assert field in [error["field"] for error in response.json["errors"]], response.json
    assert desk.send("GET", "/api/v1/webhooks").json["items"] == []


def test_a_broker_is_connected_and_disconnected_as_people_want(desk: Desk) -> None:
    brokers = desk.send("GET", "/api/v1/brokers").json["items"]
    assert [one["name"] for one in brokers] == list(desk.services.registries.brokers)
    status = desk.send("GET", "/api/v1/brokers/sim_broker/status").json
    assert status["connections"][0]["is_ready"] is True
    assert status["params_schema"]["properties"]
    off = desk.send("POST", "/api/v1/brokers/sim_broker/disconnect")
    assert (off.status_code, off.json["desired"]) == (202, "DISCONNECTED")
    on = desk.send("POST", "/api/v1/brokers/sim_broker/connect", {"connection_id": desk.ids["connection_id"]})
    assert (on.status_code, on.json["desired"]) == (202, "CONNECTED")
    with desk.services.store.read_unit(None) as unit:
        wanted = unit.connection.scalar(select(tables.LEASES.c.is_wanted))
    assert wanted
    assert desk.send("POST", "/api/v1/brokers/sim_broker/connect", {"connection_id": NOBODY}).status_code == 404
    assert desk.send("GET", "/api/v1/brokers/no_such_broker/status").status_code == 404


def test_plugins_are_listed_with_what_they_contribute(desk: Desk) -> None:
    plugins = {one["name"]: one for one in desk.send("GET", "/api/v1/plugins").json["items"]}
    assert plugins["sim_broker"]["status"] == "LOADED"
    contribution = plugins["sim_broker"]["contributions"][0]
    assert (contribution["kind"], contribution["name"]) == ("broker_connectors", "sim_broker")
    assert contribution["title"]
    assert contribution["params_schema"]["properties"]
    msgspec.json.encode(plugins)
