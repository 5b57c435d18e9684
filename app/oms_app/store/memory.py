"""The store in memory: locks, conflicts and atomic units as in the databases, deterministic, gone with the process.

What tests and trials configure they set on `MemoryStore` itself; hooks make a database's failures happen on purpose.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any

from oms_app.store.memory_unit import Ledger, MemoryLedgerUnit
from oms_app.store.unit_of_work import (
    AccountDirectory,
    AnswerKey,
    ConnectionState,
    InstrumentCatalogue,
    LedgerUnit,
    LimitRow,
    Route,
    Snapshot,
    StoredAnswer,
    StoreUnavailable,
    UnbookedReport,
    UnknownLedger,
)
from oms_kernel.contracts.rules import InstrumentFacts
from oms_kernel.domain.calendar import ALWAYS_OPEN, Calendar
from oms_kernel.domain.events import Recorded
from oms_kernel.domain.ids import (
    AccountId,
    BrokerAccountId,
    ConnectionId,
    ExecId,
    InstrumentId,
    LedgerId,
    OrderId,
    TenantId,
)
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import Quote
from oms_kernel.domain.order import Order


def _nothing() -> None:
    """Let it happen."""


class MemoryStore:
    """A Store without a database.

    clock: the time. on_lock, before_commit, after_commit: called at that moment of each ledger unit; raising
    StoreUnavailable in the first two leaves nothing stored, raising CommitUnknown in the last one leaves it stored.
    """

    def __init__(
        self,
        clock: Callable[[], datetime],
        *,
        on_lock: Callable[[], None] = _nothing,
        before_commit: Callable[[], None] = _nothing,
        after_commit: Callable[[], None] = _nothing,
        lock_timeout_s: float = 8.0,
    ) -> None:
        self.clock = clock
        self.on_lock = on_lock
        self.before_commit = before_commit
        self.after_commit = after_commit
        self._lock_timeout_s = lock_timeout_s
        self._guard = threading.Lock()
        self._ledgers: dict[LedgerId, Ledger] = {}
        self._snapshots: dict[tuple[TenantId, LedgerId], Snapshot] = {}
        self._instruments: dict[InstrumentId, Instrument] = {}
        self._calendars: dict[str, Calendar] = {ALWAYS_OPEN.name: ALWAYS_OPEN}
        self._catalogue_version = 1
        self.limits: dict[TenantId, dict[str, LimitRow]] = {}
        self.settings: dict[TenantId, dict[str, Any]] = {}
        self.routes: dict[TenantId, dict[AccountId, Route]] = {}
        self.connections: dict[TenantId, dict[ConnectionId, ConnectionState]] = {}
        self.auth_epochs: dict[TenantId, int] = {}
        self.quotes_by_instrument: dict[InstrumentId, Quote] = {}
        self.facts_by_instrument: dict[InstrumentId, InstrumentFacts] = {}
        self.client_order_ids: dict[tuple[TenantId, AccountId, str], OrderId] = {}
        self.execution_ids: dict[tuple[TenantId, BrokerAccountId, ExecId], ExecId | None] = {}
        self.answers: dict[tuple[TenantId, AnswerKey], StoredAnswer] = {}
        self.texts: dict[tuple[TenantId, OrderId, str], tuple[str, bytes]] = {}
        self.unbooked: dict[tuple[LedgerId, str], UnbookedReport] = {}
        self.cursors: dict[tuple[str, LedgerId], int] = {}
        self.storage: dict[tuple[TenantId, ConnectionId, str], str] = {}

    # What people configure --------------------------------------------------------------------------------

    def add_ledger(self, tenant_id: TenantId, ledger_id: LedgerId) -> None:
        """Begin an empty ledger."""
        with self._guard:
            self._ledgers[ledger_id] = Ledger(tenant_id=tenant_id, ledger_id=ledger_id)

    def put_instrument(self, instrument: Instrument) -> None:
        """Add or replace an instrument of the platform."""
        with self._guard:
            self._instruments[instrument.instrument_id] = instrument
            self._catalogue_version += 1

    def put_calendar(self, calendar: Calendar) -> None:
        """Add or replace a calendar of the platform."""
        with self._guard:
            self._calendars[calendar.name] = calendar
            self._catalogue_version += 1

    def put_route(self, tenant_id: TenantId, route: Route) -> None:
        """Route an account to a broker account."""
        with self._guard:
            self.routes.setdefault(tenant_id, {})[route.account_id] = route
            self._config_changed(tenant_id)

    def put_limit(self, tenant_id: TenantId, limit: LimitRow) -> None:
        """Add or replace a limit."""
        with self._guard:
            self.limits.setdefault(tenant_id, {})[limit.limit_id] = limit
            self._config_changed(tenant_id)

    def put_settings(self, tenant_id: TenantId, settings: dict[str, Any]) -> None:
        """Replace what a tenant decided for itself."""
        with self._guard:
            self.settings[tenant_id] = settings
            self._config_changed(tenant_id)

    def put_connection(self, tenant_id: TenantId, state: ConnectionState) -> None:
        """Say how a broker connection is."""
        with self._guard:
            self.connections.setdefault(tenant_id, {})[state.connection_id] = state

    def put_quote(self, quote: Quote) -> None:
        """Replace an instrument's last quote."""
        with self._guard:
            self.quotes_by_instrument[quote.instrument_id] = quote

    def put_facts(self, facts: InstrumentFacts) -> None:
        """Replace what is known of an instrument."""
        with self._guard:
            self.facts_by_instrument[facts.instrument_id] = facts

    def _config_changed(self, tenant_id: TenantId) -> None:
        for ledger in self._ledgers.values():
            if ledger.tenant_id == tenant_id:
                ledger.config_version += 1

    # Store ------------------------------------------------------------------------------------------------

    @contextmanager
    def ledger_unit(self, tenant_id: TenantId, ledger_id: LedgerId) -> Iterator[LedgerUnit]:
        """A unit that holds the ledger's lock; commits when its block ends, drops everything when it raises."""
        self.on_lock()
        ledger = self._ledger(tenant_id, ledger_id)
        if not ledger.lock.acquire(timeout=self._lock_timeout_s):
            raise StoreUnavailable("the ledger's lock did not come free in time")
        try:
            unit = MemoryLedgerUnit(self, ledger)
            yield unit
            self.before_commit()
            with self._guard:
                unit.commit()
            self.after_commit()
        finally:
            ledger.lock.release()

    @contextmanager
    def look_unit(self, tenant_id: TenantId, ledger_id: LedgerId) -> Iterator[LedgerUnit]:
        """A unit that shows the ledger as it is committed; whatever it wrote is dropped."""
        yield MemoryLedgerUnit(self, self._ledger(tenant_id, ledger_id))

    def auth_epoch(self, tenant_id: TenantId) -> int:
        """The tenant's auth epoch."""
        return self.auth_epochs.get(tenant_id, 0)

    def account_directory(self, tenant_id: TenantId) -> AccountDirectory:
        """The tenant's trading accounts with their ledgers, and which broker account routes to which."""
        with self._guard:
            return AccountDirectory(
                ledgers={
                    account_id: ledger.ledger_id
                    for ledger in self._ledgers.values()
                    if ledger.tenant_id == tenant_id
                    for account_id in ledger.accounts
                },
                by_broker_account={
                    route.broker_account_id: route.account_id for route in self.routes.get(tenant_id, {}).values()
                },
            )

    def ledger_of_order(self, tenant_id: TenantId, order_id: OrderId) -> LedgerId | None:
        """The ledger that holds an order, or None when the tenant has no such order."""
        with self._guard:
            for ledger in self._ledgers.values():
                if ledger.tenant_id == tenant_id and order_id in ledger.orders:
                    return ledger.ledger_id
        return None

    def heads(self, ledger_ids: Sequence[LedgerId]) -> dict[LedgerId, int]:
        """The last seq of each known ledger of these."""
        with self._guard:
            return {known: len(self._ledgers[known].events) for known in ledger_ids if known in self._ledgers}

    def ledgers(self) -> Sequence[tuple[TenantId, LedgerId]]:
        """All ledgers of the platform."""
        with self._guard:
            return [(ledger.tenant_id, ledger.ledger_id) for ledger in self._ledgers.values()]

    def events(
        self,
        tenant_id: TenantId,
        ledger_id: LedgerId,
        after_seq: int,
        limit: int = 500,
        *,
        account_ids: frozenset[str] | None = None,
    ) -> Sequence[Recorded]:
        """Committed events after a seq, in order; of some accounts, when named."""
        ledger = self._ledgers.get(ledger_id)
        if ledger is None or ledger.tenant_id != tenant_id:
            return []
        with self._guard:
            if account_ids is None:
                return ledger.events[after_seq : after_seq + limit]
            wanted = (one for one in ledger.events[after_seq:] if one.event.account_id in account_ids)
            return list(islice(wanted, limit))

    def hashes(self, ledger_id: LedgerId) -> list[bytes]:
        """The hash of each event of a ledger, in order."""
        with self._guard:
            return list(self._ledgers[ledger_id].hashes)

    def snapshot(self, tenant_id: TenantId, ledger_id: LedgerId, version: str) -> Snapshot | None:
        """The ledger's snapshot of this version of the fold, or None."""
        found = self._snapshots.get((tenant_id, ledger_id))
        return found if found is not None and found.version == version else None

    def snapshot_seq(self, tenant_id: TenantId, ledger_id: LedgerId, version: str) -> int:
        """Where that snapshot stands; 0 without one."""
        found = self.snapshot(tenant_id, ledger_id, version)
        return found.seq if found is not None else 0

    def put_snapshot(self, tenant_id: TenantId, ledger_id: LedgerId, snapshot: Snapshot) -> None:
        """Replace the ledger's snapshot, unless a later one of the same version stands there already."""
        with self._guard:
            if snapshot.seq > self.snapshot_seq(tenant_id, ledger_id, snapshot.version):
                self._snapshots[tenant_id, ledger_id] = snapshot

    def order(self, tenant_id: TenantId, order_id: OrderId) -> Order | None:
        """The stored projection of an order, or None."""
        ledger_id = self.ledger_of_order(tenant_id, order_id)
        return None if ledger_id is None else self._ledgers[ledger_id].orders[order_id]

    def instrument_catalogue(self) -> InstrumentCatalogue:
        """Instruments by id and symbol, and the calendars."""
        by_symbol: dict[str, tuple[InstrumentId, ...]] = {}
        for instrument in self._instruments.values():
            for name in (instrument.symbol, f"{instrument.venue}:{instrument.symbol}"):
                by_symbol[name] = (*by_symbol.get(name, ()), instrument.instrument_id)
        return InstrumentCatalogue(
            version=self._catalogue_version,
            instruments=dict(self._instruments),
            by_symbol=by_symbol,
            calendars=dict(self._calendars),
        )

    @property
    def catalogue_version(self) -> int:
        """Changes with every instrument and calendar."""
        return self._catalogue_version

    def _ledger(self, tenant_id: TenantId, ledger_id: LedgerId) -> Ledger:
        ledger = self._ledgers.get(ledger_id)
        if ledger is None or ledger.tenant_id != tenant_id:
            raise UnknownLedger(ledger_id)
        return ledger


def ready_connection(connection_id: ConnectionId, until: datetime, token: int = 1) -> ConnectionState:
    """The state of a connection whose session is ready and holds its lease until the given time."""
    return ConnectionState(
        connection_id=connection_id,
        status="READY",
        detail="",
        lease_token=token,
        lease_holder="memory",
        lease_expires_at=until,
    )
