"""One ledger's transactions in this process: lock, fold what others wrote, decide on an overlay, commit, adopt.

Guarantee: the cached state holds committed events only, and nothing is answered, sent or retried before a lost COMMIT
is settled by looking for the batch's own event ids under the ledger's lock.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import structlog

from oms_app.flow.boards import ConnectionBoard, FactsBoard, QuoteBoard
from oms_app.flow.catching_up import FarBehind, is_far_ahead, read_up, recent_events
from oms_app.flow.errors import OutcomeUnknown, Unavailable
from oms_app.flow.snapshots import Snapshots
from oms_app.store.unit_of_work import (
    CommitUnknown,
    ConnectionState,
    InstrumentCatalogue,
    LedgerConfig,
    LedgerUnit,
    Store,
    StoreUnavailable,
)
from oms_kernel.batch import Batch, LedgerState, RememberingRule, WatchingRule
from oms_kernel.contracts.broker import BrokerCapabilities
from oms_kernel.contracts.rules import Link
from oms_kernel.domain.book import Book
from oms_kernel.domain.events import AlertRaised, PluginQuarantined, Recorded, Severity
from oms_kernel.domain.ids import AccountId, ConnectionId, LedgerId, TenantId
from oms_kernel.domain.past import pack
from oms_kernel.domain.scope import Scope
from oms_kernel.engine import Destination
from oms_kernel.guard import RuleHung
from oms_kernel.valuation import CurrencyPairs
from oms_kernel.view import LedgerView

T = TypeVar("T")

RuleMaker = Callable[[LedgerConfig], Sequence[RememberingRule]]
"""Makes the guarded rules of a ledger from its limits, in the order in which they judge."""

MonitorMaker = Callable[[LedgerConfig], Sequence[WatchingRule]]
"""Makes the guarded monitors of a ledger from its limits."""

log = structlog.get_logger(__name__)

SETTLE_ATTEMPTS = 16
SETTLE_PAUSE_S = 0.25
KEPT_UNPACKED = 2_000
"""The last ended orders and executions of a ledger, which broker and callers still ask about."""
REREADS = 1000


def _no_monitors(config: LedgerConfig) -> Sequence[WatchingRule]:
    return ()


def _nothing(turn: "Turn") -> None:
    """Nothing follows."""


class Desk:
    """The ledgers that this process works on. Thread-safe; one thread works on a ledger at a time."""

    def __init__(
        self,
        store: Store,
        *,
        make_rules: RuleMaker,
        make_monitors: MonitorMaker = _no_monitors,
        after_work: Callable[["Turn"], None] = _nothing,
        capabilities: Callable[[str], BrokerCapabilities | None],
        new_id: Callable[[], str],
        quote_max_age: timedelta = timedelta(seconds=5),
        send_window: timedelta = timedelta(seconds=10),
    ) -> None:
        self.store = store
        self.make_rules = make_rules
        self.make_monitors = make_monitors
        self.after_work = after_work
        self.capabilities = capabilities
        self.new_id = new_id
        self.send_window = send_window
        self.quotes = QuoteBoard(quote_max_age)
        self.facts = FactsBoard()
        self.connections = ConnectionBoard()
        self._ledgers: dict[LedgerId, LedgerCache] = {}
        self._guard = threading.Lock()

    def ledger(self, tenant_id: TenantId, ledger_id: LedgerId) -> "LedgerCache":
        """The process's cache of one ledger; made at the first use."""
        with self._guard:
            cache = self._ledgers.get(ledger_id)
            if cache is None:
                cache = self._ledgers[ledger_id] = LedgerCache(self, tenant_id, ledger_id)
            return cache

    def transact(self, tenant_id: TenantId, ledger_id: LedgerId, work: "Callable[[Turn], T]") -> T:
        """The result of `work` after its events are committed.

        Raises what `work` raises (nothing is stored then), Unavailable (nothing is stored), OutcomeUnknown, Conflict.
        """
        return self.ledger(tenant_id, ledger_id).transact(work)


