"""What comes in from the network: hosts, proxies, other sites' pages, cookies without their token, bounded sizes."""

from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from flask import Flask

from oms_app.api import create_api
from oms_app.bootstrap import create_app
from oms_app.config import SettingsError, read_settings
from oms_app.flow.host_list import HostList, host_name
from tests.api.desk import PASSWORD, Desk

UUID = "0190f3a1-0000-7000-8000-0000000000aa"
CHANGING = ("POST", "PUT", "PATCH", "DELETE")


def app_with(desk: Desk, **settings: Any) -> Flask:
    changed = msgspec.structs.replace(desk.services.settings, **settings)
    return create_api(msgspec.structs.replace(desk.services, settings=changed))


def test_a_host_that_is_not_ours_is_refused_before_anything_is_looked_at(quiet_desk: Desk) -> None:
    def status(host: str, path: str = "/api/v1/auth/me") -> int:
        headers = {"X-API-Key": quiet_desk.api_key, "Host": host}
        return int(quiet_desk.client.get(path, headers=headers).status_code)

    for host in ("localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"):
        assert status(host) == 200, host
    for host in ("evil.example", "localhost.evil.example", "192.0.2.1", "localhost@evil.example", "", "a b", "[::1"):
        assert status(host) == 400, host
    assert status("evil.example", "/healthz") == 200
    refused = quiet_desk.client.get("/api/v1/auth/me", headers={"Host": "evil.example", "X-Request-ID": "r-7"})
    assert (refused.json["code"], refused.json["request_id"]) == ("unknown_host", "r-7")
    assert refused.headers["X-Request-ID"] == "r-7"
    assert refused.headers["X-Content-Type-Options"] == "nosniff"


def test_the_hosts_are_loopback_the_public_address_what_is_allowed_and_tenants_domains(quiet_desk: Desk) -> None:
    settings = quiet_desk.services.settings

    def hosts(**changes: Any) -> HostList:
        return HostList(msgspec.structs.replace(settings, **changes), lambda name: name == "trade.tenant.example")

    public = hosts(public_url="https://oms.example/", allowed_hosts=("other.example", ".below.example"))
    ours = ("oms.example", "OMS.example:443", "other.example", "a.below.example", "trade.tenant.example", "localhost")
    assert all(public.is_ours(host) for host in ours)
    assert not any(public.is_ours(host) for host in ("below.example", "x.other.example", "10.0.0.1", "tenant.example"))
    assert hosts(host="0.0.0.0").is_ours("10.0.0.1:8000")
    assert not hosts(host="0.0.0.0").is_ours("evil.example")
    assert not hosts(host="0.0.0.0", public_url="https://oms.example").is_ours("10.0.0.1")
    assert hosts(allowed_hosts=("*",)).is_ours("whatever.example")
    assert host_name("Name.Example.:81") == "name.example"


def test_only_a_trusted_proxy_says_for_whom_and_how_it_asks(desk: Desk) -> None:
    client = app_with(desk, trusted_proxies=("10.0.0.0/8",)).test_client()
    made = desk.send("POST", "/api/v1/api-keys", {"name": "b", "scopes": ["view:orders"], "networks": ["192.0.2.0/24"]})

    def ask(peer: str) -> Any:
        headers = {"X-API-Key": made.json["api_key"], "X-Forwarded-For": "192.0.2.9", "X-Forwarded-Proto": "https"}
        return client.get("/api/v1/auth/me", headers=headers, environ_base={"REMOTE_ADDR": peer})

    by_proxy, by_stranger = ask("10.0.0.1"), ask("203.0.113.1")
    assert by_proxy.status_code == 200
    assert "max-age=31536000" in by_proxy.headers["Strict-Transport-Security"]
    assert by_stranger.json["code"] == "address_not_allowed"
    assert "Strict-Transport-Security" not in by_stranger.headers


