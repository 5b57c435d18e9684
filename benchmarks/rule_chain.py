"""What the chain of rules costs one order: p99 over an account with 10,000 open orders, and what one more rule adds.

`rule_chain_p99` judges orders by every rule and check that the installed plugins have, in an account with 10,000 open
orders and positions in 300 instruments, one order a batch as a single request is: what the account holds is valued anew
for each. `rule_chain_batched_p99` has a hundred orders a batch, `rule_chain_one_instrument_p99` all open orders in one
instrument, at many prices. The floor is the same decision without any rule. `rule_chain_marginal` is the slope over 0,
10 and 30 guarded rules that each return figures; its floor is the same rule called directly.

Times are the thread's own: what other processes do meanwhile is not counted. `wall_p99_us` has it in.
"""

import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from benchmarks.record import record, rounded
from oms_kernel import engine
from oms_kernel.batch import Batch
from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Gate, Verdict, denied, passed
from oms_kernel.domain.ids import ConnectionId, OrderId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.order import OrderRequest, Side
from oms_kernel.guard import Guard, GuardedRule, guard_rule, make_rule
from oms_kernel.host import PluginHost
from oms_kernel.terms import Terms
from oms_kernel.testkit.builders import BROKER_ACCOUNT_ID, a_uuid
from oms_kernel.testkit.scene import EVERYTHING, Scene
from oms_kernel.view import LedgerView

OPEN_ORDERS = 10_000
POSITIONS = 300
JUDGED = 400
HUNDRED, TEN, CENT = Decimal(100), Decimal(10), Decimal("0.01")
COUNTS = (0, 10, 30)
BATCH = 100
BUSY = {
    "single": "rule_chain_p99",
    "batched": "rule_chain_batched_p99",
    "deep": "rule_chain_one_instrument_p99",
}
HUGE = "100000000000000000"
WIDE: dict[str, dict[str, Any]] = {
    "allowed_instruments": {"currencies": ["USD"]},
    "basket_notional": {"max_notional": HUGE},
    "concentration": {"max_percent": "100"},
    "controlled_rollout": {"versions": {}},
    "cooldown": {"pause_s": 1},
    "day_trade_counter": {"rules": []},
    "fat_finger_confirm": {"max_unconfirmed_notional": HUGE},
    "gross_exposure": {"max_exposure": HUGE},
    "max_daily_loss": {"max_loss": HUGE},
    "max_drawdown": {"max_drawdown_percent": "100"},
    "max_order_notional": {"max_notional": HUGE},
    "max_order_quantity": {"max_quantity": "1000000000000"},
    "max_position": {"max_quantity": HUGE, "max_notional": HUGE},
    "message_rate": {"per_second": 1_000_000, "per_minute": 60_000_000},
    "min_order_notional": {"min_notional": "0.01"},
    "net_exposure": {"max_exposure": HUGE},
    "open_order_count": {"max_orders": 1_000_000},
    "open_order_value": {"max_value": HUGE},
    "order_to_trade_ratio": {"block_ratio": "1000000"},
    "price_collar": {"max_deviation_percent": "50"},
    "collar_over_time": {"max_move_percent": "100"},
    "restricted_list": {"restrictions": []},
}
"""Parameters so wide that nothing is denied; rules that are not here take their own defaults."""


