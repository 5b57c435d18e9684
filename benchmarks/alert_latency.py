"""Milliseconds from a mark, or a fill, that oversteps a limit to its alert as another process reads it; the p99.

One worker watches, on PostgreSQL with Redis. Beside it an alert that this process records itself:
what storing one and seeing it costs without anybody who watches.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from benchmarks.generator import Generator
from benchmarks.record import record
from benchmarks.rounds import Plan, Say
from benchmarks.stock import Stock
from benchmarks.system import System
from oms_app.bootstrap import Services
from oms_app.cli.demo import ACCOUNT_ID, BROKER_ACCOUNT_ID, LEDGER_ID, TENANT_ID, derived_id
from oms_app.store import limits, monitoring_rounds, quotes
from oms_app.store.tables import ALERTS
from oms_kernel.domain.controls import Action
from oms_kernel.domain.events import AlertRaised, BreachClosed, OrderFilled, Severity
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.ids import BrokerAccountId, ExecId, InstrumentId
from oms_kernel.domain.lifecycle import Word
from oms_kernel.domain.market import Quote
from oms_kernel.domain.order import EXTERNAL_BOOK, Side
from tests.services.redis_server import RedisServer

INSTRUMENT = InstrumentId(derived_id("instrument XNAS:AAPL"))
SOURCES = ("limit:position_monitor", "bench")
BREACHES = 100
MOST_QUANTITY, MOST_VALUE = Decimal(100), Decimal(9_000)
CALM, DEAR = Decimal(100), Decimal(200)
PATIENCE_S = 30.0
SETTLED_S = 0.6
"""After so long everything that was stored has been looked at."""
LOOK_S = 0.002


def run(plan: Plan, generator: Generator, say: Say, stock: Stock) -> list[dict[str, Any]]:
    """The records `alert_by_mark` and `alert_by_fill`: value is the p99."""
    count = BREACHES if plan.seconds >= 3 else 3
    with _redis() as more, stock.system(more=more) as system, system.services() as services:
        subject = _Subject(services, random.Random(plan.seed))
        subject.watch()
        system.launch("worker")
        system.wait(lambda: subject.is_watched(system))
        floors = [subject.told(subject.tell) for _ in range(count)]
        records = []
        for name, breach in (("alert_by_mark", subject.mark_up), ("alert_by_fill", subject.buy_more)):
            times = []
            for _ in range(count):
                times.append(subject.told(breach))
                subject.calm()
            say(f"  {name}: p50 {statistics.median(times):.0f}, p99 {_p99(times):.0f}, most {max(times):.0f} ms")
            figures = {
                "p50_ms": round(statistics.median(times), 1),
                "p99_ms": round(_p99(times), 1),
                "floor_p50_ms": round(statistics.median(floors), 1),
                "floor_p99_ms": round(_p99(floors), 1),
                "max_ms": round(max(times), 1),
                "breaches": count,
            }
            records.append(record(name, "ms", [_p99(times)], [_p99(floors)], seed=plan.seed, **figures))
        return records


class _Subject:
    """One account that holds one instrument, watched by a limit of its quantity and its value."""

    def __init__(self, services: Services, chance: random.Random) -> None:
        self._services = services
        self._chance = chance
        self._executions = 0
        self._held = Decimal(0)

    def watch(self) -> None:
        """Hold half of what may be held, at a calm price, and set the limit."""
        self._quote(CALM)
        self._trade(Side.BUY, Decimal(50))
        params = {"max_quantity": str(MOST_QUANTITY), "max_notional": str(MOST_VALUE)}
        with self._services.store.tenant_unit(TENANT_ID) as unit:
            limits.put_limit(unit, derived_id("watched"), rule="position_monitor", params=params, action=Action.ALERT)

    def is_watched(self, system: System) -> bool:
        """Whether the worker looks at the ledger."""
        with system.store.read_unit(TENANT_ID) as unit:
            return any(row.monitors for row in monitoring_rounds.list_rounds(unit, TENANT_ID))

    def told(self, breach: Callable[[], None]) -> float:
        """Milliseconds from just before what breaches the limit is written to the alert's row."""
        time.sleep(self._chance.random() * 0.3)  # rounds have a beat of their own
        before, began = self._alerts(), time.monotonic()
        breach()
        while self._alerts() == before:
            if time.monotonic() - began > PATIENCE_S:
                raise RuntimeError(f"no alert within {PATIENCE_S:g} s")
            time.sleep(LOOK_S)
        return (time.monotonic() - began) * 1000

    def tell(self) -> None:
        """Record an alert here."""
        alert = AlertRaised(severity=Severity.INFO, source="bench", text="a floor", what_to_do="nothing")
        self._services.desk.transact(TENANT_ID, LEDGER_ID, lambda turn: turn.batch.record(alert))

    def mark_up(self) -> None:
        """A mark at which the position is worth more than the limit."""
        self._quote(DEAR)

    def buy_more(self) -> None:
        """A fill after which more is held than the limit."""
        self._trade(Side.BUY, Decimal(60))

    def calm(self) -> None:
        """Everything within its limit again, and the breach closed."""
        if self._held > MOST_QUANTITY:
            self._trade(Side.SELL, Decimal(60))
        self._quote(CALM)
        time.sleep(SETTLED_S)

        def close(turn: Any) -> None:
            book = turn.batch.book
            for breach_id in [one for one, breach in list(book.breaches.items()) if breach.is_open]:
                turn.batch.record(BreachClosed(breach_id=breach_id, principal="user:bench", finding="EXPECTED"))

        self._services.desk.transact(TENANT_ID, LEDGER_ID, close)
        time.sleep(SETTLED_S)

    def _quote(self, price: Decimal) -> None:
        now = datetime.now(UTC)
        size = Decimal(1000)
        with self._services.store.platform_unit() as unit:
            quotes.put_quotes(unit, [Quote(INSTRUMENT, price, size, price, size, now, now, price)])

    def _trade(self, side: Side, quantity: Decimal) -> None:
        now = datetime.now(UTC)
        self._executions += 1
        self._held += quantity * side.sign
        fill = Fill(
            exec_id=ExecId(f"BENCH-{self._executions}"), order_id=None, account_id=ACCOUNT_ID,
            broker_account_id=BrokerAccountId(BROKER_ACCOUNT_ID), instrument_id=INSTRUMENT, book=EXTERNAL_BOOK,
            side=side, quantity=quantity, price=CALM, currency="USD", multiplier=Decimal(1), executed_at=now,
            trading_date=now.date().isoformat(), risk_date=now.date().isoformat(),
        )  # fmt: skip
        filled = OrderFilled(account_id=ACCOUNT_ID, fill=fill, word=Word.FILLED_PART)
        self._services.desk.transact(TENANT_ID, LEDGER_ID, lambda turn: turn.batch.record(filled))

    def _alerts(self) -> int:
        with self._services.store.read_unit(TENANT_ID) as unit:
            own = (ALERTS.c.tenant_id == TENANT_ID, ALERTS.c.source.in_(SOURCES))
            query = select(func.count()).select_from(ALERTS).where(*own)
            return int(unit.connection.scalar(query) or 0)


def _p99(times: list[float]) -> float:
    return sorted(times)[max(0, round(len(times) * 0.99) - 1)]


@contextmanager
def _redis() -> Iterator[dict[str, str]]:
    """The setting that names a server of our own."""
    with tempfile.TemporaryDirectory(prefix="oms-redis-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            yield {"OMS_REDIS_URL": server.url}
        finally:
            server.stop()
