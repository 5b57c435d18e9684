"""Many callers, a strategy, cancels and changes, all against one limit; the broker's own ledger is held to it by line.

Guarantee checked: at no instant could the account hold more than the limit if everything that works at the broker were
executed; and the limit is used up at the end, so that nothing is refused which there is room for.
"""

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select

from campaigns.asking import Stuck, must
from campaigns.books import read_broker_ledger
from campaigns.clients import Client, Refused, Reply
from campaigns.cluster import Cluster, cluster
from campaigns.exposure_replay import Replay
from campaigns.result import Result
from campaigns.tenants import Trading, add_tenant, broker_accounts, seed_catalogue, set_limits
from campaigns.timing import scaled
from campaigns.witness import TOLD_FILE
from oms_app.bootstrap import Services
from oms_app.cli.demo import sim_broker_config, starting_prices
from oms_app.store import tables as t
from oms_sim_broker.ledger import FILE_NAME, read_records
from oms_sim_broker.link import ENDPOINT_FILE

SHORT = 500
LONG = 10_000
PLANTS = ("blind_open", "blind_change")
LIMIT = 50
LEAST_AT_THE_END = 48
SYMBOL = "SPY"
APIS = ("api-1", "api-2")
SHORT_CALLERS, CALLERS = 20, 100
READY_S = 60.0
SETTLE_S = 60.0
FILLING = 5
"""One part in so many of the orders comes after everything that rests was cancelled, to use the limit up."""
RESTING, GROWING = 3, (2, 3, 5)
"""Orders that rest while the rest of the limit is filled, and the totals that are then asked for in each."""
TAKES, RESTS, SELLS = 55, 30, 15
CHANGES, CANCELS = 0.5, 0.7
ACTIVE = ("NEW", "HELD", "ROUTED", "WORKING", "PARTIALLY_FILLED", "PENDING_REPLACE", "PENDING_CANCEL", "IN_DOUBT")
EXPECTED = frozenset({200, 201, 202, 409, 422})
"""What callers are answered: taken, denied, or too late for a cancel or change."""


def run(n: int, seed: int, plant: str) -> Result:
    """Race with n orders."""
    began = time.monotonic()
    with cluster(plant=plant) as made, made.services() as services:
        race = Race(made, services, n, seed)
        race.play()
        return Result(
            name="limit_race", n=n, seed=seed, seconds=time.monotonic() - began,
            violations=len(race.texts), texts=race.texts, figures=race.figures, plant=plant,
        )  # fmt: skip