class Figures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A limit."""

    most: Annotated[Decimal, described("Largest quantity", "units", gt=0)] = Decimal(1_000_000)


class TellsFigures:
    """A rule as the plugins' own are: it compares, and returns its figures."""

    name: ClassVar[str] = "tells_figures"
    title: ClassVar[str] = "Tells figures"
    Params: ClassVar[type[msgspec.Struct]] = Figures

    def __init__(self, params: Figures) -> None:
        self.most = params.most

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at the limit."""
        observed, limit = intent.request.quantity, self.most
        inputs = {"added": intent.added_quantity}
        if observed <= limit:
            return passed(self.name, observed=observed, limit=limit, unit="units", inputs=inputs)
        return denied(self.name, self.name, "too much", observed=observed, limit=limit, unit="units", inputs=inputs)


def run(rounds: int = 5, seed: int = 7) -> list[dict[str, Any]]:
    """The records of `BUSY` and `rule_chain_marginal`, in microseconds of one order."""
    host = PluginHost()
    chain, left_out = _whole_chain(host)
    guard = Guard("benchmark", host.watchdog)
    alike = [
        GuardedRule(f"alike {number}", "benchmark", "tells_figures", Gate.RISK, Terms(), TellsFigures(Figures()), guard)
        for number in range(max(COUNTS))
    ]
    order = random.Random(seed)
    wide, deep, small = _busy_scene(POSITIONS), _busy_scene(1), Scene()
    names = ["direct", *(name + floor for name in BUSY for floor in ("", "_floor")), *map(str, COUNTS)]
    times: dict[str, list[float]] = {name: [] for name in names}
    denials: dict[str, str] = {}
    walls: dict[str, list[float]] = {name: [] for name in BUSY}
    host.watchdog.start()
    try:
        kinds: dict[str, Callable[[], float]] = {
            "direct": lambda: _direct(small),
            "single": lambda: _p99(_judged(wide, chain, 1, denials, walls["single"])),
            "single_floor": lambda: _p99(_judged(wide, [], 1, denials, [])),
            "batched": lambda: _p99(_judged(wide, chain, BATCH, denials, walls["batched"])),
            "batched_floor": lambda: _p99(_judged(wide, [], BATCH, denials, [])),
            "deep": lambda: _p99(_judged(deep, chain, 1, denials, walls["deep"])),
            "deep_floor": lambda: _p99(_judged(deep, [], 1, denials, [])),
        }
        for count in COUNTS:
            kinds[str(count)] = lambda count=count: _median(_judged(small, alike[:count], BATCH, denials, []))  # type: ignore[misc]
        for kind in kinds.values():
            kind()
        for _ in range(rounds):
            for name in order.sample(sorted(kinds), len(kinds)):
                times[name].append(kinds[name]())
    finally:
        host.watchdog.stop()
    slopes = [_slope(COUNTS, [times[str(count)][one] for count in COUNTS]) for one in range(rounds)]
    waited = {name: rounded(_p99(spent)) for name, spent in walls.items()}
    told = {"rules": len(chain), "open_orders": OPEN_ORDERS, "left_out": left_out, "denying": denials}
    return [
        *(
            record(known, "us", times[name], times[f"{name}_floor"], seed=seed, wall_p99_us=waited[name], **told)
            for name, known in BUSY.items()
        ),
        record("rule_chain_marginal", "us", slopes, times["direct"], seed=seed, counts=list(COUNTS)),
    ]


def _whole_chain(host: PluginHost) -> tuple[list[GuardedRule], list[str]]:
    """Every rule and check of the plugins behind its guard, cheap ones first; and those that want other parameters."""
    registries = host.load()
    chain: list[GuardedRule] = []
    left_out: list[str] = []
    for registry, gate in ((registries.compliance_checks, Gate.COMPLIANCE), (registries.risk_rules, Gate.RISK)):
        for name, registered in sorted(registry.items(), key=lambda item: getattr(item[1].contributed, "rank", 100)):
            params = WIDE.get(name, {})
            try:
                make_rule(registered.contributed, params, Terms().scope)
            except Exception:
                left_out.append(name)
                continue
            guard = host.guard(registered.plugin)
            chain.append(guard_rule(registered, params, key=name, gate=gate, terms=Terms(), guard=guard))
    return chain, left_out


def _busy_scene(positions: int) -> Scene:
    """A ledger with one account: 10,000 open orders at many prices on so many instruments, a position in each."""
    scene = Scene()
    scene.pay("1000000000")
    instruments = [scene.another_instrument(f"S{number:03}") for number in range(positions)]
    for instrument in instruments:
        scene.hold(100, instrument=instrument)
    for instrument in (scene.instrument, *instruments):
        scene.facts(instrument, average_daily_volume="100000000", is_halted=False, in_auction=False)
    scene.mark_equity("1000000000", "1000000000")
    scene.link()
    for number in range(OPEN_ORDERS):
        turn = number // positions
        side = Side.BUY if turn % 2 else Side.SELL
        price = HUNDRED - side.sign * (TEN + CENT * (turn // 2 % 5_000))
        scene.accept(scene.order(side, 1 + number % 7, limit_price=price, instrument=instruments[number % positions]))
    return scene


def _judged(
    scene: Scene, rules: Sequence[GuardedRule], size: int, denials: dict[str, str], walls: list[float]
) -> list[float]:
    """Microseconds of each decision, and in `walls` with what it waited; each batch has its own overlay and view."""
    scene.state.change_rules(rules, lambda: scene.events)
    destination = engine.Destination(BROKER_ACCOUNT_ID, ConnectionId(a_uuid("connection")), EVERYTHING)
    ids = (a_uuid(f"judged {number}") for number in range(10 * JUDGED))
    requests = list(_requests(scene))
    market = scene.view().market
    spent: list[float] = []
    for first in range(0, JUDGED, size):
        batch = Batch(scene.state, now=scene.now, new_id=lambda: next(ids))
        began, began_wall = time.thread_time(), time.perf_counter()
        view = LedgerView(
            batch.book, market, scene.instruments, scene.calendars, facts=scene.known_facts, links=scene.links
        )
        for request, instrument in requests[first : first + size]:
            decision, event = engine.place(
                view,
                request,
                order_id=OrderId(next(ids)),
                instrument=instrument,
                destination=destination,
                rules=batch.rules,
                states=batch.memories,
                send_before=scene.now + timedelta(seconds=10),
                principal="system:bench",
            )
            spent.append((time.thread_time() - began) * 1e6)
            walls.append((time.perf_counter() - began_wall) * 1e6)
            denials.update({verdict.rule: verdict.code for verdict in decision.verdicts if verdict.denies})
            batch.record(event)
            began, began_wall = time.thread_time(), time.perf_counter()
    return spent


def _requests(scene: Scene) -> Iterator[tuple[OrderRequest, Instrument]]:
    """Limit orders over all instruments that differ in quantity, so that none is a duplicate."""
    instruments = list(scene.instruments.values())
    for number in range(1, JUDGED + 1):
        instrument = instruments[number % len(instruments)]
        yield scene.order(Side.BUY, number, limit_price="95", instrument=instrument), instrument


def _direct(scene: Scene) -> float:
    """Microseconds of a call of the rule itself."""
    rule = TellsFigures(Figures())
    intent, view = scene.intent(scene.order(quantity=10, limit_price="95"))
    began = time.thread_time()
    for _ in range(20_000):
        rule.assess(intent, view, None)
    return (time.thread_time() - began) / 20_000 * 1e6


def _p99(spent: Sequence[float]) -> float:
    return statistics.quantiles(spent, n=100)[98]


def _median(spent: Sequence[float]) -> float:
    return statistics.median(spent)


def _slope(counts: Sequence[int], values: Sequence[float]) -> float:
    return statistics.linear_regression(counts, values).slope


if __name__ == "__main__":
    json.dump(run(), sys.stdout, indent=2)
