"""What each process remembers of quotes, facts and broker connections, refreshed from tables inside transactions."""

import threading
import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from oms_app.store.unit_of_work import ConnectionState, LedgerUnit
from oms_kernel.contracts.rules import InstrumentFacts
from oms_kernel.domain.ids import ConnectionId, InstrumentId, TenantId
from oms_kernel.domain.market import MarketView, Quote

REFRESH_S = 0.25
LONGEST_WRITE = timedelta(seconds=60)
"""Rows bear the time at which their transaction began; none takes longer until it is committed."""


class QuoteBoard:
    """The newest quotes that this process knows. Redis may vanish: the table is the source."""

    def __init__(self, max_age: timedelta) -> None:
        self.max_age = max_age
        self._quotes: dict[InstrumentId, Quote] = {}
        self._newest: datetime | None = None
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def view(self, unit: LedgerUnit, now: datetime) -> MarketView:
        """A frozen view of the market, at most a quarter of a second behind the table."""
        with self._lock:
            if time.monotonic() - self._read_at >= REFRESH_S:
                # Sessions write at their own pace and by their own clocks: whatever may still be fresh is read again.
                since = None if self._newest is None else min(self._newest, now) - self.max_age
                self.put(unit.quotes(since))
                self._read_at = time.monotonic()
            return MarketView(now=now, quotes=self._quotes, max_age=self.max_age, clock_offset=unit.clock_offset)

    @property
    def newest_at(self) -> datetime | None:
        """When the newest quote was received; None before the first."""
        return self._newest

    def put(self, quotes: Iterable[Quote]) -> None:
        """Take newer quotes; the map that earlier views hold stays as it was."""
        newer = {quote.instrument_id: quote for quote in quotes}
        if newer:
            self._quotes = {**self._quotes, **newer}
            latest = max(quote.received_at for quote in newer.values())
            self._newest = latest if self._newest is None else max(self._newest, latest)


class FactsBoard:
    """What this process knows of the instruments, beside their quotes."""

    def __init__(self) -> None:
        self._facts: dict[InstrumentId, InstrumentFacts] = {}
        self._newest: datetime | None = None
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def view(self, unit: LedgerUnit) -> Mapping[InstrumentId, InstrumentFacts]:
        """What is known, at most a quarter of a second behind the table; the map never changes."""
        with self._lock:
            if time.monotonic() - self._read_at >= REFRESH_S:
                stored = unit.instrument_facts(None if self._newest is None else self._newest - LONGEST_WRITE)
                if stored:
                    self._facts = {**self._facts, **{facts.instrument_id: facts for facts, _ in stored}}
                    self._newest = max(stored_at for _, stored_at in stored)
                self._read_at = time.monotonic()
            return self._facts


class ConnectionBoard:
    """How the tenants' broker connections are, at most a quarter of a second old."""

    def __init__(self) -> None:
        self._states: dict[TenantId, tuple[float, dict[ConnectionId, ConnectionState]]] = {}
        self._lock = threading.Lock()

    def states(self, unit: LedgerUnit) -> dict[ConnectionId, ConnectionState]:
        """The connections of the unit's tenant."""
        with self._lock:
            read_at, states = self._states.get(unit.tenant_id, (float("-inf"), {}))
            if time.monotonic() - read_at >= REFRESH_S or not states:
                states = unit.connection_states()
                self._states[unit.tenant_id] = (time.monotonic(), states)
            return states
