"""Breaks as lists and details: filters in, where broker and book differ out, newest first, with what people wrote."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Select, select

from oms_app.store.queries.paging import Page, Paging, page
from oms_app.store.queries.reading import viewer
from oms_app.store.rows import scope_of
from oms_app.store.tables import ORDER_TEXTS, RECONCILIATION_BREAKS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.breaks import Severity
from oms_kernel.domain.ids import TenantId

BREAK_TEXT = "break_resolution"


class BreakFilter(msgspec.Struct, frozen=True):
    """What a list of breaks shows; None lets everything through. `found_before` is excluded.

    allowed_accounts: those that the caller may see; then breaks of no account stay out too. None means all.
    """

    break_type: str | None = None
    severity: str | None = None
    account_id: str | None = None
    broker_account_id: str | None = None
    resolved: bool | None = None
    found_from: datetime | None = None
    found_before: datetime | None = None
    allowed_accounts: Collection[str] | None = None


class BreakView(msgspec.Struct, frozen=True):
    """One break with what each side says. account_id is None while no account is routed to it."""

    break_id: str
    ledger_id: str
    broker_account_id: str
    account_id: str | None
    order_id: str | None
    instrument_id: str | None
    currency: str | None
    symbol: str
    break_type: str
    severity: str
    subject: str
    ours: str
    theirs: str
    proposed_fix: str
    found_at: datetime
    as_of: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str
    resolved_at: datetime | None
    resolved_by: str
    resolution: str
    auto_fixed: bool

    @property
    def is_critical(self) -> bool:
        """Whether a person has to look at once."""
        return self.severity == Severity.CRITICAL

    @property
    def is_resolved(self) -> bool:
        """Whether it has ended."""
        return self.resolved_at is not None

    def hours_unresolved(self, now: datetime) -> float:
        """How long it is, or was, open, in hours."""
        return max(0.0, ((self.resolved_at or now) - self.found_at).total_seconds() / 3600)


def list_breaks(unit: RowsUnit, filters: BreakFilter, paging: Paging) -> Page[BreakView]:
    """The breaks that pass the filters, newest first."""
    query = filtered_breaks(scope_of(unit), filters)
    return page(unit, query, RECONCILIATION_BREAKS.c.break_id, paging, viewer(BreakView))


def get_break(unit: RowsUnit, break_id: str, filters: BreakFilter) -> BreakView | None:
    """The break, if the tenant has it and it passes the filters."""
    query = filtered_breaks(scope_of(unit), filters).where(RECONCILIATION_BREAKS.c.break_id == break_id)
    row = unit.connection.execute(query).one_or_none()
    return viewer(BreakView)(row) if row is not None else None


def break_texts(unit: RowsUnit, break_ids: Sequence[str]) -> dict[str, str]:
    """What people wrote when they resolved these breaks, by break."""
    if not break_ids:
        return {}
    query = select(ORDER_TEXTS.c.order_id, ORDER_TEXTS.c.text).where(
        ORDER_TEXTS.c.tenant_id == scope_of(unit),
        ORDER_TEXTS.c.order_id.in_(break_ids),
        ORDER_TEXTS.c.kind == BREAK_TEXT,
    )
    return {row.order_id: row.text for row in unit.connection.execute(query)}


def filtered_breaks(tenant_id: TenantId, filters: BreakFilter) -> Select[Any]:
    """The query behind a list of breaks, neither ordered nor cut into pages."""
    columns = RECONCILIATION_BREAKS.c
    query = select(RECONCILIATION_BREAKS).where(columns.tenant_id == tenant_id)
    equal = (
        (columns.break_type, filters.break_type),
        (columns.severity, filters.severity),
        (columns.account_id, filters.account_id),
        (columns.broker_account_id, filters.broker_account_id),
    )
    for column, wanted in equal:
        if wanted is not None:
            query = query.where(column == wanted)
    if filters.resolved is not None:
        query = query.where(columns.resolved_at.is_not(None) if filters.resolved else columns.resolved_at.is_(None))
    if filters.allowed_accounts is not None:
        query = query.where(columns.account_id.in_(sorted(filters.allowed_accounts)))
    if filters.found_from is not None:
        query = query.where(columns.found_at >= filters.found_from)
    if filters.found_before is not None:
        query = query.where(columns.found_at < filters.found_before)
    return query
