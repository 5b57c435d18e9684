"""A session on the in-memory store with the simulated broker in the same process: one scene for the stories."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from oms_app.sessions.lease import HeldLease, awake_and_asleep
from oms_app.sessions.ports import Connection
from oms_app.sessions.runner import ConnectionRunner
from oms_app.sessions.timing import Timing
from oms_app.store.memory import MemoryStore, ready_connection
from oms_app.store.reconciliation_runs import Run
from oms_kernel.contracts.broker import BrokerAccount
from oms_kernel.domain.ids import LedgerId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.lifecycle import OrderState
from oms_kernel.domain.market import Quote
from oms_kernel.domain.order import Order
from oms_kernel.testkit.builders import BROKER_ACCOUNT_ID, a_broker_account, a_quote
from oms_kernel.testkit.faults import Fault
from oms_sim_broker.config import AccountConfig, ManualFeedConfig, SimBrokerConfig
from oms_sim_broker.in_process import InProcessConnector, InProcessSimBroker
from tests.flow.trading import CONNECTION, LEDGER, TENANT, Trading

DEADLINE_S = 10.0
FAST = Timing(
    idle_poll_s=0.01,
    busy_poll_s=0.002,
    housekeeping_s=0.02,
    quotes_s=0.02,
    maximum_pause_s=0.15,
    settle_every_s=0.05,
    first_backoff_s=0.02,
    longest_backoff_s=0.1,
    ack_timeout_factor=0.02,
    confirm_s=0.05,
    look_for_requests_s=0.02,
)


class MemorySessionStore:
    """A SessionStore on a MemoryStore: leases by token, statuses as the connection's state."""

    def __init__(self, store: MemoryStore, instruments: Sequence[Instrument]) -> None:
        self.store = store
        self._instruments = tuple(instruments)
        self.statuses: list[tuple[str, str]] = []
        self.token = 0
        self.runs: dict[str, Run] = {}

    def wanted(self) -> Sequence[Connection]:
        return [CONNECTED]

    def acquire(self, connection_id: Any) -> int | None:
        self.token += 1
        self._put("CONNECTING")
        return self.token

    def renew(self, connection_id: Any, token: int) -> bool:
        return token == self.token

    def release(self, connection_id: Any, token: int) -> None:
        self._put("DISCONNECTED")

    def set_status(self, tenant_id: Any, connection_id: Any, status: str, detail: str, heard_at: Any) -> None:
        self.statuses.append((status, detail))
        self._put(status)

    def instruments(self) -> tuple[Instrument, ...]:
        return self._instruments

    def put_quotes(self, quotes: Iterable[Quote]) -> None:
        for quote in quotes:
            self.store.put_quote(quote)

    def requested_runs(self, tenant_id: Any, connection_id: Any) -> Sequence[Run]:
        return [run for run in self.runs.values() if run.status == "REQUESTED"]

    def keep_run(self, tenant_id: Any, run: Run) -> None:
        self.runs[run.run_id] = run

    def storage_get(self, tenant_id: Any, connection_id: Any, key: str) -> str | None:
        return self.store.storage.get((tenant_id, connection_id, key))

    def storage_put(self, tenant_id: Any, connection_id: Any, key: str, value: str) -> None:
        self.store.storage[tenant_id, connection_id, key] = value

    def _put(self, status: str) -> None:
        state = ready_connection(CONNECTION, datetime.now(UTC) + timedelta(hours=1), self.token)
        self.store.put_connection(TENANT, msgspec.structs.replace(state, status=status))


CONNECTED = Connection(
    tenant_id=TENANT,
    connection_id=CONNECTION,
    broker="sim_broker",
    params={},
    accounts=(a_broker_account(),),
    ledgers=(LEDGER,),
)