class Turn:
    """What one transaction of a ledger may use: the unit, the batch on its overlay, configuration and market."""

    def __init__(self, desk: Desk, unit: LedgerUnit, cache: "LedgerCache") -> None:
        self.desk = desk
        self.unit = unit
        self.config: LedgerConfig = cache.config
        self.catalogue: InstrumentCatalogue = cache.catalogue
        self._pairs = cache.pairs
        self.batch = Batch(cache.state, now=unit.now, new_id=desk.new_id)
        self.destinations: dict[tuple[AccountId, bool], Destination] = {}
        """Where orders go, by account and by whether they may wait; what `routing.route` found in this turn."""
        self._view: LedgerView | None = None

    @property
    def view(self) -> LedgerView:
        """The ledger as of the last recorded event, with the batch's one market view."""
        if self._view is None:
            market = self.desk.quotes.view(self.unit, self.batch.now)
            self._view = LedgerView(
                self.batch.book,
                market,
                self.catalogue.instruments,
                self.catalogue.calendars,
                facts=self.desk.facts.view(self.unit),
                links=self.link,
                pairs=self._pairs,
            )
        return self._view

    @property
    def connections(self) -> dict[ConnectionId, ConnectionState]:
        """The broker connections of the tenant, at most a quarter of a second old; the intent's gate reads afresh."""
        return self.desk.connections.states(self.unit)

    def link(self, account_id: AccountId) -> Link | None:
        """How the way to the account's broker is; None: it is routed nowhere."""
        route = self.config.routes.get(account_id)
        if route is None:
            return None
        in_doubt = sum(1 for _ in self.view.doubts(Scope(account_id=account_id)))
        connection = self.connections.get(route.connection_id)
        if connection is None:
            return Link(is_ready=False, in_doubt=in_doubt, detail="not connected")
        return Link(is_ready=connection.is_ready(self.unit.now), in_doubt=in_doubt, detail=connection.detail)


