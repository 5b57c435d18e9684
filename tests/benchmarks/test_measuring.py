"""The benchmarks' own instruments: records, the floor, and the bundled load generator against it."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks import bundled_client, floor
from benchmarks.generator import MARK, Load
from benchmarks.record import record, table
from benchmarks.sites import served_floor

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