class Scene:
    """`await scene.start()` begins a session; `scene.trading.place()` is an order; the broker is `scene.broker`."""

    def __init__(self, *, timing: Timing = FAST, ledgers: tuple[LedgerId, ...] = (LEDGER,)) -> None:
        self.trading = Trading()
        for ledger_id in ledgers:
            if ledger_id != LEDGER:
                self.trading.store.add_ledger(TENANT, ledger_id)
        self.connection = msgspec.structs.replace(CONNECTED, ledgers=ledgers)
        self.trading.now = datetime.now(UTC)
        self.trading.store.clock = lambda: datetime.now(UTC)
        self.store = MemorySessionStore(self.trading.store, [self.trading.instrument])
        self.timing = timing
        self.home = Path(tempfile.mkdtemp(prefix="oms-scene-"))
        self.broker = InProcessSimBroker(
            SimBrokerConfig(
                instruments=(self.trading.instrument,),
                accounts=(AccountConfig(BROKER_ACCOUNT_ID, "PAPER-1", "USD", Decimal(1_000_000)),),
                feed=ManualFeedConfig(),
            ),
            lambda: datetime.now(UTC),
        )
        self.runner: ConnectionRunner | None = None
        self.lease: HeldLease | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, *, ready: bool = True, connector: Any = None) -> None:
        """Begin a session under a new lease, on a desk of its own, as another process would."""
        self.store.statuses.clear()
        token = self.store.acquire(CONNECTION)
        assert token is not None
        self.lease = HeldLease(token, 3600, awake_and_asleep())
        self.runner = ConnectionRunner(
            self.connection,
            connector or connector_class(self.broker),
            self.trading.new_desk(),
            self.store,
            self.lease,
            self.timing,
            journals=self.home / "journal",
        )
        self._task = asyncio.create_task(self.runner.run())
        if ready:
            await self.until(lambda: bool(self.store.statuses) and self.store.statuses[-1][0] == "READY")
            self.trading.restart()

    async def stop(self) -> None:
        """End the session in order."""
        assert self.runner is not None
        assert self._task is not None
        self.runner.stop()
        await asyncio.wait_for(self._task, DEADLINE_S)

    async def kill(self) -> None:
        """End the session at once, as kill -9 would: nothing more is sent or booked."""
        assert self.lease is not None
        assert self._task is not None
        self.lease.lose()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def quote(self, bid: str = "99.99", ask: str = "100.01", size: int = 1000) -> None:
        """Quote ACME now."""
        self.broker.set_quote(a_quote(self.trading.instrument, bid, ask, size=size, at=datetime.now(UTC)))

    def faults(self, *faults: Fault) -> None:
        """Begin a fault script."""
        self.broker.set_faults(faults)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Poll until it holds; the deadline fails the test."""
        end = asyncio.get_running_loop().time() + DEADLINE_S
        while not holds():
            assert (
                self._task is None or not self._task.done() or self._task.cancelled() or self._task.exception() is None
            )
            assert asyncio.get_running_loop().time() < end, (self.store.statuses, self.trading.kinds())
            await asyncio.sleep(0.005)

    async def becomes(self, order: Order, *states: OrderState) -> Order:
        """The order once it is in one of the states."""
        await self.until(lambda: self.trading.order(order.order_id).state in states)
        return self.trading.order(order.order_id)

    def at_broker(self) -> list[Any]:
        """Every order that the broker ever took."""
        return list(self.broker.venue.state.orders.values())


def connector_class(broker: InProcessSimBroker) -> Any:
    class Connector(InProcessConnector):
        def __init__(self, params: Any, host: Any) -> None:
            super().__init__(broker, host)

    return Connector


def story(tell: Callable[[Scene], Awaitable[None]], **options: Any) -> None:
    """Run one story on a scene of its own."""

    async def run() -> None:
        scene = Scene(**options)
        try:
            await tell(scene)
        finally:
            if scene._task is not None and not scene._task.done():
                await scene.kill()
            shutil.rmtree(scene.home)

    asyncio.run(run())


__all__ = ["BrokerAccount", "Scene", "connector_class", "story"]
