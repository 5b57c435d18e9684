"""Run the worker: serve queues, feed webhooks from the logs, stand for leader of the schedules, until told to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Collection

import structlog

from oms_app.flow.chores import ACTORS, DELIVER_WEBHOOK, SEND_MAIL, Queue
from oms_app.flow.mailing import Mailing
from oms_app.signals import Signals
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import CommitUnknown, Conflict, StoreUnavailable
from oms_app.workers.delivery import Deliverer
from oms_app.workers.fan_out import FanOut
from oms_app.workers.feeding import Feeding, delivering
from oms_app.workers.housekeeping import Housekeeping
from oms_app.workers.leader import Leader
from oms_app.workers.monitoring import Monitoring
from oms_app.workers.posting import Posting, sending
from oms_app.workers.queue import Sender, Work, declare, make_broker, start_worker
from oms_app.workers.restraining import Restraining
from oms_app.workers.sweeper import Sweeper

RETRY_S = 1.0
THREADS = 8
SENDING_THREADS = 4
STOP_LIMIT_MS = 8_000
BEAT_S = 1.0
log = structlog.get_logger(__name__)


def serve(
    *,
    store: SqlStore,
    fan_out: FanOut,
    deliverer: Deliverer,
    sweeper: Sweeper,
    mailing: Mailing,
    signals: Signals,
    redis_url: str | None,
    queues: Collection[Queue],
    checkpoint: Callable[[], int],
    housekeeping: Housekeeping,
    monitoring: Callable[[Callable[[], bool]], Monitoring],
    restraining: Restraining,
    holder: str,
    lease_s: float,
    poll_s: float,
    beat: Callable[[], None],
) -> None:
    """Serve these queues until SIGTERM or SIGINT; with none of them only the schedules.

    Every worker stands for leader of the schedules. Webhooks are fed from the logs where their queue is served.
    monitoring: makes what watches the ledgers, told how to know whether this worker leads.
    """
    stopping = threading.Event()
    news = threading.Event()

    def stop(*_: object) -> None:
        stopping.set()
        news.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    broker = make_broker(redis_url)
    work: dict[str, Work] = {
        DELIVER_WEBHOOK: delivering(deliverer),
        SEND_MAIL: sending(mailing),
        **housekeeping.chores,
    }
    actors = declare(broker, {name: work[name] for name in ACTORS})
    # Without Redis a queue is in this process's memory: nobody else serves it.
    alone = [name for name, spec in ACTORS.items() if redis_url is None and spec.queue not in queues]
    sender = Sender(actors, SENDING_THREADS, here=alone)
    leader = Leader(store, holder=holder, lease_s=lease_s, send=sender.send, sweep=sweeper.turn, checkpoint=checkpoint)
    worker = start_worker(broker, THREADS, queues) if queues else None
    feeding = Feeding(store, fan_out, sender.send) if Queue.WEBHOOKS in queues else None
    posting = Posting(mailing, sender.send) if Queue.MAIL in queues else None
    signals.listen(news.set)
    leader.start()
    watch = monitoring(lambda: leader.leads)
    watch.start()
    restraining.start()
    log.info("serving", queues=sorted(queues))
    try:
        while not stopping.is_set():
            beat()
            news.clear()
            try:
                if posting is not None:
                    posting.turn()
                moved = feeding is not None and feeding.turn()
            except (StoreUnavailable, CommitUnknown, Conflict) as error:
                log.warning("the database is away or another worker was quicker", error=str(error))
                stopping.wait(RETRY_S)
                continue
            if not moved and not stopping.is_set():
                news.wait(signals.poll_s(poll_s) if feeding is not None else BEAT_S)
    finally:
        restraining.stop()
        watch.stop()
        leader.stop()
        if worker is not None:
            worker.stop(timeout=STOP_LIMIT_MS)
        sender.close()
        broker.close()
        deliverer.close()
