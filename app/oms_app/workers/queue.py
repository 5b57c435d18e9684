"""The queues that carry hints and chores to worker threads: Dramatiq on Redis, or in this process's memory embedded.

Actors keep no results and there is no result back end: what comes of their work stands in rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import dramatiq
import structlog
from dramatiq.brokers.stub import StubBroker
from dramatiq.common import q_name
from dramatiq.errors import BrokerError
from dramatiq.middleware import AgeLimit, Callbacks, Middleware, Retries, ShutdownNotifications, TimeLimit

from oms_app.flow.chores import ACTORS, SCHEDULED_LATE_S, SCHEDULES, ActorSpec
from oms_app.flow.queues import NAMESPACE, redis_client

HEARTBEAT_TIMEOUT_MS = 60_000
IDLE_MS = 500
TRY_REDIS_AGAIN_S = 5.0
Work = Callable[..., object]
log = structlog.get_logger(__name__)


def make_broker(redis_url: str | None) -> dramatiq.Broker:
    """The broker with its middleware, without actors."""
    from periodiq import PeriodiqMiddleware

    middleware: list[Middleware] = [
        AgeLimit(),
        TimeLimit(),
        ShutdownNotifications(),
        Callbacks(),
        Retries(max_retries=0),
        PeriodiqMiddleware(skip_delay=SCHEDULED_LATE_S),
        KeepReason(),
    ]
    if redis_url is None:
        return StubBroker(middleware=middleware)
    from dramatiq.brokers.redis import RedisBroker

    return RedisBroker(  # type: ignore[no-untyped-call]
        client=redis_client(redis_url),
        middleware=middleware,
        namespace=NAMESPACE,
        heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
    )


def declare(broker: dramatiq.Broker, work: Mapping[str, Work]) -> dict[str, dramatiq.Actor[..., object]]:
    """The actors of the table, each doing what `work` has under its name."""
    return {name: _actor(broker, ACTORS[name], call) for name, call in work.items()}


def start_worker(broker: dramatiq.Broker, threads: int, queues: Iterable[str] | None = None) -> dramatiq.Worker:
    """Worker threads in this process, running; they serve the named queues, or all."""
    chosen = set(queues) if queues is not None else None
    worker = dramatiq.Worker(broker, worker_threads=threads, worker_timeout=IDLE_MS, queues=chosen)
    worker.start()
    return worker


class KeepReason(Middleware):
    """Writes into a dead letter why it died: Redis keeps the message as it was sent."""

    def after_nack(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy) -> None:
        """Replace the dead letter by the message that knows its error."""
        client = getattr(broker, "client", None)
        if client is None:
            return
        from redis import RedisError

        message.options.setdefault("traceback", "it was too old when a worker came to it")
        key = f"{NAMESPACE}:{q_name(message.queue_name)}.XQ.msgs"
        try:
            client.hset(key, message.options["redis_message_id"], message.encode())
        except (RedisError, OSError) as error:
            log.warning("why a message died is not kept", actor=message.actor_name, error=str(error))


class Sender:
    """Sends messages without making the caller wait; while Redis is away, what they stand for is done right here.

    Doing a thing twice, here and by a message that got through after all, is harmless: actors claim what they do.
    here: actors that are never sent, because nobody else would get the message.
    """

    def __init__(
        self, actors: Mapping[str, dramatiq.Actor[..., object]], threads: int, here: Collection[str] = ()
    ) -> None:
        self._actors = actors
        self._here = frozenset(here)
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="send")
        self._away_until = 0.0

    def send(self, name: str, *arguments: str, **options: str) -> None:
        """Let some worker of this system run the actor soon. options: Dramatiq's, for instance scheduled_at."""
        self._pool.submit(self._send, self._actors[name], arguments, options)

    def close(self) -> None:
        """Wait for what is being done here; drop what has not begun: rows still say that it is due."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _send(self, actor: dramatiq.Actor[..., object], arguments: tuple[str, ...], options: dict[str, str]) -> None:
        from redis import RedisError

        if actor.actor_name not in self._here and time.monotonic() >= self._away_until:
            try:
                actor.send_with_options(args=arguments, kwargs=None, delay=None, **options)
            except (BrokerError, RedisError, OSError) as error:
                self._away_until = time.monotonic() + TRY_REDIS_AGAIN_S
                log.warning("Redis is away: work is done in this process", actor=actor.actor_name, error=str(error))
            else:
                return
        try:
            actor.fn(*arguments)
        except Exception:
            log.exception("an actor failed", actor=actor.actor_name)


def _actor(broker: dramatiq.Broker, spec: ActorSpec, call: Work) -> dramatiq.Actor[..., object]:
    from periodiq import cron

    def run(*arguments: str) -> None:
        call(*arguments)

    schedule = SCHEDULES.get(spec.name)
    periodic = {"periodic": cron(schedule.cron)} if schedule is not None and schedule.cron else {}
    limits = {"max_age": spec.max_age_ms} if spec.max_age_ms is not None else {}
    return dramatiq.Actor(
        run,
        broker=broker,
        actor_name=spec.name,
        queue_name=spec.queue,
        priority=spec.priority,
        options={
            "time_limit": spec.time_limit_ms,
            "max_retries": spec.max_retries,
            "min_backoff": spec.min_backoff_ms,
            "max_backoff": spec.max_backoff_ms,
            **limits,
            **periodic,
        },
    )
