"""`cancel all` from a session's own memory: cancels journalled, then sent, then booked when the database answers.

Guarantee: it works the same with the database up or gone; a cancel is on disk before its first byte, unless the disk
refuses it, and what was journalled is booked once, by this session or by the next owner on this host.
"""

import asyncio
import threading
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

import msgspec
import structlog

from oms_app.flow import early_cancels, submission
from oms_app.flow.early_cancels import EarlyCancel, Halt, SentCancel, Sweep
from oms_app.sessions.host import Storage
from oms_app.sessions.journal import CancelJournal
from oms_app.sessions.ledgers import SessionLedgers
from oms_app.sessions.ports import Connection
from oms_app.sessions.sending import Sender
from oms_app.sessions.timing import Timing
from oms_kernel.contracts.broker import AnyReport, BrokerCapabilities, BrokerConnector, Command, Intent, WireIdentity
from oms_kernel.domain.book import Book
from oms_kernel.domain.ids import AccountId, BrokerOrderId, LedgerId, OrderId
from oms_kernel.domain.lifecycle import RequestKind, RequestStatus
from oms_kernel.domain.order import Order

log = structlog.get_logger(__name__)


class Recalled(msgspec.Struct, frozen=True):
    """What became of `cancel all` on one connection.

    sent: orders whose cancel is on the wire. waiting: order -> why its cancel goes out, or it ends, later. problem: why
    this would not survive a kill of the session, or empty.
    """

    connection_id: str
    sent: list[OrderId]
    waiting: dict[OrderId, str]
    problem: str = ""


