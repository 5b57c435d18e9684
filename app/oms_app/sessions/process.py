"""`oms session`: take the leases of wanted connections, serve each in one loop, give them up in order at the end.

A heartbeat that is independent of booking renews the leases; a lease that is lost stops its session at once.
"""

import asyncio
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from oms_app.flow.desk import Desk
from oms_app.flow.submission import LeaseLost
from oms_app.sessions.lease import HeldLease, awake_and_asleep
from oms_app.sessions.ports import Connection, SessionStore
from oms_app.sessions.runner import ConnectionRunner
from oms_app.sessions.timing import Timing
from oms_app.store.unit_of_work import CommitUnknown, Conflict, StoreUnavailable

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 0.5
STORE_TROUBLE = (StoreUnavailable, CommitUnknown, Conflict)
"""What passes: the database is away, or another process was faster; the next look or heartbeat tries again."""


class Sessions:
    """The sessions of this process. `connector_class` gives the class of a broker name, or None when not installed."""

    def __init__(
        self,
        desk: Desk,
        store: SessionStore,
        connector_class: Callable[[str], Any | None],
        *,
        lease_s: float,
        timing: Timing,
        beat: Callable[[], None],
    ) -> None:
        self._desk = desk
        self._store = store
        self._connector_class = connector_class
        self._lease_s = lease_s
        self._timing = timing
        self._beat = beat
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="leases")
        self._running: dict[str, asyncio.Task[None]] = {}
        self._runners: dict[str, ConnectionRunner] = {}
        self._stopping = asyncio.Event()

    async def serve(self) -> None:
        """Look for wanted connections until SIGTERM or SIGINT; then end every session in order."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stopping.set)
        pulse = asyncio.create_task(self._pulse())
        try:
            while not self._stopping.is_set():
                try:
                    await self._look()
                except STORE_TROUBLE as error:
                    log.warning("database_away", error=str(error))
                await _until(self._stopping, LOOK_EVERY_S)
        finally:
            for runner in self._runners.values():
                runner.stop()
            await asyncio.gather(*self._running.values(), return_exceptions=True)
            pulse.cancel()
            self._threads.shutdown(wait=True)

    async def _pulse(self) -> None:
        while True:
            self._beat()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        """Start what is wanted and free, stop what is not wanted any more or is to be served otherwise.

        A connection to which no trading account is routed waits: nobody could book its reports.
        """
        wanted = {
            connection.connection_id: connection
            for connection in await self._off(self._store.wanted)
            if connection.ledgers
        }
        for connection_id, runner in self._runners.items():
            if wanted.get(connection_id) != runner.connection:
                runner.stop()
        for connection in wanted.values():
            if connection.connection_id not in self._running:
                await self._try(connection)

    async def _try(self, connection: Connection) -> None:
        cls = self._connector_class(connection.broker)
        if cls is None:
            log.error("broker_not_installed", broker=connection.broker, connection_id=connection.connection_id)
            return
        began = awake_and_asleep()
        token = await self._off(lambda: self._store.acquire(connection.connection_id))
        if token is None:
            return
        lease = HeldLease(token, self._lease_s, began)
        runner = ConnectionRunner(connection, cls, self._desk, self._store, lease, self._timing)
        self._runners[connection.connection_id] = runner
        self._running[connection.connection_id] = asyncio.create_task(self._serve(connection, runner, lease))

    async def _serve(self, connection: Connection, runner: ConnectionRunner, lease: HeldLease) -> None:
        heartbeat = asyncio.create_task(self._keep(connection, lease))
        try:
            await runner.run()
        except LeaseLost as error:
            log.error("lease_lost", connection_id=connection.connection_id, error=str(error))
        except Exception as error:
            log.exception("session_ended", connection_id=connection.connection_id, error=str(error))
        finally:
            heartbeat.cancel()
            await asyncio.gather(heartbeat, return_exceptions=True)
            self._runners.pop(connection.connection_id, None)
            self._running.pop(connection.connection_id, None)
            if lease.holds:
                await self._give_up(connection, lease)

    async def _give_up(self, connection: Connection, lease: HeldLease) -> None:
        try:
            await self._off(lambda: self._store.release(connection.connection_id, lease.token))
        except STORE_TROUBLE as error:
            log.warning("lease_not_released", connection_id=connection.connection_id, error=str(error))

    async def _keep(self, connection: Connection, lease: HeldLease) -> None:
        """Renew the lease four times in its life."""
        while True:
            await asyncio.sleep(self._lease_s / 4)
            began = awake_and_asleep()
            try:
                mine = await self._off(lambda: self._store.renew(connection.connection_id, lease.token))
            except STORE_TROUBLE as error:
                log.warning("lease_not_renewed", connection_id=connection.connection_id, error=str(error))
                continue
            if mine:
                lease.renewed(began)
            else:
                lease.lose()
                return

    async def _off(self, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


async def _until(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        pass
