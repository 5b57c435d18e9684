"""CPU of the whole set without PostgreSQL while nobody asks for anything, in percent of one core.

Two API workers, stream, session with its simulated broker, strategy and worker; Redis too, where it is there. Beside it
the bare Flask view of the floor under the same server: what idling costs without us.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.generator import Generator
from benchmarks.record import record
from benchmarks.rounds import Plan, Say, middle
from benchmarks.sites import WORKERS, floor_process
from benchmarks.stock import Stock
from benchmarks.watching import cpu_s, family
from tests.services.redis_server import RedisServer

PROCESSES = ("sim_broker", "api", "stream", "session", "strategy", "worker")
SETTLING_S = 5.0
LEAST_S = 20.0


def run(plan: Plan, generator: Generator, say: Say, stock: Stock) -> list[dict[str, Any]]:
    """The record `idle_cpu`; `by_process` tells which process takes how much of it."""
    with _redis() as (redis_url, redis_pid), stock.system(more={"OMS_REDIS_URL": redis_url}) as system:
        system.start(*PROCESSES)
        with floor_process(system.database_url, WORKERS["pg"], system.home.parent) as (_port, floor_pid):
            time.sleep(SETTLING_S if plan.seconds >= 3 else plan.seconds)
            watched = {**system.pids(), "redis": redis_pid, "floor": floor_pid}
            seconds = max(LEAST_S, plan.seconds) if plan.seconds >= 3 else plan.seconds
            by_process: dict[str, list[float]] = {name: [] for name in watched}
            for number in range(1, min(plan.rounds, 3) + 1):
                for name, percent in _percent(watched, seconds).items():
                    by_process[name].append(percent)
                say(f"  round {number}: {', '.join(f'{name} {shares[-1]:.2f}' for name, shares in by_process.items())}")
    floors = by_process.pop("floor")
    totals = [sum(shares) for shares in zip(*by_process.values(), strict=True)]
    shares = {name: middle(values) for name, values in by_process.items()}
    return [record("idle_cpu", "% of a core", totals, floors, seed=plan.seed, seconds=seconds, by_process=shares)]


def _percent(watched: dict[str, int], seconds: float) -> dict[str, float]:
    """Percent of a core that each process with its children takes over so many seconds."""
    families = {name: family(pid) for name, pid in watched.items()}
    used = {name: cpu_s(pids) for name, pids in families.items()}
    began = time.monotonic()
    time.sleep(seconds)
    lasted = time.monotonic() - began
    return {name: (cpu_s(pids) - used[name]) / lasted * 100 for name, pids in families.items()}


@contextmanager
def _redis() -> Iterator[tuple[str, int]]:
    with tempfile.TemporaryDirectory(prefix="oms-redis-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            yield server.url, server.pid
        finally:
            server.stop()
