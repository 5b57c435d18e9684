"""The queue that carries hints to worker threads: Dramatiq on Redis, or in this process's memory when embedded."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import dramatiq
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import AgeLimit, Callbacks, ShutdownNotifications, TimeLimit

NAMESPACE = "oms"
QUEUE = "chores"
HEARTBEAT_TIMEOUT_MS = 60_000
TIME_LIMIT_MS = 120_000
MAX_AGE_MS = 60_000
"""A hint older than that is dropped: the row that it speaks of is found again by polling."""


def make_broker(redis_url: str | None) -> dramatiq.Broker:
    """The broker. There is no retry middleware: work of record is a row with its own schedule."""
    middleware = [AgeLimit(), TimeLimit(), ShutdownNotifications(), Callbacks()]
    if redis_url is None:
        return StubBroker(middleware=middleware)
    from dramatiq.brokers.redis import RedisBroker

    return RedisBroker(  # type: ignore[no-untyped-call]
        url=with_socket_timeout(redis_url),
        middleware=middleware,
        namespace=NAMESPACE,
        heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
    )


def make_hint(broker: dramatiq.Broker, name: str, work: Callable[[str], object]) -> Callable[[str], object]:
    """A function that lets a worker thread call `work` with an id soon, once, perhaps not at all."""

    def call(work_id: str) -> None:
        work(work_id)

    declare = dramatiq.actor(
        actor_name=name, queue_name=QUEUE, broker=broker, time_limit=TIME_LIMIT_MS, max_age=MAX_AGE_MS
    )
    return declare(call).send


def start_worker(broker: dramatiq.Broker, threads: int) -> dramatiq.Worker:
    """Worker threads in this process, running."""
    worker = dramatiq.Worker(broker, worker_threads=threads, worker_timeout=250)
    worker.start()
    return worker


def with_socket_timeout(url: str, seconds: int = 30) -> str:
    """The URL with a socket timeout: redis-py's own 5 s would break the blocking reads of the consumer."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    query.setdefault("socket_timeout", str(seconds))
    return urlunsplit(parts._replace(query=urlencode(query)))
