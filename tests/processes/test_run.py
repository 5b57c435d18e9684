"""`oms run`: the printed lines work, what is killed comes back, nothing is lost and nobody is left behind."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.processes.system import OMS, System, running
from tests.waiting import until
from tests.workers.test_webhooks import Receiver

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("run") / "home", OMS_HEARTBEAT_TIMEOUT_S="4") as made:
        yield made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def test_the_printed_curl_line_places_an_order_that_is_filled_and_may_be_repeated(system: System) -> None:
    for _time in range(2):
        done = subprocess.run(system.printed("curl "), capture_output=True, text=True, check=True)
        order = system.filled(json.loads(done.stdout)["order_id"])
        assert order["quantity"] == order["filled_quantity"] == "1"


def test_the_printed_command_places_the_same_order(system: System) -> None:
    words = system.printed("orders place")
    assert words[0] == f"OMS_HOME={system.home}"
    done = subprocess.run(
        [*words[1:], "--json", "--wait", "20"], env=system.env, capture_output=True, text=True, check=True
    )
    by_command = json.loads(done.stdout)
    assert by_command["state"] == "FILLED"
    by_curl = json.loads(subprocess.run(system.printed("curl "), capture_output=True, text=True, check=True).stdout)
    for field in ("account_id", "symbol", "side", "quantity", "order_type", "time_in_force"):
        assert by_command[field] == by_curl[field]


def test_the_facts_stand_in_a_private_file_and_sign_in_works(system: System) -> None:
    path = system.home / "demo.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    facts = system.demo
    assert {"url", "stream_url", "email", "password", "api_key", "account_id"} <= set(facts)
    answer = httpx2.post(
        facts["url"] + "/api/v1/auth/login",
        json={"email": facts["email"], "password": facts["password"]},
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    assert facts["password"] in system.output


def test_a_second_run_of_the_same_home_is_refused_and_told_who_runs(system: System) -> None:
    done = system.oms("run", "--port", "0", check=False)
    assert done.returncode == 1
    assert f"process id {system.pid}" in done.stderr


def test_a_taken_port_is_told_with_the_way_out(system: System, tmp_path: Path) -> None:
    port = system.demo["url"].rsplit(":", 1)[1]
    other = System(tmp_path / "other")
    done = subprocess.run([OMS, "run", "--port", port], env=other.env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"port {port} of 127.0.0.1 is in use" in done.stderr
    assert "--port 0" in done.stderr


def test_the_stream_tells_what_happens_and_the_api_leads_there(system: System) -> None:
    facts = system.demo
    kinds: list[str] = []
    headers = {"X-API-Key": facts["api_key"], "Last-Event-ID": "0"}

    def listen() -> None:
        url = facts["url"] + "/api/v1/stream"
        with (
            httpx2.Client(timeout=20, trust_env=False, follow_redirects=True) as client,
            client.stream("GET", url, headers=headers) as answer,
        ):
            assert str(answer.url) == facts["stream_url"]
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    kinds.append(line.removeprefix("event: "))
                if "order_filled" in kinds:
                    return

    listener = threading.Thread(target=listen)
    listener.start()
    system.trade()
    listener.join(20)
    assert not listener.is_alive()
    assert kinds[:3] == ["account_opened", "cash_changed", "order_accepted"]


def test_a_strategy_trades_until_it_is_stopped(system: System) -> None:
    made = json.loads(
        system.oms(
            "strategies",
            "create",
            "try",
            "echo",
            "-p",
            "symbol=BTCUSD",
            "-p",
            "quantity=0.001",
            "-p",
            "every=2",
            "--json",
        ).stdout
    )
    strategy_id = made["strategy_id"]
    system.oms("strategies", "start", strategy_id)

    def fills() -> list[dict[str, Any]]:
        found = json.loads(system.oms("orders", "list", "--strategy-id", strategy_id, "--json").stdout)["items"]
        return [order for order in found if order["state"] == "FILLED"]

    until(lambda: len(fills()) >= 2, "the strategy traded", 40)
    system.oms("strategies", "stop", strategy_id)

    def run() -> dict[str, Any]:
        (one,) = json.loads(system.oms("strategies", "runs", strategy_id, "--json").stdout)["items"]
        found: dict[str, Any] = one
        return found

    until(lambda: run()["status"] == "STOPPED", "the run stopped")


def test_a_webhook_receives_every_wanted_event_once_with_a_right_signature(system: System, receiver: Receiver) -> None:
    with system.api() as api:
        body = {"url": receiver.url, "event_kinds": ["order_accepted", "order_filled"]}
        made = api.post("/webhooks", json={**body, "params": {"secret": receiver.secret}})
        assert made.status_code == 201, made.text
    order_id = system.trade()
    until(lambda: len(receiver.got) >= 2, "both events arrived")
    told = receiver.verified()
    assert [message["type"] for message in told] == ["order_accepted", "order_filled"]
    assert {message["data"]["order_id"] for message in told} == {order_id}
    with system.api() as api:
        api.delete(f"/webhooks/{made.json()['webhook_id']}")


def test_whoever_is_invited_finds_the_mail_in_the_outbox_and_joins(system: System) -> None:
    outbox = system.home / "outbox"
    with system.api() as api:
        made = api.post("/invitations", json={"email": "anna@example.com", "role": "TRADER"})
        assert made.status_code == 201, made.text
        until(lambda: list(outbox.glob("*.eml")), "the worker wrote the mail", 30)
        (mail,) = outbox.glob("*.eml")
        assert stat.S_IMODE(mail.stat().st_mode) == 0o600
        token = mail.read_text().partition("/invitation#")[2].split()[0]
        joined = api.post("/invitations/accept", json={"token": token, "password": "a password of anna"})
    assert (joined.status_code, joined.json()["role"]) == (201, "TRADER")
    assert token not in system.output


def test_programs_read_json_and_people_read_tables(system: System) -> None:
    held = json.loads(system.oms("positions", "--json").stdout)["items"]
    assert any(one["symbol"] == "SPY" for one in held)
    assert "SPY" in system.oms("positions").stdout
    assert system.demo["account_id"] in system.oms("accounts").stdout
    assert "BTCUSD" in system.oms("instruments", "list").stdout
    order_id = json.loads(system.oms("orders", "list", "--limit", "1", "--json").stdout)["items"][0]["order_id"]
    shown = json.loads(system.oms("orders", "show", order_id, "--json").stdout)
    assert shown["order"]["order_id"] == order_id
    assert shown["events"][0]["kind"] == "order_accepted"
    assert "order_accepted" in system.oms("orders", "show", order_id).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["orders", "place", "BUY", "1", "NOSUCH"], 3, "unknown_symbol"),
        (["orders", "place", "BUY", "0", "SPY"], 3, "quantity"),
        (["orders", "place", "BUY", "9999999", "SPY"], 5, "risk_denied"),
        (["orders", "place", "HOLD", "1", "SPY"], 2, "HOLD"),
        (["orders", "show", "00000000-0000-7000-8000-000000000000"], 3, "unknown_order"),
        (["orders", "list", "--url", "http://127.0.0.1:1"], 4, "nobody answers"),
        (["orders", "list", "--api-key", "wrong"], 3, "invalid_token"),
        (["ordres"], 2, "Did you mean 'orders'?"),
    ],
)
def test_each_way_to_fail_has_its_exit_code_and_says_why(
    system: System, arguments: list[str], code: int, words: str
) -> None:
    done = system.oms(*arguments, check=False)
    assert done.returncode == code, done.stderr
    assert words in done.stderr


def test_a_resting_order_is_cancelled_from_the_command_line(system: System) -> None:
    placed = system.oms("orders", "place", "BUY", "1", "SPY", "-t", "LIMIT", "-l", "440.00", "--wait", "20", "--json")
    order = json.loads(placed.stdout)
    assert order["state"] == "WORKING"
    system.oms("orders", "cancel", order["order_id"])
    until(lambda: system.order(order["order_id"])["state"] == "CANCELED", "it is cancelled")
    system.oms("orders", "cancel", "--all", "--json")


@pytest.mark.parametrize("name", ["api", "stream", "session", "strategy", "worker", "oms-sim-broker"])
def test_a_killed_process_comes_back_and_trading_goes_on(system: System, name: str) -> None:
    def running() -> list[int]:
        if name == "oms-sim-broker":
            return sorted(pid for pid, words in system.processes().items() if any(name in word for word in words))
        return system.pids(name)

    before = until(running, f"{name} runs")
    os.kill(before[0], signal.SIGKILL)
    until(lambda: running() and not set(running()) & set(before), f"{name} came back and no process of it is left")
    system.trade()


def test_the_killed_worker_of_the_api_comes_back(system: System) -> None:
    main, worker = until(lambda: len(pids := system.pids("api")) == 2 and pids, "main and worker run")
    os.kill(worker, signal.SIGKILL)
    until(lambda: len(pids := system.pids("api")) == 2 and not set(pids) & {main, worker}, "both are new")
    system.trade()


def test_a_process_that_hangs_is_killed_and_comes_back(system: System) -> None:
    (before,) = system.pids("worker")
    os.kill(before, signal.SIGSTOP)
    until(lambda: "worker hangs" in system.output, "the supervisor saw it", 30)
    until(lambda: (pids := system.pids("worker")) and before not in pids, "it came back")


def test_ctrl_c_stops_all_in_order_with_an_open_stream_and_the_next_start_continues(system: System) -> None:
    facts = system.demo
    order_id = system.trade()
    opened = threading.Event()

    def listen() -> None:
        headers = {"X-API-Key": facts["api_key"]}
        try:
            with httpx2.stream("GET", facts["stream_url"], headers=headers, timeout=60, trust_env=False) as answer:
                for _line in answer.iter_lines():
                    opened.set()
        except httpx2.HTTPError:
            pass

    listener = threading.Thread(target=listen)
    listener.start()
    assert opened.wait(20)
    began = time.monotonic()
    assert system.stop() == 0
    assert time.monotonic() - began < 15
    listener.join(10)
    assert not listener.is_alive()
    assert system.processes() == {}
    assert "killed" not in system.output.split("stopping")[-1]
    system.verify()
    system.start()
    assert {name: system.demo[name] for name in ("password", "api_key", "account_id")} == {
        name: facts[name] for name in ("password", "api_key", "account_id")
    }
    assert system.order(order_id)["state"] == "FILLED"
    system.trade()


@pytest.mark.parametrize("how", ["the supervisor", "the group"])
def test_kill_9_leaves_nobody_behind_and_nothing_is_lost_or_doubled(system: System, how: str) -> None:
    placed: list[str] = []
    stopping = threading.Event()

    def trade() -> None:
        body = {"account_id": system.demo["account_id"], "symbol": "SPY", "side": "BUY", "quantity": "1"}
        try:
            with system.api() as api:
                while not stopping.is_set():
                    answer = api.post("/orders", json={**body, "order_type": "MARKET"})
                    if answer.status_code == 201:
                        placed.append(answer.json()["order_id"])
                    time.sleep(0.03)  # below the demo's message rate
        except httpx2.HTTPError:
            pass

    trader = threading.Thread(target=trade)
    trader.start()
    until(lambda: len(placed) >= 10, "orders flow")
    if how == "the group":
        system.kill_group()
    else:
        os.kill(system.pid, signal.SIGKILL)
        assert system.process is not None
        system.process.wait()
    stopping.set()
    trader.join(40)
    until(lambda: not system.processes(), "nobody is left behind", 10)
    system.start()
    for order_id in placed:
        order = until(
            lambda one=order_id: (found := system.order(one))["state"] not in {"NEW", "ROUTED", "IN_DOUBT"} and found,
            f"{order_id} is settled",
            60,
        )
        assert order["state"] in {"FILLED", "EXPIRED", "WORKING", "PARTIALLY_FILLED", "REJECTED"}, order
    assert system.broker_orders()["doubled"] == []
    system.trade()
    system.verify()