class LedgerCache:
    """The committed state of one ledger in this process, and the only way to add to it."""

    def __init__(self, desk: Desk, tenant_id: TenantId, ledger_id: LedgerId) -> None:
        self.desk = desk
        self.tenant_id = tenant_id
        self.ledger_id = ledger_id
        self.state = LedgerState()
        self.config: LedgerConfig
        self.catalogue: InstrumentCatalogue
        self.pairs: CurrencyPairs
        self._config_version = -1
        self._catalogue_version = -1
        self._hung: dict[str, str] = {}
        """Plugins that hung here and whose quarantine is not committed yet -> the rule that hung."""
        self._lock = threading.Lock()
        self._snapshots = Snapshots(desk.store, tenant_id, ledger_id)

    def transact(self, work: Callable[[Turn], T]) -> T:
        """See Desk.transact. When a rule hangs, its plugin is quarantined and `work` done again without it."""
        hung: set[str] = set()
        while True:
            try:
                return self._transact(work)
            except RuleHung as error:
                if error.plugin in hung:
                    raise
                hung.add(error.plugin)
                self._shut_out(error)

    def look(self, work: Callable[[Turn], T]) -> T:
        """What `work` finds in the ledger as it is committed, without the ledger's lock; what it records is dropped.

        Raises what `work` raises, Unavailable, and RuleHung: the next transaction then quarantines the plugin.
        """
        try:
            with self._lock:
                return self._look(work)
        except RuleHung as error:
            self._shut_out(error)
            raise

    def remembered(self, read: Callable[[Book], T]) -> T:
        """What `read` finds in the committed book of this process, without the database and without waiting for it.

        A transaction may hang in the database for seconds; one that adopts its batch meanwhile makes us read again.
        """
        for _ in range(REREADS):
            try:
                return read(self.state.book)
            except RuntimeError:  # a map changed its size while it was walked through
                continue
        return read(self.state.book)

    def _look(self, work: Callable[[Turn], T]) -> T:
        while True:
            try:
                with self.desk.store.look_unit(self.tenant_id, self.ledger_id) as unit:
                    self._catch_up(unit)
                    return work(Turn(self.desk, unit, self))
            except FarBehind as error:
                self._read_up(error.head)
            except StoreUnavailable as error:
                raise Unavailable("the database cannot be reached", fix="try again") from error

    def _transact(self, work: Callable[[Turn], T]) -> T:
        with self._lock:
            while True:
                try:
                    return self._transact_once(work)
                except FarBehind as error:
                    self._read_up(error.head)

    def _transact_once(self, work: Callable[[Turn], T]) -> T:
        turn: Turn | None = None
        try:
            with self.desk.store.ledger_unit(self.tenant_id, self.ledger_id) as unit:
                self._catch_up(unit)
                turn = Turn(self.desk, unit, self)
                self._record_hangs(turn)
                result = work(turn)
                if turn.batch.triggered:
                    self.desk.after_work(turn)
                if turn.batch.failure is not None:
                    raise turn.batch.failure
                if turn.batch.events:
                    unit.append(turn.batch.events, turn.batch.book)
        except StoreUnavailable as error:
            raise Unavailable("the database cannot be reached; nothing was stored", fix="try again") from error
        except CommitUnknown as error:
            if turn is None or not self._was_stored(turn.batch.events):
                raise Unavailable("the database was lost; nothing was stored", fix="try again") from error
        if turn.batch.events:
            self._adopt(turn.batch)
        pack(self.state.book, KEPT_UNPACKED)
        self._snapshots.consider(self.state.book)
        return result

    def _read_up(self, head: int) -> None:
        """Begin at a snapshot, if there is one and nothing is known yet, and fold the rest without the lock."""
        try:
            if not self.state.book.seq:
                self._snapshots.restore(self.state, head)
            read_up(self.desk.store, self.tenant_id, self.ledger_id, lambda: self.state.book.seq, head, self._fold)
        except StoreUnavailable as error:
            raise Unavailable("the database cannot be reached; nothing was stored", fix="try again") from error

    def _adopt(self, batch: Batch) -> None:
        """Take over a committed batch, and say its alerts in the process's own log too."""
        self.state.adopt(batch)
        quarantined = self.state.book.quarantined
        self._hung = {plugin: rule for plugin, rule in self._hung.items() if not quarantined.get(plugin)}
        for recorded in batch.events:
            if isinstance(recorded.event, AlertRaised):
                with suppress(OSError, ValueError):  # a closed log must not make a stored batch look failed
                    log.warning("alert", tenant_id=self.tenant_id, seq=recorded.seq, **_said(recorded.event))

    def _shut_out(self, error: RuleHung) -> None:
        """Ask a hung plugin nothing more; the next transaction records the event that lasts."""
        with self._lock:
            self._hung[error.plugin] = error.rule
            self._forget()

    def _forget(self) -> None:
        """Drop what may be half-folded; it is built again from the log."""
        self.state = LedgerState()
        self._config_version = -1

    def _record_hangs(self, turn: Turn) -> None:
        """Shut hung plugins out of this ledger in every process, with the first transaction after the hang."""
        for plugin, rule in self._hung.items():
            if not turn.batch.book.quarantined.get(plugin):
                turn.batch.record(
                    PluginQuarantined(plugin=plugin, reason=f"rule {rule} hung"),
                    AlertRaised(
                        severity=Severity.CRITICAL,
                        source="guard",
                        text=f"plugin {plugin} hung in rule {rule} and is quarantined: its rules deny every order",
                        what_to_do="Fix or remove the plugin, then `oms plugins release` it.",
                    ),
                )

    def _catch_up(self, unit: LedgerUnit) -> None:
        """Bring configuration, rules and book up to what the unit's lock shows.

        Raises FarBehind when the log has to be read without the lock first. A new state has its rules before that, so
        that they are told each event in the same pass as the book.
        """
        if unit.catalogue_version != self._catalogue_version:
            self.catalogue = unit.catalogue()
            self.pairs = CurrencyPairs.of(self.catalogue.instruments.values())
            self._catalogue_version = unit.catalogue_version
        if is_far_ahead(unit, self.state.book.seq):
            if not self.state.book.seq:
                self._take_rules(unit)
            raise FarBehind(unit.head)
        if unit.head > self.state.book.seq:
            self._fold(unit.tail(self.state.book.seq))
        released = self._mark_quarantined((*self.state.rules, *self.state.monitors))
        if unit.config_version != self._config_version or released:
            self._take_rules(unit)

    def _take_rules(self, unit: LedgerUnit) -> None:
        self._config_version = -1
        self.config = unit.config()
        rules = tuple(self.desk.make_rules(self.config))
        monitors = tuple(self.desk.make_monitors(self.config))
        self._mark_quarantined((*rules, *monitors))
        self.state.change_rules(rules, lambda: unit.tail(0), partial(recent_events, unit), monitors)
        self._config_version = unit.config_version

    def _fold(self, events: Sequence[Recorded]) -> None:
        try:
            self.state.fold(events)
            pack(self.state.book, KEPT_UNPACKED)
        except BaseException:
            self._forget()
            raise

    def _mark_quarantined(self, rules: Sequence[RememberingRule]) -> bool:
        """Tell each rule whether its plugin may be asked; True when one that was shut out may be asked again."""
        released = False
        for rule in rules:
            reason = self._hung.get(rule.plugin) or self.state.book.quarantined.get(rule.plugin) or ""
            released = released or (bool(rule.quarantined) and not reason)
            rule.quarantined = reason
        return released

    def _was_stored(self, events: Sequence[Recorded]) -> bool:
        """Settle a lost COMMIT. Raises OutcomeUnknown when the database stays away."""
        if not events:
            return True
        ids = [recorded.event_id for recorded in events]
        for _ in range(SETTLE_ATTEMPTS):
            try:
                with self.desk.store.ledger_unit(self.tenant_id, self.ledger_id) as unit:
                    return unit.has_events(ids)
            except (StoreUnavailable, CommitUnknown):
                time.sleep(SETTLE_PAUSE_S)
        orders = sorted({recorded.order_id for recorded in events if recorded.order_id is not None})
        raise OutcomeUnknown(
            "the database was lost while storing and did not come back in time",
            fix="look for the order ids before trying again",
            extra={"order_ids": orders},
        )


def _said(alert: AlertRaised) -> dict[str, Any]:
    return {
        "severity": alert.severity.value,
        "source": alert.source,
        "text": alert.text,
        "what_to_do": alert.what_to_do,
        "account_id": alert.account_id,
        "order_id": alert.order_id,
    }
