"""What is heard booked and what is due taken, in one transaction of each ledger; then answered and handed over to send.

Guarantee: an intent is handed over only after its commit, a report answered only after its own; what a transaction
could not do is kept for the next one.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from oms_app.flow import booking, submission
from oms_app.flow.desk import Turn
from oms_app.flow.early_cancels import EarlyCancel, book_early
from oms_app.sessions.alone import UNBOOKABLE, book_alone
from oms_app.sessions.host import ConnectionLost, ConnectorHost, Heard, Storage
from oms_app.sessions.lease import HeldLease
from oms_app.sessions.ledgers import SessionLedgers
from oms_app.sessions.ports import Connection
from oms_app.sessions.recalling import Recalling
from oms_app.sessions.sending import Fate, Outcome, Sender
from oms_app.sessions.settling import Connected, Settling
from oms_app.sessions.status_row import StatusRow
from oms_app.sessions.timing import Timing
from oms_kernel.contracts.broker import AnyReport, BrokerCapabilities, BrokerConnector, Intent
from oms_kernel.domain.ids import LedgerId


class Present:
    """What a session has right now; the runner changes it, the pump works by it.

    connected: None before the connection is up. reconciled_as: the lease's token when the broker's state was booked
    in this connection; places and changes go out under that very lease only.
    """

    def __init__(self, settling: Settling) -> None:
        self.host: ConnectorHost | None = None
        self.connector: BrokerConnector | None = None
        self.connected: Connected | None = None
        self.reconciled_as: int | None = None
        self.settling = settling
        self.woken = asyncio.Event()

    def current_host(self) -> ConnectorHost:
        """The host of the present connector."""
        if self.host is None:
            raise ConnectionLost("there is no connection")
        return self.host

    def heard_at(self) -> datetime | None:
        """When the broker was last heard."""
        return self.host.last_heard_at if self.host is not None else None


class Done(msgspec.Struct, frozen=True):
    """What one ledger's transaction committed: intents to send, and whether orders wait there for something."""

    ledger_id: LedgerId
    lease_token: int
    intents: list[Intent]
    is_unsettled: bool


