"""What access adds to the cost of a POST of one order: beside a composition that lets anybody in, in the same run.

Two databases on PostgreSQL, one of each composition, so that neither finds the other's orders; the rounds are mixed.
"""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from benchmarks.generator import MARK, Answered, Generator, Load
from benchmarks.record import PER_SECOND, record
from benchmarks.rounds import Plan, Say, measured, middle
from benchmarks.sites import bare_site
from benchmarks.stock import Stock
from benchmarks.system import System
from benchmarks.watching import cpu_s, family

CONNECTIONS = 32


class Open(System):
    """A system whose API asks nobody who they are."""

    def _command(self, name: str) -> Sequence[str]:
        if name != "api":
            return super()._command(name)
        return [sys.executable, "-m", "benchmarks.without_access", "--parent-pid", str(os.getpid())]


def run(plan: Plan, generator: Generator, say: Say, stock: Stock) -> list[dict[str, Any]]:
    """The record `access_cost`: orders per second with access, beside those without. added_percent: what it costs."""
    with ExitStack() as stack:
        sides = {
            "with": _Side(stack.enter_context(bare_site("pg")), plan, generator),
            "without": _Side(stack.enter_context(bare_site("pg", kind=Open)), plan, generator),
        }
        kinds = {name: side.rate for name, side in sides.items()}
        for side in sides.values():
            side.rate()
            side.clear()
        rates = measured(kinds, plan, say, PER_SECOND)
        for side in sides.values():
            side.check()
        added = [(bare / whole - 1) * 100 for whole, bare in zip(rates["with"], rates["without"], strict=True)]
        cpu = {name: side.cpu_us for name, side in sides.items()}
        more = {
            "added_percent": middle(added), "cpu_us": round(cpu["with"]), "cpu_us_without": round(cpu["without"]),
            "cpu_added_percent": round((cpu["with"] / cpu["without"] - 1) * 100, 1),
            "p50_ms": middle([one.p50_ms for one in sides["with"].answers]),
            "p99_ms": middle([one.p99_ms for one in sides["with"].answers]),
            "floor_p50_ms": middle([one.p50_ms for one in sides["without"].answers]),
            "floor_p99_ms": middle([one.p99_ms for one in sides["without"].answers]), "generator": generator.name,
        }  # fmt: skip
        return [record("access_cost", PER_SECOND, rates["with"], rates["without"], seed=plan.seed, **more)]


class _Side:
    """One composition and the orders that it was sent."""

    def __init__(self, system: System, plan: Plan, generator: Generator) -> None:
        self._system = system
        self._plan = plan
        self._generator = generator
        system.start("api")
        self._processes = family(system.pids()["api"])
        order = system.order(order_type="LIMIT", limit_price="400", queue_until=system.tomorrow)
        self._text = json.dumps({**order, "client_order_id": f"bench-{MARK}", "quantity": MARK}, separators=(",", ":"))
        self._following = 1
        self._answered = self._cut = 0
        self._used_s = 0.0
        self._requests = 0
        self.answers: list[Answered] = []

    def clear(self) -> None:
        """Forget the rounds so far."""
        self.answers.clear()
        self._used_s = self._requests = 0

    @property
    def cpu_us(self) -> float:
        """Of the API's processes, for each order."""
        return self._used_s / max(1, self._requests) * 1e6

    def rate(self) -> float:
        """Orders per second. Raises RuntimeError when one was not accepted."""
        url = f"{self._system.url}/api/v1/orders"
        load = Load(url, self._text, self._following, CONNECTIONS, self._plan.seconds, self._system.headers)
        before = cpu_s(self._processes)
        answered = self._generator.send(load)
        self._used_s += cpu_s(self._processes) - before
        self._following += (answered.requests + 2 * CONNECTIONS + 10) * self._text.count(MARK)
        if answered.failed or not answered.requests:
            raise RuntimeError(f"{answered.failed} of {answered.requests} orders failed: {self._system.states()}")
        self._requests += answered.requests
        self._answered += answered.requests
        self._cut += CONNECTIONS
        self.answers.append(answered)
        return answered.rate

    def check(self) -> None:
        """Raise RuntimeError unless every order that was answered is stored."""
        stored = self._system.count()
        if not 0 <= stored - self._answered <= self._cut:
            raise RuntimeError(f"{self._answered} orders answered, {stored} stored")
