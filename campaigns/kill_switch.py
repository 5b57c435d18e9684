"""Orders at a steady pace over two API processes, and a kill switch in the midst of them: nothing new goes out.

Guarantee checked, by the broker's own ledger and its clock: the last new order came in within a second of the switch,
every cancel of what worked within five; what still came in was named as beyond recall; no order that was accepted after
the switch exists; and it holds after kill -9 of every process and FLUSHALL of Redis, until a person releases it.
"""

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import select

from campaigns.books import our_order
from campaigns.cluster import Cluster, NotWell, cluster
from campaigns.result import Result
from campaigns.tenants import Trading, add_tenant, broker_accounts, seed_catalogue
from campaigns.timing import scaled
from campaigns.volley import Lines, Reply, Request, ask
from oms_app.bootstrap import Services
from oms_app.cli.demo import sim_broker_config, starting_prices
from oms_app.flow.errors import FlowError
from oms_app.store import tables as t
from oms_app.store.config_rows import connection_resource
from oms_kernel.domain.ids import EventId
from oms_kernel.domain.lifecycle import OrderState
from oms_sim_broker.ledger import FILE_NAME, read_records
from oms_sim_broker.link import ENDPOINT_FILE
from oms_sim_broker.records import CancelReceived, OrderReceived
from tests.services.redis_server import RedisServer

SHORT = 100
LONG = 1_000
PLANTS = ("ignore_switches",)
ROLES = {"api-1": "api", "api-2": "api", "session-1": "session", "session-2": "session", "worker": "worker"}
APIS = ("api-1", "api-2")
NAME = "stopped"
PER_S = 300
"""New orders a second of all clients."""
CLIENTS = 12
BEFORE_S, AFTER_S = 1.5, 1.0
"""How long orders come before the switch, and go on being sent after it."""
LAST_ORDER_S = 1.0
CANCELS_S = 5.0
READY_S = 30.0
SETTLE_S = 20.0
PLANTED_SETTLE_S = 2.0
BULK = 250
UNDER_WAY = (OrderState.NEW, OrderState.ROUTED, OrderState.PENDING_CANCEL, OrderState.PENDING_REPLACE)


