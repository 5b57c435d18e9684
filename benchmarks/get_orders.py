"""Lists of fifty orders a second over 32 connections, on a ledger of a hundred thousand; beside a bare view's list."""

from typing import Any

import psycopg

from benchmarks import floor
from benchmarks.generator import Answered, Generator, Load
from benchmarks.record import PER_SECOND, record
from benchmarks.rounds import Plan, Say, measured, middle
from benchmarks.sites import WORKERS, served_floor
from benchmarks.stock import HUNDRED_THOUSAND, Stock
from benchmarks.watching import cpu_s, family

CONNECTIONS = 32
LIMIT = 50
QUERY = f"limit={LIMIT}&with_total=false"
"""The first page without a count, as a program asks for it again and again; a count of a long list costs its length."""


def run(plan: Plan, generator: Generator, say: Say, stock: Stock) -> list[dict[str, Any]]:
    """The record `get_orders_pg`. The floor is a bare Flask view: fifty rows of ten columns by psycopg, as JSON."""
    with stock.system(orders=plan.size or HUNDRED_THOUSAND) as system:
        system.start("api")
        listed = system.get(f"/api/v1/orders?{QUERY}")["items"]
        if len(listed) != LIMIT or len({one["order_id"] for one in listed}) != LIMIT:
            raise RuntimeError(f"the list holds {len(listed)} orders")
        lists = _Lists(f"{system.url}/api/v1/orders?{QUERY}", system.headers, plan, generator)
        fill_floor(system.database_url)
        with served_floor(system.database_url, WORKERS["pg"], system.home.parent) as port:
            bare = _Lists(f"http://127.0.0.1:{port}/orders", {}, plan, generator)
            kinds = {"lists": lists.rate, "floor": bare.rate}
            processes = family(system.pids()["api"])
            for kind in kinds.values():
                kind()
            lists.clear()
            used = cpu_s(processes)
            rates = measured(kinds, plan, say, PER_SECOND)
            cpu_us = (cpu_s(processes) - used) / sum(one.requests for one in lists.answers) * 1e6
        p50, p99 = middle([one.p50_ms for one in lists.answers]), middle([one.p99_ms for one in lists.answers])
        more = {"p50_ms": p50, "p99_ms": p99, "cpu_us": round(cpu_us), "generator": generator.name}
        return [record("get_orders_pg", PER_SECOND, rates["lists"], rates["floor"], seed=plan.seed, **more)]


def fill_floor(database_url: str) -> None:
    """Fifty rows in the floor's table."""
    floor.make_table(database_url)
    statement = floor.INSERT.format(marks=", ".join(["%s"] * len(floor.COLUMNS)))
    with psycopg.connect(database_url) as connection:
        for number in range(LIMIT):
            connection.execute(statement, [f"{name} {number}" for name in floor.COLUMNS])


class _Lists:
    """GET of one list, again and again."""

    def __init__(self, url: str, headers: dict[str, str], plan: Plan, generator: Generator) -> None:
        self._load = Load(url, "", 0, CONNECTIONS, plan.seconds, headers, "GET")
        self._generator = generator
        self.answers: list[Answered] = []

    def clear(self) -> None:
        """Forget the rounds so far."""
        self.answers.clear()

    def rate(self) -> float:
        """Lists per second. Raises RuntimeError when one was not answered well."""
        answered = self._generator.send(self._load)
        if answered.failed or not answered.requests:
            raise RuntimeError(f"{answered.failed} of {answered.requests} lists failed")
        self.answers.append(answered)
        return answered.rate
