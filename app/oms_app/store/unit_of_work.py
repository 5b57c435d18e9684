"""The store as flow sees it: units of work that lock, read and append; SQL and in-memory stores both implement this."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec
from sqlalchemy import Connection

from oms_kernel.contracts.broker import AnyReport
from oms_kernel.contracts.rules import InstrumentFacts
from oms_kernel.domain.account import TradingAccount
from oms_kernel.domain.book import Book
from oms_kernel.domain.calendar import Calendar
from oms_kernel.domain.controls import Action
from oms_kernel.domain.decision import RuleSeverity
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
from oms_kernel.domain.scope import EVERYTHING, Scope


class StoreUnavailable(Exception):
    """The database cannot be reached or did not answer in time; nothing of this unit was stored."""

    code = "store_unavailable"


class CommitUnknown(Exception):
    """The connection was lost in COMMIT: the unit may or may not be stored; look for its event ids under the lock."""

    code = "outcome_unknown"


class Conflict(Exception):
    """A unique key was violated: another unit stored the same id first; read again and decide anew.

    table: where the key stood already, for instance `client_order_ids` or `execution_ids`.
    """

    code = "conflict"

    def __init__(self, table: str, detail: str = "") -> None:
        super().__init__(f"{table}: {detail or 'the key exists already'}")
        self.table = table
        self.detail = detail


class RowRefused(Exception):
    """A constraint or policy of the database refused a row: a defect of the caller; nothing of this unit was stored."""

    code = "row_refused"


class UnknownLedger(LookupError):
    """The tenant has no such ledger."""

    code = "unknown_ledger"


class UnsafeRole(Exception):
    """The database role may see every tenant (superuser, BYPASSRLS or owner of the tables): it must not serve."""

    code = "unsafe_role"


class UnfencedTables(Exception):
    """Tables of the database could show a tenant another one's rows: do not serve. `found` names each and its fix."""

    code = "unfenced_tables"

    def __init__(self, found: tuple[str, ...]) -> None:
        super().__init__("; ".join(found))
        self.found = found


class Route(msgspec.Struct, frozen=True):
    """Where an account's orders go: broker account and the connection that serves it."""

    account_id: AccountId
    broker_account_id: BrokerAccountId
    connection_id: ConnectionId
    broker: str
    """The registered name of the broker connector."""


class LimitRow(msgspec.Struct, frozen=True):
    """One limit: parameters of one rule, check or monitor, for a scope, from when until when, how severely.

    action: what its triggers set off; None: what the rule's class names. updated_by: who changed it last.
    """

    limit_id: str
    rule: str
    params: dict[str, Any]
    version: int
    scope: Scope = EVERYTHING
    severity: RuleSeverity = RuleSeverity.HARD
    action: Action | None = None
    effective_from: datetime | None = None
    effective_until: datetime | None = None
    name: str = ""
    updated_by: str = ""


class LedgerConfig(msgspec.Struct, frozen=True):
    """What a ledger's batches need to know besides its log; cached until `version` changes."""

    tenant_id: TenantId
    ledger_id: LedgerId
    version: int
    accounts: dict[AccountId, TradingAccount]
    account_names: dict[AccountId, str]
    routes: dict[AccountId, Route]
    limits: tuple[LimitRow, ...]
    """The tenant's limits in force and those of the firm, without those of accounts of other ledgers."""
    limits_version: int
    settings: dict[str, Any] = {}
    """What the tenant decided for itself, as stored; `flow.tenant_settings` reads it."""


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


class UnbookedReport(msgspec.Struct, frozen=True):
    """A broker's report that could not be booked, kept raw. status: OPEN, BOOKED or DISMISSED."""

    report_id: str
    connection_id: ConnectionId
    report: AnyReport
    error: str
    status: str
    created_at: datetime
    settled_by: str = ""
    settled_at: datetime | None = None


AnswerKey = tuple[str, str, str]
"""(principal, operation, key) of an idempotency key."""
ANSWER_LIFE = timedelta(hours=24)
"""How long an idempotency key stands for its answer; after that it may be used anew."""


