"""Alerts as lists and counts: filters in, what people should see out, newest first; accounts out of reach stay out."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Select, func, select

from oms_app.store.queries.paging import Page, Paging, page
from oms_app.store.queries.reading import viewer
from oms_app.store.rows import scope_of
from oms_app.store.tables import ALERTS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import TenantId


class AlertFilter(msgspec.Struct, frozen=True):
    """What a list of alerts shows; None lets everything through. `raised_before` is excluded.

    allowed_accounts: those that the caller may see; then alerts of the ledger as a whole stay out too. None means all.
    """

    severity: str | None = None
    source: str | None = None
    account_id: str | None = None
    acknowledged: bool | None = None
    raised_from: datetime | None = None
    raised_before: datetime | None = None
    allowed_accounts: Collection[str] | None = None


class AlertView(msgspec.Struct, frozen=True):
    """One alert. account_id is None for what concerns the ledger as a whole."""

    alert_id: str
    ledger_id: str
    seq: int
    account_id: str | None
    order_id: str | None
    severity: str
    source: str
    text: str
    what_to_do: str
    raised_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str

    @property
    def is_open(self) -> bool:
        """Whether nobody takes care of it yet."""
        return self.acknowledged_at is None


def list_alerts(unit: RowsUnit, filters: AlertFilter, paging: Paging) -> Page[AlertView]:
    """The alerts that pass the filters, newest first."""
    query = filtered_alerts(scope_of(unit), filters)
    return page(unit, query, ALERTS.c.alert_id, paging, viewer(AlertView))


def get_alerts(unit: RowsUnit, alert_ids: Sequence[str], filters: AlertFilter) -> dict[str, AlertView]:
    """Those of these alerts that the tenant has and that pass the filters."""
    query = filtered_alerts(scope_of(unit), filters).where(ALERTS.c.alert_id.in_(sorted(alert_ids)))
    return {row.alert_id: viewer(AlertView)(row) for row in unit.connection.execute(query)}


def count_open_alerts(unit: RowsUnit, severity: str, allowed_accounts: Collection[str] | None = None) -> int:
    """How many alerts of this severity nobody has acknowledged."""
    wanted = AlertFilter(severity=severity, acknowledged=False, allowed_accounts=allowed_accounts)
    query = filtered_alerts(scope_of(unit), wanted)
    return unit.connection.scalar(select(func.count()).select_from(query.subquery())) or 0


def filtered_alerts(tenant_id: TenantId, filters: AlertFilter) -> Select[Any]:
    """The query behind a list of alerts, neither ordered nor cut into pages."""
    columns = ALERTS.c
    query = select(ALERTS).where(columns.tenant_id == tenant_id)
    equal = (
        (columns.severity, filters.severity),
        (columns.source, filters.source),
        (columns.account_id, filters.account_id),
    )
    for column, wanted in equal:
        if wanted is not None:
            query = query.where(column == wanted)
    if filters.acknowledged is not None:
        seen = columns.acknowledged_at.is_not(None) if filters.acknowledged else columns.acknowledged_at.is_(None)
        query = query.where(seen)
    if filters.allowed_accounts is not None:
        query = query.where(columns.account_id.in_(sorted(filters.allowed_accounts)))
    if filters.raised_from is not None:
        query = query.where(columns.raised_at >= filters.raised_from)
    if filters.raised_before is not None:
        query = query.where(columns.raised_at < filters.raised_before)
    return query
