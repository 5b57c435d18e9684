"""How fast the simulation matches: a seeded day of quotes with an order every few of them, in events a second.

The floor is a bare loop that parses the same file and compares two decimals of each quote.
"""

import csv
import json
import random
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.record import record
from oms_kernel.domain.ids import BrokerOrderId, WireId
from oms_kernel.domain.market import Quote
from oms_kernel.domain.order import OrderType, Side, TimeInForce
from oms_kernel.simulation.csv_feed import CsvFeed
from oms_kernel.simulation.fees import PerUnitFees
from oms_kernel.simulation.matching import MatchingEngine
from oms_kernel.simulation.orders import NewOrder
from oms_kernel.simulation.synthetic import write_quotes_csv
from oms_kernel.testkit.builders import BROKER_ACCOUNT_ID, an_instrument

START = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
QUOTES = 50_000
EVERY = 4
"""An order comes with each so many quotes."""
CANCEL_AFTER = 20
"""So many orders later, what is left of an order is cancelled, so that the book stays as deep as it is."""
TYPES = (OrderType.MARKET, OrderType.LIMIT, OrderType.LIMIT, OrderType.STOP, OrderType.TRAILING_STOP)
INSTRUMENT = an_instrument("ACME")


def run(rounds: int = 3, seed: int = 7) -> list[dict[str, Any]]:
    """One record, `sim_match`: quotes and commands matched in a second, reading the file included."""
    order = random.Random(seed)
    rates: dict[str, list[float]] = {"matching": [], "floor": []}
    with tempfile.TemporaryDirectory() as folder:
        path = write_quotes_csv(
            Path(folder) / "day.csv", [INSTRUMENT], seed=seed, start=START, interval=timedelta(seconds=1), rows=QUOTES
        )
        measure = {"matching": match, "floor": parse_and_compare}
        for _ in range(rounds):
            for name in order.sample(sorted(measure), len(measure)):
                began = time.perf_counter()
                events = measure[name](path)
                rates[name].append(events / (time.perf_counter() - began))
    return [record("sim_match", "events/s", rates["matching"], rates["floor"], seed=seed)]


def match(path: Path) -> int:
    """Replay the file through an engine, with orders; how many events that were."""
    engine = MatchingEngine([INSTRUMENT], fees=PerUnitFees(Decimal("0.005")))
    sent: list[NewOrder] = []
    events = 0
    for number, quote in enumerate(CsvFeed(path, {INSTRUMENT.symbol: INSTRUMENT}).quotes()):
        engine.on_quote(quote)
        events += 1
        if number % EVERY == 0 and quote.bid is not None:
            sent.append(_order(len(sent), quote))
            engine.submit(sent[-1])
            events += 1
            if len(sent) > CANCEL_AFTER:
                engine.cancel(sent[-CANCEL_AFTER])
                events += 1
    return events


def parse_and_compare(path: Path) -> int:
    """Parse each row and compare its two prices; how many rows that were."""
    rows = 0
    crossed = 0
    with path.open(newline="") as file:
        reader = csv.reader(file)
        next(reader)
        for row in reader:
            datetime.fromisoformat(row[0])
            crossed += Decimal(row[2] or 0) > Decimal(row[4] or 0)
            rows += 1
    return rows


def _order(number: int, quote: Quote) -> NewOrder:
    order_type = TYPES[number % len(TYPES)]
    side = Side.BUY if number % 2 else Side.SELL
    assert quote.bid is not None
    return NewOrder(
        broker_order_id=BrokerOrderId(str(number)),
        wire_id=WireId(str(number)),
        broker_account_id=BROKER_ACCOUNT_ID,
        instrument_id=quote.instrument_id,
        side=side,
        quantity=Decimal(100),
        order_type=order_type,
        time_in_force=TimeInForce.DAY,
        limit_price=quote.bid if order_type is OrderType.LIMIT else None,
        stop_price=quote.bid + side.sign * Decimal("0.05") if order_type is OrderType.STOP else None,
        trail_amount=Decimal("0.05") if order_type is OrderType.TRAILING_STOP else None,
    )


if __name__ == "__main__":
    json.dump(run(), sys.stdout, indent=1)
