"""A request's Host in, the tenant that the domain belongs to out, or None; a changed domain counts within 2 s."""

import threading
import time
from collections.abc import Callable

from oms_app.flow.known_callers import Caller
from oms_app.flow.tokens import InvalidToken
from oms_app.store import tenants
from oms_app.store.sql_store import SqlStore
from oms_kernel.domain.ids import TenantId

KEPT_S = 2.0


class Hosts:
    """Remembers every domain for two seconds. Thread-safe.

    A domain gives nobody a right: it narrows a request to one tenant, so that a short memory costs nothing.
    """

    def __init__(self, store: SqlStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._domains: dict[str, TenantId] = {}
        self._until = float("-inf")
        self._lock = threading.Lock()

    def tenant_of(self, host: str) -> TenantId | None:
        """The tenant of a Host header. Raises StoreUnavailable."""
        if self._clock() >= self._until:
            self._read()
        if not self._domains:
            return None
        return self._domains.get(host.rpartition(":")[0].lower() if ":" in host else host.lower())

    def _read(self) -> None:
        if not self._lock.acquire(blocking=self._until == float("-inf")):
            return  # somebody reads it just now; what is known is good enough
        try:
            if self._clock() < self._until:
                return
            with self._store.read_unit(None) as unit:
                self._domains = tenants.domains(unit)
            self._until = self._clock() + KEPT_S
        finally:
            self._lock.release()


def unknown_here(caller: Caller) -> InvalidToken:
    """What a caller of another tenant is told at a tenant's own host: the same as one who does not exist."""
    if caller.session_id is None:
        return InvalidToken("the API key is unknown, revoked or expired", fix="make a new key")
    return InvalidToken("the session has ended", fix="sign in again")
