"""Run the worker: feed webhooks from the logs, hint at what is due, sweep late orders, until told to stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import structlog

from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import Conflict, StoreUnavailable
from oms_app.workers import rows
from oms_app.workers.delivery import Deliverer
from oms_app.workers.fan_out import FanOut
from oms_app.workers.queue import make_broker, make_hint, start_worker
from oms_app.workers.sweeper import Sweeper

SWEEP_EVERY_S = 1.0
HINT_AGAIN_S = 5.0
RETRY_S = 1.0
THREADS = 4
DUE_AT_ONCE = 100
STOP_LIMIT_MS = 8_000
log = structlog.get_logger(__name__)


class Hints:
    """Remembers which work was hinted at lately, so that a poll does not fill the queue."""

    def __init__(self, send: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._send = send
        self._clock = clock
        self._sent: dict[str, float] = {}

    def hint(self, work_ids: list[str]) -> None:
        """Send hints that were not sent within the last seconds; forget the others."""
        now = self._clock()
        self._sent = {one: at for one, at in self._sent.items() if now - at < HINT_AGAIN_S and one in work_ids}
        for work_id in work_ids:
            if work_id not in self._sent:
                self._sent[work_id] = now
                self._send(work_id)


def serve(
    *,
    store: SqlStore,
    fan_out: FanOut,
    deliverer: Deliverer,
    sweeper: Sweeper,
    redis_url: str | None,
    poll_s: float,
    beat: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    broker = make_broker(redis_url)
    hints = Hints(make_hint(broker, "deliver_webhook", deliverer.deliver_due))
    worker = start_worker(broker, THREADS)
    log.info("serving")
    swept_at = 0.0
    try:
        while not stopping.is_set():
            beat()
            try:
                moved = fan_out.turn()
                with store.read_unit(None) as unit:
                    due = [one.webhook_id for one in rows.due_webhooks(unit, DUE_AT_ONCE)]
                hints.hint(due)
                if time.monotonic() - swept_at >= SWEEP_EVERY_S:
                    swept_at = time.monotonic()
                    sweeper.turn()
            except (StoreUnavailable, Conflict) as error:
                log.warning("the database is away or another worker was quicker", error=str(error))
                stopping.wait(RETRY_S)
                continue
            if not moved:
                stopping.wait(poll_s)
    finally:
        worker.stop(timeout=STOP_LIMIT_MS)
        broker.close()
        deliverer.close()
