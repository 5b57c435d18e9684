"""`oms session`: take the leases of wanted connections, serve each in one loop, give them up in order at the end.

A heartbeat that is independent of booking renews the leases. A lease that another took stops its session at once; one
that lapsed because the database was away is taken anew, under the next token, if nobody else had it meanwhile.
"""

import asyncio
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from oms_app.flow.desk import Desk
from oms_app.flow.submission import LeaseLost
from oms_app.sessions.control import Command, ControlSocket, HaltAll
from oms_app.sessions.lease import HeldLease, awake_and_asleep
from oms_app.sessions.ports import STORE_TROUBLE, Connection, SessionStore
from oms_app.sessions.recalling import Recalled
from oms_app.sessions.runner import ConnectionRunner
from oms_app.sessions.timing import Timing
from oms_app.signals import NoSignals, Signals
from oms_app.store.leases import OtherBuild

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 0.5
BEATS_A_LIFE = 4
"""How often a lease is renewed in its life."""


class Sessions:
    """The sessions of this process. `connector_class` gives the class of a broker name, or None when not installed.

    home: holds the control socket and the journals of cancels. signals: ring when a ledger moved; polling is the truth.
    """

    def __init__(
        self,
        desk: Desk,
        store: SessionStore,
        connector_class: Callable[[str], Any | None],
        *,
        lease_s: float,
        timing: Timing,
        beat: Callable[[], None],
        home: Path,
        signals: Signals | None = None,
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
        self._journals = home / "journal"
        self._control = ControlSocket(home / "control", self.carry_out)
        self._signals = signals or NoSignals()
        self._waits_for = ""

    async def carry_out(self, asked: Command) -> list[Recalled]:
        """Halt this process's connections, or cancel every active order of them, from memory; see Recalling."""
        runners = [
            runner
            for connection_id, runner in list(self._runners.items())
            if asked.connection_id in (None, connection_id)
        ]
        if isinstance(asked, HaltAll):
            concerned = [one for one in runners if asked.tenant_id in (None, one.connection.tenant_id)]
            told = (one.halt(asked.account_id, asked.reason, cancel_working=asked.cancel_working) for one in concerned)
            return list(await asyncio.gather(*told))
        return list(await asyncio.gather(*(runner.cancel_all(asked.account_id) for runner in runners)))

    def ring(self) -> None:
        """Look now: some ledger has moved. Called in the loop."""
        for runner in self._runners.values():
            runner.wake()

    async def serve(self) -> None:
        """Look for wanted connections until SIGTERM or SIGINT; then end every session in order."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stopping.set)
        end_listening = self._signals.listen(partial(_ring_in, loop, self.ring))
        try:
            await self._control.open()
        except OSError as error:  # orders are served all the same; `cancel all` has to go through the API
            log.error("control_socket_not_opened", error=str(error))
        pulse = asyncio.create_task(self._pulse())
        try:
            while not self._stopping.is_set():
                try:
                    await self._look()
                except STORE_TROUBLE as error:
                    log.warning("database_away", error=str(error))
                await _until(self._stopping, LOOK_EVERY_S)
        finally:
            end_listening()
            for runner in self._runners.values():
                runner.stop()
            await asyncio.gather(*self._running.values(), return_exceptions=True)
            await self._control.close()
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
        try:
            token = await self._off(lambda: self._store.acquire(connection.connection_id))
        except OtherBuild as error:
            self._say_waiting(str(error))
            return
        self._say_waiting("")
        if token is None:
            return
        lease = HeldLease(token, self._lease_s, began)
        runner = ConnectionRunner(
            connection,
            cls,
            self._desk,
            self._store,
            lease,
            self._timing,
            journals=self._journals,
            poll_s=self._signals.poll_s,
        )
        self._runners[connection.connection_id] = runner
        self._running[connection.connection_id] = asyncio.create_task(self._serve(connection, runner, lease))

    def _say_waiting(self, why: str) -> None:
        """Tell once that this process waits for another build to let go, and once that it does no longer."""
        if why != self._waits_for:
            self._waits_for = why
            log.warning("session_waits" if why else "session_waits_no_more", why=why)

    async def _serve(self, connection: Connection, runner: ConnectionRunner, lease: HeldLease) -> None:
        heartbeat = asyncio.create_task(self._keep(connection, runner, lease))
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

    async def _keep(self, connection: Connection, runner: ConnectionRunner, lease: HeldLease) -> None:
        """Renew the lease, and take it anew when it lapsed; ends when another has it."""
        while not lease.is_lost:
            await asyncio.sleep(self._lease_s / BEATS_A_LIFE)
            if not lease.holds:
                runner.lapse()
            try:
                await self._renew(connection, runner, lease)
            except STORE_TROUBLE as error:
                log.warning("lease_not_renewed", connection_id=connection.connection_id, error=str(error))
            except Exception:
                log.exception("lease_not_renewed", connection_id=connection.connection_id)
        runner.lapse()

    async def _renew(self, connection: Connection, runner: ConnectionRunner, lease: HeldLease) -> None:
        began = awake_and_asleep()
        kept = await self._off(lambda: self._store.renew(connection.connection_id, lease.token))
        runner.contact.heard()
        if kept:
            had_lapsed = not lease.holds
            lease.renewed(began)
            if had_lapsed:
                runner.regained()
            return
        runner.lapse()
        began = awake_and_asleep()
        try:
            token = await self._off(lambda: self._store.acquire(connection.connection_id))
        except OtherBuild as error:
            log.error("lease_lost", connection_id=connection.connection_id, error=str(error))
            lease.lose()
            return
        if token == lease.token + 1:
            log.warning("lease_taken_anew", connection_id=connection.connection_id, token=token)
            lease.regained(token, began)
            runner.regained()
            return
        lease.lose()
        if token is not None:  # somebody had it in between: begin from the beginning, as at any take-over
            await self._off(lambda: self._store.release(connection.connection_id, token))

    async def _off(self, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def _ring_in(loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
    """From another thread; a bell after the end is for nobody."""
    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(ring)


async def _until(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        pass