def run(n: int, seed: int, plant: str) -> Result:
    """Play it with n orders that work when the switch is thrown. seed: nothing is drawn here."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="oms-redis-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            with cluster(plant=plant, OMS_REDIS_URL=server.url) as made, made.services() as services:
                campaign = Campaign(made, services, server, n)
                campaign.play()
        finally:
            server.stop()
    return Result(
        name="kill_switch", n=n, seed=seed, seconds=time.monotonic() - began, violations=len(campaign.texts),
        texts=campaign.texts, figures=campaign.figures, plant=plant,
    )  # fmt: skip


class Campaign:
    """One run. `texts` are the broken promises."""

    def __init__(self, made: Cluster, services: Services, server: RedisServer, n: int) -> None:
        self.texts: list[str] = []
        self.figures: dict[str, Any] = {}
        self._cluster = made
        self._services = services
        self._redis = server
        self._served_by = 0
        """The token of the lease under which a session served last: the next one has a larger one."""
        self._n = n
        seed_catalogue(services)
        feed = {"kind": "synthetic", "interval_ms": 1000, "prices": starting_prices(), "size_lots": 1_000_000_000}
        made.start_broker({**sim_broker_config(feed), "accounts": broker_accounts([NAME])})
        self.mine = add_tenant(services, NAME, params={"endpoint_file": str(made.home / ENDPOINT_FILE)}, wanted=True)
        self._start_all()

    def play(self) -> None:
        """Orders that work, orders that come, the switch; then the counting, the crash and the release."""
        self._say_step("orders that work", self._let_work)
        load = Load(self.mine, [self._cluster.members[name].port for name in APIS])
        load.start()
        time.sleep(scaled(BEFORE_S))
        switch = self._throw()
        time.sleep(scaled(AFTER_S))
        replies = load.stop()
        self.figures["orders_per_s"] = round(load.placed_before(switch["answered"]) / scaled(BEFORE_S))
        self._say_step("rest", self._come_to_rest)
        self._judge(switch, replies)
        if self._cluster.plant and self.texts:
            return  # the defect is caught
        self._say_step("kill -9 and FLUSHALL", self._crash)
        self._expect_refusal("after kill -9 of everything and FLUSHALL")
        self._release(switch["switch_id"])

    # What happens -------------------------------------------------------------------------------------------

    def _start_all(self) -> None:
        for name, role in ROLES.items():
            self._cluster.start(name, role)
        for name in APIS:
            self._cluster.await_api(name)
        self._cluster.wait(self._is_ready, "a session is ready", seconds=READY_S, of="session-1")

    def _let_work(self) -> None:
        """n orders far below the market, acknowledged by the broker."""
        for first in range(0, self._n, BULK):
            orders = [_order(self.mine, "400") for _ in range(min(BULK, self._n - first))]
            ask(self._port(), Request("POST", "/api/v1/orders/bulk", {"orders": orders}, self.mine.api_key))
        self._cluster.wait(lambda: self._count(OrderState.WORKING) >= self._n, "the orders work", seconds=READY_S)

    def _throw(self) -> dict[str, Any]:
        body = {"level": "TENANT", "trading_state": "HALTED", "reason_code": "campaign", "cancel_working": True}
        asked = datetime.now(UTC)
        reply = ask(self._port(), Request("POST", "/api/v1/risk/kill-switches", body, self.mine.api_key))
        answered = datetime.now(UTC)
        if reply is None or reply.status != 201:
            raise NotWell(f"the switch was answered with {reply and (reply.status, reply.body[:300])}")
        told: dict[str, Any] = reply.json
        self.figures["throw_s"] = round((answered - asked).total_seconds(), 3)
        self.figures["cancelling"] = len(told["cancelling"])
        self.figures["unrecallable"] = len(told["unrecallable"])
        activated = datetime.fromisoformat(told["kill_switches"][0]["activated_at"])
        switch_id = told["kill_switches"][0]["switch_id"]
        return {**told, "switch_id": switch_id, "activated": activated, "answered": answered}

    def _come_to_rest(self) -> None:
        limit_s = PLANTED_SETTLE_S if self._cluster.plant else SETTLE_S
        try:
            self._cluster.wait(lambda: self._count(*UNDER_WAY) == 0, "every order is at rest", seconds=limit_s)
        except NotWell as error:
            self.texts.append(str(error))

    def _crash(self) -> None:
        for name in ROLES:
            self._cluster.kill(name)
        with redis.Redis.from_url(self._redis.url) as client:
            client.flushall()
        self._services.store.close()
        self._start_all()

    def _release(self, switch_id: str) -> None:
        """The other proof: once a person released it an order goes the whole way."""
        before = self._received()
        administrator = self.mine.administrator
        self._services.kill_switches.release(administrator, EventId(switch_id), "the campaign goes on")
        reply = ask(self._port(), Request("POST", "/api/v1/orders", _order(self.mine, "400"), self.mine.api_key))
        if reply is None or reply.status != 201:
            self.texts.append(f"after the release an order was answered with {_shown(reply)}")
            return
        self._cluster.wait(lambda: self._received() > before, "the order after the release is at the broker")

    # What is held to account --------------------------------------------------------------------------------

    def _judge(self, switch: dict[str, Any], replies: list[tuple[datetime, Reply | None]]) -> None:
        activated: datetime = switch["activated"]
        ours = self._orders()
        by_wire = {wire_id: order_id for order_id, (_, _, wires) in ours.items() for wire_id in wires}
        named = {one["order_id"] for one in switch["unrecallable"]}
        self._judge_places(activated, by_wire, named)
        self._judge_cancels(activated, by_wire, set(switch["cancelling"]))
        late = [order_id for order_id, (state, at, _) in ours.items() if at > activated and state != "DENIED"]
        self._complain(len(late), "orders were accepted after the switch", late)
        told = [reply for at, reply in replies if reply is not None and reply.status == 201 and at > switch["answered"]]
        self._complain(len(told), "orders that were sent after the switch's answer were answered with 201", [])
        asked = sum(1 for at, _ in replies if at > switch["answered"])
        self.figures["asked_after"] = asked
        if not asked:
            self.texts.append("no order was sent after the switch: nothing is proved")

    def _judge_places(self, activated: datetime, by_wire: dict[str, str], named: set[str]) -> None:
        places = [one for one in self._records() if isinstance(one, OrderReceived)]
        after = [one for one in places if one.written_at > activated]
        last_s = max((one.written_at - activated).total_seconds() for one in after) if after else 0.0
        self.figures["last_order_s"] = round(last_s, 3)
        self.figures["orders_after"] = len(after)
        if last_s > scaled(LAST_ORDER_S):
            self.texts.append(f"the last new order came to the broker {last_s:.3f} s after the switch")
        unnamed = [order_id for one in after if (order_id := by_wire.get(one.order.wire_id, "")) not in named]
        self._complain(
            len(unnamed), "orders came to the broker after the switch and were not named beyond recall", unnamed
        )

    def _judge_cancels(self, activated: datetime, by_wire: dict[str, str], asked: set[str]) -> None:
        wires = {}
        first: dict[str, float] = {}
        for record in self._records():
            if isinstance(record, OrderReceived):
                wires[record.order.broker_order_id] = by_wire.get(record.order.wire_id, "")
            elif isinstance(record, CancelReceived):
                order_id = wires.get(record.broker_order_id, "")
                first.setdefault(order_id, (record.written_at - activated).total_seconds())
        states = {order_id: state for order_id, (state, _, _) in self._orders().items()}
        missing = [one for one in asked if one not in first and states[one] in ("WORKING", "PARTIALLY_FILLED")]
        self._complain(len(missing), "orders whose cancel was promised work on without one", missing)
        took_s = max((first[one] for one in asked if one in first), default=0.0)
        self.figures["cancels"] = sum(1 for one in asked if one in first)
        self.figures["cancels_s"] = round(took_s, 3)
        if took_s > scaled(CANCELS_S):
            self.texts.append(f"the last cancel came to the broker {took_s:.3f} s after the switch")
        if len(asked) < self._n:
            self.texts.append(f"only {len(asked)} of {self._n} orders were to be cancelled: nothing is proved")

    def _expect_refusal(self, when: str) -> None:
        before = self._received()
        time.sleep(scaled(0.3))  # the API may believe for a quarter of a second that nobody serves the connection
        reply = ask(self._port(), Request("POST", "/api/v1/orders", _order(self.mine, "400"), self.mine.api_key))
        denied = reply is not None and reply.status == 422 and reply.code == "risk_denied"
        if not denied:
            self.texts.append(f"{when} an order was answered with {_shown(reply)}")
        time.sleep(scaled(0.3))
        if self._received() != before:
            self.texts.append(f"{when} an order came to the broker")

    def _complain(self, count: int, what: str, which: list[str]) -> None:
        if count:
            self.texts.append(f"{count} {what}{': ' if which else ''}{', '.join(which[:3])}")

    # The small parts ----------------------------------------------------------------------------------------

    def _orders(self) -> dict[str, tuple[str, datetime, tuple[str, ...]]]:
        """Order -> its state, when it was accepted, its wire ids."""
        columns = t.ORDERS.c
        with self._services.store.read_unit(self.mine.tenant_id) as unit:
            query = select(columns.order_id, columns.state, columns.accepted_at, columns.document)
            rows = unit.connection.execute(query.where(columns.tenant_id == self.mine.tenant_id)).all()
        return {row.order_id: (row.state, row.accepted_at, our_order(row.document, row.state).wire_ids) for row in rows}

    def _count(self, *states: OrderState) -> int:
        columns = t.ORDERS.c
        with self._services.store.read_unit(self.mine.tenant_id) as unit:
            query = select(columns.order_id).where(
                columns.tenant_id == self.mine.tenant_id, columns.state.in_([state.value for state in states])
            )
            return len(unit.connection.execute(query).all())

    def _records(self) -> Iterator[Any]:
        return read_records(self._cluster.home / FILE_NAME)

    def _received(self) -> int:
        return sum(1 for record in self._records() if isinstance(record, OrderReceived))

    def _is_ready(self) -> bool:
        try:
            with self._services.store.read_unit(self.mine.tenant_id) as unit:
                columns = t.BROKER_CONNECTIONS.c
                status = unit.connection.scalar(select(columns.status).where(columns.tenant_id == self.mine.tenant_id))
                leases = t.LEASES.c
                query = select(leases.expires_at, leases.token)
                lease = unit.connection.execute(
                    query.where(leases.resource == connection_resource(self.mine.connection_id))
                ).one()
                lives = lease.expires_at is not None and lease.expires_at > unit.now
                if status != "READY" or not lives or lease.token <= self._served_by:
                    return False
                self._served_by = lease.token
                return True
        except FlowError:
            return False

    def _port(self) -> int:
        return self._cluster.members[APIS[0]].port

    def _say_step(self, what: str, step: Any) -> None:
        began = time.monotonic()
        step()
        print(f"{what}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)


class Load:
    """Clients that place orders at a steady pace until they are stopped, each on a kept connection."""

    def __init__(self, tenant: Trading, ports: list[int]) -> None:
        self._tenant = tenant
        self._ports = ports
        self._stopping = threading.Event()
        self._replies: list[tuple[datetime, Reply | None]] = []
        self._threads = [
            threading.Thread(target=self._serve, args=(number,), name=f"load-{number}", daemon=True)
            for number in range(CLIENTS)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> list[tuple[datetime, Reply | None]]:
        """(when it was sent, its reply) of every order."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(scaled(30))
        return list(self._replies)

    def placed_before(self, moment: datetime) -> int:
        """How many orders that were sent before a moment were accepted."""
        return sum(1 for at, reply in self._replies if at < moment and reply is not None and reply.status == 201)

    def _serve(self, number: int) -> None:
        line = Lines([self._ports[number % len(self._ports)]], 1)
        pause_s = CLIENTS / PER_S
        due = time.monotonic() + pause_s * number / CLIENTS
        order = _order(self._tenant, "401")
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            due = max(due + pause_s, time.monotonic() - pause_s)
            at = datetime.now(UTC)
            (reply,) = line.ask(Request("POST", "/api/v1/orders", order, self._tenant.api_key))
            self._replies.append((at, reply))
        line.close()


def _order(tenant: Trading, limit_price: str) -> dict[str, Any]:
    return {
        "account_id": tenant.account_id, "symbol": "SPY", "side": "BUY", "quantity": "1", "order_type": "LIMIT",
        "limit_price": limit_price,
    }  # fmt: skip


def _shown(reply: Reply | None) -> str:
    return "nothing" if reply is None else f"{reply.status} {reply.body[:200].decode(errors='replace')}"
