"""How many orders a second the kernel decides: `engine.place` with the six rules of the plugins, each behind its guard.

Beside it the floor: decoding and encoding the same order as JSON by msgspec, about the least that a server could do
with it. `kernel_place_record` folds each decision into the ledger's overlay as well and adopts it every hundred orders.
"""

import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec

from benchmarks.record import PER_SECOND, record
from oms_kernel import engine
from oms_kernel.batch import Batch
from oms_kernel.domain.decision import Gate
from oms_kernel.domain.ids import ConnectionId, OrderId
from oms_kernel.domain.order import OrderRequest, Side
from oms_kernel.guard import GuardedRule, guard_rule
from oms_kernel.host import PluginHost
from oms_kernel.terms import Terms
from oms_kernel.testkit.builders import BROKER_ACCOUNT_ID, a_uuid
from oms_kernel.testkit.scene import EVERYTHING, Scene
from oms_kernel.view import LedgerView

ORDERS = 2_000
BATCH = 100
LIMITS: dict[str, dict[str, Any]] = {
    "max_order_quantity": {"max_quantity": "1000000000000"},
    "max_order_notional": {"max_notional": "100000000000000000"},
    "price_collar": {"max_deviation_percent": "50"},
    "max_position": {"max_quantity": "100000000000000000"},
    "message_rate": {"per_second": 1_000_000, "per_minute": 60_000_000},
    "duplicate_order": {"window_s": 1},
}
"""The six rules, so wide that nothing is denied."""


def run(rounds: int = 5, seed: int = 7) -> list[dict[str, Any]]:
    """Records `kernel_place` and `kernel_place_record`, orders per second."""
    host = PluginHost()
    registries = host.load()
    rules = [
        guard_rule(
            registries.risk_rules[name], params, key=name, gate=Gate.RISK, terms=Terms(),
            guard=host.guard(registries.risk_rules[name].plugin),
        )
        for name, params in LIMITS.items()
    ]  # fmt: skip
    host.watchdog.start()
    kinds: dict[str, Callable[[], float]] = {
        "floor": _floor,
        "kernel_place": lambda: _place(rules, recording=False),
        "kernel_place_record": lambda: _place(rules, recording=True),
    }
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    order = random.Random(seed)
    try:
        for kind in kinds.values():
            kind()
        for _ in range(rounds):
            for name in order.sample(sorted(kinds), len(kinds)):
                rates[name].append(kinds[name]())
    finally:
        host.watchdog.stop()
    return [record(name, PER_SECOND, rates[name], rates["floor"], seed=seed) for name in rates if name != "floor"]


def _floor() -> float:
    scene = Scene()
    decoder = msgspec.json.Decoder(OrderRequest)
    texts = [msgspec.json.encode(request) for request in _requests(scene)]
    began = time.perf_counter()
    for text in texts:
        msgspec.json.encode(decoder.decode(text))
    return len(texts) / (time.perf_counter() - began)


def _place(rules: list[GuardedRule], *, recording: bool) -> float:
    scene = Scene()
    scene.state.change_rules(rules, lambda: scene.events)
    market = scene.view().market
    destination = engine.Destination(BROKER_ACCOUNT_ID, ConnectionId(a_uuid("connection")), EVERYTHING)
    ids = iter([a_uuid(f"id {number}") for number in range(2 * ORDERS)])
    requests = list(_requests(scene))
    send_before = scene.now + timedelta(seconds=10)
    began = time.perf_counter()
    for first in range(0, ORDERS, BATCH):
        batch = Batch(scene.state, now=scene.now, new_id=lambda: next(ids))
        view = LedgerView(batch.book, market, scene.instruments, scene.calendars)
        for request in requests[first : first + BATCH]:
            decision, event = engine.place(
                view,
                request,
                order_id=OrderId(next(ids)),
                instrument=scene.instrument,
                destination=destination,
                rules=batch.rules,
                states=batch.memories,
                send_before=send_before,
            )
            if not decision.accepted:
                raise RuntimeError(f"nothing may be denied here: {decision}")
            if recording:
                batch.record(event)
        if recording:
            scene.state.adopt(batch)
    return ORDERS / (time.perf_counter() - began)


def _requests(scene: Scene) -> Iterator[OrderRequest]:
    """Limit orders that differ in quantity, so that none is a duplicate."""
    for number in range(1, ORDERS + 1):
        yield scene.order(Side.BUY, Decimal(number), limit_price="90")


if __name__ == "__main__":
    json.dump(run(), sys.stdout, indent=2)
