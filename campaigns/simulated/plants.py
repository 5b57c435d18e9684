"""Defects planted into the running product, by name: each must be caught by the simulation."""

import asyncio
from collections.abc import Callable
from typing import Any

from oms_app.flow import publishing, submission
from oms_app.sessions import runner
from oms_app.store.unit_of_work import StoreUnavailable
from oms_kernel.contracts.broker import Intent, WireIdentity
from oms_kernel.domain.lifecycle import RequestKind, RequestStatus
from oms_kernel.domain.money import ZERO
from oms_kernel.domain.order import Order

SKIPS = 37
"""Every so many-th event is not read."""


def resend_on_recovery() -> None:
    """A session that begins sends again what was sent and not answered, without looking whether it arrived."""
    reconcile = runner.ConnectionRunner._reconcile

    def doubtful(connection_id: Any, token: int, turn: Any) -> list[Intent]:
        book, instruments = turn.batch.book, turn.catalogue.instruments
        found = []
        for order_id, _ in book.unsettled.entries(connection_id):
            order = book.orders[order_id]
            if order.place in (RequestStatus.SENT, RequestStatus.IN_DOUBT) and order.wire_ids:
                instrument = instruments[order.request.instrument_id]
                command = submission.command_of(order, RequestKind.PLACE, instrument)
                found.append(Intent(command, WireIdentity(wire_id=order.wire_ids[0]), token))
        return found

    async def resend(self: Any, connector: Any) -> Any:
        connection_id, token = self.connection.connection_id, self._lease.token
        for intents in await self._ledgers.each(lambda turn: doubtful(connection_id, token, turn)):
            for intent in intents:
                await connector.submit(intent)
        return await reconcile(self, connector)

    runner.ConnectionRunner._reconcile = resend  # type: ignore[method-assign]


def intent_after_wire() -> None:
    """A place goes out first, and its intent is stored by the next transaction."""
    next_intents = submission.next_intents
    sent: dict[str, Any] = {}

    def send_first(turn: Any, connection_id: Any, token: int, capabilities: Any, prepare: Any, **options: Any) -> Any:
        intents = next_intents(turn, connection_id, token, capabilities, prepare, **options)
        places = [intent for intent in intents if intent.command.kind is RequestKind.PLACE]
        new = [intent for intent in places if intent.identity.wire_id not in sent]
        for intent in new:
            task = asyncio.get_running_loop().create_task(prepare.args[0].submit(intent))
            sent[intent.identity.wire_id] = task
        if new:
            raise StoreUnavailable("the intents are stored by the next transaction")
        return [intent for intent in intents if intent not in places]

    submission.next_intents = send_first


def event_skipped() -> None:
    """A reader of the log passes over an event now and then."""
    events = publishing.LogReader.events

    def skip(self: Any, *arguments: Any, **named: Any) -> Any:
        return [recorded for recorded in events(self, *arguments, **named) if recorded.seq % SKIPS]

    publishing.LogReader.events = skip  # type: ignore[method-assign]


def in_doubt_freed() -> None:
    """An order in doubt counts as if it could not trade."""
    counted = Order.worst_case_quantity.fget  # type: ignore[attr-defined]
    Order.worst_case_quantity = property(lambda order: ZERO if order.in_doubt else counted(order))  # type: ignore[method-assign, assignment]


PLANTS: dict[str, Callable[[], None]] = {
    "resend": resend_on_recovery,
    "intent_after_wire": intent_after_wire,
    "event_skipped": event_skipped,
    "in_doubt_freed": in_doubt_freed,
}
