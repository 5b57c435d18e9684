"""Whether the database is away, found out once for the whole process: waits that grow long in, quick refusals out.

Guarantee: whoever waits for a database that stopped answering waits no longer than `SUSPECT_AFTER_S` and one probe;
once it is known to be away everybody is refused at once, until the probe, tried four times a second, gets an answer.
"""

import threading
import time
from collections.abc import Callable

import structlog

from oms_app.store.unit_of_work import StoreUnavailable

log = structlog.get_logger(__name__)

PROBE_EVERY_S = 0.25
SUSPECT_AFTER_S = 1.0
"""After so long without an answer somebody looks whether the database still lives; a lock may take longer."""


class Outage:
    """What a process knows about its database. Thread-safe.

    probe: asks the database whether it lives, within some two seconds; what it raises means that it does not.
    returned: called when it answers again, before anybody is let through. While all is well no thread runs.
    """

    def __init__(self, probe: Callable[[], None], returned: Callable[[], None] = lambda: None) -> None:
        self._probe = probe
        self._returned = returned
        self._lock = threading.Lock()
        self._looking = False
        self._closing = threading.Event()
        self._times = 0
        self._is_away = False

    @property
    def is_away(self) -> bool:
        """Whether the last probe had no answer."""
        return self._is_away

    @property
    def times(self) -> int:
        """How often the database was found to be away: a wait that began before the last time is in vain."""
        return self._times

    def require(self) -> None:
        """Nothing, unless the database is known to be away; then StoreUnavailable, at once."""
        if self._is_away:
            raise StoreUnavailable("the database is away")

    def suspect(self) -> None:
        """Have somebody look, beside the caller, whether the database lives."""
        with self._lock:
            if self._looking or self._closing.is_set():
                return
            self._looking = True
        threading.Thread(target=self._look, name="outage", daemon=True).start()

    def waiting(self) -> "Waiting":
        """A wait for an answer that begins now."""
        return Waiting(self)

    def close(self) -> None:
        """Look no more."""
        self._closing.set()

    def _look(self) -> None:
        """Probe until there is an answer."""
        while not self._closing.is_set():
            try:
                self._probe()
            except Exception as error:
                if not self._is_away:
                    log.warning("database_away", error=str(error).strip())
                    self._times += 1
                    self._is_away = True
                self._closing.wait(PROBE_EVERY_S)
                continue
            self._end()
            return
        with self._lock:
            self._looking = False

    def _end(self) -> None:
        if self._is_away:
            log.warning("database_back")
            self._returned()
        with self._lock:
            self._looking = False
            self._is_away = False


class Waiting:
    """One wait for an answer of the database."""

    __slots__ = ("_began", "_outage", "_suspect_at", "_times")

    def __init__(self, outage: Outage) -> None:
        self._outage = outage
        self._times = outage.times
        self._began = time.monotonic()
        self._suspect_at = self._began + SUSPECT_AFTER_S

    def is_in_vain(self) -> bool:
        """Whether the database was found to be away since; called each time that nothing has come for a while."""
        now = time.monotonic()
        if now >= self._suspect_at:
            self._suspect_at = now + SUSPECT_AFTER_S
            self._outage.suspect()
        return self._outage.times != self._times or self._outage.is_away
