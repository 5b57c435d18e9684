"""The Procfile's set on a real PostgreSQL and Redis, started by its own lines: orders are filled, told and verified."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.deploy.procfile import ROOT, Processes, read
from tests.deploy.test_compose import SERVICES, found_command
from tests.services.redis_server import RedisServer
from tests.services.server_process import free_port
from tests.waiting import until
from tests.workers.test_webhooks import Receiver

DEATH_S = 150.0
"""A worker that dies with a webhook in hand keeps it for two minutes."""
LINES = read(ROOT / "Procfile")
SERVING = {name: words for name, words in LINES.items() if name != "release"}


def test_the_procfile_runs_the_same_set_as_the_compose_file() -> None:
    composed = {name: service["command"][:1] for name, service in SERVICES.items() if name in SERVING}
    assert {name: words[1:] for name, words in SERVING.items()} == composed
    assert LINES["release"][1:] == SERVICES["migrate"]["command"]
    for words in LINES.values():
        assert words[0] == "oms"
        found_command(words[1:])


class Site:
    """The set of the Procfile on a database and Redis of its own."""

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        self.home = folder / "home"
        self.url = f"http://127.0.0.1:{free_port()}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OMS_")}
        self.stream_port = free_port()
        self.processes = Processes(
            {
                **inherited,
                "OMS_HOME": str(self.home),
                "OMS_DATABASE_URL": database_url,
                "OMS_REDIS_URL": redis_url,
                "OMS_SECRET_KEY": "k" * 48,
                "OMS_PORT": self.url.rpartition(":")[2],
                "OMS_STREAM_PORT": str(self.stream_port),
                "OMS_ALLOW_PRIVATE_WEBHOOKS": "true",
                "OMS_ARGON2_MEMORY_KIB": "1024",
                "OMS_ARGON2_TIME_COST": "1",
            },
            folder,
        )

    @property
    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "demo.json").read_text())
        return found

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        headers = {"X-API-Key": self.facts["api_key"]}
        return httpx2.request(method, f"{self.url}/api/v1{path}", headers=headers, trust_env=False, timeout=10, **more)

    def is_ready(self) -> bool:
        try:
            return self.ask("GET", "/health/ready").status_code == 200 and self.has_quotes()
        except httpx2.HTTPError:
            return False

    def has_quotes(self) -> bool:
        quote = self.ask("GET", "/marketdata/last/SPY")
        return quote.status_code == 200 and not quote.json()["is_stale"]

    def filled(self, client_order_id: str) -> str:
        """Place a market order and wait for its fill; its id."""
        body = {"account_id": self.facts["account_id"], "symbol": "SPY", "side": "BUY", "quantity": "1"}
        order = {**body, "order_type": "MARKET", "client_order_id": client_order_id}
        placed = self.ask("POST", "/orders", json=order)
        assert placed.status_code == 201, placed.text
        order_id: str = placed.json()["order_id"]
        until(lambda: self.ask("GET", f"/orders/{order_id}").json()["state"] == "FILLED", "it is filled", 30)
        return order_id


@pytest.fixture
def own_redis(tmp_path: Path, redis_url: str) -> Iterator[RedisServer]:
    """A Redis of this test alone, that may be killed. (redis_url: only where a Redis can be had.)"""
    folder = tmp_path / "redis"
    folder.mkdir()
    made = RedisServer(folder)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def site(tmp_path: Path, postgres_url: str, own_redis: RedisServer) -> Iterator[Site]:
    made = Site(tmp_path, postgres_url, own_redis.url)
    made.home.mkdir()
    try:
        yield made
    finally:
        made.processes.stop()
        print(made.processes.output())  # pytest shows it where a test failed


def test_the_set_serves_orders_webhooks_and_schedules_and_survives_a_killed_worker_and_a_killed_redis(
    site: Site, own_redis: RedisServer
) -> None:
    processes, receiver = site.processes, Receiver()
    assert "is at" in processes.run(*LINES["release"])
    assert "demo.json" in processes.run("oms", "demo")
    for name, words in SERVING.items():
        processes.start(name, words)
    processes.start("worker.2", ["oms", "worker", "--queues", "webhooks"])
    processes.start("schedules", ["oms", "worker", "--only", "schedules", "--heartbeats", str(site.home / "hearts")])
    broker = ["oms-sim-broker", "--home", str(site.home), "--config", str(site.home / "sim_broker.json"), "--port", "0"]
    processes.start("sim_broker", broker)
    try:
        until(site.is_ready, "the set is ready", 90)
        hook = {"url": receiver.url, "event_kinds": ["order_filled"], "params": {"secret": receiver.secret}}
        assert site.ask("POST", "/webhooks", json=hook).status_code == 201
        placed = [site.filled("first")]
        until(lambda: len(receiver.got) == 1, "the first fill was told", 20)
        processes.kill("worker")
        placed.append(site.filled("second"))
        until(lambda: len(receiver.got) >= 2, "the other worker told the second fill", DEATH_S)
        assert {message["data"]["order_id"] for message in receiver.verified()} == set(placed)

        seen = json.loads(processes.run("oms", "queues", "list", "--json"))
        assert {one["queue"] for one in seen["queues"]} == {"webhooks", "mail", "housekeeping"}
        until(lambda: json.loads(processes.run("oms", "queues", "list", "--json"))["leader"], "a worker leads", 20)
        (consumer,) = json.loads(processes.run("oms", "consumers", "list", "--json"))
        assert (consumer["name"], consumer["lag"]) == ("webhooks", 0)
        replayed = processes.run(
            *("oms", "consumers", "replay", "webhooks", "--ledger", consumer["ledger_id"], "--from", "1")
        )
        assert f"reads {consumer['seq']} events" in replayed
        until(lambda: len(receiver.got) >= 4, "both fills were told again", 30)
        ids = [headers["webhook-id"] for headers, _body in receiver.got]
        assert len(set(ids)) == 2, "under the ids that they had"
        assert "beat" in processes.run("oms", "alive", "worker", "--heartbeats", str(site.home / "hearts"))
        assert json.loads(processes.run("oms", "verify", "--json"))["is_clean"]
        assert httpx2.get(f"http://127.0.0.1:{site.stream_port}/healthz", trust_env=False).status_code == 200

        own_redis.kill()
        third = site.filled("third")
        until(lambda: third in {one["data"]["order_id"] for one in receiver.verified()}, "it was told by polling", 30)
        own_redis.start()
        fourth = site.filled("fourth")
        until(lambda: fourth in {one["data"]["order_id"] for one in receiver.verified()}, "it was told", 30)
    finally:
        receiver.close()
    codes = processes.stop()
    assert set(codes.values()) == {0}, codes
