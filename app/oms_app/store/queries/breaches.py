"""Breaches of limits as lists and details: filters in, newest first, with what people noted and the event behind."""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Select, select

from oms_app.store.queries.paging import Page, Paging, page
from oms_app.store.queries.reading import viewer
from oms_app.store.rows import scope_of
from oms_app.store.tables import BREACHES, EVENT_LOG, ORDER_TEXTS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.controls import Category
from oms_kernel.domain.events import LimitBreached, decode_event
from oms_kernel.domain.ids import EventId, TenantId

NOTE = "n:"
"""How the kind of a note begins; the id of its event follows."""


class BreachFilter(msgspec.Struct, frozen=True):
    """What a list of breaches shows; None lets everything through. `breached_before` is excluded.

    categories: those that the caller may see. allowed_accounts: those that the caller may see; then breaches of no
    account stay out too. None means all.
    """

    categories: tuple[Category, ...] = tuple(Category)
    rule: str | None = None
    account_id: str | None = None
    is_open: bool | None = None
    breached_from: datetime | None = None
    breached_before: datetime | None = None
    allowed_accounts: Collection[str] | None = None


class BreachView(msgspec.Struct, frozen=True):
    """One breach of a limit."""

    breach_id: str
    ledger_id: str
    limit_id: str
    key: str
    rule: str
    account_id: str | None
    strategy_id: str | None
    instrument_id: str | None
    category: str
    action: str
    message: str
    observed: Decimal | None
    limit_value: Decimal | None
    unit: str
    breached_at: datetime
    assigned_to: str
    closed_at: datetime | None
    closed_by: str
    finding: str

    @property
    def status(self) -> str:
        """OPEN, ASSIGNED or CLOSED."""
        if self.closed_at is not None:
            return "CLOSED"
        return "ASSIGNED" if self.assigned_to else "OPEN"


class BreachNote(msgspec.Struct, frozen=True):
    """What a person wrote about a breach; event_id names the event that holds its hash."""

    event_id: str
    text: str
    written_at: datetime


def note_kind(event_id: EventId) -> str:
    """The kind under which a note stands beside the log, under its breach's id."""
    return f"{NOTE}{event_id}"


def list_breaches(unit: RowsUnit, filters: BreachFilter, paging: Paging) -> Page[BreachView]:
    """The breaches that pass the filters, newest first."""
    return page(unit, filtered_breaches(scope_of(unit), filters), BREACHES.c.breach_id, paging, viewer(BreachView))


def get_breach(unit: RowsUnit, breach_id: str, filters: BreachFilter) -> BreachView | None:
    """The breach, if the tenant has it and it passes the filters."""
    query = filtered_breaches(scope_of(unit), filters).where(BREACHES.c.breach_id == breach_id)
    row = unit.connection.execute(query).one_or_none()
    return viewer(BreachView)(row) if row is not None else None


def breach_notes(unit: RowsUnit, breach_id: str) -> list[BreachNote]:
    """What people wrote about a breach, oldest first."""
    columns = ORDER_TEXTS.c
    query = select(ORDER_TEXTS).where(columns.tenant_id == scope_of(unit), columns.order_id == breach_id)
    rows = unit.connection.execute(query.order_by(columns.created_at, columns.kind))
    return [
        BreachNote(event_id=row.kind.removeprefix(NOTE), text=row.text, written_at=row.created_at)
        for row in rows
        if row.kind.startswith(NOTE)
    ]


def breach_event(unit: RowsUnit, breach_id: str) -> LimitBreached | None:
    """The event that told the breach."""
    columns = EVENT_LOG.c
    query = select(columns.kind, columns.version, columns.payload).where(
        columns.tenant_id == scope_of(unit), columns.event_id == breach_id
    )
    row = unit.connection.execute(query).one_or_none()
    event = decode_event(row.kind, row.version, row.payload) if row is not None else None
    return event if isinstance(event, LimitBreached) else None


def filtered_breaches(tenant_id: TenantId, filters: BreachFilter) -> Select[Any]:
    """The query behind a list of breaches, neither ordered nor cut into pages."""
    columns = BREACHES.c
    query = select(BREACHES).where(columns.tenant_id == tenant_id)
    if len(filters.categories) != len(Category):
        query = query.where(columns.category.in_([category.value for category in filters.categories]))
    if filters.rule is not None:
        query = query.where(columns.rule == filters.rule)
    if filters.account_id is not None:
        query = query.where(columns.account_id == filters.account_id)
    if filters.is_open is not None:
        query = query.where(columns.closed_at.is_(None) if filters.is_open else columns.closed_at.is_not(None))
    if filters.breached_from is not None:
        query = query.where(columns.breached_at >= filters.breached_from)
    if filters.breached_before is not None:
        query = query.where(columns.breached_at < filters.breached_before)
    if filters.allowed_accounts is not None:
        query = query.where(columns.account_id.in_(sorted(filters.allowed_accounts)))
    return query
