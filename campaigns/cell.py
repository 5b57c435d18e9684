"""One production set on PostgreSQL and Redis: processes forked and killed on demand, their clients, and the counting.

Two API processes, two sessions for one connection, two workers, a stream, a strategy runner and a simulated broker
work on one database. What kills them is the campaign's; the cell starts them again, and counts at the end.
"""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select, update

from campaigns.asking import Stuck, answers_ready, must
from campaigns.books import count_states, present_session, read_books
from campaigns.checks import UNSETTLED, Kind, Violation, violations
from campaigns.clients import Client, Refused, Reply, Trader
from campaigns.consumers import Hooks, StreamReader
from campaigns.ground import Base, write_broker_config
from campaigns.history import Answer, History, Told, answer_of
from campaigns.pauses import settings, tuning
from campaigns.timing import scaled, time_factor
from campaigns.witness import TOLD_FILE
from campaigns.witness_run import WitnessRun
from campaigns.zygote import Birth, Child, Ended, Zygote
from oms_app.cli.demo import ACCOUNT_ID, CONNECTION_ID, LEDGER_ID, TENANT_ID
from oms_app.flow.publishing import PRIVATE_KINDS
from oms_app.store import tables as t
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import StoreUnavailable
from oms_app.store.verify import verify
from tests.services.server_process import free_port

SLOTS = (
    ("sim_broker", "sim_broker"), ("api", "api-0"), ("api", "api-1"), ("stream", "stream"), ("session", "session-0"),
    ("session", "session-1"), ("strategy", "strategy"), ("worker", "worker-0"), ("worker", "worker-1"),
)  # fmt: skip
"""(role, name) of every process, in the order in which they start."""
STOP_ORDER = ("api", "strategy", "session", "worker", "stream", "sim_broker")
READY_S = 30.0
SETTLE_S = 30.0
PLANTED_SETTLE_S = 8.0
"""A planted defect may leave something that never comes to rest."""
STOP_S = 20.0
ACTIVE = UNSETTLED | {"HELD", "WORKING", "PARTIALLY_FILLED"}
HOOKS = 2
HOOKED = ("order_filled", "order_canceled")
"""What webhooks ask for; the stream is asked for everything."""
TRADERS = 3


class Slot(msgspec.Struct):
    """A place for one process. point: where the present one is to kill itself, or empty."""

    role: str
    name: str
    env: dict[str, str]
    child: Child | None = None
    point: str = ""
    born_at: float = 0.0
    expected_end: bool = False


