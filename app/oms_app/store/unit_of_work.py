"""The store as flow sees it: units of work that lock, read and append; SQL and in-memory stores both implement this."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

import msgspec

from oms_kernel.contracts.broker import AnyReport
from oms_kernel.domain.account import TradingAccount
from oms_kernel.domain.book import Book
from oms_kernel.domain.calendar import Calendar
from oms_kernel.domain.events import Recorded
from oms_kernel.domain.ids import (
    AccountId,
    BrokerAccountId,
    ConnectionId,
    EventId,
    InstrumentId,
    LedgerId,
    OrderId,
    TenantId,
)
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import Quote


class StoreUnavailable(Exception):
    """The database cannot be reached or did not answer in time; nothing of this unit was stored."""

    code = "store_unavailable"


class CommitUnknown(Exception):
    """The connection was lost in COMMIT: the unit may or may not be stored; look for its event ids under the lock."""

    code = "outcome_unknown"


class Conflict(Exception):
    """A unique key was violated: another unit stored the same id first; read again and decide anew."""

    code = "conflict"


class Route(msgspec.Struct, frozen=True):
    """Where an account's orders go: broker account and the connection that serves it."""

    account_id: AccountId
    broker_account_id: BrokerAccountId
    connection_id: ConnectionId
    broker: str
    """The registered name of the broker connector."""


class LimitRow(msgspec.Struct, frozen=True):
    """One row of limits: parameters of one rule for the tenant (`account_id` None) or one account."""

    limit_id: str
    rule: str
    account_id: AccountId | None
    params: dict[str, Any]
    version: int


class LedgerConfig(msgspec.Struct, frozen=True):
    """What a ledger's batches need to know besides its log; cached until `version` changes."""

    tenant_id: TenantId
    ledger_id: LedgerId
    version: int
    accounts: dict[AccountId, TradingAccount]
    account_names: dict[AccountId, str]
    routes: dict[AccountId, Route]
    limits: tuple[LimitRow, ...]
    limits_version: int


class InstrumentCatalogue(msgspec.Struct, frozen=True):
    """The platform's instruments: by id, and by the symbols (and aliases) under which they are known."""

    version: int
    instruments: dict[InstrumentId, Instrument]
    by_symbol: dict[str, tuple[InstrumentId, ...]]
    """SYMBOL or VENUE:SYMBOL -> candidates; more than one means that the caller must narrow by exchange."""
    calendars: dict[str, Calendar]


class ConnectionState(msgspec.Struct, frozen=True):
    """How a broker connection is, by its row and lease, read with the database's clock."""

    connection_id: ConnectionId
    status: str
    """DISCONNECTED, CONNECTING, RECONCILING or READY."""
    detail: str
    lease_token: int
    lease_holder: str
    lease_expires_at: datetime | None

    def is_ready(self, now: datetime) -> bool:
        """Whether orders may be sent: the session has the lease and finished its reconciliation."""
        return self.status == "READY" and self.lease_expires_at is not None and self.lease_expires_at > now


class StoredAnswer(msgspec.Struct, frozen=True):
    """What an idempotency key stands for: the request's fingerprint and the orders whose versions answer it."""

    key: str
    principal: str
    operation: str
    fingerprint: bytes
    status_code: int
    order_versions: tuple[tuple[OrderId, int], ...]
    extra: dict[str, Any]
    created_at: datetime


class LedgerUnit(Protocol):
    """A transaction that holds one ledger's lock; it was the transaction's first statement.

    now: the database's clock at the lock (the process's on SQLite and in memory). head: the last seq.
    """

    tenant_id: TenantId
    ledger_id: LedgerId
    now: datetime
    head: int
    config_version: int
    catalogue_version: int

    def tail(self, after_seq: int) -> Sequence[Recorded]:
        """The events after a seq, in order."""

    def config(self) -> LedgerConfig:
        """The ledger's accounts, routes and limits."""

    def catalogue(self) -> InstrumentCatalogue:
        """Instruments, aliases and calendars of the platform."""

    def quotes(self, received_after: datetime | None) -> Sequence[Quote]:
        """The rows of last_quotes that changed since (all for None)."""

    def connection_states(self) -> dict[ConnectionId, ConnectionState]:
        """All connections that serve accounts of this ledger's tenant."""

    def answer(self, principal: str, operation: str, key: str) -> StoredAnswer | None:
        """The stored answer of an idempotency key, at most 24 h old."""

    def append(self, events: Sequence[Recorded], book: Book) -> None:
        """Write events and the projections that `book` (the overlay after them) changed.

        Orders, executions, positions, cash and the unique-for-ever ids follow from `book.<map>.changes`.
        Raises Conflict when an id that is unique for ever exists.
        """

    def put_answer(self, answer: StoredAnswer) -> None:
        """Remember what an idempotency key stands for."""

    def put_text(self, order_id: OrderId, kind: str, text: str, salt: bytes) -> None:
        """Store people's free text (tags, notes, reasons) beside the log; `kind` says which."""

    def put_unbooked(self, report_id: str, connection_id: ConnectionId, report: AnyReport, error: str) -> None:
        """Keep a report that could not be booked, raw."""

    def has_events(self, event_ids: Sequence[EventId]) -> bool:
        """Whether a batch that ended in CommitUnknown was stored: all of its ids are there."""


class Store(Protocol):
    """A database for one process; thread-safe."""

    def ledger_unit(self, tenant_id: TenantId, ledger_id: LedgerId) -> AbstractContextManager[LedgerUnit]:
        """A unit that commits when its block ends and rolls back when it raises.

        Raises StoreUnavailable on entry or from its methods, CommitUnknown when COMMIT's outcome is not known.
        """
