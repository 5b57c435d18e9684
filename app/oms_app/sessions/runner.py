"""One connection under one lease: connect, reconcile, then book what is heard and send what is due, until lost.

Guarantee: what adds exposure is sent only after its intent is committed under this lease, at most once, and never
before the broker's own state was booked; each report is answered to its connector after its commit. While the database
is away the connection stays, what is heard waits, and nothing that adds exposure goes out.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog

from oms_app.flow.desk import Desk, Turn
from oms_app.flow.submission import LeaseLapsed, LeaseLost
from oms_app.sessions.comparing import Comparing
from oms_app.sessions.host import ConnectionLost, ConnectorHost, Storage
from oms_app.sessions.journal import CancelJournal
from oms_app.sessions.lease import HeldLease, StoreContact
from oms_app.sessions.ledgers import SessionLedgers
from oms_app.sessions.ports import AWAY, STORE_TROUBLE, Connection, SessionStore
from oms_app.sessions.pump import Present, Pump
from oms_app.sessions.recalling import Recalled, Recalling
from oms_app.sessions.sending import Sender
from oms_app.sessions.settling import Connected, Settling
from oms_app.sessions.status_row import StatusRow
from oms_app.sessions.tasks import ended, waited
from oms_app.sessions.timing import Timing
from oms_kernel.contracts.broker import BrokerConnector, Intent
from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.ids import AccountId, LedgerId

log = structlog.get_logger(__name__)

T = TypeVar("T")
WAITED_OUT = (*AWAY, LeaseLapsed)
"""What a session waits out with its connection open."""
TELL_AGAIN_S = 5.0
"""How often the log says that the session still waits."""


class ConnectionRunner:
    """Serves one connection for as long as its lease holds; `run` returns when it was stopped, raises LeaseLost.

    journals: the folder of the files of cancels that go out before they are recorded. poll_s: how long to wait for a
    bell, for somebody who polls each so many seconds without bells.
    """

    def __init__(
        self,
        connection: Connection,
        connector_class: Any,
        desk: Desk,
        store: SessionStore,
        lease: HeldLease,
        timing: Timing,
        *,
        journals: Path,
        poll_s: Callable[[float], float] = lambda seconds: seconds,
    ) -> None:
        self.connection = connection
        self.contact = StoreContact()
        self._class = connector_class
        self._store = store
        self._new_id = desk.new_id
        self._lease = lease
        self._timing = timing
        self._ledgers = SessionLedgers(connection, desk, lease, self.contact)
        self._aside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aside")
        self._told_at = float("-inf")
        self._stopping = asyncio.Event()
        self._regained = asyncio.Event()
        self._storage = Storage(store, connection)
        self._present = Present(self._new_settling())
        capabilities = connector_class.capabilities
        self._sender = Sender(
            capabilities, lease, self.contact, timing, self._present.woken.set, lambda intent: self._stopped(intent)
        )
        journal = CancelJournal(journals, connection.connection_id)
        self._recalling = Recalling(
            connection, capabilities, self._ledgers, self._sender, self._storage, journal, timing
        )
        self._status = StatusRow(connection, store, self._ledgers, self._present.heard_at)
        self._pump = Pump(
            connection,
            capabilities,
            self._present,
            lease,
            self._ledgers,
            self._sender,
            self._recalling,
            self._storage,
            self._status,
            timing,
            poll_s,
        )
        self._log = log.bind(connection_id=connection.connection_id, broker=connection.broker)

    def stop(self) -> None:
        """End the session in order: nothing new is sent, what was heard is booked."""
        self._stopping.set()
        self.wake()

    def wake(self) -> None:
        """Look now: a ledger may have moved."""
        self._present.woken.set()

    def lapse(self) -> None:
        """The lease lapsed, or is another's: what waits to be sent is never sent."""
        self._present.reconciled_as = None
        self._sender.lapse()
        self.wake()

    def regained(self) -> None:
        """The lease was taken anew: what it left is disowned, and the broker asked for its state."""
        self.lapse()
        self._regained.set()

    async def cancel_all(self, account_id: AccountId | None = None) -> Recalled:
        """Cancel every active order of the connection, from memory, now; see Recalling."""
        connector = self._present.connector if self._present.connected is not None else None
        try:
            return await self._recalling.cancel_all(
                connector, self._pump.unbooked(), self._lease.token, account_id, datetime.now(UTC)
            )
        finally:
            self.wake()

    async def halt(self, account_id: AccountId | None, reason: str, *, cancel_working: bool) -> Recalled:
        """Let nothing new out from now on, and cancel what works if asked; see Recalling."""
        problem = await self._recalling.halt(account_id, datetime.now(UTC), reason)
        recalled = Recalled(self.connection.connection_id, [], {})
        try:
            if cancel_working:
                recalled = await self.cancel_all(account_id)
        finally:
            self.wake()
        return msgspec.structs.replace(recalled, problem=problem or recalled.problem)

    def _stopped(self, intent: Intent) -> str | None:
        return self._recalling.stopped(intent)

    async def run(self) -> None:
        """Serve until stopped. Raises LeaseLost."""
        backoff = self._timing.first_backoff_s
        try:
            while not self._stopping.is_set():
                try:
                    await self._session()
                    backoff = self._timing.first_backoff_s
                except WAITED_OUT as error:
                    self._wait_out(error)
                    await self._pause(self._timing.housekeeping_s)
                    continue
                except LeaseLost:
                    raise
                except ConnectionLost as lost:
                    backoff = self._timing.first_backoff_s
                    await self._status.tell("CONNECTING", str(lost))
                except Exception as error:
                    self._log.warning("session_failed", error=f"{type(error).__name__}: {error}")
                    await self._status.tell("CONNECTING", f"{type(error).__name__}: {error}")
                if not self._stopping.is_set():
                    await self._pause(backoff)
                    backoff = min(backoff * 2, self._timing.longest_backoff_s)
        finally:
            self._ledgers.close()
            self._aside.shutdown(wait=True)

    # One connection, from connect to close ---------------------------------------------------------------

    async def _session(self) -> None:
        present = self._present
        await self._pump.take_over()
        instruments = await self._ledgers.off(self._store.instruments)
        host = ConnectorHost(self.connection, instruments, self._storage, self.wake)
        connector: BrokerConnector = self._class(parse_params(self._class, self.connection.params), host)
        present.host, present.connector = host, connector
        present.connected = present.reconciled_as = None
        await self._ledgers.find_homes()
        await self._status.tell("CONNECTING", "")
        tasks: list[asyncio.Task[None]] = []
        try:
            sending = partial(self._sender.run, lambda: present.connector)
            pumping = partial(self._waiting_out, self._pump.work)
            opening = partial(self._open, connector)
            stopping = asyncio.create_task(waited(self._stopping))
            tasks = [asyncio.create_task(part()) for part in (pumping, sending, opening, self._write_quotes)]
            tasks.append(stopping)
            pending: set[asyncio.Task[None]] = set(tasks)
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if stopping in done:
                    return
        finally:
            present.reconciled_as = None
            await ended(tasks)
            await self._close(connector, host)

    async def _open(self, connector: BrokerConnector) -> None:
        """Connect, then reconcile, and again each time that the lease was taken anew; the pump works meanwhile."""
        await asyncio.wait_for(connector.connect(), self._timing.connect_s)
        began = time.monotonic()
        times = await self._waiting_out(lambda: self._ledgers.each(_ledgers_time))
        self._present.connected = Connected(dict(times), began)
        while True:
            self._regained.clear()
            comparing = await self._waiting_out(lambda: self._reconcile(connector))
            await self._until_regained(comparing.keep_comparing(connector))

    async def _until_regained(self, work: Coroutine[Any, Any, None]) -> None:
        """Let the work go on until the lease is taken anew; its failure ends the session."""
        tasks = [asyncio.create_task(work), asyncio.create_task(waited(self._regained))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await ended(tasks)

    async def _reconcile(self, connector: BrokerConnector) -> Comparing:
        """Ask for the broker's state and book it; then places and changes may go out, under this very lease."""
        self._lease.require()
        token = self._lease.token
        await self._status.tell("RECONCILING", "")
        self._present.settling = self._new_settling()
        comparing = self._new_comparing()
        await comparing.open(connector)
        self._lease.require()
        self._present.reconciled_as = token
        self._pump.look_everywhere()
        await self._status.tell("READY", "")
        return comparing

    async def _close(self, connector: BrokerConnector, host: ConnectorHost) -> None:
        """Close the connection and book what was heard and not booked yet; what was not sent is never sent."""
        self._sender.close()
        try:
            await asyncio.wait_for(connector.close(), self._timing.connect_s)
        except Exception as error:
            self._log.warning("close_failed", error=f"{type(error).__name__}: {error}")
        self._present.connector = None
        try:
            await self._pump.cycle(sends=False)
        except WAITED_OUT as error:
            self._log.warning("last_reports_not_booked", error=str(error))
        for heard in host.heard:
            heard.booked.cancel()
        if self._stopping.is_set():
            await self._status.tell("DISCONNECTED", "the session was stopped")

    async def _waiting_out(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of the work, done again while the database is away or the lease has lapsed."""
        while True:
            try:
                return await work()
            except WAITED_OUT as error:
                self._wait_out(error)
                await asyncio.sleep(self._timing.housekeeping_s)

    def _wait_out(self, error: Exception) -> None:
        """Say what is waited for. Raises LeaseLost when there is nothing to wait for."""
        if self._lease.is_lost:
            self._lease.require()
        if time.monotonic() - self._told_at > TELL_AGAIN_S:
            self._told_at = time.monotonic()
            self._log.warning("lease_lapsed" if isinstance(error, LeaseLapsed) else "database_away", error=str(error))

    async def _write_quotes(self) -> None:
        while True:
            await asyncio.sleep(self._timing.quotes_s)
            host = self._present.current_host()
            if host.quotes:
                quotes, host.quotes = host.quotes, {}
                try:
                    await asyncio.get_running_loop().run_in_executor(
                        self._aside, self._store.put_quotes, list(quotes.values())
                    )
                except STORE_TROUBLE as error:  # newer quotes come; the connection stays
                    self._log.warning("quotes_not_written", error=str(error))

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            pass

    def _new_comparing(self) -> Comparing:
        return Comparing(
            self.connection,
            self._class.capabilities,
            self._ledgers,
            self._lease.token,
            self._timing,
            self._store,
            self._new_id,
        )

    def _new_settling(self) -> Settling:
        connection_id = self.connection.connection_id
        return Settling(connection_id, self._class.capabilities, self._ledgers, self._lease.token, self._timing)


def _ledgers_time(turn: Turn) -> tuple[LedgerId, datetime]:
    """The moment by the clock that dates the ledger's intents."""
    return turn.unit.ledger_id, turn.batch.now
