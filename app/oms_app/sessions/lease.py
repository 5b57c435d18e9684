"""A session's right to send: a lease whose age is counted by a clock that goes on while the machine sleeps."""

import time

from oms_app.flow.submission import LeaseLost

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def awake_and_asleep() -> float:
    """Seconds since boot, suspended time included where the system counts it."""
    return time.clock_gettime(_CLOCK)


class HeldLease:
    """A lease of `duration_s` seconds as its holder sees it; `renewed` is called with the time before the renewal."""

    def __init__(self, token: int, duration_s: float, began: float) -> None:
        self.token = token
        self.duration_s = duration_s
        self._began = began
        self._lost = False

    def renewed(self, began: float) -> None:
        """The store confirmed the lease in a request that began then."""
        self._began = began

    def lose(self) -> None:
        """The store said that the lease is another's."""
        self._lost = True

    @property
    def holds(self) -> bool:
        """Whether the lease cannot have ended yet."""
        return not self._lost and awake_and_asleep() - self._began < self.duration_s

    def require(self) -> None:
        """Nothing, while the lease holds; else LeaseLost. Called before each write and each send."""
        if not self.holds:
            raise LeaseLost("the lease was not renewed in time; nothing more is sent")
