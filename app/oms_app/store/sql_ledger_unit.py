"""What ledger units on both databases share: reads through SQLAlchemy Core, and rows handed to the dialect's writer."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection

from oms_app.store import chain, config_rows, connector_storage, cursors, instrument_facts, leases, log_rows, unbooked
from oms_app.store.config_rows import connection_resource
from oms_app.store.projected_tables import ANSWERS, LOG, RENEWED_ANSWERS, TEXTS, UNBOOKED, Projection, Rows
from oms_app.store.projection import rows_of
from oms_app.store.types import to_json
from oms_app.store.unit_of_work import (
    ANSWER_LIFE,
    AnswerKey,
    ConnectionState,
    InstrumentCatalogue,
    LedgerConfig,
    StoredAnswer,
    UnbookedReport,
)
from oms_kernel.contracts.broker import AnyReport
from oms_kernel.contracts.rules import InstrumentFacts
from oms_kernel.domain.book import Book
from oms_kernel.domain.events import Recorded
from oms_kernel.domain.ids import ConnectionId, EventId, LedgerId, OrderId, TenantId
from oms_kernel.domain.market import Quote


class SqlLedgerUnit(ABC):
    """A LedgerUnit on a SQLAlchemy connection that holds the ledger's lock."""

    tenant_id: TenantId
    ledger_id: LedgerId
    now: datetime
    clock_offset: timedelta = timedelta(0)
    """See LedgerUnit; a dialect whose server has a clock of its own measures it."""
    head: int
    head_hash: bytes | None
    """The hash of the log's last row; None while it is empty."""
    config_version: int
    catalogue_version: int
    auth_epoch: int

    def __init__(self, connection: Connection, tenant_id: TenantId, ledger_id: LedgerId) -> None:
        self.connection = connection
        self.tenant_id = tenant_id
        self.ledger_id = ledger_id
        self._expired: set[AnswerKey] = set()

    @property
    def leases(self) -> Collection[ConnectionId]:
        """The connections whose leases were read here, where it helps the next unit to know."""
        return ()

    # What a dialect does its own way ----------------------------------------------------------------------

    @abstractmethod
    def lock(self) -> None:
        """Begin, take the ledger's lock and learn now, head, versions and auth epoch. Raises UnknownLedger."""

    @abstractmethod
    def look(self) -> None:
        """Begin without the lock and learn the same, for a unit that only reads. Raises UnknownLedger."""

    @abstractmethod
    def _tail(self, after_seq: int) -> Sequence[Recorded]: ...

    @abstractmethod
    def _write(self, projection: Projection, rows: Rows) -> None: ...

    @abstractmethod
    def _move_head(self, seq: int, recorded_at: datetime, *, config_changed: bool) -> None: ...

    @abstractmethod
    def _count_events(self, event_ids: Sequence[EventId]) -> int: ...

    @abstractmethod
    def _flush(self) -> None:
        """Send what is waiting to be written, so that reads see it."""

    @abstractmethod
    def commit(self) -> None:
        """Write what is waiting and commit."""

    # Reading ----------------------------------------------------------------------------------------------

    def tail(self, after_seq: int) -> Sequence[Recorded]:
        """The events after a seq, in order; without asking the database when there can be none."""
        return () if after_seq >= self.head else self._tail(after_seq)

    def config(self) -> LedgerConfig:
        """The ledger's accounts, routes and limits."""
        self._flush()
        return config_rows.load_ledger_config(self.connection, self.tenant_id, self.ledger_id)

    def catalogue(self) -> InstrumentCatalogue:
        """Instruments, aliases valid now and calendars of the platform."""
        return config_rows.load_catalogue(self.connection, self.now)

    def quotes(self, received_after: datetime | None) -> Sequence[Quote]:
        """The rows of last_quotes that changed since (all for None)."""
        return config_rows.load_quotes(self.connection, received_after)

    def instrument_facts(self, updated_after: datetime | None) -> Sequence[tuple[InstrumentFacts, datetime]]:
        """What is known of instruments, each with when it was stored: all for None, or what was stored since."""
        return instrument_facts.load(self.connection, updated_after)

    def connection_states(self) -> dict[ConnectionId, ConnectionState]:
        """All connections of this ledger's tenant, with their leases."""
        return config_rows.load_connection_states(self.connection, self.tenant_id)

    def answer(self, principal: str, operation: str, key: str) -> StoredAnswer | None:
        """The stored answer of an idempotency key, at most 24 h old."""
        return self.answers([(principal, operation, key)]).get((principal, operation, key))

    def answers(self, keys: Sequence[AnswerKey]) -> dict[AnswerKey, StoredAnswer]:
        """The stored answers of many keys at once, each at most 24 h old."""
        if not keys:
            return {}
        self._flush()
        found = config_rows.load_answers(self.connection, self.tenant_id, keys)
        self._expired.update(key for key, answer in found.items() if self.now - answer.created_at > ANSWER_LIFE)
        return {key: answer for key, answer in found.items() if key not in self._expired}

    def has_events(self, event_ids: Sequence[EventId]) -> bool:
        """Whether all of these events are stored."""
        self._flush()
        return self._count_events(event_ids) == len(set(event_ids))

    def events_at(self, seqs: Sequence[int]) -> Sequence[Recorded]:
        """The events with these seqs, in order."""
        self._flush()
        return log_rows.events_at(self.connection, self.tenant_id, self.ledger_id, seqs)

    def events_of(self, order_ids: Sequence[OrderId]) -> Sequence[Recorded]:
        """The events of these orders, in order."""
        self._flush()
        return log_rows.events_of_orders(self.connection, self.tenant_id, order_ids)

    def lease_token(self, connection_id: ConnectionId) -> int | None:
        """The token of the connection's present lease, read now, after the ledger lock; None: nobody holds it."""
        return leases.present_token(self.connection, connection_resource(connection_id), self.now)

    def storage_get(self, connection_id: ConnectionId, key: str) -> str | None:
        """A value of the connector's durable store."""
        return connector_storage.get_value(self.connection, self.tenant_id, connection_id, key)

    # Writing ----------------------------------------------------------------------------------------------

    def append(self, events: Sequence[Recorded], book: Book) -> None:
        """Write events and the projections that `book` (the overlay after them) changed."""
        if not events:
            return
        expected = range(self.head + 1, self.head + 1 + len(events))
        if any(recorded.seq != seq for recorded, seq in zip(events, expected, strict=True)):
            raise ValueError(
                f"events {events[0].seq} to {events[-1].seq} do not follow event {self.head} without a gap"
            )
        for projection, rows in rows_of(events, book):
            if projection is LOG:
                rows, self.head_hash = chain.extended(self.tenant_id, self.ledger_id, self.head_hash, rows)
            self._write(projection, rows)
        last = events[-1]
        self._move_head(last.seq, last.recorded_at, config_changed=bool(book.accounts.changes))
        self.head = last.seq

    def put_answer(self, answer: StoredAnswer) -> None:
        """Remember what an idempotency key stands for; an expired answer that was read here is replaced."""
        key = (answer.principal, answer.operation, answer.key)
        projection = RENEWED_ANSWERS if key in self._expired else ANSWERS
        row: tuple[Any, ...] = (
            *key,
            bytearray(answer.fingerprint),
            answer.status_code,
            to_json(answer.order_versions).encode(),
            to_json(answer.extra).encode(),
            answer.created_at,
        )
        self._write(projection, [row])

    def put_text(self, order_id: OrderId, kind: str, text: str, salt: bytes) -> None:
        """Store people's free text beside the log."""
        self._write(TEXTS, [(order_id, kind, text, bytearray(salt), self.now)])

    def put_unbooked(self, report_id: str, connection_id: ConnectionId, report: AnyReport, error: str) -> None:
        """Keep a report that could not be booked, raw."""
        raw = msgspec.json.encode(report)
        self._write(UNBOOKED, [(report_id, connection_id, raw, error.replace("\0", ""), "OPEN", self.now, self.now)])

    def unbooked(self, report_id: str) -> UnbookedReport | None:
        """A report of this ledger that could not be booked, whatever became of it."""
        self._flush()
        return next(iter(unbooked.load(self.connection, self.tenant_id, self.ledger_id, report_id=report_id)), None)

    def open_unbooked(self) -> Sequence[UnbookedReport]:
        """The reports of this ledger that nobody has settled, oldest first."""
        self._flush()
        return unbooked.load(self.connection, self.tenant_id, self.ledger_id, status="OPEN")

    def settle_unbooked(self, report: UnbookedReport) -> None:
        """Store what became of the report."""
        self._flush()
        unbooked.settle(self.connection, self.tenant_id, report, self.now)

    def advance_cursor(self, consumer: str, expected_seq: int, seq: int) -> bool:
        """Move a consumer's cursor in this transaction; False when it no longer stands at `expected_seq`."""
        return cursors.advance_on(self.connection, self.now, consumer, self.ledger_id, expected_seq, seq)

    def storage_put(self, connection_id: ConnectionId, key: str, value: str) -> None:
        """Remember a value of the connector's durable store, with this transaction."""
        connector_storage.put_value(self.connection, self.now, self.tenant_id, connection_id, key, value)
