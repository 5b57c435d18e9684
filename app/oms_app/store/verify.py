"""Fold a ledger's log afresh and compare every row that was written from it: any difference is named, none is repaired.

Guarantee: an empty `differences` means that seq has no gap, time never went back, the chain of hashes is whole, and
each projection and each id that is unique for ever is exactly what the log says.
"""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, select

from oms_app.store import chain, log_rows
from oms_app.store import projected_tables as pt
from oms_app.store.projection import book_rows, event_rows, execution_row, is_of_switch, switch_event_row
from oms_app.store.schema import METADATA
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import EVENT_LOG, LEDGERS, TRADING_ACCOUNTS
from oms_app.store.types import AnyRow, Day
from oms_app.store.unit_of_work import UnknownLedger
from oms_kernel.domain.book import Book
from oms_kernel.domain.errors import KernelError
from oms_kernel.domain.events import OrderFilled, Recorded
from oms_kernel.domain.ids import LedgerId, TenantId

PAGE = 5_000
MOST_DIFFERENCES = 1_000
_NOT_FOLDED = frozenset({"updated_at", "created_at", "closed_at", "name"})
"""Columns that say when a row was written, or that people set; the log does not tell them."""
_OF_BOOK = (
    pt.ACCOUNTS,
    pt.ORDERS,
    pt.POSITIONS,
    pt.CASH,
    pt.DAYS,
    pt.QUARANTINES,
    pt.BREAKS,
    pt.BREACHES,
    pt.KILL_SWITCHES,
    pt.LIQUIDATIONS,
)
"""What the book after the log says whole."""

Key = tuple[Any, ...]
Values = dict[str, Any]


class VerifyReport(msgspec.Struct, frozen=True):
    """What verifying one ledger found; clean when there is no difference."""

    events: int
    orders: int
    differences: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Whether every row is what the log says."""
        return not self.differences


def verify(store: SqlStore, tenant_id: TenantId, ledger_id: LedgerId) -> VerifyReport:
    """Compare one ledger's rows with its log, in one snapshot. Raises UnknownLedger, StoreUnavailable."""
    with store.read_unit(tenant_id) as unit:
        if store.dialect == "postgresql":
            # Folding and comparing a long log takes longer than a serving transaction may be idle.
            unit.connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '1h'")
        fold = _Fold()
        differences = list(_read_log(unit.connection, tenant_id, ledger_id, fold))
        if fold.is_whole:
            differences += _compare_rows(unit.connection, tenant_id, ledger_id, fold)
    return VerifyReport(
        events=fold.book.seq, orders=len(fold.book.orders), differences=tuple(differences[:MOST_DIFFERENCES])
    )


class _Fold:
    """The book of the whole log, and the rows that come from single events rather than from the book."""

    def __init__(self) -> None:
        self.book = Book()
        self.is_whole = True
        self.single: dict[str, list[pt.Row]] = {"client_order_ids": [], "execution_ids": [], "rule_denials": []}
        self.switch_events: list[pt.Row] = []
        self.alerts: dict[str, pt.Row] = {}
        self.births: dict[tuple[str, str], Recorded] = {}

    def apply(self, recorded: Recorded) -> None:
        self.book.apply(recorded)
        for projection in (pt.CLIENT_IDS, pt.EXECUTION_IDS, pt.DENIALS):
            self.single[projection.table] += event_rows(projection, recorded)
        if is_of_switch(recorded):
            self.switch_events.append(switch_event_row(recorded, self.book))
        for row in event_rows(pt.ALERTS, recorded):
            self.alerts[row[0]] = row
        for alert_id, *acknowledged in event_rows(pt.ALERT_CHANGES, recorded):
            self.alerts[alert_id] = (*self.alerts[alert_id][: -len(acknowledged)], *acknowledged)
        if isinstance(recorded.event, OrderFilled):
            fill = recorded.event.fill
            self.births[fill.broker_account_id, fill.exec_id] = recorded

    def expected(self) -> Iterator[tuple[pt.Projection, list[pt.Row]]]:
        """Every projection with the rows that it must have."""
        at = self.book.recorded_at
        assert at is not None
        for projection in _OF_BOOK:
            yield projection, book_rows(projection, self.book, at)
        for projection in (pt.CLIENT_IDS, pt.EXECUTION_IDS, pt.DENIALS):
            yield projection, self.single[projection.table]
        yield pt.ALERTS, list(self.alerts.values())
        yield pt.SWITCH_EVENTS, self.switch_events
        fills = self.book.executions.items()
        yield pt.EXECUTIONS, [execution_row(fill, self.births[key], at) for key, fill in fills]


