"""How much of the intake's throughput stays with thirty rules on; most tell their figures of every order.

Two databases on PostgreSQL, one of them without any limit; the rounds are mixed. The ratio is what thirty rules leave.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from benchmarks.generator import Generator
from benchmarks.loads import IntakeLoad, compared
from benchmarks.record import PER_SECOND, record
from benchmarks.rounds import Plan, Say, measured
from benchmarks.rule_chain import HUGE, WIDE
from benchmarks.stock import Stock
from benchmarks.system import System, add_limits
from oms_app.cli.demo import ACCOUNT_ID, LEDGER_ID, TENANT_ID, demo_instruments
from oms_app.flow.desk import Turn
from oms_app.store.instrument_facts import put_facts
from oms_app.store.limits import end_limit, list_limits
from oms_kernel.contracts.rules import InstrumentFacts
from oms_kernel.domain.events import CashChanged, EquityMarked

MONEY = Decimal(10**15)
NAMES = (
    "adv_participation basket_notional broker_link_guard buying_power clock_guard concentration duplicate_order "
    "fat_finger_confirm gross_exposure halt_status max_daily_loss max_drawdown max_order_notional max_order_quantity "
    "max_position message_rate min_order_notional net_exposure open_order_count open_order_value order_to_trade_ratio "
    "price_collar reject_storm repeated_execution restricted_list self_trade_prevention short_sale stale_market_data "
    "swapped_price_quantity trading_hours"
)
THIRTY: dict[str, dict[str, Any]] = {
    **{name: WIDE.get(name, {}) for name in NAMES.split()},
    "stale_market_data": {"max_age_s": "86400"},
}
"""Rules and checks, so wide that nothing is denied: all that tell figures of a buy, and some that only look."""


def run(plan: Plan, generator: Generator, say: Say, stock: Stock) -> list[dict[str, Any]]:
    """The record `rules_30`: value with the rules, floor without any."""
    with stock.system() as bare, stock.system() as ruled:
        prepare(bare, {})
        prepare(ruled, THIRTY)
        for system in (bare, ruled):
            system.start("api")
        figures = told(ruled)
        loads = {"without": IntakeLoad(bare, plan, generator), "with": IntakeLoad(ruled, plan, generator)}
        for load in loads.values():
            load.warm()
        rates = measured({name: load.rate for name, load in loads.items()}, plan, say, PER_SECOND)
        say(f"  checked: {' and '.join(str(load.check()) for load in loads.values())} orders stored")
        more = {"rules": len(THIRTY), "with_figures": figures, **compared(loads["with"], loads["without"])}
        return [record("rules_30", PER_SECOND, rates["with"], rates["without"], seed=plan.seed, **more)]


def prepare(system: System, limits: Mapping[str, dict[str, Any]]) -> None:
    """Leave these limits and no others, and let everything be known that rules ask for."""
    now = datetime.now(UTC)
    with system.store.tenant_unit(TENANT_ID) as unit:
        for row in list_limits(unit):
            end_limit(unit, row.limit_id)
    add_limits(system, limits)
    with system.store.platform_unit() as unit:
        put_facts(unit, [
            InstrumentFacts(
                one.instrument_id, as_of=now, average_daily_volume=Decimal(HUGE), is_halted=False, in_auction=False
            )
            for one in demo_instruments()
        ])  # fmt: skip

    def work(turn: Turn) -> None:
        turn.batch.record(CashChanged(account_id=ACCOUNT_ID, currency="USD", amount=MONEY, reason_code="deposit"))
        today = turn.view.risk_date(ACCOUNT_ID)
        marked = {"day_start": MONEY, "high_water": MONEY, "equity": MONEY}
        turn.batch.record(EquityMarked(account_id=ACCOUNT_ID, risk_date=today, **marked))

    with system.services() as services:
        services.desk.transact(TENANT_ID, LEDGER_ID, work)


def told(system: System) -> int:
    """How many rules told their figures of an order. Raises RuntimeError unless each rule judged it."""
    verdicts = {one["rule"]: one for one in system.verdicts_of_one_order()}
    if set(verdicts) != set(THIRTY):
        raise RuntimeError(f"only these rules judged: {', '.join(sorted(verdicts))}")
    return sum("observed" in one for one in verdicts.values())