class Pump:
    """The transactions of one session. poll_s: how long to wait for a bell, for one who polls each so many seconds."""

    def __init__(
        self,
        connection: Connection,
        capabilities: BrokerCapabilities,
        present: Present,
        lease: HeldLease,
        ledgers: SessionLedgers,
        sender: Sender,
        recalling: Recalling,
        storage: Storage,
        status: StatusRow,
        timing: Timing,
        poll_s: Callable[[float], float],
    ) -> None:
        self._connection = connection
        self._id = connection.connection_id
        self._capabilities = capabilities
        self._present = present
        self._lease = lease
        self._ledgers = ledgers
        self._sender = sender
        self._recalling = recalling
        self._storage = storage
        self._status = status
        self._timing = timing
        self._poll_s = poll_s
        self._booking: list[Heard] = []
        self._disowned_as: dict[LedgerId, int] = {}
        self._unsettled: set[LedgerId] = set(connection.ledgers)
        self._housekeeping_at = 0.0
        self._rests_until = 0.0

    def look_everywhere(self) -> None:
        """Have the next turns look at every ledger."""
        self._unsettled.update(self._connection.ledgers)
        self._present.woken.set()

    def unbooked(self) -> list[AnyReport]:
        """The reports that were heard and are not known to be booked."""
        host = self._present.host
        return [heard.report for heard in (*self._booking, *(host.heard if host is not None else ()))]

    async def take_over(self) -> None:
        """Before the broker hears of us: what was sent under an older lease is in doubt."""
        outcomes = list(self._sender.outcomes)
        turn = partial(self._turn, heard=[], outcomes=outcomes, early=[], sends=False)
        await self._ledgers.act(turn, self._hand_over)
        del self._sender.outcomes[: len(outcomes)]

    async def work(self) -> None:
        """Act as soon as something happens, else by polling. Raises ConnectionLost once all that came is booked."""
        busy_until = 0.0
        while True:
            host = self._present.current_host()
            if host.lost_reason is not None and not host.heard:
                raise ConnectionLost(host.lost_reason)
            if self._lease.is_lost:
                self._lease.require()
            now = time.monotonic()
            # What was heard leads to a transaction anyway, and that sees the ledger.
            moved = not host.heard and await self._ledgers.moved()
            tidy = await self._keep_house(now)
            if host.heard or self._sender.outcomes or self._recalling.pending or self._is_to_disown() or moved or tidy:
                if moved or host.heard:
                    busy_until = now + self._timing.busy_for_s
                await self._rest()
                await self.cycle(sends=True, tidy=tidy)
                await self._settle(tidy)
            idle_s = self._poll_s(self._timing.idle_poll_s)
            await self._wait_for_news(self._timing.busy_poll_s if now < busy_until else idle_s)

    async def cycle(self, *, sends: bool, tidy: bool = False) -> None:
        """One transaction for each ledger: outcomes and reports in, intents out; then answer and hand over to send."""
        began = time.monotonic()
        host = self._present.current_host()
        heard, host.heard = host.heard, []
        self._booking = heard
        outcomes, self._sender.outcomes = self._sender.outcomes, []
        early, listed = list(self._recalling.pending), self._recalling.listed
        turn = partial(self._turn, heard=heard, outcomes=outcomes, early=early, sends=sends, tidy=tidy)
        try:
            await self._ledgers.act(turn, partial(self._hand_over, recalls_known=listed))
        except BaseException as error:
            host.heard = heard + host.heard
            self._sender.outcomes = outcomes + self._sender.outcomes
            if not heard or not isinstance(error, UNBOOKABLE):
                raise
            await self._book_alone(host, len(heard))
        else:
            for item in heard:
                item.answer()
            if early:
                await self._recalling.booked(early)
        finally:
            self._booking = []
            ended = time.monotonic()
            self._rests_until = ended + min(ended - began, self._timing.longest_rest_s)

    async def _rest(self) -> None:
        """Leave the ledger to others for as long as the last transaction took; what comes meanwhile goes into one."""
        left_s = self._rests_until - time.monotonic()
        if left_s > 0:
            await asyncio.sleep(left_s)

    async def _keep_house(self, now: float) -> bool:
        """Whether it is time to look for what is overdue; what waits to be told or read beside is done at once."""
        if now < self._housekeeping_at:
            return False
        self._housekeeping_at = now + self._timing.housekeeping_s
        await self._status.catch_up()
        await self._recalling.load()
        return bool(self._unsettled)

    async def _settle(self, tidy: bool) -> None:
        present = self._present
        if (
            tidy
            and self._may_add(self._lease.token)
            and present.connector is not None
            and present.connected is not None
        ):
            await present.settling.settle(present.connector, present.connected)

    async def _book_alone(self, host: ConnectorHost, count: int) -> None:
        """Give each of the first reports its own transaction, so that none is kept back by its neighbour."""
        for _ in range(count):
            await book_alone(self._ledgers, self._id, self._lease.token, host.heard[0].report)
            host.heard.pop(0).answer()

    def _hand_over(self, done: Done, *, recalls_known: int | None = None) -> None:
        """Queue what one ledger committed, whatever becomes of the next ledger's transaction.

        recalls_known: how many recalls the transaction recorded or found recorded, if it knew of all there were.
        """
        (self._unsettled.add if done.is_unsettled else self._unsettled.discard)(done.ledger_id)
        self._disowned_as[done.ledger_id] = done.lease_token
        for intent in done.intents:
            self._sender.put(intent, knew_recalls=recalls_known is not None and recalls_known == self._recalling.listed)

    def _turn(
        self,
        turn: Turn,
        *,
        heard: list[Heard],
        outcomes: list[Outcome],
        early: list[EarlyCancel],
        sends: bool,
        tidy: bool = False,
    ) -> Done:
        """What is known is recorded first, then what an older lease left is disowned, then new intents are taken."""
        token = self._lease.token
        submission.require_lease(turn, self._id, token)
        ledger_id = turn.unit.ledger_id
        for outcome in outcomes:
            if outcome.intent.command.order_id in turn.batch.book.orders:
                RECORD[outcome.fate](turn, outcome.intent, outcome.reason)
        is_home = partial(self._ledgers.is_home, ledger_id)
        booking.book(turn, self._id, [item.report for item in heard if is_home(item.report.broker_account_id)])
        if self._disowned_as.get(ledger_id) != token:
            submission.disown(turn, self._id, token)
        book_early(turn, self._id, early)
        if tidy and self._may_add(token):
            submission.overdue(turn, self._id, self._capabilities.ack_timeout * self._timing.ack_timeout_factor)
        intents = self._intents(turn, token) if sends else []
        is_unsettled = any(True for _ in turn.batch.book.unsettled.entries(self._id))
        return Done(ledger_id, token, intents, is_unsettled)

    def _intents(self, turn: Turn, token: int) -> list[Intent]:
        connector = self._present.connector
        if connector is None or self._present.connected is None:
            return []
        prepare = partial(self._recalling.prepare, connector)
        self._storage.unit = turn.unit
        try:
            return submission.next_intents(
                turn, self._id, token, self._capabilities, prepare, may_add=self._may_add(token)
            )
        finally:
            self._storage.unit = None

    def _may_add(self, token: int) -> bool:
        """Whether places and changes may go out: the broker's state was booked under this very lease."""
        return self._present.reconciled_as == token

    def _is_to_disown(self) -> bool:
        return any(self._disowned_as.get(ledger_id) != self._lease.token for ledger_id in self._connection.ledgers)

    async def _wait_for_news(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._present.woken.wait(), seconds)
        except TimeoutError:
            pass
        self._present.woken.clear()


RECORD: dict[Fate, Callable[[Turn, Intent, str], Any]] = {
    Fate.REFUSED: booking.book_refusal,
    Fate.DOUBTFUL: booking.book_doubt,
    Fate.UNSENT: submission.book_unsent,
}
