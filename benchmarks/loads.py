"""A system in, the rate at which it takes orders out: durable, checked single orders, no session running."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.generator import MARK, Answered, Generator, Load
from benchmarks.rounds import Plan, middle
from benchmarks.system import System
from benchmarks.watching import cpu_s, family

CONNECTIONS = 32


class IntakeLoad:
    """Single orders to one system; every answer must be 201 and every order that was answered stored."""

    def __init__(self, system: System, plan: Plan, generator: Generator, *, first: int = 1) -> None:
        self._system = system
        self._plan = plan
        self._generator = generator
        until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        order = system.order(order_type="LIMIT", limit_price="400", queue_until=until)
        self._body = json.dumps({**order, "client_order_id": f"bench-{MARK}", "quantity": MARK})
        self._following = first
        self._answered = 0
        self._cut = 0
        self._before = system.count()
        self.cpu_us: list[float] = []
        """CPU microseconds of the API's processes for each order, a value for each round."""
        self.p99_ms: list[float] = []

    def warm(self) -> None:
        """One round that is not counted."""
        self.rate()
        self.clear()

    def clear(self) -> None:
        """Forget the rounds so far."""
        self.cpu_us.clear()
        self.p99_ms.clear()

    def rate(self) -> float:
        """Orders per second over one round. Raises RuntimeError when an answer was not 2xx."""
        processes = family(self._system.pids()["api"])
        used = cpu_s(processes)
        answered = self._send()
        self.cpu_us.append((cpu_s(processes) - used) / answered.requests * 1e6)
        self.p99_ms.append(answered.p99_ms)
        return answered.rate

    def check(self) -> int:
        """How many orders the rounds placed. Raises RuntimeError unless all that were answered are stored."""
        stored = self._system.count() - self._before
        refused = self._system.count("DENIED", "REJECTED", "EXPIRED")
        if refused or not 0 <= stored - self._answered <= self._cut:
            raise RuntimeError(f"{self._answered} orders answered, {stored} stored, {refused} refused")
        return stored

    def _send(self) -> Answered:
        system = self._system
        load = Load(
            f"{system.url}/api/v1/orders", self._body, self._following, CONNECTIONS, self._plan.seconds, system.headers
        )
        answered = self._generator.send(load)
        self._following += (answered.requests + 2 * CONNECTIONS + 10) * self._body.count(MARK)
        self._answered += answered.requests - answered.failed
        self._cut += CONNECTIONS
        if answered.failed or not answered.requests:
            raise RuntimeError(f"{answered.failed} of {answered.requests} orders failed; stored: {system.states()}")
        return answered


def compared(mine: IntakeLoad, reference: IntakeLoad) -> dict[str, Any]:
    """CPU time for each order beside the reference's: it tells the same on a machine with neighbours."""
    cpu, other = middle(mine.cpu_us), middle(reference.cpu_us)
    return {
        "cpu_us": cpu,
        "floor_cpu_us": other,
        "cpu_ratio": round(other / cpu, 3) if cpu else 0.0,
        "p99_ms": middle(mine.p99_ms),
        "floor_p99_ms": middle(reference.p99_ms),
    }
