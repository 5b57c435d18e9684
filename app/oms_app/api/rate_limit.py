"""Requests in, yes or a time to wait out: token buckets per caller in memory, cancels apart from orders.

An empty bucket for orders never stands before a cancel. A bulk pays for each order and may overdraw the bucket once.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum

import msgspec


class Bucket(StrEnum):
    """Which supply a route draws from."""

    ORDERS = "orders"
    CANCELS = "cancels"
    READS = "reads"
    SIGN_IN = "sign_in"
    NONE = "none"


class Rate(msgspec.Struct, frozen=True):
    """Tokens that come back each second, and how many may be saved up."""

    per_s: float
    burst: float


class Grant(msgspec.Struct, frozen=True):
    """The answer: allowed or not, what is left, and after how many seconds the next request may come."""

    allowed: bool
    limit: int
    remaining: int
    wait_s: float


class RateLimiter:
    """The buckets of one process. Thread-safe; the callers seen longest ago are forgotten first."""

    def __init__(self, rates: dict[Bucket, Rate], monotonic: Callable[[], float], *, remembered: int = 20_000) -> None:
        self._rates = rates
        self._monotonic = monotonic
        self._remembered = remembered
        self._levels: OrderedDict[tuple[Bucket, str], tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, bucket: Bucket, caller: str, cost: float = 1.0) -> Grant | None:
        """Whether the caller may go on; None where no limit is set."""
        rate = self._rates.get(bucket)
        if rate is None:
            return None
        now = self._monotonic()
        key = (bucket, caller)
        with self._lock:
            level, at = self._levels.get(key, (rate.burst, now))
            level = min(rate.burst, level + (now - at) * rate.per_s)
            allowed = level >= 1.0
            if allowed:
                level -= cost
            self._levels[key] = (level, now)
            self._levels.move_to_end(key)
            if len(self._levels) > self._remembered:
                self._levels.popitem(last=False)
        wait_s = max(0.0, (1.0 - level) / rate.per_s)
        return Grant(allowed=allowed, limit=int(rate.burst), remaining=max(0, int(level)), wait_s=wait_s)
