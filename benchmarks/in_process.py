"""The intake without HTTP: orders from threads of this process into a fresh database, their rate out, or a profile.

`python -m benchmarks.in_process --database pg --threads 32` tells how much of a POST is not HTTP; with `--profile` one
thread places batches under cProfile, and the functions that cost most are printed.
"""

import argparse
import cProfile
import itertools
import pstats
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from benchmarks.sites import bare_site
from oms_app.bootstrap import Services, build_services
from oms_app.flow.pretrade import OrderDraft
from oms_app.flow.principal import Principal
from oms_kernel.domain.ids import AccountId, ClientOrderId, TenantId
from oms_kernel.domain.order import OrderType, Side

QUEUE = timedelta(days=1)


class Source:
    """Orders that all differ, and the one who places them."""

    def __init__(self, services: Services, tenant_id: str, account_id: str) -> None:
        self._intake = services.intake
        self._account_id = AccountId(account_id)
        self._numbers = itertools.count(1)
        self._queue_until = datetime.now(UTC) + QUEUE
        self.principal = Principal("system:bench", TenantId(tenant_id), frozenset())

    def place(self, size: int) -> None:
        """Place some orders as one request. Raises RuntimeError unless all are accepted."""
        result = self._intake.place(self.principal, [self._draft() for _ in range(size)])
        for item in result.items:
            if item.decision is None or not item.decision.accepted:
                raise RuntimeError(f"nothing may be refused here: {item.error or item.decision}")

    def _draft(self) -> OrderDraft:
        number = next(self._numbers)
        return OrderDraft(
            side=Side.BUY,
            quantity=Decimal(number),
            order_type=OrderType.LIMIT,
            account_id=self._account_id,
            symbol="SPY",
            limit_price=Decimal(400),
            queue_until=self._queue_until,
            client_order_id=ClientOrderId(f"bench-{number}"),
        )


def rate(source: Source, threads: int, seconds: float) -> float:
    """Orders per second, each a request of its own, from so many threads."""
    deadline = time.monotonic() + seconds
    counts = [0] * threads

    def work(mine: int) -> None:
        while time.monotonic() < deadline:
            source.place(1)
            counts[mine] += 1

    workers = [threading.Thread(target=work, args=(mine,)) for mine in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / seconds


def profile(source: Source, size: int, seconds: float) -> pstats.Stats:
    """Where the time goes when requests of `size` orders are placed one after the other."""
    profiler = cProfile.Profile()
    deadline = time.monotonic() + seconds
    profiler.enable()
    while time.monotonic() < deadline:
        source.place(size)
    profiler.disable()
    return pstats.Stats(profiler)


@contextmanager
def source_on(database: str) -> Iterator[Source]:
    """A source on a fresh database of `pg` or `sqlite`."""
    with bare_site(database) as system:
        services = build_services(system.settings)
        try:
            yield Source(services, system.facts.tenant_id, system.facts.account_id)
        finally:
            services.close()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["pg", "sqlite"], default="pg")
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--size", type=int, default=16, help="orders of a profiled batch")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--dump", type=Path, help="where to keep the profile")
    options = parser.parse_args()
    with source_on(options.database) as source:
        source.place(1)
        if not options.profile:
            print(f"{rate(source, options.threads, options.seconds):.0f} orders/s from {options.threads} threads")
            return
        stats = profile(source, options.size, options.seconds)
    if options.dump:
        stats.dump_stats(options.dump)
    stats.sort_stats("tottime").print_stats(45)
    stats.sort_stats("cumtime").print_stats(60)


if __name__ == "__main__":
    main()