def test_pages_of_listed_origins_may_read_and_of_no_other(desk: Desk) -> None:
    client = app_with(desk, cors_origins=("https://pages.example",)).test_client()

    def ask(origin: str, method: str = "GET", **headers: str) -> Any:
        named = {"Origin": origin, "X-API-Key": desk.api_key, **headers}
        return client.open("/api/v1/auth/me", method=method, headers=named)

    listed, other = ask("https://pages.example"), ask("https://pages.example.evil.example")
    assert listed.headers["Access-Control-Allow-Origin"] == "https://pages.example"
    assert listed.headers["Access-Control-Allow-Credentials"] == "true"
    assert "X-Request-ID" in listed.headers["Access-Control-Expose-Headers"]
    assert "Origin" in listed.headers["Vary"]
    assert not any(name.startswith("Access-Control") for name in other.headers.keys())
    asks = {"Access-Control-Request-Method": "POST"}
    preflight = ask("https://pages.example", "OPTIONS", **asks)
    assert preflight.status_code == 204
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert "X-API-Key" in preflight.headers["Access-Control-Allow-Headers"]
    assert not any(name.startswith("Access-Control") for name in ask("null", "OPTIONS", **asks).headers.keys())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OMS_CORS_ORIGINS", "*"),
        ("OMS_CORS_ORIGINS", "https://a.example/path"),
        ("OMS_CORS_ORIGINS", "null"),
        ("OMS_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("OMS_TRUSTED_PROXIES", "proxy"),
        ("OMS_ALLOWED_HOSTS", "https://a.example"),
        ("OMS_MASTER_KEYS", "too short"),
        ("OMS_TLS_CERTIFICATE", "/nowhere/certificate.pem"),
    ],
)
def test_settings_of_the_edge_that_would_open_it_are_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings({name: value})


def test_a_page_of_another_site_changes_nothing_with_a_persons_cookie(desk: Desk) -> None:
    client = desk.app.test_client()
    body = {"email": "admin@example.com", "password": PASSWORD, "use_cookies": True}
    assert client.post("/api/v1/auth/login", json=body).status_code == 200
    csrf = client.get_cookie("oms_csrf").value
    before = desk.event_count()
    for sent in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9999"},
    ):
        refused = client.post("/api/v1/orders", json=desk.order(), headers={"X-CSRF-TOKEN": csrf, **sent})
        assert (refused.status_code, refused.json["code"]) == (403, "cross_site"), sent
    assert desk.event_count() == before
    forms_of_ours = {"Sec-Fetch-Site": "same-origin", "Origin": "null"}  # pages that send no referrer
    for sent in ({"Sec-Fetch-Site": "same-origin"}, forms_of_ours, {"Origin": "http://localhost"}, {}):
        placed = client.post("/api/v1/orders", json=desk.order(), headers={"X-CSRF-TOKEN": csrf, **sent})
        assert placed.status_code == 201, placed.json


def changing_routes(app: Flask, *, of_api: bool) -> list[tuple[str, str]]:
    """(method, path) of every route that changes something and is for people who are signed in."""
    found = []
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if getattr(view, "oms_scope", "public") == "public" or rule.rule.startswith("/api/") is not of_api:
            continue
        path = rule.rule
        for argument in rule.arguments:
            for converter in ("uuid:", "int:", "path:", "string:", ""):
                filler = UUID if converter in ("uuid:", "") else "1"
                path = path.replace(f"<{converter}{argument}>", filler)
        found += [(method, quote(path)) for method in CHANGING if method in (rule.methods or ())]
    return sorted(found)


def test_every_changing_route_of_the_api_refuses_a_cookie_without_its_csrf_token(desk: Desk) -> None:
    app = create_app(desk.services)
    client = app.test_client()
    body = {"email": "admin@example.com", "password": PASSWORD, "use_cookies": True}
    client.post("/api/v1/auth/login", json=body)
    assert client.get("/api/v1/auth/me").status_code == 200
    before, routes = desk.event_count(), changing_routes(app, of_api=True)
    assert len(routes) > 40
    for method, path in routes:
        refused = client.open(path, method=method, json={})
        assert (refused.status_code, refused.json["code"]) == (401, "csrf_failed"), f"{method} {path}"
    assert desk.event_count() == before


def test_every_changing_route_of_the_dashboard_refuses_a_form_without_its_token(desk: Desk) -> None:
    app = create_app(desk.services)
    client = app.test_client()
    pair = desk.services.identity.sign_in("admin@example.com", PASSWORD)
    client.set_cookie("oms_access", pair.access_token)
    assert client.get("/").status_code == 200
    before, routes = desk.event_count(), changing_routes(app, of_api=False)
    assert len(routes) > 8
    for method, path in routes:
        for form in ({}, {"csrf_token": "wrong"}):
            assert client.open(path, method=method, data=form).status_code == 403, f"{method} {path}"
    assert desk.event_count() == before


def test_bodies_depths_and_pages_are_bounded(quiet_desk: Desk) -> None:
    send = quiet_desk.send
    assert send("POST", "/api/v1/orders", b" " * 1_048_577).status_code == 413
    for deep in (b"[" * 33 + b"]" * 33, b'{"a":' * 40 + b"1" + b"}" * 40, b"[" * 500_000):
        refused = send("POST", "/api/v1/orders", deep)
        assert (refused.status_code, refused.json["code"]) == (400, "malformed_json")
    for path in ("/api/v1/orders", "/api/v1/executions", "/api/v1/instruments", "/api/v1/api-keys"):
        assert send("GET", f"{path}?limit=100000").status_code == 422, path
