"""The same processes on PostgreSQL and Redis: orders over two API processes meet in one ledger."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.processes.system import System
from tests.services.server_process import free_port
from tests.waiting import until
from tests.workers.test_webhooks import Receiver

pytestmark = pytest.mark.integration


@pytest.fixture
def system(tmp_path: Path, postgres_url: str, redis_url: str) -> Iterator[System]:
    made = System(
        tmp_path / "home",
        OMS_DATABASE_URL=postgres_url,
        OMS_REDIS_URL=redis_url,
        OMS_SECRET_KEY="k" * 48,
        OMS_LEASE_S="3",
        OMS_ALLOW_PRIVATE_WEBHOOKS="true",
    )
    try:
        made.start()
        yield made
    finally:
        made.close()


def test_orders_over_two_api_processes_are_filled_and_told_once(system: System) -> None:
    receiver = Receiver()
    port = free_port()
    second = subprocess.Popen(
        [sys.executable, "-m", "oms_app.cli.main", "api"],
        env={**system.env, "OMS_PORT": str(port)},
        stderr=subprocess.DEVNULL,
    )
    try:
        urls = [system.demo["url"], f"http://127.0.0.1:{port}"]
        headers = {"X-API-Key": system.demo["api_key"]}
        body = {"account_id": system.demo["account_id"], "symbol": "SPY", "side": "BUY", "quantity": "1"}

        def is_ready() -> bool:
            try:
                return httpx2.get(urls[1] + "/api/v1/health/ready", trust_env=False).status_code == 200
            except httpx2.HTTPError:
                return False

        until(is_ready, "the second API is ready", 60)
        with system.api() as api:
            hook = {"url": receiver.url, "event_kinds": ["order_filled"], "params": {"secret": receiver.secret}}
            assert api.post("/webhooks", json=hook).status_code == 201
        placed = []
        for number in range(10):
            answer = httpx2.post(
                urls[number % 2] + "/api/v1/orders",
                json={**body, "order_type": "MARKET", "client_order_id": f"two-{number}"},
                headers=headers,
                trust_env=False,
            )
            assert answer.status_code == 201, answer.text
            placed.append(answer.json()["order_id"])
        again = httpx2.post(
            urls[1] + "/api/v1/orders",
            json={**body, "order_type": "MARKET", "client_order_id": "two-0"},
            headers=headers,
            trust_env=False,
        )
        assert again.status_code == 409
        assert again.json()["code"] == "duplicate_client_order_id"
        for order_id in placed:
            system.filled(order_id)
        until(lambda: len(receiver.got) >= 10, "every fill was told", 40)
        assert {message["data"]["order_id"] for message in receiver.verified()} == set(placed)
        assert system.broker_orders()["doubled"] == []
        system.verify()
    finally:
        receiver.close()
        second.send_signal(signal.SIGTERM)
        second.wait(30)
