"""The page of invitations: whom the tenant invited, as what, and how each stands; invite, send again, revoke."""

from typing import Any

from flask.typing import ResponseReturnValue

from oms_app.dashboard import forms
from oms_app.dashboard.answering import Routes, caller
from oms_app.dashboard.forms import Form
from oms_app.dashboard.rows import DeskRows
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sheets import Sheets, acting
from oms_app.flow.errors import FlowError
from oms_app.flow.invitations import Draft
from oms_app.flow.scopes import Role, Scope
from oms_kernel.domain.errors import KernelError

FIELDS = ("email", "role", "first_name", "last_name")
STATES = {
    "OPEN": ("Open", "waiting"),
    "ACCEPTED": ("Accepted", "done"),
    "REVOKED": ("Revoked", "over"),
    "EXPIRED": ("Too old", "bad"),
}
MOST_SHOWN = 200


class InvitationPage:
    """The views of the page."""

    def __init__(self, services: DashboardServices, rows: DeskRows, sheets: Sheets) -> None:
        self._invitations = services.invitations
        self._rows = rows
        self._sheets = sheets

    def routes(self) -> Routes:
        """Rule, view, scope and method of each."""
        scope, one = Scope.ADMIN_TENANTS, "/invitations/<uuid:invitation_id>"
        return (
            ("/invitations", self.show_invitations, scope, "GET"),
            ("/invitations", self.create_invitation, scope, "POST"),
            (f"{one}/resend", self.resend_invitation, scope, "POST"),
            (f"{one}/revoke", self.revoke_invitation, scope, "POST"),
        )

    def show_invitations(self) -> ResponseReturnValue:
        """The whole page."""
        return self._sheets.page("invitations", **self._state())

    def create_invitation(self) -> ResponseReturnValue:
        """Invite somebody; the mail goes out by itself."""
        form = forms.read(*FIELDS, ticked=("scopes",))
        draft = Draft(**form.values, scopes=form.ticked["scopes"])
        try:
            made = self._invitations.create(caller().principal, acting(), draft)
        except (FlowError, KernelError) as error:
            return self._sheets.board("invitations", status=422, **self._state(form.refused(error)))
        return self._board(f"{made.email} is invited.")

    def resend_invitation(self, invitation_id: str) -> ResponseReturnValue:
        """Send the mail once more; the invitation is good for another seven days."""
        try:
            made = self._invitations.resend(caller().principal, acting(), invitation_id)
        except (FlowError, KernelError) as error:
            return self._board(forms.sentence(error.detail), is_bad=True)
        return self._board(f"{made.email} gets another mail.")

    def revoke_invitation(self, invitation_id: str) -> ResponseReturnValue:
        """End the invitation."""
        try:
            self._invitations.revoke(caller().principal, acting(), invitation_id)
        except (FlowError, KernelError) as error:
            return self._board(forms.sentence(error.detail), is_bad=True)
        return self._board("The invitation is revoked.")

    def _board(self, notice: str, *, is_bad: bool = False) -> ResponseReturnValue:
        return self._sheets.board("invitations", notice, is_bad=is_bad, **self._state())

    def _state(self, form: Form | None = None) -> dict[str, Any]:
        principal = caller().principal
        found = self._invitations.list(principal, with_closed=True)[:MOST_SHOWN]
        return {
            "invitations": found,
            "people": self._rows.people(principal, (one.invited_by for one in found)),
            "states": STATES,
            "roles": tuple(Role),
            "all_scopes": tuple(Scope),
            "form": form or Form(values={**dict.fromkeys(FIELDS, ""), "role": Role.VIEWER}, ticked={"scopes": ()}),
        }
