"""One connection under one lease: connect, reconcile, then book what is heard and send what is due, until lost.

Guarantee: what adds exposure is sent only after its intent is committed under this lease, at most once, and never
before the broker's own state was booked; each report is answered to its connector after its commit.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import msgspec
import structlog

from oms_app.flow import booking, submission
from oms_app.flow.desk import Desk, Turn
from oms_app.flow.errors import FlowError, OutcomeUnknown, Unavailable
from oms_app.sessions.alone import UNBOOKABLE, book_alone
from oms_app.sessions.host import ConnectionLost, ConnectorHost, Heard, Storage
from oms_app.sessions.lease import HeldLease
from oms_app.sessions.ledgers import SessionLedgers
from oms_app.sessions.ports import Connection, SessionStore
from oms_app.sessions.settling import Connected, Settling
from oms_app.sessions.timing import Timing
from oms_app.store.unit_of_work import CommitUnknown, StoreUnavailable
from oms_kernel.contracts.broker import BrokerConnector, Intent, Refused
from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.ids import LedgerId
from oms_kernel.domain.lifecycle import RequestKind

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Outcome(msgspec.Struct, frozen=True):
    """What sending came to when it was not simply sent."""

    intent: Intent
    refused: bool
    reason: str


class Done(msgspec.Struct, frozen=True):
    """What one ledger's transaction committed: intents to send, and whether orders wait there for something."""

    ledger_id: LedgerId
    intents: list[Intent]
    is_unsettled: bool


