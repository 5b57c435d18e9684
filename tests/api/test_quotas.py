"""Quotas of keys, tenants and addresses; cancels apart from orders; together over Redis, alone while it is away."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oms_app.api import create_api
from oms_app.api.rate_limit import Bucket, Grant, Rate
from oms_app.api.shared_quotas import SharedQuotas
from oms_app.bootstrap import create_app
from oms_app.flow.machine_keys import KeyWish
from oms_app.flow.scopes import Scope
from tests.api.desk import PASSWORD, Desk
from tests.services.redis_server import RedisServer
from tests.waiting import until

SLOW = Rate(per_s=0.01, burst=10.0)


@pytest.fixture
def server(tmp_path: Path, redis_url: str) -> Iterator[RedisServer]:
    """A Redis of this test alone, that may be killed. (redis_url: only where a Redis can be had.)"""
    made = RedisServer(tmp_path)
    made.start()
    yield made
    made.stop()


def shared(url: str | None) -> SharedQuotas:
    return SharedQuotas(url, time.monotonic)


def granted(quotas: SharedQuotas, times: int, who: str = "t", bucket: Bucket = Bucket.ORDERS, cost: int = 1) -> int:
    return sum(quotas.take(bucket, "tenant", who, SLOW, cost) for _ in range(times))


def client_with(desk: Desk, **settings: Any) -> Any:
    changed = msgspec.structs.replace(desk.services.settings, **settings)
    return create_api(msgspec.structs.replace(desk.services, settings=changed)).test_client()


def test_a_key_with_a_quota_of_its_own_is_held_to_it_and_told_so(desk: Desk) -> None:
    keys = desk.services.identity.machine_keys
    made = keys.create(desk.principal, KeyWish(name="k", scopes=("view:orders",), requests_per_s=1, burst=3))
    answers = [desk.send("GET", "/api/v1/orders", key=made.api_key) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["X-RateLimit-Limit"] == "3"
    assert answers[0].headers["RateLimit-Policy"] == '"reads";q=3;w=3'
    assert answers[0].headers["RateLimit"].startswith('"reads";r=2;t=')
    assert "Retry-After" not in answers[0].headers
    assert int(answers[3].headers["Retry-After"]) >= 1
    assert answers[3].headers["RateLimit"].startswith('"reads";r=0;t=')
    assert desk.send("GET", "/api/v1/orders").status_code == 200


def test_the_orders_of_a_tenant_share_a_limit_that_its_cancels_do_not_draw_from(desk: Desk) -> None:
    order = desk.place().json
    client = client_with(desk, tenant_rate_limit_per_s=0.001, rate_limit_per_s=1.0, rate_limit_burst=4000)
    headers = [{"X-API-Key": desk.key(*Scope)} for _ in range(2)]
    codes = [client.post("/api/v1/orders", json=desk.order(), headers=headers[n % 2]).status_code for n in range(6)]
    assert codes == [201, 201, 201, 201, 429, 429]
    refused = client.post("/api/v1/orders", json=desk.order(), headers=headers[0])
    assert refused.headers["RateLimit-Policy"].startswith('"orders-tenant"')
    assert client.post(f"/api/v1/orders/{order['order_id']}/cancel", headers=headers[0]).status_code in (200, 202)
    assert client.post("/api/v1/orders/cancel-all", headers=headers[1]).status_code == 200
    state = {"trading_state": "HALTED", "reason": "test"}
    path = f"/api/v1/accounts/{desk.ids['account_id']}/trading-state"
    assert client.put(path, json=state, headers=headers[0]).status_code != 429


def test_one_address_cannot_send_without_end_even_before_it_is_recognised(desk: Desk) -> None:
    client = client_with(desk, address_rate_limit_per_s=0.001, rate_limit_per_s=1.0, rate_limit_burst=3000)

    def ask(address: str) -> int:
        asked = client.get("/api/v1/orders", environ_base={"REMOTE_ADDR": address})
        return int(asked.status_code)

    assert [ask("192.0.2.1") for _ in range(5)] == [401, 401, 401, 429, 429]
    assert ask("192.0.2.2") == 401


def test_a_bulk_pays_its_tenants_quota_for_each_order(desk: Desk) -> None:
    client = client_with(desk, tenant_rate_limit_per_s=0.001, rate_limit_per_s=1.0, rate_limit_burst=10_000)
    bulk = {"orders": [desk.order() for _ in range(9)]}
    headers = {"X-API-Key": desk.api_key}
    assert client.post("/api/v1/orders/bulk", json=bulk, headers=headers).status_code == 200
    codes = [client.post("/api/v1/orders", json=desk.order(), headers=headers).status_code for _ in range(2)]
    assert codes == [201, 429]


def test_a_share_is_fetched_once_and_spent_without_asking_again() -> None:
    quotas, rate = shared(None), Rate(per_s=1000.0, burst=2000.0)
    assert all(quotas.take(Bucket.ORDERS, "tenant", "t", rate) for _ in range(1500))
    assert not quotas.take(Bucket.ORDERS, "tenant", "t", rate, 2000)
    quotas.drain(Bucket.ORDERS, "tenant", "t", rate, 2000)
    assert not quotas.take(Bucket.ORDERS, "tenant", "t", rate)
    assert quotas.take(Bucket.CANCELS, "tenant", "t", rate)
    assert quotas.take(Bucket.ORDERS, "tenant", "other", rate, 5000)


def test_two_processes_share_one_quota_over_redis(redis_url: str) -> None:
    first, second = shared(redis_url), shared(redis_url)
    assert granted(first, 6) == 6
    assert granted(second, 20) == 4
    assert granted(first, 20, bucket=Bucket.CANCELS) == 10
    assert granted(second, 20, who="other") == 10


def test_while_redis_is_away_each_process_counts_alone_and_then_together_again(server: RedisServer) -> None:
    first, second = shared(server.url), shared(server.url)
    assert granted(first, 3) == 3
    server.kill()
    assert granted(first, 30, who="away") == 10
    assert granted(second, 30, who="away") == 10
    assert first.counts_alone and second.counts_alone
    server.start()
    until(lambda: not first.counts_alone and not second.counts_alone, "Redis counts again")
    assert granted(first, 6, who="back") == 6
    assert granted(second, 20, who="back") == 4
    first.close()
    second.close()


def test_where_redis_never_answers_requests_are_served_and_limited(desk: Desk) -> None:
    client = client_with(desk, redis_url="redis://127.0.0.1:1/0", rate_limit_per_s=0.001, rate_limit_burst=2)
    headers = {"X-API-Key": desk.api_key}
    codes = [client.post("/api/v1/orders", json=desk.order(), headers=headers).status_code for _ in range(3)]
    assert codes == [201, 201, 429]


def test_what_an_answer_says_of_a_limit() -> None:
    grant = Grant(allowed=False, limit=5, remaining=0, wait_s=0.2, policy="orders", window_s=10, full_s=9.3)
    assert dict(grant.headers()) == {
        "X-RateLimit-Limit": "5",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "1",
        "RateLimit-Policy": '"orders";q=5;w=10',
        "RateLimit": '"orders";r=0;t=10',
        "Retry-After": "1",
    }


def test_what_pages_change_is_limited_too_and_cancels_stand_apart(desk: Desk) -> None:
    settings = msgspec.structs.replace(desk.services.settings, rate_limit_per_s=0.001, rate_limit_burst=2)
    client = create_app(msgspec.structs.replace(desk.services, settings=settings)).test_client()
    client.set_cookie("oms_access", desk.services.identity.sign_in("admin@example.com", PASSWORD).access_token)
    codes = [client.post("/desk/orders").status_code for _ in range(3)]
    assert codes == [403, 403, 429]
    assert client.post("/desk/orders/cancel-all").status_code == 403
    assert client.get("/").status_code == 200
