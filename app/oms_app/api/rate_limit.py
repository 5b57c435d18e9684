"""Requests in, yes or a time to wait out: token buckets per caller in memory, cancels apart from orders.

An empty bucket for orders never stands before a cancel. A bulk pays for each order and may overdraw the bucket once.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum
from math import ceil

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

    @property
    def window_s(self) -> int:
        """In how many whole seconds as many tokens come back as may be saved up."""
        return max(1, round(self.burst / self.per_s))


class Grant(msgspec.Struct, frozen=True):
    """The answer: allowed or not, what is left, and after how many seconds the next request may come.

    policy names the quota that answers, window_s its length; it is full again after full_s.
    """

    allowed: bool
    limit: int
    remaining: int
    wait_s: float
    policy: str = ""
    window_s: int = 1
    full_s: float = 0.0

    def headers(self) -> list[tuple[str, str]]:
        """What the answer says of the limit: the customary X-RateLimit-*, and RateLimit as the IETF drafts it."""
        wait = str(int(self.wait_s) + 1 if self.wait_s else 0)
        said = [
            ("X-RateLimit-Limit", str(self.limit)),
            ("X-RateLimit-Remaining", str(self.remaining)),
            ("X-RateLimit-Reset", wait),
            ("RateLimit-Policy", f'"{self.policy}";q={self.limit};w={self.window_s}'),
            ("RateLimit", f'"{self.policy}";r={self.remaining};t={ceil(self.full_s)}'),
        ]
        return said if self.allowed else [*said, ("Retry-After", wait)]


class RateLimiter:
    """The buckets of one process. Thread-safe; the callers seen longest ago are forgotten first."""

    def __init__(self, rates: dict[Bucket, Rate], monotonic: Callable[[], float], *, remembered: int = 20_000) -> None:
        self._rates = rates
        self._monotonic = monotonic
        self._remembered = remembered
        self._levels: OrderedDict[tuple[Bucket, str], tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, bucket: Bucket, caller: str, cost: float = 1.0, own: Rate | None = None) -> Grant | None:
        """Whether the caller may go on; None where no limit is set. own: the caller's own rate, not the default."""
        rate = self._rates.get(bucket)
        if rate is None:
            return None
        if own is not None:
            rate = own
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
        return Grant(
            allowed=allowed,
            limit=int(rate.burst),
            remaining=max(0, int(level)),
            wait_s=max(0.0, (1.0 - level) / rate.per_s),
            policy=bucket.value,
            window_s=rate.window_s,
            full_s=(rate.burst - level) / rate.per_s,
        )
