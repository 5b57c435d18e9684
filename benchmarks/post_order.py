"""Durable orders over HTTP beside the floor: interleaved rounds in, records out, every order checked.

Intake alone: no session runs; the orders carry `queue_until`, which is how an order says that it may wait for one, and
otherwise take the whole path (authentication, validation, compliance, risk, log, projections, COMMIT). Sustained: the
session and the simulated broker run, and the time counts until no order is under way.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from benchmarks.generator import MARK, Answered, Generator, Load
from benchmarks.record import PER_SECOND, record
from benchmarks.rounds import Plan, middle, shuffled
from benchmarks.sites import Site, site
from benchmarks.system import OPEN_STATES, System

DRAIN_S = 60
MANY = 32
FEW = 1
BULK = 100
BULK_CONNECTIONS = 4


class Round(msgspec.Struct):
    """What one kind of load came to, a value for each round."""

    rates: list[float] = []
    p50_ms: list[float] = []
    p99_ms: list[float] = []

    def add(self, rate: float, answered: Answered) -> None:
        """Note one round."""
        self.rates.append(rate)
        self.p50_ms.append(answered.p50_ms)
        self.p99_ms.append(answered.p99_ms)


def intake(database: str, plan: Plan, generator: Generator, say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """Records of intake alone on `pg` or `sqlite`; on PostgreSQL with one connection and in bulk too."""
    with site(database, sessions=False) as here:
        queue_until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        order = here.system.order(order_type="LIMIT", limit_price="400", queue_until=queue_until)
        measure = Measure(here, plan, generator, order)
        kinds: dict[str, Callable[[], None]] = {
            "floor": lambda: measure.floor("floor", MANY),
            "intake": lambda: measure.orders("intake", MANY),
        }
        if database == "pg":
            kinds |= {
                "floor_c1": lambda: measure.floor("floor_c1", FEW),
                "intake_c1": lambda: measure.orders("intake_c1", FEW),
                "bulk": lambda: measure.bulk("bulk"),
            }
        say(f"  {generator.name} sends {measure.ceiling():.0f}/s at most here: GET of a view that does nothing")
        measure.warm(kinds)
        for number, name in shuffled(kinds, plan):
            kinds[name]()
            say(f"  {database} round {number}: {name} {measure.rounds[name].rates[-1]:.0f}/s")
        measure.check(say)
        yield measure.record(f"post_order_intake_{database}", "intake", "floor")
        if database == "pg":
            yield measure.p99("post_order_p99", "intake", "floor")
            yield measure.record("post_order_intake_pg_c1", "intake_c1", "floor_c1")
            yield measure.record("bulk_100_pg", "bulk", "floor")


def sustained(database: str, plan: Plan, generator: Generator, say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """The record of orders that are sent and filled, on `pg` or `sqlite`."""
    with site(database, sessions=True) as here:
        measure = Measure(here, plan, generator, here.system.order(order_type="MARKET"))
        kinds: dict[str, Callable[[], None]] = {
            "floor": lambda: measure.floor("floor", MANY),
            "sustained": lambda: measure.sustained("sustained"),
        }
        say(f"  {generator.name} sends {measure.ceiling():.0f}/s at most here: GET of a view that does nothing")
        measure.warm(kinds)
        for number, name in shuffled(kinds, plan):
            kinds[name]()
            say(f"  {database} round {number}: {name} {measure.rounds[name].rates[-1]:.0f}/s")
        measure.check(say)
        filled = here.system.count("FILLED")
        say(f"  {database}: {filled} of {measure.stored} orders are FILLED, none is under way")
        more = {"filled": filled, "backlog_s": middle(measure.backlogs)}
        yield measure.record(f"post_order_sustained_{database}", "sustained", "floor", **more)


class Measure:
    """The rounds of one site. Every answer must be good; every order that was answered must be stored."""

    def __init__(self, here: Site, plan: Plan, generator: Generator, order: Mapping[str, Any]) -> None:
        self._here = here
        self._plan = plan
        self._generator = generator
        self._order = {**order, "client_order_id": f"bench-{MARK}", "quantity": MARK}
        self._following = 1
        self._answered = 0
        self._cut = 0
        self.rounds: dict[str, Round] = {}
        self.backlogs: list[float] = []
        """Seconds from the end of each sustained load until no order was under way."""
        self.stored = 0

    def warm(self, kinds: Mapping[str, Callable[[], None]]) -> None:
        """Run each kind once and forget it."""
        for kind in kinds.values():
            kind()
        self.rounds.clear()
        self.backlogs.clear()

    def ceiling(self) -> float:
        """Requests per second that the generator comes to against a view that does nothing."""
        load = Load(self._here.nothing_url, "", 0, MANY, self._plan.seconds, {}, "GET")
        return self._generator.send(load).rate

    def floor(self, name: str, connections: int) -> None:
        """One round of the floor; the broker stands still."""
        with self._here.system.paused():
            answered = self._send(self._here.floor_url, self._order, connections, {"Content-Type": "application/json"})
        self._note(name, answered.rate, answered)

    def orders(self, name: str, connections: int) -> None:
        """One round of single orders."""
        answered = self._place("/api/v1/orders", self._order, connections, 1)
        self._note(name, answered.rate, answered)

    def bulk(self, name: str) -> None:
        """One round of requests with a hundred orders each; the rate is of orders."""
        answered = self._place("/api/v1/orders/bulk", {"orders": [self._order] * BULK}, BULK_CONNECTIONS, BULK)
        self._note(name, answered.rate * BULK, answered)

    def sustained(self, name: str) -> None:
        """One round of single orders, until none is under way."""
        began = time.monotonic()
        answered = self._place("/api/v1/orders", self._order, MANY, 1)
        ended = time.monotonic()
        deadline = ended + DRAIN_S
        while self._here.system.count(*OPEN_STATES):
            if time.monotonic() > deadline:
                stored = self._here.system.states()
                raise RuntimeError(f"orders are still under way {DRAIN_S} s after the load; stored: {stored}")
            time.sleep(0.02)
        self.backlogs.append(time.monotonic() - ended)
        self._note(name, (answered.requests - answered.failed) / (time.monotonic() - began), answered)

    def check(self, say: Callable[[str], None]) -> None:
        """Raise RuntimeError unless every order that was answered is stored and none was denied."""
        self.stored = self._here.system.count("DENIED", "REJECTED", "EXPIRED", "CANCELED", but=True)
        refused = self._here.system.count("DENIED", "REJECTED", "EXPIRED", "CANCELED")
        if refused or not 0 <= self.stored - self._answered <= self._cut:
            raise RuntimeError(f"{self._answered} orders answered, {self.stored} stored, {refused} refused")
        say(f"  checked: {self._answered} orders answered 201, {self.stored} stored, none denied, rejected or expired")

    def record(self, name: str, kind: str, floor: str, **more: Any) -> dict[str, Any]:
        """The record of one kind against a floor."""
        mine, floors = self.rounds[kind], self.rounds[floor]
        return record(
            name, PER_SECOND, mine.rates, floors.rates, seed=self._plan.seed,
            p50_ms=middle(mine.p50_ms), p99_ms=middle(mine.p99_ms),
            floor_p50_ms=middle(floors.p50_ms), floor_p99_ms=middle(floors.p99_ms),
            generator=self._generator.name, **more,
        )  # fmt: skip

    def p99(self, name: str, kind: str, floor: str) -> dict[str, Any]:
        """The record of one kind's p99 against a floor's, in ms."""
        mine, floors = self.rounds[kind], self.rounds[floor]
        return record(name, "ms", mine.p99_ms, floors.p99_ms, seed=self._plan.seed)

    def _place(self, path: str, body: Mapping[str, Any], connections: int, orders: int) -> Answered:
        system: System = self._here.system
        answered = self._send(system.url + path, body, connections, system.headers)
        self._answered += (answered.requests - answered.failed) * orders
        # A request that was under way when the time was over is stored without being counted.
        self._cut += connections * orders
        return answered

    def _send(self, url: str, body: Mapping[str, Any], connections: int, headers: dict[str, str]) -> Answered:
        text = json.dumps(body, separators=(",", ":"))
        load = Load(url, text, self._following, connections, self._plan.seconds, headers)
        answered = self._generator.send(load)
        # A few more than were answered: those under way at the end, and what the generator tried beforehand.
        self._following += (answered.requests + 2 * connections + 10) * text.count(MARK)
        if answered.failed or not answered.requests:
            stored = self._here.system.states()
            raise RuntimeError(f"{answered.failed} of {answered.requests} requests to {url} failed; stored: {stored}")
        return answered

    def _note(self, name: str, rate: float, answered: Answered) -> None:
        self.rounds.setdefault(name, Round()).add(rate, answered)
