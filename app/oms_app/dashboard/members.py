"""The pages of members and of their sessions: who belongs to the tenant, as what, and from where they are signed in."""

from typing import Any

from flask import Response, make_response, redirect, request
from flask.typing import ResponseReturnValue

from oms_app.dashboard import forms
from oms_app.dashboard.answering import Routes, caller, told
from oms_app.dashboard.forms import Form
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sheets import Sheets, acting
from oms_app.flow.errors import FlowError
from oms_app.flow.people_csv import COLUMNS, BadTable, RowResult
from oms_app.flow.personal_data import PersonalData
from oms_app.flow.scopes import ROLES, Role, Scope
from oms_app.flow.session_list import shown
from oms_app.store.people import Member
from oms_kernel.domain.errors import InvalidRequest, KernelError

MEMBER = "/members/<uuid:user_id>"
OUTCOMES = {
    "INVITED": ("Invited", "done"),
    "MEMBER_ALREADY": ("Member already", "over"),
    "INVITED_ALREADY": ("Invited already", "over"),
}
"""What became of a row of an import -> its words and the look of its chip."""
LONGEST_CSV = 1_000_000


class MemberPages:
    """The views of members and their sessions."""

    def __init__(self, services: DashboardServices, sheets: Sheets) -> None:
        self._members = services.members
        self._tables = services.people_tables
        self._personal = PersonalData(services.store, services.tenancy)
        self._sessions = services.identity.sessions
        self._sheets = sheets

    def routes(self) -> Routes:
        """Rule, view, scope and method of each."""
        scope = Scope.ADMIN_TENANTS
        return (
            ("/members", self.show_members, scope, "GET"),
            ("/members/export", self.export_members, scope, "GET"),
            ("/members/import", self.import_members, scope, "POST"),
            (MEMBER, self.show_member, scope, "GET"),
            (f"{MEMBER}/role", self.change_member, scope, "POST"),
            (f"{MEMBER}/activate", self.activate_member, scope, "POST"),
            (f"{MEMBER}/deactivate", self.deactivate_member, scope, "POST"),
            (f"{MEMBER}/remove", self.remove_member, scope, "POST"),
            (f"{MEMBER}/erase", self.erase_member, scope, "POST"),
            ("/sessions", self.show_sessions, scope, "GET"),
            ("/sessions/<uuid:session_id>/end", self.end_member_session, scope, "POST"),
        )

    # Members ----------------------------------------------------------------------------------------------

    def show_members(self) -> ResponseReturnValue:
        """Everybody who belongs to the tenant."""
        return self._sheets.page("members", **self._listed())

    def export_members(self) -> ResponseReturnValue:
        """The members as CSV."""
        response = make_response(self._tables.write(self._members.list(caller().principal)))
        response.headers["Content-Type"] = "text/csv; charset=utf-8"
        response.headers["Content-Disposition"] = 'attachment; filename="members.csv"'
        return response

    def import_members(self) -> ResponseReturnValue:
        """Invite everybody of a table, all or none; or only say what would become of each row."""
        is_trial = request.form.get("what") == "check"
        try:
            results = self._tables.read(caller().principal, acting(), _table(), dry_run=is_trial)
        except BadTable as error:
            return self._imported(422, faults=error.faults)
        except (FlowError, KernelError) as error:
            return self._imported(422, problem=forms.sentence(error.detail))
        invited = sum(one.outcome == "INVITED" for one in results)
        notice = f"{invited} would be invited. Nothing was changed." if is_trial else f"{invited} invited."
        return self._imported(200, notice, results=results, is_trial=is_trial)

    def show_member(self, user_id: str) -> ResponseReturnValue:
        """One member: role, scopes, access, sessions."""
        member = self._members.get(caller().principal, user_id)
        return self._sheets.page("member", **self._one(member))

    def change_member(self, user_id: str) -> ResponseReturnValue:
        """Another role, or other scopes beside it."""
        form = forms.read("role", ticked=("scopes",))
        principal = caller().principal
        try:
            changed = self._members.change(
                principal, acting(), user_id, role=form.values["role"], scopes=form.ticked["scopes"]
            )
        except (FlowError, KernelError) as error:
            return self._refused(user_id, form.refused(error))
        return self._sheets.board("member", "Role and scopes are changed.", **self._one(changed))

    def activate_member(self, user_id: str) -> ResponseReturnValue:
        """Let a member in again."""
        return self._set_active(user_id, True)

    def deactivate_member(self, user_id: str) -> ResponseReturnValue:
        """Keep a member out."""
        return self._set_active(user_id, False)

    def remove_member(self, user_id: str) -> ResponseReturnValue:
        """End a membership, and with it the person's sessions and keys here."""
        try:
            self._members.remove(caller().principal, acting(), user_id)
        except (FlowError, KernelError) as error:
            return self._refused(user_id, Form().refused(error))
        return gone_to("/members")

    def erase_member(self, user_id: str) -> ResponseReturnValue:
        """Erase a person: names, address, and what the person wrote."""
        try:
            self._members.get(caller().principal, user_id)
            self._personal.erase_member(caller().principal, acting(), user_id)
        except (FlowError, KernelError) as error:
            return self._refused(user_id, Form().refused(error))
        return gone_to("/members")

    # Sessions ---------------------------------------------------------------------------------------------

    def show_sessions(self) -> ResponseReturnValue:
        """Who is signed in to the tenant, from where."""
        return self._sheets.page("sessions", **self._signed_in())

    def end_member_session(self, session_id: str) -> ResponseReturnValue:
        """End a session of a member in this tenant."""
        ended = self._sessions.end(session_id, acting(), tenant_id=caller().principal.tenant_id)
        notice = "The session is ended." if ended else "The session had ended already."
        if request.form.get("user_id"):
            member = self._members.get(caller().principal, request.form["user_id"])
            return self._sheets.board("member", notice, is_bad=not ended, **self._one(member))
        return self._sheets.board("sessions", notice, is_bad=not ended, **self._signed_in())

    # Parts ------------------------------------------------------------------------------------------------

    def _set_active(self, user_id: str, is_active: bool) -> ResponseReturnValue:
        try:
            changed = self._members.set_active(caller().principal, acting(), user_id, is_active)
        except (FlowError, KernelError) as error:
            return self._refused(user_id, Form().refused(error))
        notice = "The member may come in again." if is_active else "The member is kept out."
        return self._sheets.board("member", notice, **self._one(changed))

    def _refused(self, user_id: str, form: Form) -> Response:
        member = self._members.get(caller().principal, user_id)
        return self._sheets.board("member", status=422, **self._one(member, form))

    def _one(self, member: Member, form: Form | None = None) -> dict[str, Any]:
        who = caller()
        rows = self._sessions.of_tenant(who.principal.tenant_id, member.user_id)
        stored = Form(values={"role": member.role}, ticked={"scopes": member.scopes})
        refused = form if form is not None else stored
        kept = refused if refused.values else Form(stored.values, stored.ticked, refused.faults, refused.problem)
        return {
            "member": member,
            "form": kept,
            "roles": tuple(Role),
            "all_scopes": tuple(Scope),
            "of_role": sorted(ROLES.get(member.role, ())),
            "sessions": [shown(row, who) for row in rows],
        }

    def _listed(self) -> dict[str, Any]:
        return {"members": self._members.list(caller().principal), "results": None, **_no_import()}

    def _imported(self, status: int, notice: str = "", **found: Any) -> Response:
        return self._sheets.board("members", notice, status=status, **{**self._listed(), **found})

    def _signed_in(self) -> dict[str, Any]:
        who = caller()
        names = {one.user_id: one.email for one in self._members.list(who.principal)}
        rows = self._sessions.of_tenant(who.principal.tenant_id)
        return {"sessions": [shown(row, who) for row in rows], "names": names}


def gone_to(path: str) -> Response:
    """Have the browser open another page: what the present one shows is no more."""
    if "HX-Request" not in request.headers:
        return redirect(path, 303)  # type: ignore[return-value]
    response = told("")
    response.headers["HX-Redirect"] = path
    return response


def _table() -> str:
    """The CSV of the form: the file, else the text. Raises InvalidRequest."""
    file = request.files.get("file")
    if file is None or not file.filename:
        text: str = request.form.get("csv", "")
        if not text.strip():
            raise InvalidRequest("choose a file or paste the table", field="csv")
        return text
    try:
        table = file.read(LONGEST_CSV + 1)
        if len(table) > LONGEST_CSV:
            raise InvalidRequest(f"the file has more than {LONGEST_CSV:,} bytes; split it", field="csv")
        return str(table, "utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("the file is not UTF-8; save it as CSV in UTF-8", field="csv") from None


def _no_import() -> dict[str, Any]:
    empty: tuple[RowResult, ...] = ()
    return {
        "results": empty,
        "faults": (),
        "problem": "",
        "is_trial": False,
        "outcomes": OUTCOMES,
        "columns": COLUMNS,
    }