class Race:
    """One run: the system, its callers, and what was found."""

    def __init__(self, made: Cluster, services: Services, n: int, seed: int) -> None:
        self.texts: list[str] = []
        self.figures: dict[str, Any] = {}
        self._cluster = made
        self._services = services
        self._n = n
        self._seed = seed
        self._answers: Counter[str] = Counter()
        seed_catalogue(services)
        feed = {"kind": "synthetic", "interval_ms": 100, "prices": starting_prices(), "size_lots": 1_000_000_000}
        made.start_broker({**sim_broker_config(feed), "accounts": broker_accounts(["race"])})
        params = {"endpoint_file": str(made.home / ENDPOINT_FILE)}
        self.tenant: Trading = add_tenant(services, "race", params=params, wanted=True)
        set_limits(services, self.tenant.tenant_id, {"max_position": {"max_quantity": str(LIMIT)}})
        for name in APIS:
            made.start(name, "api")
        made.start("session-1", "session")
        made.start("strategy-1", "strategy", **{TOLD_FILE: str(made.folder / "told.txt")})
        for name in APIS:
            made.await_api(name)
        made.wait(self._is_ready, "the session is ready", seconds=READY_S)
        self._ports = [made.members[name].port for name in APIS]
        self._hand = _Racer(self._ports, self.tenant, f"{seed} by hand", 0, mixed=False)

    def play(self) -> None:
        """The race, the end of it, and what the broker wrote down."""
        began = time.monotonic()
        strategy_id = self._start_strategy()
        last = self._n // FILLING
        self._drive(self._n - last, mixed=True)
        self._stop_strategy(strategy_id)
        self._come_to_rest()
        resting = self._rest()
        self._drive(last // 2, mixed=False)
        for order_id in resting:
            self._grow(order_id)
        self._come_to_rest()
        self._drive(last - last // 2, mixed=False)
        self._come_to_rest()
        self._answers += self._hand.answers
        self.texts += self._hand.texts
        took = time.monotonic() - began
        self._check()
        self.figures |= {"answers": dict(self._answers), "orders_per_s": round(self._n / took, 1)}

    # What happens -------------------------------------------------------------------------------------------

    def _drive(self, orders: int, *, mixed: bool) -> None:
        """All callers at once, until each has sent its orders."""
        callers = CALLERS if self._n >= LONG else SHORT_CALLERS
        each, more = divmod(orders, callers)
        racers = [
            _Racer(self._ports, self.tenant, f"{self._seed} {mixed} {number}", each + (number < more), mixed)
            for number in range(callers)
        ]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
            self._answers += racer.answers
            self.texts += racer.texts
            if racer.error is not None:
                raise racer.error
        print(f"{orders} orders of {callers} callers, {len(self.texts)} violations", file=sys.stderr, flush=True)

    def _rest(self) -> list[str]:
        """Orders of one lot that rest, where there is room for them."""
        for _ in range(RESTING):
            self._hand.ask("POST", "/api/v1/orders", self._hand.order("sell"), "sell")
        self._cluster.wait(lambda: not self._open(), "what was sold is filled")
        placed = [self._hand.ask("POST", "/api/v1/orders", self._hand.order("rest"), "rest") for _ in range(RESTING)]
        return [reply.body["order_id"] for reply in placed]

    def _grow(self, order_id: str) -> None:
        """Ask for more in an order that rests while the limit is used up: by chance alone it might not come about."""
        for quantity in GROWING:
            self._hand.ask("PATCH", f"/api/v1/orders/{order_id}", {"quantity": str(quantity)}, "grow")

    def _start_strategy(self) -> str:
        client = Client(self._ports, self.tenant.api_key)
        params = {"symbol": SYMBOL, "quantity": "1", "every": 3}
        body = {"name": "racing", "strategy": "echo", "account_id": self.tenant.account_id, "params": params}
        strategy_id: str = must(client, "POST", "/api/v1/strategies", body, 201)["strategy_id"]
        must(client, "POST", f"/api/v1/strategies/{strategy_id}/start", None, 201)
        self._cluster.wait(lambda: bool(self._strategy_orders()), "the strategy places orders")
        return strategy_id

    def _stop_strategy(self, strategy_id: str) -> None:
        client = Client(self._ports, self.tenant.api_key)
        must(client, "POST", f"/api/v1/strategies/{strategy_id}/stop", None, 202)

        def has_stopped() -> bool:
            status, run = client.ask("GET", f"/api/v1/strategies/{strategy_id}")
            return status == 200 and run["status"] == "STOPPED"

        self._cluster.wait(has_stopped, "the strategy stops")
        self.figures["orders_of_the_strategy"] = self._strategy_orders()

    def _come_to_rest(self) -> None:
        """Cancel what is open until nothing is."""
        deadline = time.monotonic() + scaled(SETTLE_S)
        while self._open():
            if time.monotonic() > deadline:
                self.texts.append(f"unsettled: {self._open()} orders are open after {scaled(SETTLE_S):g} s")
                return
            self._services.amendment.cancel_all(self.tenant.administrator)
            time.sleep(0.1)

    # What is found ------------------------------------------------------------------------------------------

    def _check(self) -> None:
        replay = Replay()
        for record in read_records(self._cluster.home / FILE_NAME):
            replay.fold(record)
        self.figures |= {"limit": LIMIT, "peak": str(replay.peak), "end": str(replay.position)}
        self.figures["at_the_broker"] = len(read_broker_ledger(self._cluster.home)["orders"])
        if replay.peak > LIMIT:
            self.texts.append(
                f"limit: {replay.peak} could be held at once, line {replay.peak_at} of the broker's ledger"
            )
        if replay.trough < -LIMIT:
            self.texts.append(f"limit: {replay.trough} could be held at once")
        if not LEAST_AT_THE_END <= replay.position <= LIMIT:
            self.texts.append(f"end: {replay.position} are held at the end, not {LEAST_AT_THE_END} to {LIMIT}")
        held = self._held()
        if held != replay.position:
            self.texts.append(f"position: our book says {held}, the broker's ledger {replay.position}")
        if not self.figures["orders_of_the_strategy"]:
            self.texts.append("strategy: it placed nothing")
        said = self._cluster.verify()
        if said:
            self.texts.append(f"verify: {said}")

    def _is_ready(self) -> bool:
        table = t.BROKER_CONNECTIONS
        with self._services.store.read_unit(self.tenant.tenant_id) as unit:
            query = select(table.c.status).where(table.c.tenant_id == self.tenant.tenant_id)
            return unit.connection.execute(query).scalar() == "READY"

    def _open(self) -> int:
        return self._count(t.ORDERS.c.state.in_(ACTIVE))

    def _strategy_orders(self) -> int:
        return self._count(t.ORDERS.c.strategy_id.is_not(None))

    def _count(self, condition: Any) -> int:
        with self._services.store.read_unit(self.tenant.tenant_id) as unit:
            query = select(func.count()).select_from(t.ORDERS)
            own = t.ORDERS.c.tenant_id == self.tenant.tenant_id
            return unit.connection.execute(query.where(own, condition)).scalar_one()

    def _held(self) -> Decimal:
        table = t.POSITIONS
        with self._services.store.read_unit(self.tenant.tenant_id) as unit:
            own = (table.c.tenant_id == self.tenant.tenant_id, table.c.book == "NET")
            return sum((row.quantity for row in unit.connection.execute(select(table).where(*own))), Decimal(0))


class _Racer(threading.Thread):
    """One caller: orders of one lot, as fast as they are answered; some it changes, some it cancels."""

    def __init__(self, ports: Sequence[int], tenant: Trading, seed: str, orders: int, mixed: bool) -> None:
        super().__init__(name=f"racer {seed}", daemon=True)
        self.answers: Counter[str] = Counter()
        self.texts: list[str] = []
        self.error: BaseException | None = None
        self._client = Client(ports, tenant.api_key)
        self._account_id = tenant.account_id
        self._random = random.Random(seed)
        self._orders = orders
        self._mixed = mixed
        price = Decimal(starting_prices()[SYMBOL])
        self._above, self._below = (str((price * factor).quantize(Decimal(1))) for factor in (2, Decimal("0.5")))

    def run(self) -> None:
        """Send every order. `error`: what ended it early."""
        try:
            for _ in range(self._orders):
                self._act()
        except BaseException as error:
            self.error = error

    def _act(self) -> None:
        kind = self._random.choices(("take", "rest", "sell"), (TAKES, RESTS, SELLS))[0] if self._mixed else "take"
        placed = self.ask("POST", "/api/v1/orders", self.order(kind), kind)
        if kind != "rest" or placed.status != 201:
            return
        path = f"/api/v1/orders/{placed.body['order_id']}"
        if self._random.random() < CHANGES:
            self.ask("PATCH", path, {"quantity": str(self._random.choice((2, 3, 5)))}, "change")
        if self._random.random() < CANCELS:
            self.ask("POST", f"{path}/cancel", None, "cancel")

    def order(self, kind: str) -> dict[str, Any]:
        """The body of an order of one lot: to take and to sell is filled at once, to rest is not."""
        return {
            "account_id": self._account_id, "symbol": SYMBOL, "quantity": "1", "order_type": "LIMIT",
            "side": "SELL" if kind == "sell" else "BUY",
            "limit_price": self._above if kind == "take" else self._below,
        }  # fmt: skip

    def ask(self, method: str, path: str, body: Any, kind: str) -> Reply:
        """The answer; counted, and told when it is none that callers may get. Raises Stuck."""
        try:
            reply = self._client.exchange(method, path, body)
        except Refused as error:
            raise Stuck(f"an API process is gone: {error}") from None
        self.answers[f"{kind} {reply.status}"] += 1
        if reply.status not in EXPECTED:
            self.texts.append(f"answer: {method} {path} was answered {reply.status} {reply.body}")
        return reply
