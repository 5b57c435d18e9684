"""One story through HTTP on PostgreSQL: what differs between the databases must not show."""

import pytest

from tests.api.desk import PASSWORD, Desk

pytestmark = pytest.mark.integration


def test_signing_in_trading_reading_and_configuring_work_on_postgresql(postgres_desk: Desk) -> None:
    desk = postgres_desk
    tokens = desk.client.post("/api/v1/auth/login", json={"email": "admin@example.com", "password": PASSWORD})
    assert tokens.status_code == 200, tokens.json
    renewed = desk.client.post("/api/v1/auth/refresh", json={"refresh_token": tokens.json["refresh_token"]})
    bearer = {"Authorization": f"Bearer {renewed.json['access_token']}"}
    assert desk.client.get("/api/v1/auth/me", headers=bearer).status_code == 200
    placed = desk.place(client_order_id="pg-1", tags={"a": "b"})
    assert placed.status_code == 201, placed.json
    assert desk.place(client_order_id="pg-1").status_code == 409
    assert desk.place(quantity="1e400").status_code == 422
    assert desk.place(account_id="nobody").status_code == 404
    desk.fill(placed.json, "4", "99.40")
    read = desk.send("GET", f"/api/v1/orders/{placed.json['order_id']}").json
    assert (read["state"], read["filled_quantity"], read["tags"]) == ("PARTIALLY_FILLED", "4", {"a": "b"})
    for path in (
        "/orders?status=OPEN&symbol=XTEST:ACME",
        f"/orders/{placed.json['order_id']}/events",
        "/executions?symbol=ACME",
        "/positions",
        "/pnl/today",
        "/accounts",
        "/broker-accounts",
        "/instruments?symbol=ACME",
        "/brokers",
        "/api-keys",
    ):
        response = desk.send("GET", f"/api/v1{path}")
        assert response.status_code == 200, (path, response.json)
        assert response.json["items"], path
    assert desk.send("GET", "/api/v1/marketdata/last/ACME").json["bid"] == "99.99"
    execution = desk.send("GET", "/api/v1/executions").json["items"][0]
    assert desk.send("GET", f"/api/v1/executions/{execution['execution_id']}").json == execution
    strategy = desk.send(
        "POST",
        "/api/v1/strategies",
        {"name": "s", "strategy": "echo", "account_id": desk.ids["account_id"], "params": {"symbol": "ACME"}},
    )
    assert strategy.status_code == 201, strategy.json
    path = f"/api/v1/strategies/{strategy.json['strategy_id']}"
    assert desk.send("POST", path + "/start").status_code == 201
    assert desk.send("POST", path + "/stop").status_code == 202
    webhook = desk.send("POST", "/api/v1/webhooks", {"url": "https://example.com/hook"})
    assert webhook.status_code == 201, webhook.json
    deliveries = desk.send("GET", f"/api/v1/webhooks/{webhook.json['webhook_id']}/deliveries")
    assert deliveries.json["items"] == []
    assert desk.send("POST", "/api/v1/brokers/sim_broker/disconnect").status_code == 202
    assert desk.client.get("/healthz").status_code == 200
