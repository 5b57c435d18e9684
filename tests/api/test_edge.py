"""The edge of the API: headers, sign-in with tokens and cookies, keys, limits, health and the document's reader."""

import hashlib
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

import oms_app.api
from oms_app.api import create_api
from oms_app.api.call import Access, Answer, Call, Endpoint
from oms_app.api.rate_limit import Bucket, Rate, RateLimiter
from oms_app.flow.scopes import Scope
from oms_app.store import monitoring_rounds
from oms_app.store.monitoring_rounds import RoundRow
from oms_app.store.unit_of_work import CommitUnknown, StoreUnavailable
from oms_kernel.domain.ids import LedgerId, TenantId
from tests.api.desk import PASSWORD, Desk

STATIC = Path(oms_app.api.__file__).parent / "static"


def log_in(desk: Desk, **fields: object) -> Any:
    body = {"email": "Admin@Example.com", "password": PASSWORD, **fields}
    return desk.client.post("/api/v1/auth/login", json=body)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_answers_carry_the_callers_request_id_and_security_headers(desk: Desk) -> None:
    response = desk.send("GET", "/api/v1/auth/me", X_Request_ID="my-request-1")
    assert response.headers["X-Request-ID"] == "my-request-1"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    other = desk.send("GET", "/api/v1/auth/me", X_Request_ID="bad id <script>")
    assert re.fullmatch(r"[0-9a-f]{32}", other.headers["X-Request-ID"])


def test_a_token_from_signing_in_works_until_signing_out(desk: Desk) -> None:
    tokens = log_in(desk).json
    me = desk.client.get("/api/v1/auth/me", headers=bearer(tokens["access_token"]))
    assert me.json["principal"] == f"user:{desk.user_id}"
    renewed = desk.client.post("/api/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert renewed.status_code == 200
    out = desk.client.post("/api/v1/auth/logout", headers=bearer(tokens["access_token"]))
    assert out.status_code == 204
    for token in (tokens["access_token"], renewed.json["access_token"]):
        assert desk.client.get("/api/v1/auth/me", headers=bearer(token)).json["code"] == "invalid_token"


def test_wrong_passwords_say_the_same_as_unknown_people(desk: Desk) -> None:
    wrong = log_in(desk, password="not this one")
    unknown = log_in(desk, email="nobody@example.com")
    assert wrong.status_code == unknown.status_code == 401
    assert {**wrong.json, "request_id": ""} == {**unknown.json, "request_id": ""}
    assert wrong.json["code"] == "invalid_credentials"


def test_cookies_are_http_only_and_strict_and_changes_need_the_csrf_token(desk: Desk) -> None:
    answer = log_in(desk, use_cookies=True)
    cookies = {line.split("=", 1)[0]: line for line in answer.headers.getlist("Set-Cookie")}
    for name in ("oms_access", "oms_refresh"):
        assert "HttpOnly" in cookies[name]
        assert "SameSite=Strict" in cookies[name]
    assert desk.client.get("/api/v1/auth/me").status_code == 200
    before = desk.event_count()
    order = {"json": desk.order()}
    bare = desk.client.post("/api/v1/orders", **order)
    assert (bare.status_code, bare.json["code"]) == (401, "csrf_failed")
    assert desk.event_count() == before
    csrf = desk.client.get_cookie("oms_csrf").value
    placed = desk.client.post("/api/v1/orders", **order, headers={"X-CSRF-TOKEN": csrf})
    assert placed.status_code == 201, placed.json
    refresh_csrf = desk.client.get_cookie("oms_refresh_csrf").value
    assert desk.client.post("/api/v1/auth/refresh").status_code == 401
    renewed = desk.client.post("/api/v1/auth/refresh", headers={"X-CSRF-TOKEN": refresh_csrf})
    assert renewed.status_code == 200, renewed.json
    csrf = desk.client.get_cookie("oms_csrf").value
    assert desk.client.post("/api/v1/auth/logout", headers={"X-CSRF-TOKEN": csrf}).status_code == 204
    assert desk.client.get("/api/v1/auth/me").status_code == 401


def test_a_key_is_made_shown_once_listed_without_secret_and_revoked(desk: Desk) -> None:
    made = desk.send("POST", "/api/v1/api-keys", {"name": "bot", "scopes": ["view:orders"]})
    assert made.status_code == 201, made.json
    key = made.json["api_key"]
    assert desk.send("GET", "/api/v1/auth/me", key=key).json["scopes"] == ["view:orders"]
    assert desk.client.get("/api/v1/auth/me", headers=bearer(key)).status_code == 200
    listed = desk.send("GET", "/api/v1/api-keys")
    assert key not in listed.text
    assert made.json["key_id"] in [item["key_id"] for item in listed.json["items"]]
    path = f"/api/v1/api-keys/{made.json['key_id']}"
    assert desk.send("DELETE", path).status_code == 204
    assert desk.send("GET", "/api/v1/auth/me", key=key).status_code == 401
    assert desk.send("DELETE", "/api/v1/api-keys/0190f3a1-0000-7000-8000-0000000000aa").status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "bot", "scopes": ["fly"]}, "scopes"),
        ({"name": "bot", "scopes": []}, "scopes"),
        ({"name": "bot", "scopes": "view:orders"}, "scopes"),
        ({"name": "", "scopes": ["view:orders"]}, "name"),
        ({"scopes": ["view:orders"]}, "name"),
        ({"name": "bot", "scopes": ["view:orders"], "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "bot", "scopes": ["view:orders"], "colour": 1}, "colour"),
    ],
    ids=repr,
)
def test_a_bad_key_request_names_its_field(desk: Desk, body: object, field: str) -> None:
    response = desk.send("POST", "/api/v1/api-keys", body)
    assert response.status_code == 422
    assert field in [error["field"] for error in response.json["errors"]]


