"""What a long past costs: single orders into a system with a million orders in its tables, beside an empty one.

The million belongs to ten tenants, a hundred thousand each; the orders go to one of them, whose ledger is in memory.
"""

from typing import Any

from benchmarks.generator import Generator
from benchmarks.loads import IntakeLoad, compared
from benchmarks.record import PER_SECOND, record
from benchmarks.rounds import Plan, Say, measured
from benchmarks.stock import HUNDRED_THOUSAND, Stock

TENANTS = 10


def run(plan: Plan, generator: Generator, say: Say, stock: Stock) -> list[dict[str, Any]]:
    """The record `table_1m`: value on the full tables, floor on empty ones."""
    orders = plan.size or HUNDRED_THOUSAND
    with stock.system(orders=orders, tenants=TENANTS) as full, stock.system() as empty:
        for system in (full, empty):
            system.start("api")
        loads = {"full": IntakeLoad(full, plan, generator), "empty": IntakeLoad(empty, plan, generator)}
        for load in loads.values():
            load.warm()
        rates = measured({name: load.rate for name, load in loads.items()}, plan, say, PER_SECOND)
        say(f"  checked: {' and '.join(str(load.check()) for load in loads.values())} orders stored")
        more = {"orders": orders * TENANTS, "tenants": TENANTS, **compared(loads["full"], loads["empty"])}
        return [record("table_1m", PER_SECOND, rates["full"], rates["empty"], seed=plan.seed, **more)]
