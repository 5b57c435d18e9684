"""Reports that could not be booked, as a list: filters in, the raw report with why and what became of it out."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Select, or_, select

from oms_app.store.queries.paging import Page, Paging, page
from oms_app.store.rows import scope_of
from oms_app.store.tables import ACCOUNT_ROUTES, UNBOOKED_REPORTS
from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import TenantId


class ReportFilter(msgspec.Struct, frozen=True):
    """What a list of unbooked reports shows; None lets everything through.

    allowed_accounts: only reports of broker accounts that are routed from one of these. None means all.
    """

    status: str | None = None
    allowed_accounts: Collection[str] | None = None


class ReportView(msgspec.Struct, frozen=True):
    """A report as the broker told it. account_id is None when no account is routed to its broker account now."""

    report_id: str
    ledger_id: str
    connection_id: str
    broker_account_id: str
    account_id: str | None
    kind: str
    report: dict[str, Any]
    error: str
    status: str
    created_at: datetime
    settled_by: str
    settled_at: datetime | None


def list_reports(unit: RowsUnit, filters: ReportFilter, paging: Paging) -> Page[ReportView]:
    """The reports that pass the filters, newest first."""
    owners = _owners(unit)
    query = _filtered(scope_of(unit), filters, owners)
    return page(unit, query, UNBOOKED_REPORTS.c.report_id, paging, lambda row: _view(row, owners))


def get_report(unit: RowsUnit, report_id: str, filters: ReportFilter) -> ReportView | None:
    """The report, if the tenant has it and it passes the filters."""
    owners = _owners(unit)
    query = _filtered(scope_of(unit), filters, owners).where(UNBOOKED_REPORTS.c.report_id == report_id)
    row = unit.connection.execute(query).one_or_none()
    return _view(row, owners) if row is not None else None


def _owners(unit: RowsUnit) -> dict[str, str]:
    """Broker account -> the trading account that is routed to it."""
    query = select(ACCOUNT_ROUTES.c.broker_account_id, ACCOUNT_ROUTES.c.account_id).where(
        ACCOUNT_ROUTES.c.tenant_id == scope_of(unit)
    )
    return {row.broker_account_id: row.account_id for row in unit.connection.execute(query)}


def _filtered(tenant_id: TenantId, filters: ReportFilter, owners: dict[str, str]) -> Select[Any]:
    columns = UNBOOKED_REPORTS.c
    query = select(UNBOOKED_REPORTS).where(columns.tenant_id == tenant_id)
    if filters.status is not None:
        query = query.where(columns.status == filters.status)
    if filters.allowed_accounts is not None:
        visible = [name for name, account_id in owners.items() if account_id in filters.allowed_accounts]
        named = [columns.report.contains(f'"broker_account_id":"{name}"', autoescape=True) for name in sorted(visible)]
        query = query.where(or_(*named) if named else columns.report_id.is_(None))
    return query


def _view(row: AnyRow, owners: dict[str, str]) -> ReportView:
    report: dict[str, Any] = msgspec.json.decode(row.report)
    broker_account_id = str(report.get("broker_account_id", ""))
    return ReportView(
        report_id=row.report_id,
        ledger_id=row.ledger_id,
        connection_id=row.connection_id,
        broker_account_id=broker_account_id,
        account_id=owners.get(broker_account_id),
        kind=str(report.get("report", "")),
        report=report,
        error=row.error,
        status=row.status,
        created_at=row.created_at,
        settled_by=row.settled_by,
        settled_at=row.settled_at,
    )
