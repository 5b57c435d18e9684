"""The risk report: one page made for paper, of a period, and the same rows as CSV files that spreadsheets never run."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from flask import Response, request
from flask.typing import ResponseReturnValue

from oms_app.dashboard import forms
from oms_app.dashboard.answering import Routes, caller
from oms_app.dashboard.forms import Form
from oms_app.dashboard.limit_pages import CHIPS
from oms_app.dashboard.rows import DeskRows
from oms_app.dashboard.scope_names import ScopeNames
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sheets import Sheets
from oms_app.flow.csv_text import csv_line
from oms_app.flow.errors import Unavailable
from oms_app.flow.risk_usage import LimitUsage
from oms_app.flow.rule_catalogue import catalogue
from oms_app.flow.scopes import Scope
from oms_app.store import queries
from oms_app.store.queries import BreachFilter, Page, Paging, VerdictFilter, restraints
from oms_app.store.queries.restraints import RestraintFilter
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.controls import Category
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.guard import RuleHung

REPORT = "/risk/report"
PERIOD = ("since", "before")
DAYS = 7
MOST_SHOWN = 500
"""Rows of each table of the page; the files hold all of them."""
MOST_EXPORTED = 100_000
Read = Callable[[RowsUnit, Paging], Page[Any]]


class ReportPages:
    """The views of the report."""

    def __init__(self, services: DashboardServices, rows: DeskRows, sheets: Sheets) -> None:
        self._services = services
        self._store = services.store
        self._names = ScopeNames(services.store)
        self._titles = {one.name: one.title for one in catalogue(services.registries)}
        self._rows = rows
        self._sheets = sheets

    def routes(self) -> Routes:
        """Rule, view, scope and method of each."""
        return (
            (REPORT, self.show_report, Scope.VIEW_ORDERS, "GET"),
            (f"{REPORT}/limits.csv", self.export_limits, Scope.VIEW_ORDERS, "GET"),
            (f"{REPORT}/usage.csv", self.export_usage, Scope.VIEW_POSITIONS, "GET"),
            (f"{REPORT}/breaches.csv", self.export_breaches, Scope.VIEW_POSITIONS, "GET"),
            (f"{REPORT}/verdicts.csv", self.export_verdicts, Scope.VIEW_ORDERS, "GET"),
            (f"{REPORT}/kill-switches.csv", self.export_switch_events, Scope.VIEW_ORDERS, "GET"),
        )

    def show_report(self) -> ResponseReturnValue:
        """Limits and their use, breaches, denials by rule, halts and approvals of the period."""
        principal, (since, before) = caller().principal, self._period()
        sees_positions = Scope.VIEW_POSITIONS in principal.scopes
        some = Paging(limit=MOST_SHOWN, with_total=False)
        with self._store.read_unit(principal.tenant_id) as unit:
            breaches = self._breaches(since, before)(unit, some).items if sees_positions else []
            events = self._switch_events(since, before)(unit, some).items
            verdicts = list(_all(unit, self._verdicts(since, before)))
            held = {(one.account_id, one.order_id) for one in verdicts if one.severity == "SOFT"}
            orders = queries.get_orders(unit, sorted({order_id for _, order_id in held})[:MOST_SHOWN])
        denials = Counter((one.rule, one.severity) for one in verdicts)
        used, away = list[LimitUsage](), ""
        try:
            used = self._used() if sees_positions else []
        except Unavailable as error:
            away = error.detail
        limits = self._services.limits.list(principal)
        scopes = [*(one.limit.scope for one in limits), *breaches, *events, *(one.scope for one in used)]
        approvals = sorted((view.order for view in orders.values()), key=lambda one: one.accepted_at, reverse=True)
        people = {one.principal for one in events} | {
            name for one in approvals for name in (one.principal, one.approved_by)
        }
        return self._sheets.page(
            "report",
            since=since,
            before=before,
            form=Form(values={"since": since.strftime("%Y-%m-%dT%H:%M"), "before": before.strftime("%Y-%m-%dT%H:%M")}),
            query={"since": since.strftime("%Y-%m-%dT%H:%M"), "before": before.strftime("%Y-%m-%dT%H:%M")},
            limits=limits,
            away=away,
            used={one.limit_id: one for one in reversed(used)},
            breaches=breaches,
            denials=sorted(denials.items(), key=lambda pair: -pair[1]),
            events=events,
            approvals=approvals,
            names=self._names.of(principal, scopes),
            people=self._rows.people(
                principal, people | {name for one in breaches for name in (one.assigned_to, one.closed_by)}
            ),
            titles=self._titles,
            chips=CHIPS,
            sees_positions=sees_positions,
        )

    def export_limits(self) -> ResponseReturnValue:
        """Every limit that covers the tenant."""
        found = self._services.limits.list(caller().principal, with_ended=True)
        names = self._names.of(caller().principal, [one.limit.scope for one in found])
        head = ("limit_id", "name", "rule", "scope", "level", "severity", "action", "params", "effective_from",
                "effective_until", "version", "is_active", "updated_at", "updated_by")  # fmt: skip
        rows = (
            (row.limit_id, row.name, row.rule, names.words(row.scope), row.scope.level.value, row.severity.value,
             row.action.value if row.action else None, msgspec.json.encode(row.params).decode(), row.effective_from,
             row.effective_until, row.version, one.is_active, one.updated_at, row.updated_by)
            for one in found for row in (one.limit,)
        )  # fmt: skip
        return _file("limits", head, rows)

    def export_usage(self) -> ResponseReturnValue:
        """How much of each limit is used now."""
        used = self._used()
        names = self._names.of(caller().principal, [one.scope for one in used])
        head = ("limit_id", "name", "rule", "severity", "scope", "figure", "used", "limit", "headroom", "share", "unit",
                "is_floor")  # fmt: skip
        rows = (
            (one.limit_id, one.name, one.rule, one.severity.value, names.words(one.scope), one.usage.figure,
             one.usage.used, one.usage.limit, one.usage.headroom, one.share, one.usage.unit, one.usage.is_floor)
            for one in used
        )  # fmt: skip
        return _file("usage", head, rows)

    def export_breaches(self) -> ResponseReturnValue:
        """The breaches of the period."""
        head = ("breach_id", "breached_at", "rule", "limit_id", "scope", "action", "message", "observed", "limit_value",
                "unit", "status", "assigned_to", "closed_at", "closed_by", "finding")  # fmt: skip
        return self._exported("breaches", head, self._breaches(*self._period()))

    def export_verdicts(self) -> ResponseReturnValue:
        """The verdicts of the period that were no passes."""
        head = ("recorded_at", "order_id", "account_id", "rule", "plugin", "gate", "severity", "code", "message",
                "observed", "limit_value", "unit", "would_pass", "limit_id")  # fmt: skip
        return self._exported("verdicts", head, self._verdicts(*self._period()))

    def export_switch_events(self) -> ResponseReturnValue:
        """What happened to kill switches in the period."""
        head = ("recorded_at", "kind", "switch_id", "scope", "trading_state", "reason_code", "principal", "order_count",
                "position_count", "elapsed_ms")  # fmt: skip
        return self._exported("kill-switches", head, self._switch_events(*self._period()))

    def _exported(self, name: str, head: tuple[str, ...], read: Read) -> Response:
        principal = caller().principal
        with self._store.read_unit(principal.tenant_id) as unit:
            found = list(_all(unit, read))
        names = self._names.of(principal, found) if "scope" in head else None
        rows = (
            [names.words(one) if names is not None and column == "scope" else getattr(one, column) for column in head]
            for one in found
        )
        return _file(name, head, rows)

    def _period(self) -> tuple[datetime, datetime]:
        """(since, before) as the address names them; else the last seven days. Raises InvalidRequest."""
        now = self._services.clock()
        asked = {name: forms.instant(request.args.get(name, "").strip(), name) for name in PERIOD}
        before = asked["before"] or now + timedelta(minutes=1)
        since = asked["since"] or before - timedelta(days=DAYS)
        if before <= since:
            raise InvalidRequest("the period ends before it begins", field="before")
        return since, before

    def _used(self) -> list[LimitUsage]:
        """How much is used now. Raises Unavailable."""
        try:
            return self._services.risk_usage.of(caller().principal)
        except RuleHung as error:
            raise Unavailable(f"the use of limits cannot be measured: {error}") from error

    def _breaches(self, since: datetime, before: datetime) -> Read:
        allowed = caller().principal.account_ids
        wanted = BreachFilter(
            categories=(Category.RISK,), breached_from=since, breached_before=before, allowed_accounts=allowed
        )
        return lambda unit, paging: queries.list_breaches(unit, wanted, paging)

    def _verdicts(self, since: datetime, before: datetime) -> Read:
        allowed = caller().principal.account_ids
        wanted = VerdictFilter(recorded_from=since, recorded_before=before, allowed_accounts=allowed)
        return lambda unit, paging: queries.list_verdicts(unit, wanted, paging)

    def _switch_events(self, since: datetime, before: datetime) -> Read:
        wanted = RestraintFilter(since=since, before=before, allowed_accounts=caller().principal.account_ids)
        return lambda unit, paging: restraints.list_switch_events(unit, wanted, paging)


def _all(unit: RowsUnit, read: Read) -> Iterator[Any]:
    """Every row of the list, page by page. Raises InvalidRequest when there are more than MOST_EXPORTED."""
    cursor: str | None = None
    for _ in range(MOST_EXPORTED // 500):
        page = read(unit, Paging(limit=500, cursor=cursor, with_total=False))
        yield from page.items
        cursor = page.next_cursor
        if cursor is None:
            return
    raise InvalidRequest(f"there are more than {MOST_EXPORTED:,} rows; choose a shorter period", field="since")


def _file(name: str, head: tuple[str, ...], rows: Any) -> Response:
    lines = [csv_line(head), *(csv_line([_cell(cell) for cell in row]) for row in rows)]
    response = Response("".join(lines), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


def _cell(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