class Cell:
    """See the module. pace: requests a second of all clients; plant: a defect in every process, or empty."""

    def __init__(
        self,
        base: Base,
        zygote: Zygote,
        folder: Path,
        *,
        seed: int,
        plant: str = "",
        pace: float = 10,
        slots: Sequence[tuple[str, str]] = SLOTS,
    ) -> None:
        self.random = random.Random(seed)
        self.account_id = ACCOUNT_ID
        self.history = History()
        self.replies: list[Reply] = []
        self.kills: Counter[str] = Counter()
        self.found: list[Violation] = []
        self.figures: dict[str, int] = {}
        self.base = base
        self.folder = folder
        self.home = base.home
        self._broker_home = folder / "broker"
        self._zygote = zygote
        self._seed = seed
        self._plant = plant
        self._settle_s = scaled(SETTLE_S if not plant else PLANTED_SETTLE_S)
        self._pace = pace
        for place in (folder, self._broker_home):
            place.mkdir(mode=0o700, exist_ok=True)
        self.store = SqlStore(base.database_url, pool_size=3)
        ports = {name: free_port() for role, name in slots if role == "api"}
        self.ports = tuple(ports.values())
        self.stream_port = free_port()
        self.hooks = Hooks(HOOKS, seed)
        told = folder / "told"
        told.touch()
        common = {
            **settings(), **base.env, "OMS_HOME": str(self.home), TOLD_FILE: str(told),
            "OMS_STREAM_PORT": str(self.stream_port), "OMS_PORT": str(self.ports[0]),
        }  # fmt: skip
        self.slots = [Slot(role, name, dict(common)) for role, name in slots]
        for slot in self.slots:
            if slot.role == "api":
                slot.env["OMS_PORT"] = str(ports[slot.name])
            if slot.role == "sim_broker":
                slot.env["OMS_HOME"] = str(self._broker_home)
        self.client = Client(self.ports, base.api_key, self.replies.append)
        self._reader = StreamReader(self.stream_port, base.api_key)
        self._traders: list[Trader] = []
        self.webhook_ids: list[str] = []
        self._first_hooked = 0
        self._witness = WitnessRun(self.store, self.client, told)

    # Life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the set; ready when both APIs and a session are. Raises Stuck."""
        self._prepare()
        for slot in self.slots:
            self.launch(slot)
        self.await_ready()
        self._reader.start()
        self._first_hooked = self._head() + 1
        for url in self.hooks.urls:
            made = must(self.client, "POST", "/api/v1/webhooks", {"url": url, "event_kinds": list(HOOKED)}, 201)
            self.webhook_ids.append(made["webhook_id"])

    def trade(self) -> None:
        """Begin the clients, and a strategy."""
        self._witness.start(ACCOUNT_ID)
        for number in range(TRADERS):
            trader = Trader(
                f"t{number}", Client(self.ports, self.base.api_key, self.replies.append), self.history,
                account_id=ACCOUNT_ID, seed=self._seed, pause_s=TRADERS / self._pace, posting=lambda: None,
            )  # fmt: skip
            self._traders.append(trader)
            trader.start()

    def post(self, client_order_id: str, body: dict[str, Any]) -> str | None:
        """Place an order of the campaign's own; its id, or None when it was not accepted. Raises Refused."""
        self.history.ask(client_order_id, body)
        reply = self.client.exchange("POST", "/api/v1/orders", body)
        answer = answer_of(reply.status, reply.body) if reply.status else Answer(Told.UNKNOWN)
        self.history.hear(client_order_id, answer)
        return answer.order_id if answer.told is Told.STORED else None

    def launch(self, slot: Slot, point: str = "", passes: int = 1) -> None:
        """Start the process of a slot, with a failpoint or without."""
        slot.point, slot.born_at, slot.expected_end = point, time.monotonic(), False
        slot.child = self._zygote.start(
            Birth(
                role=slot.role, env=slot.env, log=str(self.folder / f"{slot.name}.log"),
                seed=self.random.randrange(2**32), point=point, passes=passes, plant=self._plant,
                tuning=tuning(), factor=time_factor(),
            )
        )  # fmt: skip

    def kill(self, slot: Slot) -> None:
        """kill -9 the process of a slot, with all that it forked."""
        slot.expected_end = True
        self.signal(slot, signal.SIGKILL)
        self.kills[slot.role] += 1

    def signal(self, slot: Slot, number: signal.Signals) -> None:
        """Send a signal to a slot's process; for one that stops, goes on or dies, to its whole group."""
        if slot.child is not None:
            slot.child.signal(number, group=number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT))

    def ended(self, slot: Slot) -> Ended | None:
        """How the present process of a slot ended, or None. An end that nobody asked for is a broken promise."""
        end = slot.child and slot.child.end
        if end is None:
            return None
        if end.point:
            self.kills[slot.role] += 1
        elif not slot.expected_end:
            words = (self.folder / f"{slot.name}.log").read_text(errors="replace")[-600:]
            self.found.append(Violation(Kind.STUCK, f"{slot.name} ended by itself ({end.status}): {words}"))
        return end

    def await_ready(self, limit_s: float = READY_S) -> float:
        """Seconds until both APIs and a session are ready. Raises Stuck."""
        began = time.monotonic()
        deadline = began + scaled(limit_s)
        while not self.is_ready():
            for slot in self.slots:
                if slot.child is not None and slot.child.end is not None:
                    self.ended(slot)
                    raise Stuck(f"{slot.name} ended while the set was to become ready")
            if time.monotonic() > deadline:
                raise Stuck(f"not ready after {limit_s:g} s: {self._state()}")
            time.sleep(0.05)
        return time.monotonic() - began

    def is_ready(self) -> bool:
        """Whether both APIs answer that they are ready and the connection's session is."""
        try:
            if not present_session(self.store).is_ready:
                return False
        except StoreUnavailable:
            return False
        return all(answers_ready(port) for port in self.ports)

    # The end --------------------------------------------------------------------------------------------------

    def finish(self) -> list[Violation]:
        """Let everything come to rest, stop in order, and count: every promise that broke."""
        try:
            for trader in self._traders:
                trader.stop()
            self._witness.stop(self._head(), self._settle_s)
            for trader in self._traders:
                trader.settle()
            self._drain()
            self._await_consumers()
        except Stuck as error:
            self.found.append(Violation(Kind.STUCK, str(error)))
        self._reader.stop()
        self._stop()
        self.found += self.hooks.violations(self._hooked())
        self.found += self._reader.violations(self._told())
        self.found += self._witness.violations()
        report = verify(self.store, TENANT_ID, LEDGER_ID)
        self.found += [Violation(Kind.VERIFY, text) for text in report.differences]
        books = read_books(self.store, self._broker_home)
        self.figures = {
            "orders": len(books.orders), "executions": len(books.executions), "events": report.events,
            "webhooks_repeated": self.hooks.repeated(), "stream_resumed": self._reader.resumed,
        }  # fmt: skip
        self.found += violations(self.history.all(), books)
        return self.found

    def close(self) -> None:
        """Leave nothing behind."""
        for slot in self.slots:
            if slot.child is not None:
                self.signal(slot, signal.SIGKILL)
                self._zygote.await_end(slot.child)
        self.hooks.close()
        self.store.close()
        self.base.close()

    def _drain(self) -> None:
        """Cancel what rests and wait until nothing is under way. What does not come to rest is found by the checks."""

        def left() -> int:
            with suppress(Refused):
                self.client.ask("POST", "/api/v1/orders/cancel-all", {})
            return count_states(self.store, ACTIVE)

        self._await_none(left)

    def _await_consumers(self) -> None:
        """Wait until webhooks and stream heard everything. What they never hear is found by the checks."""

        def left() -> int:
            missing = 0 if self._reader.has(max(self._told(), default=0)) else 1
            return missing + self.hooks.missing(self._hooked())

        self._await_none(left)

    def _await_none(self, left: Callable[[], int]) -> None:
        """Wait until nothing is left; for as long as it becomes less, on a busy machine too."""
        fewest, deadline = left(), time.monotonic() + self._settle_s
        while fewest and time.monotonic() < deadline:
            time.sleep(0.2)
            now = left()
            if now < fewest:
                fewest, deadline = now, time.monotonic() + self._settle_s

    def _stop(self) -> None:
        """SIGTERM in order; each process ends by itself, and well."""
        for role in STOP_ORDER:
            mine = [slot for slot in self.slots if slot.role == role]
            for slot in mine:
                slot.expected_end = True
                self.signal(slot, signal.SIGTERM)
            for slot in mine:
                end = slot.child and self._zygote.await_end(slot.child, scaled(STOP_S))
                if end is None or end.status:
                    told = "does not stop" if end is None else f"stopped with {end.status}"
                    self.found.append(Violation(Kind.STUCK, f"{slot.name} {told}"))

    # Inside ----------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        write_broker_config(self._broker_home)
        with self.store.tenant_unit(TENANT_ID) as unit:
            table = t.BROKER_CONNECTIONS
            mine = (table.c.tenant_id == TENANT_ID, table.c.connection_id == CONNECTION_ID)
            params = unit.connection.execute(select(table.c.params).where(*mine)).scalar_one()
            endpoint = str(self._broker_home / "sim_broker.endpoint.json")
            unit.connection.execute(update(table).where(*mine).values(params={**params, "endpoint_file": endpoint}))

    def _hooked(self) -> set[int]:
        """The events that every webhook is to hear."""
        log = t.EVENT_LOG.c
        with self.store.read_unit(TENANT_ID) as unit:
            query = select(log.seq).where(
                log.tenant_id == TENANT_ID, log.seq >= self._first_hooked, log.kind.in_(HOOKED)
            )
            return set(unit.connection.scalars(query))

    def _told(self) -> list[int]:
        """The events that the stream is to tell, in order: all but the acts of administration."""
        log = t.EVENT_LOG.c
        with self.store.read_unit(TENANT_ID) as unit:
            mine = (log.tenant_id == TENANT_ID, log.ledger_id == LEDGER_ID, log.kind.not_in(PRIVATE_KINDS))
            return list(unit.connection.scalars(select(log.seq).where(*mine).order_by(log.seq)))

    def _head(self) -> int:
        return self.store.heads([LEDGER_ID]).get(LEDGER_ID, 0)

    def _state(self) -> str:
        alive = [slot.name for slot in self.slots if slot.child is not None and slot.child.end is None]
        ready = [port for port in self.ports if answers_ready(port)]
        return f"alive {', '.join(alive)}; session {present_session(self.store)}; ready APIs {len(ready)}"
