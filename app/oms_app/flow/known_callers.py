"""Who was recognised a moment ago, by the hash of token or key; a row is read again before its word is a second old.

While one request reads it again the others go on with what is known, so that a busy key does not stop all of them.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

import msgspec

from oms_app.flow.principal import Principal


class Caller(msgspec.Struct, frozen=True):
    """Who asks: the principal, and the session when a person signed in."""

    principal: Principal
    session_id: str | None
    expires_at: datetime | None


class _Known(msgspec.Struct):
    caller: Caller
    checked_at: datetime
    is_rechecked: bool = False


class KnownCallers:
    """A memory of one process; thread-safe. Nothing in it is believed longer than twice `recheck_s`."""

    def __init__(self, clock: Callable[[], datetime], *, recheck_s: float, remembered: int) -> None:
        self._clock = clock
        self._recheck_s = recheck_s
        self._remembered = remembered
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._lock = threading.Lock()

    def known_or_read(self, digest: str, read: Callable[[datetime], Caller]) -> Caller:
        """The caller as remembered, or as `read` tells it now; what `read` raises forgets the caller."""
        caller = self._recall(digest)
        if caller is not None:
            return caller
        now = self._clock()
        try:
            caller = read(now)
        except BaseException:
            self._forget_one(digest)
            raise
        with self._lock:
            self._known[digest] = _Known(caller=caller, checked_at=now)
            while len(self._known) > self._remembered:
                self._known.popitem(last=False)
        return caller

    def forget(self, concerned: Callable[[Caller], bool]) -> None:
        """Believe nothing more of these callers."""
        with self._lock:
            for digest in [digest for digest, known in self._known.items() if concerned(known.caller)]:
                del self._known[digest]

    def _forget_one(self, digest: str) -> None:
        with self._lock:
            self._known.pop(digest, None)

    def _recall(self, digest: str) -> Caller | None:
        known = self._known.get(digest)
        if known is None:
            return None
        now = self._clock()
        if known.caller.expires_at is not None and known.caller.expires_at <= now:
            self._forget_one(digest)
            return None
        age_s = (now - known.checked_at).total_seconds()
        if 0 <= age_s < self._recheck_s:
            return known.caller
        if 0 <= age_s < 2 * self._recheck_s and not self._begins_to_recheck(known):
            return known.caller
        return None

    def _begins_to_recheck(self, known: _Known) -> bool:
        """True for the first who asks: it reads the row again."""
        with self._lock:
            begins = not known.is_rechecked
            known.is_rechecked = True
            return begins
