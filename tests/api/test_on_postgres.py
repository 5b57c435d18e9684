"""One story through HTTP on PostgreSQL: what differs between the databases must not show."""

from decimal import Decimal

import pytest

from oms_app.bootstrap import build_services
from oms_app.flow.audit import CLI, Actor, cli_actor
from oms_app.flow.limit_file import document_of
from oms_app.flow.principal import Principal
from oms_app.flow.scopes import Scope
from oms_app.flow.tenancy import NewTenant
from oms_app.store.platform import PLATFORM_TENANT
from tests.api.desk import PASSWORD, Desk
from tests.broker_side import BrokerSide

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
    _reconciled(desk)
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


def _reconciled(desk: Desk) -> None:
    """Differences, reports and runs are listed by every filter and settled."""
    broker = BrokerSide(desk.services, desk.ids)
    broker.cash["USD"] += Decimal("12.50")
    broker.has_foreign_order()
    broker.look()
    broker.tells_of_an_unknown_execution()
    account, broker_account = desk.ids["account_id"], desk.ids["broker_account_id"]
    run = desk.send("POST", f"/api/v1/broker-accounts/{broker_account}/reconcile").json
    since = "raised_after=2020-01-01T00:00:00Z&raised_before=2999-01-01T00:00:00Z"
    found = "found_after=2020-01-01T00:00:00Z&found_before=2999-01-01T00:00:00Z"
    for path in (
        f"/alerts?severity=CRITICAL&source=booking&acknowledged=false&account_id={account}&{since}",
        f"/reconciliation/breaks?break_type=CASH&severity=WARNING&resolved=false&account_id={account}&{found}",
        f"/reconciliation/breaks?broker_account_id={broker_account}&resolved=true",
        f"/reconciliation/runs?connection_id={desk.ids['connection_id']}",
        "/unbooked-reports?status=OPEN",
    ):
        response = desk.send("GET", f"/api/v1{path}")
        assert response.status_code == 200, (path, response.json)
        assert response.json["items"], path
    assert desk.send("GET", f"/api/v1/reconciliation/runs/{run['run_id']}").json == run
    own = desk.key("view:positions", "manage:brokers", account_ids=[account])  # type: ignore[list-item]
    (report,) = desk.send("GET", "/api/v1/unbooked-reports", key=own).json["items"]
    dismiss = f"/api/v1/unbooked-reports/{report['report_id']}/dismiss"
    assert desk.send("POST", dismiss, {"reason": "a test"}, key=own).json["status"] == "DISMISSED"
    (cash,) = desk.send("GET", "/api/v1/reconciliation/breaks?break_type=CASH", key=own).json["items"]
    resolve = f"/api/v1/reconciliation/breaks/{cash['break_id']}/resolve"
    ended = desk.send("POST", resolve, {"action": "accept_broker", "text": "a fee"}, key=own)
    assert (ended.status_code, ended.json["resolution_text"]) == (200, "a fee"), ended.json
    every = [one["alert_id"] for one in desk.send("GET", "/api/v1/alerts").json["items"]]
    assert desk.send("POST", "/api/v1/alerts/acknowledge", {"alert_ids": every}).json == {"acknowledged": len(every)}


def test_a_key_that_another_process_revokes_places_no_order_any_more(postgres_desk: Desk) -> None:
    desk = postgres_desk
    made = desk.services.identity.create_key(desk.principal, "bot", ["place:orders", "cancel:orders"])
    placed = desk.send("POST", "/api/v1/orders", desk.order(), key=made.api_key)
    assert placed.status_code == 201
    elsewhere = build_services(desk.services.settings)
    try:
        elsewhere.identity.machine_keys.revoke(desk.principal, made.row.key_id)
    finally:
        elsewhere.close()
    before = desk.event_count()
    assert desk.send("POST", "/api/v1/orders", desk.order(), key=made.api_key).status_code == 401
    cancel = f"/api/v1/orders/{placed.json['order_id']}/cancel"
    assert desk.send("POST", cancel, key=made.api_key).status_code == 401
    assert desk.event_count() == before


def test_limits_of_a_tenant_and_of_the_firm_are_applied_together_on_postgresql(postgres_desk: Desk) -> None:
    desk = postgres_desk
    services = desk.services
    slug = services.tenancy.get(desk.tenant_id).slug
    other = services.tenancy.create(cli_actor(), NewTenant(name="Other", slug="other-desk"))
    text = f"""
firm: {{limits: [{{name: House, rule: max_order_quantity, params: {{max_quantity: 400}}}}]}}
tenants:
  {slug}: {{limits: [{{name: Own, rule: max_order_quantity, account: Paper, params: {{max_quantity: 300}}}}]}}
  other-desk:
    settings: {{required_limits: [max_position], second_person_limits: true}}
    limits: [{{name: Theirs, rule: max_position, params: {{max_quantity: 1}}}}]
"""
    operator = Principal(principal_id=CLI, tenant_id=PLATFORM_TENANT, scopes=frozenset(str(scope) for scope in Scope))

    def apply(*, dry_run: bool) -> list[int]:
        applied = services.limit_files.apply(
            operator, cli_actor(), document_of(text), tenant_id=None, dry_run=dry_run, is_operator=True
        )
        return [len(one.edits) for one in applied]

    assert apply(dry_run=True) == [1, 1, 2]
    assert apply(dry_run=False) == [1, 1, 2]
    assert apply(dry_run=False) == [0, 0, 0]
    own = {one["name"]: one["level"] for one in desk.send("GET", "/api/v1/risk/limits").json["items"]}
    assert own == {"House": "FIRM", "Own": "ACCOUNT"}
    assert desk.place(quantity="301").status_code == 422
    (limit,) = desk.send("GET", "/api/v1/risk/limits?level=ACCOUNT").json["items"]
    tighter = desk.send("PATCH", f"/api/v1/risk/limits/{limit['limit_id']}", {"params": {"max_quantity": "200"}})
    assert tighter.status_code == 200, tighter.json
    assert desk.place(quantity="201").status_code == 422
    assert services.tenancy.settings(other.tenant_id).required_limits == ("max_position",)
    assert desk.send("GET", "/api/v1/risk/usage").status_code == 200
    asked = services.limit_files.apply(
        operator,
        cli_actor(),
        document_of(text.replace("max_quantity: 1}", "max_quantity: 2}")),
        tenant_id=None,
        dry_run=False,
        reason="More",
        is_operator=True,
    )
    assert [len(one.waiting) for one in asked] == [0, 0, 1]
    theirs = Principal(principal_id="user:second", tenant_id=other.tenant_id, scopes=operator.scopes)
    approved = services.limit_changes.approve(theirs, Actor("user:second"), asked[2].change_id, "Yes")
    assert approved.status == "APPROVED"
    (stored,) = [one for one in services.limits.list(theirs) if one.limit.name == "Theirs"]
    assert stored.limit.params == {"max_quantity": 2}
