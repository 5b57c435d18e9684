"""The benchmarks' own instruments: records, the floor, and the bundled load generator against it."""

import asyncio
import importlib.metadata
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from benchmarks import api_memory, bundled_client, floor, get_orders, goals, made_orders, plugins_kept
from benchmarks.__main__ import _groups
from benchmarks.generator import MARK, Load, best_generator
from benchmarks.record import record, table
from benchmarks.rounds import Plan
from benchmarks.sites import served_floor
from benchmarks.stock import Stock, multiply
from benchmarks.system import System
from benchmarks.watching import cpu_s, family, resident_mb
from oms_app.cli.demo import ACCOUNT_ID, BROKER_ACCOUNT_ID, CONNECTION_ID, LEDGER_ID, TENANT_ID
from oms_app.store.verify import verify
from oms_kernel.host import PluginHost
from tests.waiting import until

JSON = {"Content-Type": "application/json"}
ORDER = f'{{"client_order_id": "c-{MARK}", "account_id": "a", "quantity": "{MARK}"}}'


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/floor.db"
    floor.make_table(url)
    return url


@pytest.fixture
def url(database: str, tmp_path: Path) -> Iterator[str]:
    with served_floor(database, 1, tmp_path) as port:
        yield f"http://127.0.0.1:{port}/orders"


def rows(database: str) -> int:
    with closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as connection:
        counted: int = connection.execute("SELECT count(*) FROM bench_floor").fetchone()[0]
    return counted


def test_a_record_holds_the_medians_and_the_range_of_the_rounds_ratios() -> None:
    made = record("speed", "1/s", [100, 300, 200], [1000, 1000, 400], seed=7, p50_ms=1.5, p99_ms=9.0)
    assert (made["value"], made["floor"]) == (200, 1000)
    assert (made["ratio"], made["ratio_min"], made["ratio_max"]) == (0.3, 0.1, 0.5)
    assert (made["rounds"], made["seed"], made["p50_ms"]) == (3, 7, 1.5)
    assert "speed" in table([made]) and "1.5/9" in table([made])


def test_every_order_that_the_bundled_client_counts_is_a_row_of_the_floor(url: str, database: str) -> None:
    answered = asyncio.run(bundled_client.send(Load(url, ORDER, 1, 4, 0.3, JSON)))
    assert answered.failed == 0
    assert answered.requests == rows(database) > 0
    assert answered.rate > 0
    assert answered.p99_ms >= answered.p50_ms > 0


def test_the_bundled_client_counts_what_was_refused(url: str, database: str) -> None:
    same = ORDER.replace(MARK, "1")
    answered = asyncio.run(bundled_client.send(Load(url, same, 1, 4, 0.3, JSON)))
    assert rows(database) == 1
    assert answered.failed == answered.requests - 1


def test_a_figure_is_held_to_its_bar_and_aim_and_a_smaller_one_is_better_where_that_is_meant() -> None:
    def stands(name: str, values: list[float], floors: list[float], **more: float) -> list[str]:
        return [goal["stands"] for goal in goals.judged(record(name, "x", values, floors, seed=7, **more))["goals"]]

    assert stands("bulk_100_pg", [1000], [100]) == ["aim reached"]
    assert stands("bulk_100_pg", [500], [100]) == ["bar met"]
    assert stands("bulk_100_pg", [300], [100]) == ["MISSED"]
    assert stands("recovery", [4], [1]) == ["aim reached"]
    assert stands("recovery", [16], [1]) == ["MISSED"]
    assert stands("get_orders_pg", [1500], [1], p99_ms=200.0) == ["bar met", "MISSED"]
    assert "goals" not in goals.judged(record("guarded_call", "us", [1], [1], seed=7))
    shown = goals.bars([goals.judged(record("recovery", "s", [16], [1], seed=7))])
    assert "recovery" in shown and "MISSED" in shown


def test_what_users_asked_for_is_compared_with_what_was_measured() -> None:
    measured = [record("get_orders_pg", "1/s", [900], [1], seed=7, p99_ms=149.0)]
    lines = goals.asked(measured).splitlines()
    assert [line.rsplit(None, 1)[1] for line in lines] == ["yes", "NO"]


def test_every_row_of_the_table_can_be_measured_by_its_name() -> None:
    named = {"post_order_intake_pg": "intake_pg", "post_order_p99": "intake_pg", "bulk_100_pg": "intake_pg"}
    named |= {"post_order_sustained_pg": "sustained_pg"}
    named |= {name: "rule_chain" for name in goals.GOALS if name.startswith("rule_chain")}
    named |= {"alert_by_mark": "alert_latency", "alert_by_fill": "alert_latency"}
    assert {named.get(name, name) for name in goals.GOALS} <= set(_groups())


def test_processes_are_watched_with_their_children() -> None:
    script = (
        "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'while True: pass']); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    try:
        until(lambda: len(family(parent.pid)) == 2, "the child")
        pids = family(parent.pid)
        until(lambda: cpu_s(pids) > 0.05, "CPU time of the child")
        assert resident_mb(parent.pid) > 1
    finally:
        for pid in family(parent.pid):
            os.kill(pid, signal.SIGKILL)
        parent.wait()


@pytest.mark.integration
@pytest.mark.untraced
def test_made_orders_are_what_their_log_says_also_in_the_ledgers_of_further_tenants(new_postgres_database: Any) -> None:
    url, home = new_postgres_database(), Path(tempfile.mkdtemp())
    system = System(home, url, port=1, stream_port=2, workers=1, threads=2)
    try:
        system.prepare()
        made_orders.backdate(url, LEDGER_ID)
        opening = list(system.store.events(TENANT_ID, LEDGER_ID, 0))
        place = made_orders.Place(TENANT_ID, LEDGER_ID, ACCOUNT_ID, BROKER_ACCOUNT_ID, CONNECTION_ID)
        head = made_orders.fill(url, place, opening, 450)
        report = verify(system.store, TENANT_ID, LEDGER_ID)
        assert (report.differences, report.orders, report.events) == ((), 450, head)
        multiply(url, 3)
        others = [one for one in system.store.ledgers() if one != (TENANT_ID, LEDGER_ID)]
        assert [verify(system.store, *one).orders for one in others] == [450, 450]
    finally:
        system.stop()
        shutil.rmtree(home)


@pytest.mark.integration
@pytest.mark.untraced
def test_a_row_is_measured_in_its_short_form() -> None:
    """The cheap rows; the others differ in what they send."""
    plan = Plan(rounds=1, seconds=1, seed=7, size=300)
    with Stock(lambda text: None) as stock:
        (lists,) = get_orders.run(plan, best_generator(), lambda text: None, stock)
        (memory,) = api_memory.run(plan, best_generator(), lambda text: None, stock)
    assert lists["name"] == "get_orders_pg" and lists["value"] > 0 and lists["p99_ms"] > 0 and lists["cpu_us"] > 0
    assert memory["name"] == "api_memory" and memory["value"] > 10 and memory["orders"] == 300


def test_the_host_takes_the_rules_that_do_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = plugins_kept.install(tmp_path)
    monkeypatch.syspath_prepend(folder)
    host = PluginHost(distributions=lambda: importlib.metadata.distributions(path=[str(folder)]))
    assert [*host.load().risk_rules] == [*plugins_kept.RULES], host.report()