class ConnectionRunner:
    """Serves one connection for as long as its lease holds; `run` returns when it was stopped, raises LeaseLost."""

    def __init__(
        self,
        connection: Connection,
        connector_class: Any,
        desk: Desk,
        store: SessionStore,
        lease: HeldLease,
        timing: Timing,
    ) -> None:
        self.connection = connection
        self._class = connector_class
        self._store = store
        self._lease = lease
        self._timing = timing
        self._ledgers = SessionLedgers(connection, desk, lease)
        self._settling = Settling(
            connection.connection_id, connector_class.capabilities, self._ledgers, lease.token, timing
        )
        self._aside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aside")
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._storage = Storage(store, connection)
        self._host: ConnectorHost | None = None
        self._connector: BrokerConnector | None = None
        self._connected: Connected | None = None
        self._ready = False
        self._outcomes: list[Outcome] = []
        self._to_send: asyncio.Queue[Intent] = asyncio.Queue()
        self._unsettled: set[LedgerId] = set(connection.ledgers)
        self._log = log.bind(connection_id=connection.connection_id, broker=connection.broker)

    def stop(self) -> None:
        """End the session in order: nothing new is sent, what was heard is booked."""
        self._stopping.set()
        self._woken.set()

    async def run(self) -> None:
        """Serve until stopped. Raises LeaseLost."""
        backoff = self._timing.first_backoff_s
        try:
            await self._ledgers.each(lambda turn: submission.disown(turn, self._id, self._lease.token))
            while not self._stopping.is_set():
                try:
                    await self._session()
                    backoff = self._timing.first_backoff_s
                except submission.LeaseLost:
                    raise
                except ConnectionLost as lost:
                    backoff = self._timing.first_backoff_s
                    await self._status("CONNECTING", str(lost))
                except Exception as error:
                    self._log.warning("session_failed", error=f"{type(error).__name__}: {error}")
                    await self._status("CONNECTING", f"{type(error).__name__}: {error}")
                if not self._stopping.is_set():
                    await self._pause(backoff)
                    backoff = min(backoff * 2, self._timing.longest_backoff_s)
        finally:
            self._ledgers.close()
            self._aside.shutdown(wait=True)

    @property
    def _id(self) -> Any:
        return self.connection.connection_id

    # One connection, from connect to close ---------------------------------------------------------------

    async def _session(self) -> None:
        instruments = await self._ledgers.off(self._store.instruments)
        host = ConnectorHost(self.connection, instruments, self._storage, self._woken.set)
        connector: BrokerConnector = self._class(parse_params(self._class, self.connection.params), host)
        self._host, self._connector = host, connector
        self._ready = False
        self._connected = None
        self._to_send = asyncio.Queue()
        await self._ledgers.find_homes()
        await self._status("CONNECTING", "")
        tasks: list[asyncio.Task[None]] = []
        try:
            tasks = [asyncio.create_task(part()) for part in (self._pump, self._send, self._write_quotes)]
            opening = asyncio.create_task(self._open(connector))
            tasks.append(opening)
            stopping = asyncio.create_task(self._stopped())
            tasks.append(stopping)
            pending: set[asyncio.Task[None]] = set(tasks)
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if stopping in done:
                    return
        finally:
            self._ready = False
            await _cancelled(tasks)
            await self._close(connector, host)

    async def _open(self, connector: BrokerConnector) -> None:
        """Connect and reconcile; the pump books meanwhile and sends cancels only."""
        await asyncio.wait_for(connector.connect(), self._timing.connect_s)
        self._connected = Connected(dict(await self._ledgers.each(_ledgers_time)), time.monotonic())
        await self._status("RECONCILING", "")
        await self._settling.reconcile(connector)
        self._ready = True
        self._unsettled.update(self.connection.ledgers)
        await self._status("READY", "")
        self._woken.set()

    async def _close(self, connector: BrokerConnector, host: ConnectorHost) -> None:
        """Close the connection and book what was heard and not booked yet; what was not sent stays in its intent."""
        while not self._to_send.empty():
            intent = self._to_send.get_nowait()
            self._outcomes.append(Outcome(intent, refused=False, reason="the connection closed before it was sent"))
        try:
            await asyncio.wait_for(connector.close(), self._timing.connect_s)
        except Exception as error:
            self._log.warning("close_failed", error=f"{type(error).__name__}: {error}")
        self._connector = None
        try:
            await self._cycle(may_send=False)
        except FlowError as error:
            self._log.warning("last_reports_not_booked", error=error.detail)
        for heard in host.heard:
            heard.booked.cancel()
        if self._stopping.is_set():
            await self._status("DISCONNECTED", "the session was stopped")

    async def _stopped(self) -> None:
        await self._stopping.wait()

    # Booking and sending ---------------------------------------------------------------------------------

    async def _pump(self) -> None:
        """Book what was heard and take what is due; while the database is away, keep what was heard and try again."""
        while True:
            try:
                await self._work()
            except (Unavailable, OutcomeUnknown, StoreUnavailable) as error:
                self._log.warning("database_away", error=str(error))
                await asyncio.sleep(self._timing.housekeeping_s)

    async def _work(self) -> None:
        """Act as soon as something happens, else by polling."""
        busy_until = 0.0
        housekeeping_at = 0.0
        while True:
            host = self._current_host()
            if host.lost_reason is not None and not host.heard:
                raise ConnectionLost(host.lost_reason)
            now = time.monotonic()
            moved = await self._ledgers.moved()
            tidy = now >= housekeeping_at and bool(self._unsettled)
            if host.heard or self._outcomes or moved or tidy:
                if moved or host.heard:
                    busy_until = now + self._timing.busy_for_s
                if tidy:
                    housekeeping_at = now + self._timing.housekeeping_s
                await self._cycle(may_send=True, tidy=tidy)
                if tidy and self._ready and self._connector is not None and self._connected is not None:
                    await self._settling.settle(self._connector, self._connected)
            poll_s = self._timing.busy_poll_s if now < busy_until else self._timing.idle_poll_s
            await self._wait_for_news(poll_s)

    async def _cycle(self, *, may_send: bool, tidy: bool = False) -> None:
        """One transaction for each ledger: outcomes and reports in, intents out; then answer and hand over to send."""
        host = self._current_host()
        heard, host.heard = host.heard, []
        outcomes, self._outcomes = self._outcomes, []
        try:
            await self._ledgers.act(
                lambda turn: self._turn(turn, heard, outcomes, may_send=may_send, tidy=tidy), self._hand_over
            )
        except BaseException as error:
            host.heard = heard + host.heard
            self._outcomes = outcomes + self._outcomes
            if not heard or not isinstance(error, UNBOOKABLE):
                raise
            await self._book_alone(host, len(heard))
        else:
            for item in heard:
                item.answer()

    async def _book_alone(self, host: ConnectorHost, count: int) -> None:
        """Give each of the first reports its own transaction, so that none is kept back by its neighbour."""
        for _ in range(count):
            await book_alone(self._ledgers, self._id, self._lease.token, host.heard[0].report)
            host.heard.pop(0).answer()

    def _hand_over(self, done: Done) -> None:
        """Queue what one ledger committed, whatever becomes of the next ledger's transaction."""
        (self._unsettled.add if done.is_unsettled else self._unsettled.discard)(done.ledger_id)
        for intent in done.intents:
            self._to_send.put_nowait(intent)

    def _turn(self, turn: Turn, heard: list[Heard], outcomes: list[Outcome], *, may_send: bool, tidy: bool) -> Done:
        sends = may_send and self._connector is not None and self._connected is not None
        if not sends:  # next_intents asks for itself, and its refusal drops the whole turn
            submission.require_lease(turn, self._id, self._lease.token)
        orders = turn.batch.book.orders
        for outcome in outcomes:
            if outcome.intent.command.order_id in orders:
                record = booking.book_refusal if outcome.refused else booking.book_doubt
                record(turn, outcome.intent, outcome.reason)
        is_home = partial(self._ledgers.is_home, turn.unit.ledger_id)
        booking.book(turn, self._id, [item.report for item in heard if is_home(item.report.broker_account_id)])
        capabilities = self._class.capabilities
        if tidy and self._ready:
            timeout = capabilities.ack_timeout * self._timing.ack_timeout_factor
            submission.overdue(turn, self._id, timeout)
        intents: list[Intent] = []
        if sends and self._connector is not None:
            self._storage.unit = turn.unit
            try:
                intents = submission.next_intents(
                    turn, self._id, self._lease.token, capabilities, self._connector.prepare, may_add=self._ready
                )
            finally:
                self._storage.unit = None
        is_unsettled = any(True for _ in turn.batch.book.unsettled.entries(self._id))
        return Done(turn.unit.ledger_id, intents, is_unsettled)

    async def _send(self) -> None:
        """Send intents in their order, each once, each under the lease."""
        while True:
            intent = await self._to_send.get()
            connector = self._connector
            if connector is None:
                raise ConnectionLost("the connector is closed")
            self._lease.require()
            outcome = await self._sent(connector, intent)
            if outcome is not None:
                self._outcomes.append(outcome)
                self._woken.set()

    async def _sent(self, connector: BrokerConnector, intent: Intent) -> Outcome | None:
        send = {
            RequestKind.PLACE: connector.submit,
            RequestKind.REPLACE: connector.replace,
            RequestKind.CANCEL: connector.cancel,
        }[intent.command.kind]
        timeout_s = self._class.capabilities.ack_timeout.total_seconds() * self._timing.ack_timeout_factor
        try:
            await asyncio.wait_for(send(intent), timeout_s)
        except Refused as refusal:
            return Outcome(intent, refused=True, reason=str(refusal))
        except asyncio.CancelledError:
            self._outcomes.append(Outcome(intent, refused=False, reason="the session ended while it was sent"))
            raise
        except Exception as error:
            return Outcome(intent, refused=False, reason=f"{type(error).__name__} while it was sent")
        return None

    # Beside ----------------------------------------------------------------------------------------------

    async def _write_quotes(self) -> None:
        while True:
            await asyncio.sleep(self._timing.quotes_s)
            host = self._current_host()
            if host.quotes:
                quotes, host.quotes = host.quotes, {}
                try:
                    await asyncio.get_running_loop().run_in_executor(
                        self._aside, self._store.put_quotes, list(quotes.values())
                    )
                except (StoreUnavailable, CommitUnknown) as error:  # newer quotes come; the connection stays
                    self._log.warning("quotes_not_written", error=str(error))

    async def _status(self, status: str, detail: str) -> None:
        heard_at = self._host.last_heard_at if self._host is not None else None
        self._log.info("connection_status", status=status, detail=detail)
        await self._ledgers.off(
            lambda: self._store.set_status(self.connection.tenant_id, self._id, status, detail, heard_at)
        )

    async def _wait_for_news(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._woken.wait(), seconds)
        except TimeoutError:
            pass
        self._woken.clear()

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            pass

    def _current_host(self) -> ConnectorHost:
        if self._host is None:
            raise ConnectionLost("there is no connection")
        return self._host


def _ledgers_time(turn: Turn) -> tuple[LedgerId, datetime]:
    """The moment by the clock that dates the ledger's intents."""
    return turn.unit.ledger_id, turn.batch.now


async def _cancelled(tasks: list["asyncio.Task[None]"]) -> None:
    """End the tasks. wait_for of Python 3.11 may swallow a cancellation that meets its result: ask again."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.1)
    await asyncio.gather(*tasks, return_exceptions=True)
