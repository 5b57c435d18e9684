"""Hints between processes that a ledger has moved: ids of ledgers in, bells rung elsewhere, over Redis or not at all.

A hint only shortens somebody's wait: it may be lost, doubled or late, never changes what is true, never raises to the
caller and never makes it wait. Without Redis, or while it is away, everybody polls.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import structlog

CHANNEL = "oms:ledgers"
COALESCE_S = 0.002
"""The least time between two messages of one process; what moves meanwhile travels together."""
REMEMBERED = 1024
"""So many notes wait while Redis does not answer; older ones are forgotten."""
FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 5.0
CONNECT_S = 1.0
ANSWER_S = 2.0
LISTEN_S = 1.0
SPARED_POLL_S = 0.5
"""How often whoever hears signals still polls: a hint that was lost delays the first word by no more than this."""
Bell = Callable[[], object]
log = structlog.get_logger(__name__)


class Signals(Protocol):
    """What the processes are given."""

    def note(self, ledger_id: str) -> None:
        """Say soon that a ledger has moved; takes microseconds, never raises."""

    def listen(self, bell: Bell) -> Callable[[], None]:
        """Call `bell`, from another thread, whenever some ledger has moved, until the answer is called; be quick."""

    def poll_s(self, poll_s: float) -> float:
        """How long to wait for a bell before polling, for somebody who polls each `poll_s` without signals."""

    def close(self) -> None:
        """End the threads."""


class NoSignals:
    """The signals of a system without Redis: none."""

    def note(self, ledger_id: str) -> None:
        """Nothing."""

    def listen(self, bell: Bell) -> Callable[[], None]:
        """Nothing to hear, nothing to end."""
        return lambda: None

    def poll_s(self, poll_s: float) -> float:
        """As without signals."""
        return poll_s

    def close(self) -> None:
        """Nothing."""


class RedisSignals:
    """Signals over one channel of Redis; a thread publishes from the first note on, one listens from the first bell."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._moved: deque[str] = deque(maxlen=REMEMBERED)
        self._news = threading.Event()
        self._closing = threading.Event()
        self._bells: tuple[Bell, ...] = ()
        self._lock = threading.Lock()
        self._publisher: threading.Thread | None = None
        self._subscriber: threading.Thread | None = None
        self._hears = False

    def note(self, ledger_id: str) -> None:
        """Say soon that a ledger has moved; takes microseconds, never raises."""
        self._moved.append(ledger_id)
        if not self._news.is_set():
            self._news.set()
        if self._publisher is None:
            self._begin_publishing()

    def listen(self, bell: Bell) -> Callable[[], None]:
        """Call `bell`, from another thread, whenever some ledger has moved, until the answer is called; be quick."""
        with self._lock:
            self._bells = (*self._bells, bell)
            if self._subscriber is None:
                self._subscriber = threading.Thread(target=self._subscribe, name="signals-in", daemon=True)
                self._subscriber.start()

        def end() -> None:
            with self._lock:
                self._bells = tuple(one for one in self._bells if one is not bell)

        return end

    def poll_s(self, poll_s: float) -> float:
        """Longer while the channel is heard, for then a poll is only for the hint that was lost."""
        return max(poll_s, SPARED_POLL_S) if self._hears else poll_s

    def close(self) -> None:
        """End the threads; what was not published stays unsaid."""
        self._closing.set()
        self._news.set()
        for thread in (self._publisher, self._subscriber):
            if thread is not None:
                thread.join(LISTEN_S + ANSWER_S)

    def _begin_publishing(self) -> None:
        with self._lock:
            if self._publisher is None and not self._closing.is_set():
                self._publisher = threading.Thread(target=self._publish, name="signals-out", daemon=True)
                self._publisher.start()

    def _publish(self) -> None:
        """Publish what moved; what cannot be published is dropped."""
        from redis import RedisError

        client = _client(self._url, answer_s=ANSWER_S)
        backoff_s = FIRST_BACKOFF_S
        while not self._closing.is_set():
            self._news.wait()
            self._news.clear()
            # Taken after the event is cleared: a note that comes later sets it again.
            moved = {self._moved.popleft() for _ in range(len(self._moved))}
            if not moved or self._closing.is_set():
                continue
            try:
                client.publish(CHANNEL, ",".join(sorted(moved)))
                backoff_s = FIRST_BACKOFF_S
                self._closing.wait(COALESCE_S)
            except (RedisError, OSError) as error:
                log.warning("signals_not_published", error=str(error), again_in_s=backoff_s)
                self._closing.wait(backoff_s)
                backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)
        client.close()

    def _subscribe(self) -> None:
        """Listen until closed; connect again, ever more seldom, while Redis is away."""
        from redis import RedisError

        backoff_s = FIRST_BACKOFF_S
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                self._hear()
            except (RedisError, OSError) as error:
                log.warning("signals_not_heard", error=str(error), again_in_s=backoff_s)
            self._hears = False
            self._ring()
            if time.monotonic() - began > LONGEST_BACKOFF_S:
                backoff_s = FIRST_BACKOFF_S
            self._closing.wait(backoff_s)
            backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)

    def _hear(self) -> None:
        client = _client(self._url, answer_s=None)
        pubsub: Any = client.pubsub(ignore_subscribe_messages=False)
        try:
            pubsub.subscribe(CHANNEL)
            while not self._closing.is_set():
                message = pubsub.get_message(timeout=LISTEN_S)
                if message is None:
                    continue
                if message["type"] == "subscribe":
                    self._hears = True
                self._ring()
        finally:
            pubsub.close()
            client.close()

    def _ring(self) -> None:
        for bell in self._bells:
            with suppress(RuntimeError):  # an event loop that has just been closed
                bell()


def make_signals(redis_url: str | None) -> Signals:
    """Signals over this Redis; none without one."""
    return RedisSignals(redis_url) if redis_url else NoSignals()


def _client(url: str, *, answer_s: float | None) -> Any:
    """A client that fails at once: whoever uses it tries again by itself. answer_s: None waits without end."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return Redis.from_url(
        url,
        socket_timeout=answer_s,
        socket_connect_timeout=CONNECT_S,
        socket_keepalive=True,
        health_check_interval=15,
        retry=Retry(NoBackoff(), 0),
    )