class LedgerUnit(Protocol):
    """A transaction that holds one ledger's lock; it was the transaction's first statement.

    now: the database's clock at the lock (the process's on SQLite and in memory). head: the last seq.
    clock_offset: by how much the process's clock is at least ahead of `now`'s, negative when it is behind; 0 where
    they are one clock. auth_epoch: the tenant's, read with the lock.
    """

    tenant_id: TenantId
    ledger_id: LedgerId
    now: datetime
    clock_offset: timedelta
    head: int
    config_version: int
    catalogue_version: int
    auth_epoch: int

    def tail(self, after_seq: int) -> Sequence[Recorded]:
        """The events after a seq, in order."""

    def config(self) -> LedgerConfig:
        """The ledger's accounts, routes and limits."""

    def catalogue(self) -> InstrumentCatalogue:
        """Instruments, aliases and calendars of the platform."""

    def quotes(self, received_after: datetime | None) -> Sequence[Quote]:
        """The rows of last_quotes that changed since (all for None)."""

    def instrument_facts(self, updated_after: datetime | None) -> Sequence[tuple[InstrumentFacts, datetime]]:
        """What is known of instruments, each with when it was stored: all for None, or what was stored since."""

    def connection_states(self) -> dict[ConnectionId, ConnectionState]:
        """All connections that serve accounts of this ledger's tenant."""

    def answer(self, principal: str, operation: str, key: str) -> StoredAnswer | None:
        """The stored answer of an idempotency key, at most 24 h old."""

    def answers(self, keys: Sequence[AnswerKey]) -> dict[AnswerKey, StoredAnswer]:
        """The stored answers of many (principal, operation, key) at once, each at most 24 h old."""

    def append(self, events: Sequence[Recorded], book: Book) -> None:
        """Write events and the projections that `book` (the overlay after them) changed.

        Orders, executions, positions and cash follow from `book.<map>.changes`, the ids that are unique for ever
        from the events. Raises ValueError when the events do not follow `head`. The rows go out with COMMIT (or with
        the unit's next read): Conflict, when an id that is unique for ever exists, may come only when the block ends.
        """

    def put_answer(self, answer: StoredAnswer) -> None:
        """Remember what an idempotency key stands for."""

    def put_text(self, order_id: OrderId, kind: str, text: str, salt: bytes) -> None:
        """Store people's free text (tags, notes, reasons) beside the log; `kind` says which."""

    def put_unbooked(self, report_id: str, connection_id: ConnectionId, report: AnyReport, error: str) -> None:
        """Keep a report that could not be booked, raw."""

    def unbooked(self, report_id: str) -> UnbookedReport | None:
        """A report of this ledger that could not be booked, whatever became of it."""

    def open_unbooked(self) -> Sequence[UnbookedReport]:
        """The reports of this ledger that nobody has settled, oldest first."""

    def settle_unbooked(self, report: UnbookedReport) -> None:
        """Store what became of the report: its status, by whom and when."""

    def events_at(self, seqs: Sequence[int]) -> Sequence[Recorded]:
        """The events with these seqs, in order; for answering a replayed request from the version it made."""

    def events_of(self, order_ids: Sequence[OrderId]) -> Sequence[Recorded]:
        """The events of these orders, in order; for answering a replayed request from the version it made."""

    def advance_cursor(self, consumer: str, expected_seq: int, seq: int) -> bool:
        """Move a consumer's cursor in this transaction; False when it no longer stands at `expected_seq`."""

    def lease_token(self, connection_id: ConnectionId) -> int | None:
        """The token of the connection's present lease, read now, after the ledger lock; None: nobody holds it."""

    def storage_get(self, connection_id: ConnectionId, key: str) -> str | None:
        """A value of the connector's durable store."""

    def storage_put(self, connection_id: ConnectionId, key: str, value: str) -> None:
        """Remember a value of the connector's durable store, with this transaction."""

    def has_events(self, event_ids: Sequence[EventId]) -> bool:
        """Whether a batch that ended in CommitUnknown was stored: all of its ids are there."""


