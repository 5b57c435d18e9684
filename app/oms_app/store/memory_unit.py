"""A ledger unit in memory: reads committed state, collects writes, applies all of them or none."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from oms_app.store import chain
from oms_app.store.projected_tables import CLIENT_IDS, EXECUTION_IDS, LOG
from oms_app.store.projection import rows_of
from oms_app.store.unit_of_work import (
    ANSWER_LIFE,
    AnswerKey,
    Conflict,
    ConnectionState,
    InstrumentCatalogue,
    LedgerConfig,
    StoredAnswer,
    UnbookedReport,
)
from oms_kernel.contracts.broker import AnyReport
from oms_kernel.contracts.rules import InstrumentFacts
from oms_kernel.domain.account import TradingAccount
from oms_kernel.domain.book import Book
from oms_kernel.domain.events import Recorded
from oms_kernel.domain.ids import AccountId, ConnectionId, EventId, LedgerId, OrderId, TenantId
from oms_kernel.domain.market import Quote
from oms_kernel.domain.order import Order

if TYPE_CHECKING:
    from oms_app.store.memory import MemoryStore


@dataclass
class Ledger:
    """One ledger's committed state."""

    tenant_id: TenantId
    ledger_id: LedgerId
    config_version: int = 1
    events: list[Recorded] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)
    event_ids: set[EventId] = field(default_factory=set)
    accounts: dict[AccountId, TradingAccount] = field(default_factory=dict)
    orders: dict[OrderId, Order] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class MemoryLedgerUnit:
    """A LedgerUnit on a MemoryStore; the store holds the ledger's lock for it."""

    def __init__(self, store: "MemoryStore", ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger
        self.tenant_id = ledger.tenant_id
        self.ledger_id = ledger.ledger_id
        self.now = store.clock()
        self.clock_offset = timedelta(0)
        self.head = len(ledger.events)
        self.config_version = ledger.config_version
        self.catalogue_version = store.catalogue_version
        self.auth_epoch = store.auth_epoch(ledger.tenant_id)
        self._new_events: list[Recorded] = []
        self._new_hashes: list[bytes] = []
        self.head_hash = ledger.hashes[-1] if ledger.hashes else None
        self._new_accounts: dict[AccountId, TradingAccount] = {}
        self._new_orders: dict[OrderId, Order] = {}
        self._client_ids: dict[tuple[Any, ...], Any] = {}
        self._execution_ids: dict[tuple[Any, ...], Any] = {}
        self._answers: dict[AnswerKey, StoredAnswer] = {}
        self._texts: dict[tuple[OrderId, str], tuple[str, bytes]] = {}
        self._unbooked: dict[tuple[LedgerId, str], UnbookedReport] = {}
        self._cursors: dict[str, int] = {}
        self._storage: dict[tuple[ConnectionId, str], str] = {}

    # Reading ----------------------------------------------------------------------------------------------

    def tail(self, after_seq: int) -> Sequence[Recorded]:
        """The events after a seq, in order."""
        return [*self._ledger.events, *self._new_events][after_seq:]

    def events_at(self, seqs: Sequence[int]) -> Sequence[Recorded]:
        """The events with these seqs, in order."""
        events = self.tail(0)
        return [events[seq - 1] for seq in sorted(set(seqs)) if 0 < seq <= len(events)]

    def events_of(self, order_ids: Sequence[OrderId]) -> Sequence[Recorded]:
        """The events of these orders, in order."""
        wanted = set(order_ids)
        return [recorded for recorded in self.tail(0) if recorded.order_id in wanted]

    def config(self) -> LedgerConfig:
        """The ledger's accounts, routes and limits."""
        accounts = {**self._ledger.accounts, **self._new_accounts}
        limits = self._store.limits.get(self.tenant_id, {}).values()
        return LedgerConfig(
            tenant_id=self.tenant_id,
            ledger_id=self.ledger_id,
            version=self._ledger.config_version,
            accounts=accounts,
            account_names={account_id: account_id for account_id in accounts},
            routes={
                account_id: route
                for account_id, route in self._store.routes.get(self.tenant_id, {}).items()
                if account_id in accounts
            },
            limits=tuple(
                limit for limit in limits if limit.scope.account_id is None or limit.scope.account_id in accounts
            ),
            limits_version=max((limit.version for limit in limits), default=0),
            settings=self._store.settings.get(self.tenant_id, {}),
        )

    def catalogue(self) -> InstrumentCatalogue:
        """Instruments and calendars of the platform."""
        return self._store.instrument_catalogue()

    def quotes(self, received_after: Any) -> Sequence[Quote]:
        """The last quotes, all or those received since."""
        return [
            quote
            for quote in list(self._store.quotes_by_instrument.values())
            if received_after is None or quote.received_at > received_after
        ]

    def instrument_facts(self, updated_after: Any) -> Sequence[tuple[InstrumentFacts, datetime]]:
        """What is known of instruments, each with when it was told: all, or what was told since."""
        return [
            (facts, facts.as_of)
            for facts in list(self._store.facts_by_instrument.values())
            if updated_after is None or facts.as_of > updated_after
        ]

    def connection_states(self) -> dict[ConnectionId, ConnectionState]:
        """All connections of this ledger's tenant."""
        return dict(self._store.connections.get(self.tenant_id, {}))

    def lease_token(self, connection_id: ConnectionId) -> int | None:
        """The token of the connection's present lease; None: nobody holds it."""
        state = self._store.connections.get(self.tenant_id, {}).get(connection_id)
        if state is None or state.lease_expires_at is None or state.lease_expires_at <= self.now:
            return None
        return state.lease_token

    def storage_get(self, connection_id: ConnectionId, key: str) -> str | None:
        """A value of the connector's durable store."""
        own = self._storage.get((connection_id, key))
        return own if own is not None else self._store.storage.get((self.tenant_id, connection_id, key))

    def answer(self, principal: str, operation: str, key: str) -> StoredAnswer | None:
        """The stored answer of an idempotency key, at most 24 h old."""
        return self.answers([(principal, operation, key)]).get((principal, operation, key))

    def answers(self, keys: Sequence[AnswerKey]) -> dict[AnswerKey, StoredAnswer]:
        """The stored answers of many keys at once, each at most 24 h old."""
        found = ((key, self._answers.get(key) or self._store.answers.get((self.tenant_id, key))) for key in keys)
        return {key: answer for key, answer in found if answer is not None and self._is_alive(answer)}

    def has_events(self, event_ids: Sequence[EventId]) -> bool:
        """Whether all of these events are stored."""
        return self._ledger.event_ids.issuperset(event_ids)

    def _is_alive(self, answer: StoredAnswer) -> bool:
        return self.now - answer.created_at <= ANSWER_LIFE

    # Writing ----------------------------------------------------------------------------------------------

    def append(self, events: Sequence[Recorded], book: Book) -> None:
        """Write events and the projections that `book` (the overlay after them) changed."""
        if [recorded.seq for recorded in events] != list(range(self.head + 1, self.head + 1 + len(events))):
            raise ValueError(f"the events do not follow event {self.head} without a gap")
        for projection, rows in rows_of(events, book):
            if projection is LOG:
                chained, self.head_hash = chain.extended(self.tenant_id, self.ledger_id, self.head_hash, rows)
                self._new_hashes += (bytes(row[-1]) for row in chained)
            elif projection is CLIENT_IDS:
                for account_id, client_order_id, order_id in rows:
                    self._remember_for_ever(
                        projection.table, self._client_ids, (self.tenant_id, account_id, client_order_id), order_id
                    )
            elif projection is EXECUTION_IDS:
                for broker_account_id, exec_id, _, restates in rows:
                    self._remember_for_ever(
                        projection.table, self._execution_ids, (self.tenant_id, broker_account_id, exec_id), restates
                    )
        self._new_events += events
        self._new_accounts |= book.accounts.changes
        self._new_orders |= book.orders.changes
        self.head += len(events)

    def _remember_for_ever(self, table: str, new: dict[tuple[Any, ...], Any], key: tuple[Any, ...], value: Any) -> None:
        known: Any = self._store.client_order_ids if table == CLIENT_IDS.table else self._store.execution_ids
        if key in new or key in known:
            raise Conflict(table, f"{key[1:]} exists already")
        new[key] = value

    def put_answer(self, answer: StoredAnswer) -> None:
        """Remember what an idempotency key stands for. Raises Conflict when a living answer stands there."""
        key = (answer.principal, answer.operation, answer.key)
        if self.answers([key]):
            raise Conflict("idempotency_keys", f"{key} exists already")
        self._answers[key] = answer

    def put_text(self, order_id: OrderId, kind: str, text: str, salt: bytes) -> None:
        """Store people's free text beside the log."""
        self._texts[order_id, kind] = (text, salt)

    def put_unbooked(self, report_id: str, connection_id: ConnectionId, report: AnyReport, error: str) -> None:
        """Keep a report that could not be booked."""
        kept = UnbookedReport(
            report_id=report_id,
            connection_id=connection_id,
            report=report,
            error=error,
            status="OPEN",
            created_at=self.now,
        )
        self._unbooked[self.ledger_id, report_id] = kept

    def unbooked(self, report_id: str) -> UnbookedReport | None:
        """A report of this ledger that could not be booked, whatever became of it."""
        return {**self._store.unbooked, **self._unbooked}.get((self.ledger_id, report_id))

    def open_unbooked(self) -> Sequence[UnbookedReport]:
        """The reports of this ledger that nobody has settled, oldest first."""
        known = {**self._store.unbooked, **self._unbooked}
        return [kept for (ledger, _), kept in known.items() if ledger == self.ledger_id and kept.status == "OPEN"]

    def settle_unbooked(self, report: UnbookedReport) -> None:
        """Store what became of the report."""
        self._unbooked[self.ledger_id, report.report_id] = report

    def advance_cursor(self, consumer: str, expected_seq: int, seq: int) -> bool:
        """Move a consumer's cursor; False when it no longer stands at `expected_seq`."""
        present = self._cursors.get(consumer, self._store.cursors.get((consumer, self.ledger_id), 0))
        if present != expected_seq:
            return False
        self._cursors[consumer] = seq
        return True

    def storage_put(self, connection_id: ConnectionId, key: str, value: str) -> None:
        """Remember a value of the connector's durable store."""
        self._storage[connection_id, key] = value

    def commit(self) -> None:
        """Apply everything that was written. Raises Conflict (nothing is applied) on an id that is unique for ever."""
        store = self._store
        for table, new, known in (
            ("client_order_ids", self._client_ids, store.client_order_ids),
            ("execution_ids", self._execution_ids, store.execution_ids),
        ):
            taken = [key for key in new if key in known]  # another ledger of the tenant was faster
            if taken:
                raise Conflict(table, f"{taken[0][1:]} exists already")
        store.client_order_ids.update(self._client_ids)
        store.execution_ids.update(self._execution_ids)
        self._ledger.events += self._new_events
        self._ledger.hashes += self._new_hashes
        self._ledger.event_ids.update(recorded.event_id for recorded in self._new_events)
        self._ledger.accounts |= self._new_accounts
        self._ledger.orders |= self._new_orders
        self._ledger.config_version += bool(self._new_accounts)
        store.answers.update({(self.tenant_id, key): answer for key, answer in self._answers.items()})
        store.texts.update({(self.tenant_id, *key): text for key, text in self._texts.items()})
        store.unbooked.update(self._unbooked)
        store.cursors.update({(consumer, self.ledger_id): seq for consumer, seq in self._cursors.items()})
        store.storage.update({(self.tenant_id, *key): value for key, value in self._storage.items()})
