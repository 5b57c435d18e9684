"""The verdict log: what rules denied, held or would have denied; and one order with every judgement of its life."""

from typing import Any

from flask import request
from flask.typing import ResponseReturnValue

from oms_app.dashboard import forms
from oms_app.dashboard.answering import Routes, caller
from oms_app.dashboard.forms import Form
from oms_app.dashboard.rows import DeskRows
from oms_app.dashboard.scope_names import ScopeNames
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sheets import Sheets
from oms_app.flow.errors import UnknownOrder
from oms_app.flow.rule_catalogue import catalogue
from oms_app.flow.scopes import Scope
from oms_app.store import queries
from oms_app.store.queries import InvalidCursor, Paging, VerdictFilter
from oms_app.store.queries.judgements import judgement_word, judgements
from oms_kernel.domain.decision import RuleSeverity
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import OrderId

FIELDS = ("rule", "account_id", "severity", "since", "before")
PAGE = 100
WORDS = {
    "ACCEPTED": ("Accepted", "done"),
    "HELD": ("Held", "waiting"),
    "DENIED": ("Denied", "bad"),
    "APPROVED": ("Approved", "done"),
}


class VerdictPages:
    """The views of verdicts."""

    def __init__(self, services: DashboardServices, rows: DeskRows, sheets: Sheets) -> None:
        self._store = services.store
        self._names = ScopeNames(services.store)
        self._facts = catalogue(services.registries)
        self._rows = rows
        self._sheets = sheets

    def routes(self) -> Routes:
        """Rule, view, scope and method of each."""
        return (
            ("/risk/verdicts", self.show_verdicts, Scope.VIEW_ORDERS, "GET"),
            ("/orders/<uuid:order_id>", self.show_order, Scope.VIEW_ORDERS, "GET"),
        )

    def show_verdicts(self) -> ResponseReturnValue:
        """The verdicts that pass the filters, newest first."""
        principal = caller().principal
        form = Form(values={name: request.args.get(name, "").strip() for name in FIELDS})
        values = form.values
        severity = values["severity"]
        if severity and severity not in set(RuleSeverity):
            raise InvalidRequest("choose one of the list", field="severity")
        filters = VerdictFilter(
            rule=values["rule"] or None,
            account_id=values["account_id"] or None,
            severity=severity or None,
            recorded_from=forms.instant(values["since"], "since"),
            recorded_before=forms.instant(values["before"], "before"),
            allowed_accounts=principal.account_ids,
        )
        paging = Paging(limit=PAGE, cursor=request.args.get("cursor") or None, with_total=False)
        with self._store.read_unit(principal.tenant_id) as unit:
            try:
                found = queries.list_verdicts(unit, filters, paging)
            except InvalidCursor:
                raise InvalidRequest("the cursor is not one of this list", field="cursor") from None
            orders = queries.get_orders(unit, [OrderId(one.order_id) for one in found.items])
        return self._sheets.page(
            "verdicts",
            verdicts=found.items,
            orders={key: view.order for key, view in orders.items()},
            next_cursor=found.next_cursor,
            is_later=paging.cursor is not None,
            query={name: value for name, value in values.items() if value},
            names=self._names.of(principal),
            rules=[one.name for one in self._facts],
            titles={one.name: one.title for one in self._facts},
            severities=list(RuleSeverity),
            form=form,
        )

    def show_order(self, order_id: str) -> ResponseReturnValue:
        """One order: its terms, and what every rule said each time it was judged, passes too."""
        principal = caller().principal
        with self._store.read_unit(principal.tenant_id) as unit:
            view = queries.get_order(unit, OrderId(order_id))
            if view is None or not principal.may_use(view.order.request.account_id):
                raise UnknownOrder("there is no such order")
            judged = judgements(unit, OrderId(order_id))
        order = view.order
        ticks = {one.instrument_id: one.tick_size for one in self._rows.market().instruments}
        shown: dict[str, Any] = {
            "order": order,
            "tick": ticks.get(order.request.instrument_id, order.multiplier),
            "judged": [(recorded, event, WORDS[judgement_word(event)]) for recorded, event in reversed(judged)],
            "titles": {one.name: one.title for one in self._facts},
            "names": self._names.of(principal, [order.request]),
            "people": self._rows.people(
                principal, (order.principal, order.approved_by, *(event.principal for _, event in judged))
            ),
        }
        return self._sheets.page("order", **shown)
