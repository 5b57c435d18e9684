"""The alerts page: what people should see, open ones first and the worst of them first, with a button to take care."""

from typing import Any

from flask import render_template, request
from flask.typing import ResponseReturnValue

from oms_app.dashboard.answering import caller, told
from oms_app.dashboard.rows import DeskRows
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sessions import Sessions, renew_in
from oms_app.flow.principal import Principal
from oms_app.store import queries
from oms_app.store.queries import AlertFilter, AlertView, Paging
from oms_kernel.domain.breaks import Severity
from oms_kernel.domain.ids import EventId, LedgerId

WORST_FIRST = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)
MOST_OPEN = 100
"""Rows of each severity; older ones are for the API's lists."""
MOST_SEEN = 30


class AlertPage:
    """The views of the alerts page."""

    def __init__(self, services: DashboardServices, rows: DeskRows, sessions: Sessions) -> None:
        self._services = services
        self._rows = rows
        self._sessions = sessions

    def show_alerts(self) -> ResponseReturnValue:
        """The whole page."""
        who = caller()
        page = {
            "who": self._rows.who(who.principal),
            "csrf": self._sessions.form_token(who),
            "live": {"renew_s": renew_in(who, self._services.clock())},
            **self._state(who.principal),
        }
        return render_template("dashboard/alerts.html", **page)

    def show_alert_board(self) -> ResponseReturnValue:
        """The board, as it is now."""
        return self._board()

    def show_pages(self) -> ResponseReturnValue:
        """The links of the header, with the number of open critical alerts."""
        return render_template("dashboard/_pages.html", here=request.args.get("here", "/"))

    def acknowledge_alert(self, alert_id: str) -> ResponseReturnValue:
        """Take care of one alert; answers with the board."""
        return self._acknowledge([alert_id])

    def acknowledge_alerts(self) -> ResponseReturnValue:
        """Take care of the open alerts that the page showed; answers with the board."""
        return self._acknowledge(request.form.getlist("alert_id"))

    def _acknowledge(self, alert_ids: list[str]) -> ResponseReturnValue:
        principal = caller().principal
        with self._services.store.read_unit(principal.tenant_id) as unit:
            found = queries.get_alerts(unit, alert_ids, AlertFilter(allowed_accounts=principal.account_ids))
        if len(found) < len(set(alert_ids)):
            return self._board("There is no such alert.", is_bad=True)
        by_ledger: dict[str, list[EventId]] = {}
        for alert_id, view in found.items():
            by_ledger.setdefault(view.ledger_id, []).append(EventId(alert_id))
        done = sum(
            self._services.attention.acknowledge_alerts(principal, LedgerId(ledger_id), tuple(ids))
            for ledger_id, ids in by_ledger.items()
        )
        if not done:
            return self._board("Somebody else takes care of it already.")
        return self._board(f"You take care of {done} alert{'' if done == 1 else 's'}.")

    def _board(self, notice: str = "", *, is_bad: bool = False) -> ResponseReturnValue:
        page = render_template("dashboard/_alerts.html", **self._state(caller().principal))
        return told(page, notice, is_bad=is_bad, **({"oms:status": True} if notice else {}))

    def _state(self, principal: Principal) -> dict[str, Any]:
        opened: list[AlertView] = []
        with self._services.store.read_unit(principal.tenant_id) as unit:
            for severity in WORST_FIRST:
                wanted = AlertFilter(severity=severity, acknowledged=False, allowed_accounts=principal.account_ids)
                opened += queries.list_alerts(unit, wanted, Paging(limit=MOST_OPEN, with_total=False)).items
            seen = AlertFilter(acknowledged=True, allowed_accounts=principal.account_ids)
            taken = queries.list_alerts(unit, seen, Paging(limit=MOST_SEEN, with_total=False)).items
            names = {one.account_id: one.name for one in queries.list_accounts(unit, principal.account_ids)}
        return {
            "people": self._rows.people(principal, (one.acknowledged_by for one in taken)),
            "opened": opened,
            "taken": taken,
            "names": names,
            "scopes": principal.scopes,
            "now": self._services.clock(),
        }
