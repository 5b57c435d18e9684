"""A session's right to send: a lease whose age is counted by a clock that goes on while the machine sleeps."""

import time

from oms_app.flow.submission import LeaseLapsed, LeaseLost

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def awake_and_asleep() -> float:
    """Seconds since boot, suspended time included where the system counts it."""
    return time.clock_gettime(_CLOCK)


class HeldLease:
    """A lease of `duration_s` seconds as its holder sees it; `renewed` is called with the time before the renewal.

    It holds, or it lapsed because nobody could renew it in time, or it is another's. A lapsed one is taken anew with
    a new token; whatever was to be sent under the old one is not sent any more.
    """

    def __init__(self, token: int, duration_s: float, began: float) -> None:
        self.token = token
        self.duration_s = duration_s
        self._began = began
        self._lost = False

    def renewed(self, began: float) -> None:
        """The store confirmed the lease in a request that began then."""
        self._began = began

    def regained(self, token: int, began: float) -> None:
        """The lapsed lease is ours again under the very next token: nobody had it meanwhile."""
        self.token = token
        self._began = began

    def lose(self) -> None:
        """The store said that the lease is another's."""
        self._lost = True

    @property
    def is_lost(self) -> bool:
        """Whether another has or had it: this session is over."""
        return self._lost

    @property
    def holds(self) -> bool:
        """Whether the lease cannot have ended yet."""
        return not self._lost and awake_and_asleep() - self._began < self.duration_s

    def require(self) -> None:
        """Nothing, while the lease holds; else LeaseLost or LeaseLapsed. Called before each write and each send."""
        if self._lost:
            raise LeaseLost("another session has the lease; nothing more is sent")
        if not self.holds:
            raise LeaseLapsed("the lease was not renewed in time; nothing is sent until it is taken anew")


class StoreContact:
    """When the database was last heard from: who adds exposure must not be alone for long."""

    def __init__(self) -> None:
        self._heard_at = awake_and_asleep()

    def heard(self) -> None:
        """The database answered just now."""
        self._heard_at = awake_and_asleep()

    @property
    def silent_s(self) -> float:
        """Seconds without an answer, suspended time included."""
        return awake_and_asleep() - self._heard_at
