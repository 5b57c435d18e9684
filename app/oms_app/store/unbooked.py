"""Reports that could not be booked: kept raw, read back as the report they are, settled by a person."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, select, update

from oms_app.store.tables import UNBOOKED_REPORTS
from oms_app.store.unit_of_work import UnbookedReport
from oms_kernel.contracts.broker import AnyReport
from oms_kernel.domain.ids import ConnectionId, LedgerId, TenantId

_DECODER: msgspec.json.Decoder[AnyReport] = msgspec.json.Decoder(AnyReport)


def load(
    connection: Connection,
    tenant_id: TenantId,
    ledger_id: LedgerId,
    *,
    report_id: str | None = None,
    status: str | None = None,
) -> list[UnbookedReport]:
    """The reports of one ledger, oldest first; all, or the one of an id, or those of a status."""
    table = UNBOOKED_REPORTS
    query = select(table).where(table.c.tenant_id == tenant_id, table.c.ledger_id == ledger_id)
    if report_id is not None:
        query = query.where(table.c.report_id == report_id)
    if status is not None:
        query = query.where(table.c.status == status)
    return [
        UnbookedReport(
            report_id=row.report_id,
            connection_id=ConnectionId(row.connection_id),
            report=_DECODER.decode(row.report),
            error=row.error,
            status=row.status,
            created_at=row.created_at,
            settled_by=row.settled_by,
            settled_at=row.settled_at,
        )
        for row in connection.execute(query.order_by(table.c.report_id))
    ]


def settle(connection: Connection, tenant_id: TenantId, report: UnbookedReport, now: datetime) -> None:
    """Store what became of a report."""
    table = UNBOOKED_REPORTS
    connection.execute(
        update(table)
        .where(table.c.tenant_id == tenant_id, table.c.report_id == report.report_id)
        .values(status=report.status, settled_by=report.settled_by, settled_at=report.settled_at, updated_at=now)
    )
