"""One connection under one lease: connect, reconcile, then book what is heard and send what is due, until lost.

Guarantee: what adds exposure is sent only after its intent is committed under this lease, at most once, and never
before the broker's own state was booked; each report is answered to its connector after its commit.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import msgspec
import structlog

from oms_app.flow import booking, reconciliation, submission
from oms_app.flow.desk import Desk, Turn
from oms_app.flow.errors import FlowError, OutcomeUnknown, Unavailable
from oms_app.sessions.host import ConnectorHost, Heard, Storage
from oms_app.sessions.lease import HeldLease
from oms_app.sessions.ports import Connection, SessionStore
from oms_app.store.unit_of_work import StoreUnavailable
from oms_kernel.contracts.broker import BrokerConnector, Intent, Refused, SnapshotPart
from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.ids import LedgerId
from oms_kernel.domain.lifecycle import RequestKind

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Timing(msgspec.Struct, frozen=True):
    """How long a session waits for what, in seconds; tests scale them together."""

    connect_s: float = 15
    snapshot_s: float = 30
    idle_poll_s: float = 0.1
    busy_poll_s: float = 0.01
    busy_for_s: float = 1.0
    housekeeping_s: float = 0.5
    quotes_s: float = 0.25
    maximum_pause_s: float = 10
    settle_every_s: float = 1.0
    first_backoff_s: float = 0.25
    longest_backoff_s: float = 15
    ack_timeout_factor: float = 1.0


class Outcome(msgspec.Struct, frozen=True):
    """What sending came to when it was not simply sent."""

    intent: Intent
    refused: bool
    reason: str


class ConnectionLost(Exception):
    """The connection must be closed and opened anew."""


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
        self._connection = connection
        self._class = connector_class
        self._desk = desk
        self._store = store
        self._lease = lease
        self._timing = timing
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._aside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aside")
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._storage = Storage(store, connection)
        self._host: ConnectorHost | None = None
        self._connector: BrokerConnector | None = None
        self._connected_at: datetime | None = None
        self._ready = False
        self._outcomes: list[Outcome] = []
        self._to_send: asyncio.Queue[Intent] = asyncio.Queue()
        self._seen: dict[LedgerId, int] = {}
        self._unsettled = True
        self._settled_at = 0.0
        self._alerted_breaks: set[str] = set()
        self._log = log.bind(connection_id=connection.connection_id, broker=connection.broker)

    def stop(self) -> None:
        """End the session in order: nothing new is sent, what was heard is booked."""
        self._stopping.set()
        self._woken.set()

    async def run(self) -> None:
        """Serve until stopped. Raises LeaseLost."""
        backoff = self._timing.first_backoff_s
        try:
            await self._each_ledger(lambda turn: submission.disown(turn, self._id, self._lease.token))
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
            self._thread.shutdown(wait=True)
            self._aside.shutdown(wait=True)

    @property
    def _id(self) -> Any:
        return self._connection.connection_id

    # One connection, from connect to close ---------------------------------------------------------------

    async def _session(self) -> None:
        instruments = await self._off(self._store.instruments)
        host = ConnectorHost(self._connection, instruments, self._storage, self._woken.set)
        connector: BrokerConnector = self._class(parse_params(self._class, self._connection.params), host)
        self._host, self._connector = host, connector
        self._ready = False
        self._to_send = asyncio.Queue()
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
        self._connected_at = self._desk_now()
        await self._status("RECONCILING", "")
        await self._reconcile(connector)
        self._ready = True
        self._unsettled = True
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
            moved = await self._moved()
            tidy = now >= housekeeping_at and self._unsettled
            if host.heard or self._outcomes or moved or tidy:
                if moved or host.heard:
                    busy_until = now + self._timing.busy_for_s
                if tidy:
                    housekeeping_at = now + self._timing.housekeeping_s
                await self._cycle(may_send=True, tidy=tidy)
                if tidy:
                    await self._settle_if_doubtful()
            poll_s = self._timing.busy_poll_s if now < busy_until else self._timing.idle_poll_s
            await self._wait_for_news(poll_s)

    async def _cycle(self, *, may_send: bool, tidy: bool = False) -> None:
        """One transaction for each ledger: outcomes and reports in, intents out; then answer and hand over to send."""
        host = self._current_host()
        heard, host.heard = host.heard, []
        outcomes, self._outcomes = self._outcomes, []
        try:
            intents = await self._each_ledger(
                lambda turn: self._turn(turn, heard, outcomes, may_send=may_send, tidy=tidy)
            )
        except BaseException:
            host.heard = heard + host.heard
            self._outcomes = outcomes + self._outcomes
            raise
        for item in heard:
            if not item.booked.done():
                item.booked.set_result(None)
        for intent in (intent for some in intents for intent in some):
            self._to_send.put_nowait(intent)

    def _turn(
        self, turn: Turn, heard: list[Heard], outcomes: list[Outcome], *, may_send: bool, tidy: bool
    ) -> list[Intent]:
        sends = may_send and self._connector is not None and self._connected_at is not None
        if not sends:  # next_intents asks for itself, and its refusal drops the whole turn
            submission.require_lease(turn, self._id, self._lease.token)
        mine = turn.batch.book.orders
        for outcome in outcomes:
            if outcome.intent.command.order_id in mine:
                record = booking.book_refusal if outcome.refused else booking.book_doubt
                record(turn, outcome.intent, outcome.reason)
        owned = {route.broker_account_id for route in turn.config.routes.values()}
        booking.book(turn, self._id, [item.report for item in heard if self._is_for(item, owned)])
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
        self._unsettled = any(True for _ in turn.batch.book.unsettled.entries(self._id))
        return intents

    def _is_for(self, heard: Heard, owned: set[Any]) -> bool:
        """Whether this ledger books the report: its own broker accounts', and the strangers' in the first ledger."""
        return heard.report.broker_account_id in owned or len(self._connection.ledgers) == 1

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

    # Reconciliation --------------------------------------------------------------------------------------

    async def _reconcile(self, connector: BrokerConnector) -> None:
        capabilities = self._class.capabilities
        parts = await asyncio.wait_for(connector.snapshot(None), self._timing.snapshot_s)
        if not reconciliation.is_complete(parts, capabilities.required_parts):
            failed = [f"{part} ({result.error})" for part, result in parts.items() if not result.complete]
            missing = [part for part in capabilities.required_parts if part not in parts]
            raise ConnectionLost(f"the broker's state is incomplete: {', '.join([*failed, *missing])}")

        def work(turn: Turn) -> None:
            submission.require_lease(turn, self._id, self._lease.token)
            reconciliation.book_snapshot(turn, self._id, parts)
            texts = [text for text in reconciliation.breaks(turn, parts) if text not in self._alerted_breaks]
            reconciliation.alert_breaks(turn, texts)
            self._alerted_breaks.update(texts)

        await self._each_ledger(work)

    async def _settle_if_doubtful(self) -> None:
        """Ask the broker about doubtful orders: once what carried them is closed and the maximum pause is over."""
        connector, connected_at = self._connector, self._connected_at
        if not self._ready or connector is None or connected_at is None:
            return
        if time.monotonic() - self._settled_at < self._timing.settle_every_s:
            return
        self._settled_at = time.monotonic()
        doubtful = [
            order
            for orders in await self._each_ledger(lambda turn: reconciliation.doubtful(turn, self._id))
            for order in orders
        ]
        if not doubtful:
            return
        if any(_sent_at(order) >= connected_at for order in doubtful if _sent_at(order) is not None):
            raise ConnectionLost("reopening the connection to settle an order in doubt")
        if self._desk_now() - connected_at < timedelta(seconds=self._timing.maximum_pause_s):
            return
        parts = await asyncio.wait_for(connector.snapshot(None), self._timing.snapshot_s)
        orders = parts.get(SnapshotPart.ORDERS)
        if orders is None or not orders.complete:
            return

        def work(turn: Turn) -> None:
            submission.require_lease(turn, self._id, self._lease.token)
            reconciliation.book_snapshot(turn, self._id, parts)
            reconciliation.settle_doubts(turn, self._id, orders, self._class.capabilities, carried_before=connected_at)

        await self._each_ledger(work)

    # Beside ----------------------------------------------------------------------------------------------

    async def _write_quotes(self) -> None:
        while True:
            await asyncio.sleep(self._timing.quotes_s)
            host = self._current_host()
            if host.quotes:
                quotes, host.quotes = host.quotes, {}
                await asyncio.get_running_loop().run_in_executor(
                    self._aside, self._store.put_quotes, list(quotes.values())
                )

    async def _moved(self) -> bool:
        """Whether a ledger has events that this session has not seen."""
        heads = await self._off(lambda: self._desk.store.heads(self._connection.ledgers))
        return any(heads.get(ledger_id, 0) > self._seen.get(ledger_id, -1) for ledger_id in self._connection.ledgers)

    async def _each_ledger(self, work: Callable[[Turn], T]) -> list[T]:
        """The results of one transaction in each ledger that this connection serves."""
        results = []
        for ledger_id in self._connection.ledgers:
            self._lease.require()
            results.append(await self._off(partial(self._transact, ledger_id, work)))
        return results

    def _transact(self, ledger_id: LedgerId, work: Callable[[Turn], T]) -> T:
        def noting(turn: Turn) -> T:
            result = work(turn)
            self._seen[ledger_id] = turn.batch.book.seq
            return result

        return self._desk.transact(self._connection.tenant_id, ledger_id, noting)

    async def _off(self, call: Callable[[], T]) -> T:
        """Run a blocking call in the session's one transaction thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _status(self, status: str, detail: str) -> None:
        heard_at = self._host.last_heard_at if self._host is not None else None
        self._log.info("connection_status", status=status, detail=detail)
        await self._off(lambda: self._store.set_status(self._connection.tenant_id, self._id, status, detail, heard_at))

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

    def _desk_now(self) -> datetime:
        return self._current_host().clock()


def _sent_at(order: Any) -> Any:
    if order.place.value == "IN_DOUBT":
        return order.sent_at
    return order.replace.sent_at if order.replace is not None else None


async def _cancelled(tasks: list["asyncio.Task[None]"]) -> None:
    """End the tasks. wait_for of Python 3.11 may swallow a cancellation that meets its result: ask again."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.1)
    await asyncio.gather(*tasks, return_exceptions=True)
