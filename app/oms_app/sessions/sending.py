"""Committed intents out to the connector, each at most once, in their order; what was not simply sent comes back.

Guarantee: nothing that adds exposure is sent after the lease lapsed, under a former lease, while the database has been
silent for too long, or once this process knows that a kill switch forbids it; it comes back as never sent, and this
session has not let a byte of it out.
"""

import asyncio
from collections.abc import Callable
from enum import StrEnum

import msgspec

from oms_app.sessions.host import BEFORE_WIRE, ConnectionLost
from oms_app.sessions.lease import HeldLease, StoreContact
from oms_app.sessions.tasks import ended
from oms_app.sessions.timing import Timing
from oms_kernel.contracts.broker import BrokerCapabilities, BrokerConnector, Intent, Refused
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.engine import NEVER_SENT_REASONS


class HeldBack(Exception):
    """Raised into a connector that was kept waiting by the pace: what it was to send may not go out any more."""


class Fate(StrEnum):
    """What sending came to when it was not simply sent."""

    REFUSED = "REFUSED"
    DOUBTFUL = "DOUBTFUL"
    UNSENT = "UNSENT"
    """The connector was never asked; `reason` is a code of `engine.NEVER_SENT_REASONS`."""


class Outcome(msgspec.Struct, frozen=True):
    """The fate of one intent."""

    intent: Intent
    fate: Fate
    reason: str


def _never_stopped(intent: Intent) -> str | None:
    return None


