"""What people should look at, as the API shows it: alerts, breaks, reconciliation runs and reports not booked."""

from collections.abc import Mapping, Sequence
from typing import Any

from oms_app.api.json_text import plain
from oms_app.api.reading.asked import page_of, paging_of, part_of
from oms_app.flow.modifications import modifications
from oms_app.flow.principal import Principal
from oms_app.store import queries
from oms_app.store.queries import AlertFilter, AlertView, BreakFilter, BreakView, ReportFilter, ReportView, RunFilter
from oms_app.store.reconciliation_runs import Run
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.order import Order


def list_alerts(unit: RowsUnit, principal: Principal, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of alerts, newest first."""
    filters = AlertFilter(
        severity=asked.get("severity"),
        source=asked.get("source"),
        account_id=asked.get("account_id"),
        acknowledged=asked.get("acknowledged"),
        raised_from=asked.get("raised_after") or asked.get("from"),
        raised_before=asked.get("raised_before") or asked.get("to"),
        allowed_accounts=principal.account_ids,
    )
    return page_of(queries.list_alerts(unit, filters, paging_of(asked)))


def find_alerts(unit: RowsUnit, principal: Principal, alert_ids: Sequence[str]) -> dict[str, AlertView]:
    """Those of these alerts that the principal may see."""
    return queries.get_alerts(unit, alert_ids, AlertFilter(allowed_accounts=principal.account_ids))


def list_breaks(unit: RowsUnit, principal: Principal, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of breaks, newest first."""
    filters = BreakFilter(
        break_type=asked.get("break_type"),
        severity=asked.get("severity"),
        account_id=asked.get("account_id"),
        broker_account_id=asked.get("broker_account_id"),
        resolved=asked.get("resolved"),
        found_from=asked.get("found_after") or asked.get("from"),
        found_before=asked.get("found_before") or asked.get("to"),
        allowed_accounts=principal.account_ids,
    )
    found = queries.list_breaks(unit, filters, paging_of(asked))
    texts = queries.break_texts(unit, [view.break_id for view in found.items if view.is_resolved])
    return page_of(found, lambda view: _break(unit, view, texts.get(view.break_id, "")))


def find_break(unit: RowsUnit, principal: Principal, break_id: str) -> BreakView | None:
    """The break, if the principal may see it."""
    return queries.get_break(unit, break_id, BreakFilter(allowed_accounts=principal.account_ids))


def break_document(unit: RowsUnit, view: BreakView) -> dict[str, Any]:
    """A break as JSON values, with what a person wrote."""
    return _break(unit, view, queries.break_texts(unit, [view.break_id]).get(view.break_id, ""))


def _break(unit: RowsUnit, view: BreakView, text: str) -> dict[str, Any]:
    shown: dict[str, Any] = plain(view)
    del shown["ledger_id"]
    return {
        **shown,
        "is_critical": view.is_critical,
        "is_resolved": view.is_resolved,
        "hours_unresolved": f"{view.hours_unresolved(unit.now):.4f}",
        "resolution_text": text,
    }


def list_runs(unit: RowsUnit, principal: Principal, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of reconciliation runs, newest first."""
    filters = RunFilter(connection_id=asked.get("connection_id"), allowed_accounts=principal.account_ids)
    return page_of(queries.list_runs(unit, filters, paging_of(asked, dated=True)))


def find_run(unit: RowsUnit, principal: Principal, run_id: str) -> Run | None:
    """The run, if the principal may see it."""
    return queries.get_run(unit, run_id, RunFilter(allowed_accounts=principal.account_ids))


def list_reports(unit: RowsUnit, principal: Principal, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of reports that could not be booked, newest first."""
    filters = ReportFilter(status=asked.get("status"), allowed_accounts=principal.account_ids)
    return page_of(queries.list_reports(unit, filters, paging_of(asked, dated=True)), report_document)


def find_report(unit: RowsUnit, principal: Principal, report_id: str) -> ReportView | None:
    """The report, if the principal may see it."""
    return queries.get_report(unit, report_id, ReportFilter(allowed_accounts=principal.account_ids))


def report_document(view: ReportView) -> dict[str, Any]:
    """An unbooked report as JSON values."""
    shown: dict[str, Any] = plain(view)
    del shown["ledger_id"]
    return shown


def alert_document(view: AlertView) -> dict[str, Any]:
    """An alert as JSON values."""
    shown: dict[str, Any] = plain(view)
    return shown


def list_modifications(unit: RowsUnit, order: Order, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of an order's modifications, oldest first."""
    told = [
        one
        for one in modifications(order, queries.order_events(unit, OrderId(order.order_id)))
        if (asked.get("from") is None or one.requested_at >= asked["from"])
        and (asked.get("to") is None or one.requested_at < asked["to"])
    ]
    return part_of([plain(one) for one in told], asked)