def failing(error: Exception) -> Endpoint:
    def fail(call: Call) -> Answer:
        raise error

    return Endpoint(
        method="GET", path="/api/v1/fail", view=fail, scope=Access.PUBLIC, tag="health", answers={200: None}
    )


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (StoreUnavailable("password=hunter2"), 503, "store_unavailable"),
        (CommitUnknown("password=hunter2"), 504, "outcome_unknown"),
        (RuntimeError("password=hunter2"), 500, "internal_error"),
        (MemoryError("password=hunter2"), 500, "internal_error"),
    ],
    ids=repr,
)
def test_failures_on_our_side_are_problems_that_reveal_nothing(
    desk: Desk, error: Exception, status: int, code: str
) -> None:
    client = create_api(desk.services, [failing(error)]).test_client()
    response = client.get("/api/v1/fail")
    assert (response.status_code, response.json["code"]) == (status, code)
    assert response.content_type == "application/problem+json"
    assert "hunter2" not in response.text
    assert "Traceback" not in response.text
    assert ("Retry-After" in response.headers) == (status == 503)


def test_an_empty_bucket_of_orders_is_429_and_does_not_stand_before_cancels(desk: Desk) -> None:
    order = desk.place().json
    settings = msgspec.structs.replace(desk.services.settings, rate_limit_per_s=0.001, rate_limit_burst=2)
    client = create_api(msgspec.structs.replace(desk.services, settings=settings)).test_client()
    headers = {"X-API-Key": desk.api_key}
    answers = [client.post("/api/v1/orders", json=desk.order(), headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert answers[2].json["code"] == "too_many_requests"
    assert int(answers[2].headers["Retry-After"]) > 0
    cancelled = client.post(f"/api/v1/orders/{order['order_id']}/cancel", headers=headers)
    assert cancelled.status_code in (200, 202)
    bulk = client.post("/api/v1/orders/bulk", json={"orders": [desk.order()]}, headers={"X-API-Key": desk.key(*Scope)})
    assert bulk.status_code == 200


def test_a_bucket_fills_again_with_time_and_is_each_callers_own() -> None:
    now = [0.0]
    limiter = RateLimiter({Bucket.ORDERS: Rate(per_s=2, burst=3)}, lambda: now[0], remembered=2)

    def take(caller: str, cost: float = 1) -> bool:
        grant = limiter.take(Bucket.ORDERS, caller, cost)
        assert grant is not None
        return grant.allowed

    assert [take("a") for _ in range(4)] == [True, True, True, False]
    assert take("b")
    now[0] = 0.5
    assert take("a")
    assert not take("a")
    assert take("b", cost=500)
    now[0] = 10.0
    assert not take("b")
    assert limiter.take(Bucket.NONE, "a") is None


def test_health_says_what_is_wrong(desk: Desk) -> None:
    assert desk.client.get("/api/v1/health/live").json["status"] == "ok"
    for path in ("/api/v1/health/ready", "/api/v1/health", "/healthz"):
        response = desk.client.get(path)
        assert response.status_code == 200, response.json
        assert {check["name"]: check["status"] for check in response.json["checks"]} == {
            "database": "ok",
            "migrations": "ok",
            "sessions": "ok",
            "monitoring": "ok",
        }


def test_late_monitors_are_shown_and_orders_can_be_placed_all_the_same(desk: Desk) -> None:
    late = RoundRow(
        tenant_id=TenantId(desk.ids["tenant_id"]),
        ledger_id=LedgerId(desk.ids["ledger_id"]),
        holder="worker:1",
        ended_at=desk.services.clock() - timedelta(seconds=6),
        duration_ms=1,
        lag_ms=0,
        monitors=1,
        failures=(),
        rounds=1,
    )
    for row, status in ((late, "warning"), (msgspec.structs.replace(late, monitors=0), "ok")):
        with desk.services.store.platform_unit() as unit:
            monitoring_rounds.put_rounds(unit, [row])
        response = desk.client.get("/api/v1/health/ready")
        assert (response.status_code, response.json["status"]) == (200, "ok")
        found = {check["name"]: check for check in response.json["checks"]}["monitoring"]
        assert found["status"] == status
        assert (status == "warning") == ("1 of 1 ledgers are late" in found["detail"])


def test_a_database_of_another_revision_is_not_ready(desk: Desk) -> None:
    with desk.services.store.platform_unit() as unit:
        unit.connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'long ago'")
    response = desk.client.get("/healthz")
    checks = {check["name"]: check["detail"] for check in response.json["checks"] if check["status"] != "ok"}
    assert response.status_code == 503
    assert "oms db upgrade" in checks["migrations"]


def test_log_lines_bear_the_ids_of_request_tenant_and_order(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    import structlog

    order = desk.place().json
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        with caplog.at_level("DEBUG", logger="oms.api"):
            desk.send("GET", f"/api/v1/orders/{order['order_id']}", X_Request_ID="r-1")
            desk.place(quantity="0")
    told = [line for line in lines if line["event"] == "request"]
    assert (told[0]["request_id"], told[0]["tenant_id"], told[0]["order_id"], told[0]["status"]) == (
        "r-1",
        desk.tenant_id,
        order["order_id"],
        200,
    )
    assert told[1]["status"] == 422
    assert "order_id" not in told[1]


def test_the_documents_reader_comes_from_this_server_only(desk: Desk) -> None:
    page = desk.client.get("/api/docs")
    assert page.status_code == 200
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert sources and all(source.startswith("/api/docs/") for source in sources)
    assert "<script>" not in page.text
    for source in sources:
        assert desk.client.get(source).status_code == 200, source
    assert desk.client.get("/api/docs/../app.py").status_code == 404
    first = desk.client.get("/api/v1/openapi.json")
    again = desk.client.get("/api/v1/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304


def test_vendored_files_are_the_ones_that_the_manifest_names() -> None:
    folder = STATIC / "vendor"
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes())
    assert all(package["version"] and package["license"] for package in manifest["packages"])
    found = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert found == manifest["sha256"]
