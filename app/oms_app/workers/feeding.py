"""Feed webhooks from the logs and tell workers which webhook is due, as long as the process serves that queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import structlog

from oms_app.flow.chores import DELIVER_WEBHOOK
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import CommitUnknown, Conflict, StoreUnavailable
from oms_app.workers import rows
from oms_app.workers.delivery import Deliverer
from oms_app.workers.fan_out import FanOut

HINT_AGAIN_S = 5.0
DUE_AT_ONCE = 100
log = structlog.get_logger(__name__)


class Hints:
    """Remembers which work was hinted at lately, so that a poll does not fill the queue.

    Work that somebody took since its hint is hinted at anew: the one who has it may have looked before it was due.
    """

    def __init__(self, send: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._send = send
        self._clock = clock
        self._sent: dict[str, tuple[int, float]] = {}

    def hint(self, claims: Mapping[str, int]) -> None:
        """Send hints not sent within the last seconds; forget the others. claims: how often each was taken so far."""
        now = self._clock()
        self._sent = {
            work_id: (seen, at)
            for work_id, (seen, at) in self._sent.items()
            if now - at < HINT_AGAIN_S and claims.get(work_id) == seen
        }
        for work_id, seen in claims.items():
            if work_id not in self._sent:
                self._sent[work_id] = (seen, now)
                self._send(work_id)


class Feeding:
    """One turn after the other: events to deliveries, due webhooks to the queue."""

    def __init__(self, store: SqlStore, fan_out: FanOut, send: Callable[..., None]) -> None:
        self._store = store
        self._fan_out = fan_out
        self._hints = Hints(lambda webhook_id: send(DELIVER_WEBHOOK, webhook_id))

    def turn(self) -> bool:
        """Whether there were new events. Raises StoreUnavailable, and Conflict when another worker was quicker."""
        moved = self._fan_out.turn()
        with self._store.read_unit(None) as unit:
            due = {one.webhook_id: one.claims for one in rows.due_webhooks(unit, DUE_AT_ONCE)}
        self._hints.hint(due)
        return moved


def delivering(deliverer: Deliverer) -> Callable[[str], None]:
    """The actor: deliver what one webhook is due; what the database keeps from being done stays due."""

    def deliver(webhook_id: str) -> None:
        try:
            deliverer.deliver_due(webhook_id)
        except (StoreUnavailable, CommitUnknown, Conflict) as error:
            log.warning("a webhook waits for the database", webhook_id=webhook_id, error=str(error))

    return deliver