class Sender:
    """The intents of one session on their way out. `wake` is called when an outcome is there to be booked.

    stopped: why an intent that was committed may not go out any more, by a code of `engine.NEVER_SENT_REASONS`.
    """

    def __init__(
        self,
        capabilities: BrokerCapabilities,
        lease: HeldLease,
        contact: StoreContact,
        timing: Timing,
        wake: Callable[[], None],
        stopped: Callable[[Intent], str | None] = _never_stopped,
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._stopped = stopped
        self._timeout_s = capabilities.ack_timeout.total_seconds() * timing.ack_timeout_factor
        self._at_once = capabilities.window
        self._lease = lease
        self._contact = contact
        self._timing = timing
        self._wake = wake
        self._queue: asyncio.Queue[Intent] = asyncio.Queue()
        self._in_flight: dict[OrderId, asyncio.Event] = {}
        self._recalled: set[OrderId] = set()
        self._recalls_all = False
        self.recalls = 0
        """How often orders were recalled."""

    def put(self, intent: Intent, *, knew_recalls: bool = False) -> None:
        """Send it after those before it; what adds exposure and was recalled meanwhile is not sent.

        knew_recalls: its transaction recorded every recall before its gate let the intent pass.
        """
        recalled = self._recalls_all or intent.command.order_id in self._recalled
        if recalled and not knew_recalls and intent.command.kind is not RequestKind.CANCEL:
            self._keep_back(intent, "canceled_before_send")
        else:
            self._queue.put_nowait(intent)

    def recall(self, order_ids: set[OrderId], *, everything: bool) -> None:
        """Let nothing that adds exposure go out for these orders, neither what waits nor what comes.

        everything: for no order at all, until this is recorded: a transaction may just be committing one more.
        """
        self.recalls += 1
        self._recalled |= order_ids
        self._recalls_all = self._recalls_all or everything
        recalled = self._recalls_all
        self._sift(lambda intent: "canceled_before_send" if recalled or intent.command.order_id in order_ids else None)

    def forget_recalls(self) -> None:
        """The recalls are recorded: from now on the ledger's gate knows them."""
        self._recalled.clear()
        self._recalls_all = False

    def lapse(self) -> None:
        """Send nothing of what waits: its lease ended."""
        self._sift(lambda intent: "lease_lapsed")

    def close(self) -> None:
        """Nothing that waits can be sent: the connection is closed."""
        self._sift(lambda intent: "connection_closed")

    async def on_the_wire(self, order_id: OrderId) -> None:
        """Return when no request of the order is between us and the wire."""
        event = self._in_flight.get(order_id)
        if event is not None:
            await event.wait()

    async def run(self, connector: Callable[[], BrokerConnector | None]) -> None:
        """Send what comes, until cancelled. Raises LeaseLost when another session has the lease.

        Up to the connector's `window` requests are under way at once, begun in their order, one for each order.
        """
        flights: set[asyncio.Task[None]] = set()
        try:
            while True:
                intent = await self._queue.get()
                try:
                    await self._room(flights, intent)
                except asyncio.CancelledError:
                    self._keep_back(intent, "connection_closed")
                    raise
                present = connector()
                if present is None:
                    self._keep_back(intent, "connection_closed")
                    raise ConnectionLost("the connector is closed")
                if self._lease.is_lost:
                    self._lease.require()
                why = self._why_not(intent)
                if why is not None:
                    self._keep_back(intent, why)
                elif self._at_once == 1:
                    await self._fly(present, intent)
                else:
                    flight = asyncio.create_task(self._fly(present, intent))
                    flights.add(flight)
                    flight.add_done_callback(flights.discard)
                    await asyncio.sleep(0)  # it begins before the next one
        finally:
            await ended(list(flights))

    async def _room(self, flights: set[asyncio.Task[None]], intent: Intent) -> None:
        """Return when this intent may begin: the window has room, and nothing of its order is under way."""
        while flights and (len(flights) >= self._at_once or intent.command.order_id in self._in_flight):
            await asyncio.wait(flights, return_when=asyncio.FIRST_COMPLETED)

    async def _fly(self, connector: BrokerConnector, intent: Intent) -> None:
        outcome = await self._sent(connector, intent)
        if outcome is not None:
            self._add(outcome)

    def _why_not(self, intent: Intent) -> str | None:
        """Why this may not go out now, or None."""
        if not self._lease.holds or intent.lease_token != self._lease.token:
            return "lease_lapsed"
        if intent.command.kind is RequestKind.CANCEL:
            return None
        if self._contact.silent_s > self._timing.store_silence_s:
            return "database_silent"
        return self._stopped(intent)

    def _look_again(self, intent: Intent) -> None:
        """Nothing, while it may still go out: the pace may have kept it waiting."""
        self._lease.require()
        why = self._why_not(intent)
        if why is not None:
            raise HeldBack(NEVER_SENT_REASONS[why])

    async def _sent(self, connector: BrokerConnector, intent: Intent) -> Outcome | None:
        send = {
            RequestKind.PLACE: connector.submit,
            RequestKind.REPLACE: connector.replace,
            RequestKind.CANCEL: connector.cancel,
        }[intent.command.kind]
        order_id = intent.command.order_id
        done = self._in_flight[order_id] = asyncio.Event()
        look = BEFORE_WIRE.set(lambda: self._look_again(intent))
        try:
            async with asyncio.timeout(self._timeout_s):
                await send(intent)
        except Refused as refusal:
            return Outcome(intent, Fate.REFUSED, str(refusal))
        except asyncio.CancelledError:
            self.outcomes.append(Outcome(intent, Fate.DOUBTFUL, "the session ended while it was sent"))
            raise
        except Exception as error:
            return Outcome(intent, Fate.DOUBTFUL, f"{type(error).__name__} while it was sent")
        finally:
            BEFORE_WIRE.reset(look)
            self._in_flight.pop(order_id, None)
            done.set()
        return None

    def _sift(self, why: Callable[[Intent], str | None]) -> None:
        """Take out of the queue what has a reason not to be sent; cancels stay unless nothing can be sent at all."""
        waiting = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        for intent in waiting:
            reason = why(intent)
            if reason is None or (reason == "canceled_before_send" and intent.command.kind is RequestKind.CANCEL):
                self._queue.put_nowait(intent)
            else:
                self._keep_back(intent, reason)

    def _keep_back(self, intent: Intent, reason: str) -> None:
        self._add(Outcome(intent, Fate.UNSENT, reason))

    def _add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self._wake()
