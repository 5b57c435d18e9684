"""Changes of limits that wait for a second person: listed field by field, approved, rejected, taken back."""

from collections.abc import Callable
from typing import Any

from flask.typing import ResponseReturnValue

from oms_app.dashboard import forms
from oms_app.dashboard.answering import Routes, caller
from oms_app.dashboard.forms import Form
from oms_app.dashboard.rows import DeskRows
from oms_app.dashboard.scope_names import ScopeNames
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sheets import Sheets, acting
from oms_app.flow.errors import FlowError, NotPermitted
from oms_app.flow.identity import StepUpRequired
from oms_app.flow.limit_edits import from_rows, shown_edit
from oms_app.flow.scopes import Scope
from oms_app.store.limit_changes import LimitChange
from oms_app.store.queries import Paging
from oms_kernel.domain.errors import KernelError

CHANGES = "/risk/limit-changes"
CHANGE = f"{CHANGES}/<uuid:change_id>"
STATUSES = {
    "PENDING": ("Waits", "waiting"),
    "APPROVED": ("Approved", "done"),
    "REJECTED": ("Rejected", "bad"),
    "WITHDRAWN": ("Taken back", "over"),
    "EXPIRED": ("Expired", "over"),
}
MOST = 100


class ChangePages:
    """The views of changes that wait."""

    def __init__(self, services: DashboardServices, rows: DeskRows, sheets: Sheets) -> None:
        self._changes = services.limit_changes
        self._sessions = services.identity.sessions
        self._names = ScopeNames(services.store)
        self._rows = rows
        self._sheets = sheets

    def routes(self) -> Routes:
        """Rule, view, scope and method of each."""
        scope = Scope.MANAGE_RISK
        return (
            (CHANGES, self.show_limit_changes, scope, "GET"),
            (CHANGE, self.show_limit_change, scope, "GET"),
            (f"{CHANGE}/approve", self.approve_limit_change, scope, "POST"),
            (f"{CHANGE}/reject", self.reject_limit_change, scope, "POST"),
            (f"{CHANGE}/withdraw", self.withdraw_limit_change, scope, "POST"),
        )

    def show_limit_changes(self) -> ResponseReturnValue:
        """The changes, newest first."""
        principal = caller().principal
        try:
            found = self._changes.list(principal, Paging(limit=MOST, with_total=False)).items
            why = ""
        except NotPermitted as error:
            found, why = [], error.detail
        return self._sheets.page(
            "limit_changes",
            changes=[(one, [shown_edit(edit) for edit in from_rows(one.changes)]) for one in found],
            why=why,
            people=self._rows.people(principal, (one.asked_by for one in found)),
            statuses=STATUSES,
        )

    def show_limit_change(self, change_id: str) -> ResponseReturnValue:
        """One change, field by field."""
        return self._sheets.page("limit_change", **self._one(self._found(change_id)))

    def approve_limit_change(self, change_id: str) -> ResponseReturnValue:
        """Carry it out: another person than who asked."""
        self._found(change_id)
        self._sessions.require_step_up(caller())
        return self._decide(
            change_id, lambda reason: self._changes.approve(caller().principal, acting(), change_id, reason),
            "The change is in force from the next order on.",
        )  # fmt: skip

    def reject_limit_change(self, change_id: str) -> ResponseReturnValue:
        """Say no; nothing is changed."""
        return self._decide(
            change_id, lambda reason: self._changes.reject(caller().principal, acting(), change_id, reason),
            "The change is rejected.",
        )  # fmt: skip

    def withdraw_limit_change(self, change_id: str) -> ResponseReturnValue:
        """Take back what one asked for."""
        return self._decide(
            change_id, lambda reason: self._changes.withdraw(caller().principal, acting(), change_id),
            "The change is taken back.",
        )  # fmt: skip

    def _decide(self, change_id: str, act: Callable[[str], LimitChange], said: str) -> ResponseReturnValue:
        form, known = forms.read("reason"), self._found(change_id)
        try:
            decided = act(form.values["reason"])
        except StepUpRequired:
            raise
        except (FlowError, KernelError) as error:
            return self._sheets.board("limit_change", status=422, **self._one(known, form.refused(error)))
        return self._sheets.board("limit_change", said, **self._one(decided))

    def _found(self, change_id: str) -> LimitChange:
        return self._changes.get(caller().principal, change_id)

    def _one(self, change: LimitChange, form: Form | None = None) -> dict[str, Any]:
        principal = caller().principal
        edits = [shown_edit(edit) for edit in from_rows(change.changes)]
        return {
            "change": change,
            "edits": edits,
            "is_mine": change.asked_by == principal.principal_id,
            "names": self._names.of(principal, edits),
            "people": self._rows.people(principal, (change.asked_by, change.decided_by)),
            "statuses": STATUSES,
            "form": form or Form(values={"reason": ""}),
        }
