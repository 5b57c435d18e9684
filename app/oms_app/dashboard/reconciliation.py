"""The reconciliation page: open breaks with both sides, reports that wait for a person, and the last runs."""

from decimal import Decimal
from typing import Any

from flask import render_template, request
from flask.typing import ResponseReturnValue

from oms_app.dashboard.answering import caller, told
from oms_app.dashboard.rows import DeskRows
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sessions import Sessions, renew_in
from oms_app.flow.errors import FlowError, UnknownBreak, UnknownReport
from oms_app.flow.principal import Principal
from oms_app.store import queries
from oms_app.store.queries import BreakFilter, BreakView, Paging, ReportFilter, ReportView, RunFilter
from oms_kernel.domain.breaks import BreakType
from oms_kernel.domain.errors import KernelError
from oms_kernel.domain.ids import BreakId, LedgerId
from oms_kernel.domain.money import parse_decimal

MOST_OPEN = 200
MOST_ENDED = 20
MOST_RUNS = 15


class ReconciliationPage:
    """The views of the reconciliation page."""

    def __init__(self, services: DashboardServices, rows: DeskRows, sessions: Sessions) -> None:
        self._services = services
        self._rows = rows
        self._sessions = sessions

    def show_reconciliation(self) -> ResponseReturnValue:
        """The whole page."""
        who = caller()
        page = {
            "who": self._rows.who(who.principal),
            "csrf": self._sessions.form_token(who),
            "live": {"renew_s": renew_in(who, self._services.clock())},
            **self._state(who.principal),
        }
        return render_template("dashboard/reconciliation.html", **page)

    def show_reconciliation_board(self) -> ResponseReturnValue:
        """The boards, as they are now."""
        return self._board()

    def reconcile_now(self, broker_account_id: str) -> ResponseReturnValue:
        """Ask the connection's session for a comparison; answers with the boards."""
        try:
            self._services.reconcile_requests.request(caller().principal, broker_account_id)
        except FlowError as error:
            return self._board(f"{error.detail[:1].upper()}{error.detail[1:]}.", is_bad=True)
        return self._board("The comparison begins within a second.")

    def acknowledge_break(self, break_id: str) -> ResponseReturnValue:
        """Take care of a break; answers with the boards."""
        try:
            known = self._break(break_id)
            attention = self._services.attention
            attention.acknowledge_break(caller().principal, LedgerId(known.ledger_id), BreakId(break_id))
        except (FlowError, KernelError) as error:
            return self._board(error.detail, is_bad=True)
        return self._board("You take care of the break.")

    def show_break_form(self, break_id: str) -> ResponseReturnValue:
        """The form that ends a break."""
        return self._break_form(self._break(break_id))

    def resolve_break(self, break_id: str) -> ResponseReturnValue:
        """End a break as the form says; answers with the form when something is wrong with it."""
        principal, attention = caller().principal, self._services.attention
        try:
            known = self._break(break_id)
        except UnknownBreak as error:
            return told("", error.detail, is_bad=True)
        text, price = request.form.get("text", "").strip(), request.form.get("price", "").strip()
        ledger_id = LedgerId(known.ledger_id)
        try:
            if request.form.get("action") == "accept_broker":
                at: Decimal | None = parse_decimal(price) if price else None
                attention.accept_broker(principal, ledger_id, BreakId(break_id), text, at)
            else:
                attention.explain_break(principal, ledger_id, BreakId(break_id), text)
        except (FlowError, KernelError) as error:
            return self._break_form(known, error.detail, status=422)
        return told("", "The break is resolved.", **{"oms:board": True})

    def book_report(self, report_id: str) -> ResponseReturnValue:
        """Book a report that could not be booked before; answers with the boards."""
        try:
            known = self._report(report_id)
            self._services.resolution.book_report(caller().principal, LedgerId(known.ledger_id), report_id)
        except (FlowError, KernelError) as error:
            return self._board(f"It cannot be booked: {error.detail}.", is_bad=True)
        return self._board("The report is booked.")

    def show_report_form(self, report_id: str) -> ResponseReturnValue:
        """The form that puts a report aside."""
        return told(render_template("dashboard/_dismiss.html", report=self._report(report_id), text="", fault=""))

    def dismiss_report(self, report_id: str) -> ResponseReturnValue:
        """Put a report aside for good; answers with the form when something is wrong with it."""
        text = request.form.get("text", "").strip()
        try:
            known = self._report(report_id)
            self._services.resolution.dismiss_report(caller().principal, LedgerId(known.ledger_id), report_id, text)
        except UnknownReport as error:
            return told("", error.detail, is_bad=True)
        except (FlowError, KernelError) as error:
            page = render_template("dashboard/_dismiss.html", report=known, text=text, fault=error.detail)
            return told(page, status=422)
        return told("", "The report is dismissed.", **{"oms:board": True})

    def _break(self, break_id: str) -> BreakView:
        principal = caller().principal
        with self._services.store.read_unit(principal.tenant_id) as unit:
            found = queries.get_break(unit, break_id, BreakFilter(allowed_accounts=principal.account_ids))
        if found is None:
            raise UnknownBreak("There is no such break.")
        return found

    def _report(self, report_id: str) -> ReportView:
        principal = caller().principal
        with self._services.store.read_unit(principal.tenant_id) as unit:
            found = queries.get_report(unit, report_id, ReportFilter(allowed_accounts=principal.account_ids))
        if found is None:
            raise UnknownReport("There is no such report.")
        return found

    def _break_form(self, known: BreakView, fault: str = "", *, status: int = 200) -> ResponseReturnValue:
        of_position = known.break_type == BreakType.QUANTITY and known.order_id is None
        page = render_template(
            "dashboard/_resolve.html",
            one=known,
            may_accept=known.account_id is not None and (known.break_type == BreakType.CASH or of_position),
            needs_price=of_position,
            values={name: request.form.get(name, "") for name in ("action", "text", "price")},
            fault=fault,
        )
        return told(page, status=status)

    def _board(self, notice: str = "", *, is_bad: bool = False) -> ResponseReturnValue:
        page = render_template("dashboard/_reconciliation.html", **self._state(caller().principal))
        return told(page, notice, is_bad=is_bad)

    def _state(self, principal: Principal) -> dict[str, Any]:
        allowed = principal.account_ids
        with self._services.store.read_unit(principal.tenant_id) as unit:
            opened = BreakFilter(resolved=False, allowed_accounts=allowed)
            ended = BreakFilter(resolved=True, allowed_accounts=allowed)
            breaks = queries.list_breaks(unit, opened, Paging(limit=MOST_OPEN, with_total=False)).items
            past = queries.list_breaks(unit, ended, Paging(limit=MOST_ENDED, with_total=False)).items
            texts = queries.break_texts(unit, [one.break_id for one in past])
            waiting = ReportFilter(status="OPEN", allowed_accounts=allowed)
            reports = queries.list_reports(unit, waiting, Paging(limit=MOST_OPEN, with_total=False)).items
            every_run = RunFilter(allowed_accounts=allowed)
            runs = queries.list_runs(unit, every_run, Paging(limit=MOST_RUNS, with_total=False)).items
            served = [
                one
                for one in queries.list_broker_accounts(unit)
                if one.account_id is not None and (allowed is None or one.account_id in allowed)
            ]
            names = {one.account_id: one.name for one in queries.list_accounts(unit, allowed)}
            connections = {one.connection_id: one for one in queries.list_connections(unit)}
            now = unit.now
        order = {"CRITICAL": 0, "WARNING": 1, "INFO": 2}
        named = {one.acknowledged_by for one in breaks} | {one.resolved_by for one in past}
        return {
            "people": self._rows.people(principal, named),
            "breaks": sorted(breaks, key=lambda one: order[one.severity]),
            "past": past,
            "texts": texts,
            "reports": reports,
            "runs": runs,
            "served": {one.connection_id: one for one in reversed(served)},
            "numbers": {one.broker_account_id: one.account_number for one in served},
            "connections": connections,
            "ready": {
                name: one.status == "READY" and one.expires_at is not None and one.expires_at > now
                for name, one in connections.items()
            },
            "names": names,
            "scopes": principal.scopes,
            "now": now,
        }
