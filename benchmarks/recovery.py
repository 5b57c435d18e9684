"""Seconds from the start of API and session until both serve a ledger of 100,000 ended orders and 1,000 open ones.

Ready is: an order was accepted (the API folded the ledger), and the connection is READY (the session took its lease,
folded the ledger and reconciled with the broker, which holds the open orders). Beside it the same on an empty ledger.
"""

import time
import urllib.error
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.generator import Generator
from benchmarks.record import record
from benchmarks.rounds import Plan, Say, measured, middle
from benchmarks.stock import HUNDRED_THOUSAND, Stock
from benchmarks.system import OPEN_STATES, System
from benchmarks.watching import cpu_s, family

OPEN = 1000
BULK = 100


def run(plan: Plan, generator: Generator, say: Say, stock: Stock) -> list[dict[str, Any]]:
    """The record `recovery` in seconds; `api_s` and `session_s` tell which part was ready when."""
    ended = plan.size or HUNDRED_THOUSAND
    with stock.system(orders=ended) as full, stock.system() as empty:
        starts = {"full": _Starts(full), "empty": _Starts(empty)}
        for system in (full, empty):
            system.launch("sim_broker")
        starts["empty"].once()
        first_s = _open_orders(full, say)
        figures = measured({name: one.once for name, one in starts.items()}, plan, say, "s")
        if full.count("WORKING") != OPEN or full.count() != ended + OPEN + starts["full"].placed:
            raise RuntimeError(f"not every order is where it was: {full.states()}")
    more = {
        "api_s": middle(starts["full"].api_s),
        "session_s": middle(starts["full"].session_s),
        "first_s": round(first_s, 2),
        "cpu_s": middle(starts["full"].cpu_s),
        "floor_cpu_s": middle(starts["empty"].cpu_s),
        "orders": ended + OPEN,
        "open_orders": OPEN,
    }
    return [record("recovery", "s", figures["full"], figures["empty"], seed=plan.seed, **more)]


def _open_orders(system: System, say: Say) -> float:
    """Let a thousand orders rest at the broker; how long the very first start took."""
    began = time.monotonic()
    system.start("api", "session")
    first_s = time.monotonic() - began
    say(f"  the first start took {first_s:.1f} s")
    for first in range(0, OPEN, BULK):
        system.place_many(
            [
                {"order_type": "LIMIT", "limit_price": "300", "quantity": str(number + 1), "time_in_force": "GTC"}
                for number in range(first, first + BULK)
            ]
        )
    system.wait(lambda: not system.count(*OPEN_STATES) and system.count("WORKING") == OPEN)
    system.end("session", "api")
    return first_s


class _Starts:
    """Starts of one system's API and session; the broker goes on meanwhile."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.placed = 0
        self.api_s: list[float] = []
        self.session_s: list[float] = []
        self.cpu_s: list[float] = []
        """CPU seconds of all processes that were started, until both were ready."""

    def once(self) -> float:
        """Seconds until both are ready; then both are ended in order."""
        system = self._system
        api_s = session_s = 0.0
        began = time.monotonic()
        system.launch("api", "session")

        def is_ready() -> bool:
            nonlocal api_s, session_s
            if not api_s and system.answers() and self._accepts():
                api_s = time.monotonic() - began
            if not session_s and system.sessions_are_ready():
                session_s = time.monotonic() - began
            return bool(api_s and session_s)

        system.wait(is_ready, pause_s=0.02)
        self.api_s.append(api_s)
        self.session_s.append(session_s)
        self.cpu_s.append(cpu_s(pid for name in ("api", "session") for pid in family(system.pids()[name])))
        system.end("session", "api")
        return max(api_s, session_s)

    def _accepts(self) -> bool:
        """Whether an order is accepted, one that is over at once."""
        until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        price = {"order_type": "LIMIT", "limit_price": "440", "queue_until": until}
        try:
            placed = self._system.place(quantity=str(10_000 + self.placed), time_in_force="IOC", **price)
        except urllib.error.HTTPError as error:
            if error.code == 503:
                return False
            raise
        self.placed += placed["state"] == "NEW"
        return True