def _read_log(connection: Connection, tenant_id: TenantId, ledger_id: LedgerId, fold: _Fold) -> Iterator[str]:
    ledger = connection.execute(
        select(LEDGERS.c.seq, LEDGERS.c.head_recorded_at, LEDGERS.c.head_hash).where(
            LEDGERS.c.tenant_id == tenant_id, LEDGERS.c.ledger_id == ledger_id
        )
    ).one_or_none()
    if ledger is None:
        raise UnknownLedger(ledger_id)
    last: datetime | None = None
    present = chain.genesis(tenant_id, ledger_id)
    while page := _page(connection, tenant_id, ledger_id, fold.book.seq):
        for recorded, row in page:
            if recorded.seq != fold.book.seq + 1:
                yield f"event_log: seq {recorded.seq} follows {fold.book.seq}"
                fold.is_whole = False
                return
            if last is not None and recorded.recorded_at < last:
                yield f"event_log {recorded.seq}: its time {recorded.recorded_at} lies before that of the event before"
            last = recorded.recorded_at
            present = chain.hash_of_row(present, row)
            if row.hash != present:
                yield f"event_log {recorded.seq}: its hash is not that of the row and the rows before it"
                present = row.hash
            if (row.account_id, row.order_id) != (recorded.event.account_id, recorded.order_id):
                yield f"event_log {recorded.seq}: account_id or order_id is not that of the event"
            try:
                fold.apply(recorded)
            except (KernelError, KeyError, AssertionError) as error:
                yield f"event_log {recorded.seq}: {recorded.event.kind} cannot be folded: {error!r}"
                fold.is_whole = False
                return
    if ledger.seq != fold.book.seq:
        yield f"ledgers: seq is {ledger.seq}, the log ends at {fold.book.seq}"
    if (ledger.head_hash or chain.genesis(tenant_id, ledger_id)) != present:
        yield "ledgers: head_hash is not that of the last event"
    if ledger.head_recorded_at != last:
        yield f"ledgers: head_recorded_at is {ledger.head_recorded_at}, the last event's is {last}"


def _page(
    connection: Connection, tenant_id: TenantId, ledger_id: LedgerId, after_seq: int
) -> list[tuple[Recorded, AnyRow]]:
    query = (
        select(EVENT_LOG)
        .where(EVENT_LOG.c.tenant_id == tenant_id, EVENT_LOG.c.ledger_id == ledger_id, EVENT_LOG.c.seq > after_seq)
        .order_by(EVENT_LOG.c.seq)
        .limit(PAGE)
    )
    return [(log_rows.recorded_of(row), row) for row in connection.execute(query)]


def _compare_rows(connection: Connection, tenant_id: TenantId, ledger_id: LedgerId, fold: _Fold) -> Iterator[str]:
    if not fold.book.seq:
        expected: list[tuple[pt.Projection, list[pt.Row]]] = [
            (projection, [])
            for projection in pt.PROJECTIONS
            if projection not in (pt.LOG, pt.EXECUTION_CHANGES, pt.ALERT_CHANGES)
        ]
    else:
        expected = list(fold.expected())
    for projection, rows in expected:
        yield from _compare(connection, tenant_id, ledger_id, projection, rows)


def _compare(
    connection: Connection, tenant_id: TenantId, ledger_id: LedgerId, projection: pt.Projection, rows: list[pt.Row]
) -> Iterator[str]:
    table = METADATA.tables[projection.table]
    names = [name for name in projection.columns if name not in _NOT_FOLDED]
    key_names = [name for name in projection.key if name not in ("tenant_id", "ledger_id")]
    wanted = dict(_keyed(_of_log(projection, table, row), key_names) for row in rows)
    query = select(*(table.c[name] for name in names)).where(
        table.c.tenant_id == tenant_id, table.c.ledger_id == ledger_id
    )
    if table is TRADING_ACCOUNTS:
        query = query.where(TRADING_ACCOUNTS.c.is_opened)
    stored = dict(_keyed(dict(row), key_names) for row in connection.execute(query).mappings())
    for key, values in wanted.items():
        label = f"{projection.table} {' '.join(str(part) for part in key)}"
        found = stored.get(key)
        if found is None:
            yield f"{label}: the row is missing"
            continue
        for name in names:
            if found[name] != values[name]:
                yield f"{label}: {name} is {found[name]!r}, the log says {values[name]!r}"
    for key in stored.keys() - wanted.keys():
        yield f"{projection.table} {' '.join(str(part) for part in key)}: the log knows no such row"


def _keyed(values: Values, key_names: list[str]) -> tuple[Key, Values]:
    return tuple(values[name] for name in key_names), values


def _of_log(projection: pt.Projection, table: Table, row: pt.Row) -> Values:
    """A projection's row as the database gives it back."""
    values = dict(zip(projection.columns, row, strict=True))
    for name, value in values.items():
        if isinstance(value, bytes):
            values[name] = value.decode()
        elif isinstance(value, str) and isinstance(table.c[name].type, Day):
            values[name] = date.fromisoformat(value)
    return values
