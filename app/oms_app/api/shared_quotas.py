"""Requests in, yes or no: quotas that all processes share, counted by Flask-Limiter in Redis, else in this memory.

A process fetches more than one request's worth at a time where traffic is dense, so that most requests ask nobody.
While Redis is away each process counts for itself: nothing is unlimited, nothing waits for Redis, and once it answers
again it counts again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import structlog
from flask import Flask
from flask_limiter import Limiter
from limits import RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from oms_app.api.rate_limit import Bucket, Rate

STRATEGY = "sliding-window-counter"
LARGEST_SHARE = 20
"""A process fetches at most a twentieth of a quota at once."""
ANSWER_S = 0.25
"""Longer than this nobody waits for Redis."""
FIRST_LOOK_S = 0.5
LONGEST_LOOK_S = 5.0
REMEMBERED = 20_000
log = structlog.get_logger(__name__)

Key = tuple[str, str, str]
"""(bucket, scope, id): for instance orders, tenant and the tenant's id."""


class _Share:
    """What this process fetched of a quota and has not spent; it is good for one window."""

    __slots__ = ("left", "size", "until")

    def __init__(self, left: int, size: int, until: float) -> None:
        self.left = left
        self.size = size
        self.until = until


class SharedQuotas:
    """The quotas as one process sees them. Thread-safe."""

    def __init__(self, redis_url: str | None, monotonic: Callable[[], float]) -> None:
        self._limiter = Limiter(
            lambda: "",
            # An application of its own: its hooks would look at each request for limits that views declare.
            app=Flask(__name__),
            strategy=STRATEGY,
            storage_uri=redis_url or "memory://",
            storage_options=_redis_options() if redis_url else {},
        )
        self._alone = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._monotonic = monotonic
        self._shares: OrderedDict[Key, _Share] = OrderedDict()
        self._lock = threading.Lock()
        self._is_away = False
        self._closing = threading.Event()

    @property
    def counts_alone(self) -> bool:
        """Whether Redis is configured and away."""
        return self._is_away

    def take(self, bucket: Bucket, scope: str, who: str, rate: Rate, cost: int = 1) -> bool:
        """Whether the quota allows so much more. A cost beyond the whole quota counts as the whole quota."""
        key, now = (bucket.value, scope, who), self._monotonic()
        item = _item(rate)
        cost = min(cost, item.amount)
        with self._lock:
            share = self._shares.get(key)
            size = 1
            if share is not None and share.until > now:
                if share.left >= cost:
                    share.left -= cost
                    return True
                size = min(share.size * 2, max(1, item.amount // LARGEST_SHARE))
        wanted = max(size, cost)
        if not self._hit(item, key, wanted):
            if wanted == cost or not self._hit(item, key, cost):
                return False
            wanted = cost
        self._keep(key, wanted - cost, size, now + item.get_expiry())
        return True

    def drain(self, bucket: Bucket, scope: str, who: str, rate: Rate, cost: int) -> None:
        """Count so much more, or what is left of the quota where that is less."""
        piece = cost
        while cost > 0 and piece > 0:
            if self.take(bucket, scope, who, rate, piece):
                cost -= piece
                piece = min(piece, cost)
            else:
                piece //= 2

    def close(self) -> None:
        """Look for Redis no longer."""
        self._closing.set()

    def _keep(self, key: Key, left: int, size: int, until: float) -> None:
        with self._lock:
            share = self._shares.get(key)
            if share is not None and share.until > self._monotonic():
                left += share.left
            self._shares[key] = _Share(left, size, until)
            self._shares.move_to_end(key)
            while len(self._shares) > REMEMBERED:
                self._shares.popitem(last=False)

    def _hit(self, item: RateLimitItemPerSecond, key: Key, cost: int) -> bool:
        if not self._is_away:
            try:
                return self._limiter.limiter.hit(item, "oms", *key, cost=cost)
            except StorageError as error:
                self._lost(error)
        return self._alone.hit(item, "oms", *key, cost=cost)

    def _lost(self, error: StorageError) -> None:
        with self._lock:
            if self._is_away or self._closing.is_set():
                return
            self._is_away = True
        log.warning("limits_counted_alone", error=repr(error.storage_error))
        threading.Thread(target=self._look_for_redis, name="limits-redis", daemon=True).start()

    def _look_for_redis(self) -> None:
        wait_s = FIRST_LOOK_S
        while not self._closing.wait(wait_s):
            if self._limiter.storage.check():
                self._is_away = False
                log.info("limits_counted_together")
                return
            wait_s = min(wait_s * 2, LONGEST_LOOK_S)


@lru_cache(maxsize=4096)
def _item(rate: Rate) -> RateLimitItemPerSecond:
    """The quota as the library counts it: so many in a window of whole seconds."""
    window_s = rate.window_s
    return RateLimitItemPerSecond(max(1, round(rate.per_s * window_s)), window_s)


def _redis_options() -> dict[str, Any]:
    # The whole package first: a thread of the signals may be half through importing it, and the library that counts
    # would then take it for a version too old.
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return {
        "wrap_exceptions": True,
        "socket_timeout": ANSWER_S,
        "socket_connect_timeout": ANSWER_S,
        "retry": Retry(NoBackoff(), 0),
        "client_name": f"oms-limits-{redis.__version__}",
    }