class AccountDirectory(msgspec.Struct, frozen=True):
    """Where a tenant's trading accounts live."""

    ledgers: dict[AccountId, LedgerId]
    by_broker_account: dict[BrokerAccountId, AccountId]


class CannotOpen(Exception):
    """The sealed bytes do not belong here or were sealed with another key; enter the secret again."""

    code = "cannot_open"


class KeySealer(Protocol):
    """Seals keys for their row, and opens them there only."""

    def seal(self, tenant_id: str, table: str, row_id: str, secrets: dict[str, str]) -> bytes:
        """The secrets, encrypted and bound to their row."""

    def open(self, tenant_id: str, table: str, row_id: str, sealed: bytes) -> dict[str, Any]:
        """The secrets again. Raises CannotOpen."""


class RowsUnit(Protocol):
    """A transaction over rows other than a ledger's log: `connection` executes SQLAlchemy Core statements.

    tenant_id: whose rows it may touch; None for a unit of the platform, which sees no tenant's rows.
    now: the database's clock when the unit began (the process's on SQLite).
    appended: the ledgers whose log got longer by an administrative event; the store tells of them after the commit.
    sealer: seals the keys of persons; None: this store keeps no text of persons.
    """

    tenant_id: TenantId | None
    connection: Connection
    now: datetime
    appended: list[LedgerId]
    sealer: KeySealer | None
    bumped: set[str]


class Snapshot(msgspec.Struct, frozen=True):
    """A book after `seq` events, frozen by a build whose fold has this version."""

    seq: int
    version: str
    book: bytes


class Store(Protocol):
    """A database for one process; thread-safe."""

    def snapshot(self, tenant_id: TenantId, ledger_id: LedgerId, version: str) -> Snapshot | None:
        """The ledger's snapshot of this version of the fold, or None."""

    def snapshot_seq(self, tenant_id: TenantId, ledger_id: LedgerId, version: str) -> int:
        """Where that snapshot stands; 0 without one."""

    def put_snapshot(self, tenant_id: TenantId, ledger_id: LedgerId, snapshot: Snapshot) -> None:
        """Replace the ledger's snapshot, unless a later one of the same version stands there already."""

    def account_directory(self, tenant_id: TenantId) -> AccountDirectory:
        """The tenant's open trading accounts with their ledgers, and which broker account routes to which."""

    def ledger_of_order(self, tenant_id: TenantId, order_id: OrderId) -> LedgerId | None:
        """The ledger that holds an order, or None when the tenant has no such order."""

    def heads(self, ledger_ids: Sequence[LedgerId]) -> dict[LedgerId, int]:
        """The last seq of each ledger: one cheap read, the poll of every consumer."""

    def auth_epoch(self, tenant_id: TenantId) -> int:
        """How often something was taken from anybody of the tenant: one cheap read, at the begin of each request."""

    def ledgers(self) -> Sequence[tuple[TenantId, LedgerId]]:
        """All ledgers of the platform."""

    def events(
        self,
        tenant_id: TenantId,
        ledger_id: LedgerId,
        after_seq: int,
        limit: int = 500,
        *,
        account_ids: frozenset[str] | None = None,
    ) -> Sequence[Recorded]:
        """Committed events after a seq, in order, without taking the ledger's lock; of some accounts, when named."""

    def look_unit(self, tenant_id: TenantId, ledger_id: LedgerId) -> AbstractContextManager[LedgerUnit]:
        """A unit that shows the ledger as it is committed, waits for nobody's lock, and may not write.

        Raises UnknownLedger and StoreUnavailable.
        """

    def ledger_unit(self, tenant_id: TenantId, ledger_id: LedgerId) -> AbstractContextManager[LedgerUnit]:
        """A unit that commits when its block ends and rolls back when it raises.

        Raises UnknownLedger and StoreUnavailable on entry, StoreUnavailable from its methods, and when the block ends
        Conflict, RowRefused, StoreUnavailable (nothing was stored) or CommitUnknown.
        """