class Recalling:
    """The cancels of one connection that go first and are recorded after; `pending` is what is not booked yet."""

    def __init__(
        self,
        connection: Connection,
        capabilities: BrokerCapabilities,
        ledgers: SessionLedgers,
        sender: Sender,
        storage: Storage,
        journal: CancelJournal,
        timing: Timing,
    ) -> None:
        self.pending: list[EarlyCancel] = []
        self._unlisted = 0
        """Recalls of which `pending` does not tell yet."""
        self._connection = connection
        self._capabilities = capabilities
        self._ledgers = ledgers
        self._sender = sender
        self._storage = storage
        self._journal = journal
        self._window = asyncio.Semaphore(timing.window)
        self._preparing = threading.Lock()
        self._timeout_s = capabilities.ack_timeout.total_seconds() * timing.ack_timeout_factor

    async def load(self) -> None:
        """Learn what an earlier owner on this host journalled and did not book."""
        if self._journal.exists:
            try:
                self._add(await asyncio.to_thread(self._journal.pending))
            except OSError as error:
                log.error("journal_not_read", connection_id=self._connection.connection_id, error=str(error))

    def stopped(self, intent: Intent) -> str | None:
        """Why this committed intent may not go out any more: a halt of ours, or what the ledger says by now."""
        for why in self._ledgers.remembered(lambda ledger_id, book: self._why_stopped(ledger_id, book, intent)):
            if why is not None:
                return why
        return None

    def _why_stopped(self, ledger_id: LedgerId, book: Book, intent: Intent) -> str | None:
        order = book.orders.get(intent.command.order_id)
        if order is None:
            return None
        account_id = order.request.account_id
        for entry in self.pending:
            if isinstance(entry, Halt) and entry.ledger_id == ledger_id and entry.account_id in (None, account_id):
                return "trading_state"
        return submission.why_not_now(book, order, intent.command.kind)

    async def halt(self, account_id: AccountId | None, now: datetime, reason: str) -> str:
        """Let nothing new out from now on, until a kill switch of the ledger says so; why a kill forgets it, or empty.

        Every ledger of the connection records that switch with its next transaction.
        """
        entries = [
            Halt(uuid4().hex, ledger_id, now, account_id, reason)
            for ledger_id in self._ledgers.remembered(lambda ledger_id, book: ledger_id)
        ]
        self._add(entries)
        return await self._journalled(entries)

    def prepare(self, connector: BrokerConnector, command: Command) -> WireIdentity:
        """As the connector prepares it; one call at a time, whichever thread asks."""
        with self._preparing:
            return connector.prepare(command)

    @property
    def listed(self) -> int | None:
        """How many recalls there were so far, when `pending` tells of each that is not recorded; else None."""
        return None if self._unlisted else self._sender.recalls

    async def booked(self, entries: Sequence[EarlyCancel]) -> None:
        """These entries are committed in every ledger."""
        ids = {entry.entry_id for entry in entries}
        self.pending = [entry for entry in self.pending if entry.entry_id not in ids]
        if not self.pending:
            self._sender.forget_recalls()
        try:
            await asyncio.to_thread(self._journal.settle, ids)
        except OSError as error:  # they are booked again by whoever reads them, which changes nothing
            log.error("journal_not_settled", connection_id=self._connection.connection_id, error=str(error))

    async def cancel_all(
        self,
        connector: BrokerConnector | None,
        reports: Iterable[AnyReport],
        lease_token: int,
        account_id: AccountId | None,
        now: datetime,
    ) -> Recalled:
        """Send a cancel for every active order that may be cancelled now; the others are cancelled when that can be.

        connector: None while there is no connection. reports: heard and not booked yet; they prove places too.
        When the journal cannot be written they go out all the same, for a cancel adds no exposure; the answer says so.
        """
        heard = list(reports)
        account_orders = self._ledgers.remembered(lambda ledger_id, book: (ledger_id, self._orders(book, account_id)))
        orders = [(ledger_id, order) for ledger_id, found in account_orders for order in found]
        self._unlisted += 1
        self._sender.recall({order.order_id for _, order in orders}, everything=account_id is None)
        try:
            sweeps = [Sweep(uuid4().hex, ledger_id, now, account_id) for ledger_id, _ in account_orders]
            waiting: dict[OrderId, str] = {}
            commands: list[tuple[LedgerId, Command]] = []
            for ledger_id, order in orders:
                why = self._why_later(order, heard, connector)
                if why is not None:
                    waiting[order.order_id] = why
                    continue
                command = self._command(ledger_id, order, heard)
                commands.append((ledger_id, command))
            intents: list[tuple[LedgerId, Intent]] = []
            if connector is not None:
                intents = await asyncio.to_thread(self._prepared, connector, commands, lease_token, waiting)
            entries: list[EarlyCancel] = [self._entry(ledger_id, intent, now) for ledger_id, intent in intents]
            entries += sweeps
            problem = await self._journalled(entries)
            self._add(entries)
        finally:
            self._unlisted -= 1
        sent: list[OrderId] = []
        if connector is not None:
            await asyncio.gather(*(self._send(connector, intent, sent, waiting) for _, intent in intents))
        log.warning("cancel_all", connection_id=self._connection.connection_id, sent=len(sent), waiting=len(waiting))
        return Recalled(self._connection.connection_id, sent, waiting, problem)

    async def _journalled(self, entries: Sequence[EarlyCancel]) -> str:
        """Why the entries are not on disk, or an empty text."""
        try:
            await asyncio.to_thread(self._journal.append, entries)
        except OSError as error:
            log.error("cancels_not_journalled", connection_id=self._connection.connection_id, error=str(error))
            return f"the cancels are not journalled, a kill of the session would forget to book them: {error}"
        return ""

    def _add(self, entries: Sequence[EarlyCancel]) -> None:
        known = {entry.entry_id for entry in self.pending}
        self.pending += [entry for entry in entries if entry.entry_id not in known]

    def _orders(self, book: Book, account_id: AccountId | None) -> list[Order]:
        return early_cancels.cancellable(book, self._connection.connection_id, account_id)

    def _why_later(self, order: Order, heard: list[AnyReport], connector: BrokerConnector | None) -> str | None:
        """Why no cancel can be sent for the order now, or None."""
        if order.place is RequestStatus.REQUESTED:
            return "it was not sent; it ends when the database answers"
        if connector is None:
            return "there is no connection to the broker"
        proved = order.place is RequestStatus.DONE or any(_is_about(report, order) for report in heard)
        if not proved and not self._capabilities.cancel_before_ack:
            return "the broker has not acknowledged it yet"
        return None

    def _command(self, ledger_id: LedgerId, order: Order, heard: list[AnyReport]) -> Command:
        instrument = self._ledgers.instrument(ledger_id, order.request.instrument_id)
        attempt = order.attempt + early_cancels.ATTEMPTS_APART
        command = submission.command_of(order, RequestKind.CANCEL, instrument, attempt=attempt)
        told = _broker_order_id(order, heard)
        return command if told is None else msgspec.structs.replace(command, broker_order_id=told)

    def _prepared(
        self,
        connector: BrokerConnector,
        commands: Collection[tuple[LedgerId, Command]],
        lease_token: int,
        waiting: dict[OrderId, str],
    ) -> list[tuple[LedgerId, Intent]]:
        intents = []
        for ledger_id, command in commands:
            try:
                with self._storage.from_memory():
                    identity = self.prepare(connector, command)
            except Exception as error:
                waiting[command.order_id] = f"the connector could not prepare it ({type(error).__name__})"
            else:
                intents.append((ledger_id, Intent(command, identity, lease_token)))
        return intents

    def _entry(self, ledger_id: LedgerId, intent: Intent, now: datetime) -> SentCancel:
        return SentCancel(
            entry_id=uuid4().hex,
            ledger_id=ledger_id,
            order_id=intent.command.order_id,
            attempt=intent.command.attempt,
            lease_token=intent.lease_token,
            wire_id=intent.identity.wire_id,
            fields=intent.identity.fields,
            asked_at=now,
        )

    async def _send(
        self, connector: BrokerConnector, intent: Intent, sent: list[OrderId], waiting: dict[OrderId, str]
    ) -> None:
        """Send one cancel after what is under way for its order; what fails goes out again by the ordinary path."""
        order_id = intent.command.order_id
        async with self._window:
            try:
                await asyncio.wait_for(self._after_its_place(connector, intent), self._timeout_s)
            except Exception as error:
                waiting[order_id] = f"{type(error).__name__} while it was sent; it is sent again"
            else:
                sent.append(order_id)

    async def _after_its_place(self, connector: BrokerConnector, intent: Intent) -> None:
        await self._sender.on_the_wire(intent.command.order_id)
        await connector.cancel(intent)


def _is_about(report: Any, order: Order) -> bool:
    if report.wire_id is not None and report.wire_id in order.wire_ids:
        return True
    return report.broker_order_id is not None and report.broker_order_id in order.broker_order_ids


def _broker_order_id(order: Order, heard: list[AnyReport]) -> BrokerOrderId | None:
    """The broker's id of the order as last told and not booked yet."""
    told = [report.broker_order_id for report in heard if _is_about(report, order)]
    return next((one for one in reversed(told) if one is not None), None)
