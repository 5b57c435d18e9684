"""Who was recognised, by the hash of token or key, and at which auth epoch; what it is worth the present epoch says.

Nothing here is believed because it is young. A caller counts as long as the tenant's epoch is the one at which it was
read: what is taken from anybody moves the epoch in the same transaction, and every process sees that at once.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

import msgspec

from oms_app.flow.key_terms import KeyTerms
from oms_app.flow.principal import Principal


class Caller(msgspec.Struct, frozen=True):
    """Who asks: the principal, and the session when a person signed in, or the terms of the key.

    epoch: the tenant's auth epoch when this was read.
    """

    principal: Principal
    session_id: str | None
    expires_at: datetime | None
    epoch: int = 0
    terms: KeyTerms | None = None

    @property
    def user_id(self) -> str | None:
        """The person who is signed in; None for a key."""
        kind, _, own_id = self.principal.principal_id.partition(":")
        return own_id if kind == "user" and self.session_id is not None else None


class KnownCallers:
    """A memory of one process; thread-safe. Those remembered longest ago are forgotten first."""

    def __init__(self, clock: Callable[[], datetime], *, remembered: int) -> None:
        self._clock = clock
        self._remembered = remembered
        self._known: OrderedDict[str, Caller] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, digest: str) -> Caller | None:
        """The caller as it was read last, unless it has expired."""
        caller = self._known.get(digest)
        if caller is not None and caller.expires_at is not None and caller.expires_at <= self._clock():
            self.forget(digest)
            return None
        return caller

    def keep(self, digest: str, caller: Caller) -> None:
        """Remember the caller."""
        with self._lock:
            self._known[digest] = caller
            while len(self._known) > self._remembered:
                self._known.popitem(last=False)

    def forget(self, digest: str) -> None:
        """Remember nothing of it."""
        with self._lock:
            self._known.pop(digest, None)
