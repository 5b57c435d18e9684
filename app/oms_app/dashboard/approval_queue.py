"""The approval queue: held orders with what holds each, and a second person's yes or no with a reason."""

from typing import Any

import msgspec
from flask.typing import ResponseReturnValue

from oms_app.dashboard import forms
from oms_app.dashboard.answering import Routes, caller
from oms_app.dashboard.forms import Form
from oms_app.dashboard.rows import DeskRows
from oms_app.dashboard.scope_names import ScopeNames
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sheets import Sheets
from oms_app.flow.approvals import person_reader
from oms_app.flow.errors import FlowError, UnknownOrder
from oms_app.flow.identity import StepUpRequired
from oms_app.flow.scopes import Scope
from oms_app.store import queries
from oms_app.store.queries import OrderFilter, Paging
from oms_app.store.queries.judgements import Waiting, waiting_orders
from oms_kernel.domain.decision import Verdict
from oms_kernel.domain.errors import InvalidRequest, KernelError
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.lifecycle import OrderState

APPROVALS = "/risk/approvals"
MOST = 100


class Row(msgspec.Struct, frozen=True):
    """One order of the queue. is_own: the person who looks asked for it, also behind a key."""

    waiting: Waiting
    is_own: bool


class ApprovalPages:
    """The views of the approval queue."""

    def __init__(self, services: DashboardServices, rows: DeskRows, sheets: Sheets) -> None:
        self._services = services
        self._sessions = services.identity.sessions
        self._names = ScopeNames(services.store)
        self._person_of = person_reader(services.store)
        self._rows = rows
        self._sheets = sheets

    def routes(self) -> Routes:
        """Rule, view, scope and method of each."""
        scope = Scope.MANAGE_RISK
        return (
            (APPROVALS, self.show_approvals, scope, "GET"),
            (f"{APPROVALS}/board", self.show_approval_board, scope, "GET"),
            (f"{APPROVALS}/<uuid:order_id>/decide", self.decide_order, scope, "POST"),
        )

    def show_approvals(self) -> ResponseReturnValue:
        """The whole page."""
        return self._sheets.page("approvals", **self._state())

    def show_approval_board(self) -> ResponseReturnValue:
        """The queue, as it is now."""
        return self._sheets.board("approvals", **self._state())

    def decide_order(self, order_id: str) -> ResponseReturnValue:
        """Approve or decline; answers with the queue."""
        form, principal = forms.read("reason", "decision"), caller().principal
        with self._services.store.read_unit(principal.tenant_id) as unit:
            known = queries.get_order(unit, OrderId(order_id))
        if known is None or not principal.may_use(known.order.request.account_id):
            raise UnknownOrder("there is no such order")
        approves = form.values["decision"] == "approve"
        try:
            if not approves and form.values["decision"] != "decline":
                raise InvalidRequest("choose to approve or to decline", field="decision")
            if not form.values["reason"]:
                raise InvalidRequest("say why, for whoever reads this later", field="reason")
            self._sessions.require_step_up(caller())
            door = self._services.approvals.approve if approves else self._services.approvals.decline
            outcome = door(principal, OrderId(order_id), form.values["reason"])
        except StepUpRequired:
            raise
        except (FlowError, KernelError) as error:
            return self._sheets.board("approvals", status=422, **self._state(order_id, form.refused(error)))
        if outcome.decision is not None and not outcome.decision.accepted:
            denials = outcome.decision.denials
            said = "A hard limit denies it now. It goes on waiting."
            return self._sheets.board("approvals", said, is_bad=True, **self._state(order_id, form, denials))
        said = f"{known.order.symbol}: {'approved, on its way' if approves else 'declined'}."
        return self._sheets.board("approvals", said, **self._state())

    def _state(self, at: str = "", form: Form | None = None, denials: tuple[Verdict, ...] = ()) -> dict[str, Any]:
        principal = caller().principal
        held = OrderFilter(states=frozenset({OrderState.HELD}), allowed_accounts=principal.account_ids)
        with self._services.store.read_unit(principal.tenant_id) as unit:
            found = queries.list_orders(unit, held, Paging(limit=MOST, with_total=False))
            waiting = waiting_orders(unit, found.items)
        me = self._person_of(principal.tenant_id, principal.principal_id)
        askers = {name for one in waiting for name in one.requested_by}
        persons = {name: self._person_of(principal.tenant_id, name) for name in askers}
        rows = [Row(one, any(persons[name] == me for name in one.requested_by)) for one in waiting]
        rows.sort(key=lambda row: row.waiting.order.hold_until or row.waiting.order.accepted_at)
        instruments = {one.instrument_id: one.tick_size for one in self._rows.market().instruments}
        return {
            "queue": rows,
            "has_more": found.has_next,
            "ticks": instruments,
            "names": self._names.of(principal, [one.order.request for one in waiting]),
            "people": self._rows.people(principal, askers),
            "at": at,
            "form": form or Form(values={"reason": "", "decision": ""}),
            "denials": denials,
        }
