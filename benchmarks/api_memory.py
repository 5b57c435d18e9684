"""Resident memory of one API process that serves a ledger of a hundred thousand orders, beside one of an empty ledger.

The process folds the whole ledger for an order, lists orders, and is weighed after that; the larger worker counts.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.generator import Generator
from benchmarks.record import record
from benchmarks.rounds import Plan, Say, measured
from benchmarks.stock import HUNDRED_THOUSAND, Stock
from benchmarks.watching import family, resident_mb

REQUESTS = 20


def run(plan: Plan, generator: Generator, say: Say, stock: Stock) -> list[dict[str, Any]]:
    """The record `api_memory`, MB of 10^6 bytes; each round starts the process anew."""
    orders = plan.size or HUNDRED_THOUSAND
    kinds = {"full": lambda: weigh(stock, orders), "empty": lambda: weigh(stock, 0)}
    figures = measured(kinds, Plan(min(plan.rounds, 2), plan.seconds, plan.seed), say, "MB")
    return [record("api_memory", "MB", figures["full"], figures["empty"], seed=plan.seed, orders=orders)]


def weigh(stock: Stock, orders: int) -> float:
    """MB of an API worker after it served some requests on a ledger of so many orders."""
    with stock.system(orders=orders, workers=1) as system:
        system.start("api")
        until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        for number in range(1, REQUESTS + 1):
            system.place(quantity=str(number), order_type="LIMIT", limit_price="400", queue_until=until)
            system.get("/api/v1/orders?limit=50")
        return max(resident_mb(pid) for pid in family(system.pids()["api"]))
