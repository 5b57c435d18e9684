"""The page of one's own account: profile, password, second factor, sessions, tenants; and a fresh proof of who asks."""

import base64
from typing import Any

import msgspec
from flask import Response, redirect, request
from flask.typing import ResponseReturnValue

from oms_app.dashboard import forms
from oms_app.dashboard.answering import SIGNED_IN, Routes, caller
from oms_app.dashboard.forms import Form
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sessions import Sessions
from oms_app.dashboard.sheets import Sheets, acting
from oms_app.flow.errors import FlowError
from oms_app.flow.identity import Overloaded
from oms_app.flow.personal_data import PersonalData
from oms_app.flow.session_list import shown
from oms_kernel.domain.errors import KernelError
from oms_kernel.domain.ids import TenantId

PROFILE = ("first_name", "last_name", "phone_number", "date_of_birth", "locale", "time_zone")
BUSY = "Too many sign-ins at once. Try again in a few seconds."
SESSION = "/account/sessions/<uuid:session_id>"


class AccountPage:
    """The views of the page; whoever is signed in may use them, for themselves."""

    def __init__(self, services: DashboardServices, sheets: Sheets, sessions: Sessions) -> None:
        self._services = services
        self._identity = services.identity
        self._profiles = services.profiles
        self._personal = PersonalData(services.store, services.tenancy)
        self._sheets = sheets
        self._cookies = sessions

    def routes(self) -> Routes:
        """Rule, view, scope and method of each."""
        return (
            ("/account", self.show_account, SIGNED_IN, "GET"),
            ("/account/data", self.export_own_data, SIGNED_IN, "GET"),
            ("/account/profile", self.change_profile, SIGNED_IN, "POST"),
            ("/account/verify-email", self.ask_to_verify_email, SIGNED_IN, "POST"),
            ("/account/password", self.change_password, SIGNED_IN, "POST"),
            ("/account/second-factor", self.show_second_factor, SIGNED_IN, "GET"),
            ("/account/second-factor", self.enrol_second_factor, SIGNED_IN, "POST"),
            ("/account/second-factor/verify", self.verify_second_factor, SIGNED_IN, "POST"),
            ("/account/second-factor/codes", self.renew_recovery_codes, SIGNED_IN, "POST"),
            ("/account/second-factor/remove", self.remove_second_factor, SIGNED_IN, "POST"),
            (f"{SESSION}/end", self.end_session, SIGNED_IN, "POST"),
            ("/account/sessions/end-others", self.end_other_sessions, SIGNED_IN, "POST"),
            ("/account/switch", self.switch_tenant, SIGNED_IN, "POST"),
            ("/step-up", self.step_up, SIGNED_IN, "POST"),
        )

    def show_account(self) -> ResponseReturnValue:
        """The whole page."""
        return self._sheets.page("account", **self._state())

    def export_own_data(self) -> ResponseReturnValue:
        """Everything that is kept about the person who asks, as a file."""
        kept = self._personal.own(caller().principal)
        response = Response(msgspec.json.format(msgspec.json.encode(kept)), content_type="application/json")
        response.headers["Content-Disposition"] = 'attachment; filename="what-is-kept.json"'
        return response

    def change_profile(self) -> ResponseReturnValue:
        """What a person says of itself."""
        form = forms.read(*PROFILE)
        changes = {**form.values, "date_of_birth": form.values["date_of_birth"] or None}
        try:
            self._profiles.change(caller().principal, acting(), changes)
        except (FlowError, KernelError) as error:
            return self._board(status=422, profile_form=form.refused(error))
        return self._board("Your profile is changed.")

    def ask_to_verify_email(self) -> ResponseReturnValue:
        """Send the mail that proves the address."""
        try:
            self._profiles.ask_to_verify(caller().principal, acting())
        except (FlowError, KernelError) as error:
            return self._board(forms.sentence(error.detail), is_bad=True)
        return self._board("The mail is on its way.")

    def change_password(self) -> ResponseReturnValue:
        """Another password; the other sessions end."""
        present, new = request.form.get("password", ""), request.form.get("new_password", "")
        form = Form(values={"password": "", "new_password": ""})
        try:
            self._identity.passwords.change(caller(), acting(), present, new)
        except (FlowError, KernelError) as error:
            return self._board(status=422, password_form=form.refused(error))
        except Overloaded:
            return self._board(BUSY, is_bad=True, status=503)
        return self._board("Your password is changed. Your other sessions are ended.")

    # Second factor ----------------------------------------------------------------------------------------

    def show_second_factor(self) -> ResponseReturnValue:
        """Whether there is one."""
        return self._factor()

    def enrol_second_factor(self) -> ResponseReturnValue:
        """Begin: the secret, to be scanned; it counts once a code was seen."""
        self._identity.sessions.require_step_up(caller())
        made = self._identity.second_factors.enrol(caller().user_id or "", acting())
        image = base64.b64encode(made.qr_svg.encode()).decode()
        return self._factor(enrolment=made, qr_image=f"data:image/svg+xml;base64,{image}")

    def verify_second_factor(self) -> ResponseReturnValue:
        """The first code in, the recovery codes out."""
        try:
            codes = self._identity.second_factors.verify(
                caller(), caller().user_id or "", request.form.get("code", ""), acting()
            )
        except (FlowError, KernelError) as error:
            return forms.sentence(error.detail), 422
        notice = "The second factor is set up. Your other sessions are ended."
        return self._factor(notice, codes=codes, events={"oms:renew": True})

    def renew_recovery_codes(self) -> ResponseReturnValue:
        """Ten new codes in place of the old ones."""
        self._identity.sessions.require_step_up(caller())
        codes = self._identity.second_factors.renew_codes(caller().user_id or "", acting())
        return self._factor("The old recovery codes work no more.", codes=codes)

    def remove_second_factor(self) -> ResponseReturnValue:
        """Sign in by password alone again."""
        try:
            self._identity.second_factors.remove(
                caller().user_id or "", request.form.get("password", ""), request.form.get("code", ""), acting()
            )
        except (FlowError, KernelError) as error:
            form = Form(values={"password": "", "code": ""})
            return self._factor(status=422, factor_form=form.refused(error))
        except Overloaded:
            return self._factor(BUSY, is_bad=True, status=503)
        return self._factor("The second factor is removed.")

    def step_up(self) -> ResponseReturnValue:
        """A fresh proof of who asks, good for five minutes; 204, or why not as a sentence."""
        password, code = request.form.get("password"), request.form.get("totp_code")
        try:
            self._identity.sessions.step_up(caller(), acting(), password=password, totp_code=code)
        except (FlowError, KernelError) as error:
            return forms.sentence(error.detail), 422
        except Overloaded:
            return BUSY, 422
        return "", 204

    # Sessions and tenants ---------------------------------------------------------------------------------

    def end_session(self, session_id: str) -> ResponseReturnValue:
        """End one of the person's sessions."""
        ended = self._identity.sessions.end(session_id, acting(), user_id=caller().user_id)
        return self._board("The session is ended." if ended else "The session had ended already.", is_bad=not ended)

    def end_other_sessions(self) -> ResponseReturnValue:
        """End all the person's sessions but this one."""
        who = caller()
        ended = self._identity.sessions.end_all(acting(), user_id=who.user_id or "", but=who.session_id)
        return self._board(f"{ended} session{'' if ended == 1 else 's'} ended.")

    def switch_tenant(self) -> ResponseReturnValue:
        """Go on in another of the person's tenants; the session in this one ends."""
        who = caller()
        wanted = TenantId(request.form.get("tenant_id", ""))
        pair = self._identity.signing_in.switch(who, acting(), wanted, None)
        if who.session_id is not None:
            self._identity.sign_out(who.session_id, acting())
        response = redirect("/", 303)
        self._cookies.begin(response, pair)  # type: ignore[arg-type]
        return response

    def _board(self, notice: str = "", *, is_bad: bool = False, status: int = 200, **forms_shown: Any) -> Response:
        return self._sheets.board("account", notice, is_bad=is_bad, status=status, **self._state(**forms_shown))

    def _factor(
        self,
        notice: str = "",
        *,
        is_bad: bool = False,
        status: int = 200,
        events: dict[str, object] | None = None,
        **shown_once: Any,
    ) -> Response:
        state = {**self._factor_state(), **shown_once}
        return self._sheets.board("second_factor", notice, is_bad=is_bad, status=status, events=events, **state)

    def _factor_state(self) -> dict[str, Any]:
        user_id, factors = caller().user_id or "", self._identity.second_factors
        enrolled = factors.is_enrolled(user_id)
        return {
            "is_enrolled": enrolled,
            "codes_left": factors.codes_left(user_id) if enrolled else 0,
            "enrolment": None,
            "codes": (),
            "factor_form": Form(values={"password": "", "code": ""}),
        }

    def _state(self, *, profile_form: Form | None = None, password_form: Form | None = None) -> dict[str, Any]:
        who = caller()
        profile = self._profiles.get(who.principal)
        person = profile.person
        stored = {name: str(getattr(person, name) or "") for name in PROFILE}
        rows = self._identity.sessions.of_person(who.user_id or "")
        return {
            "profile": profile,
            "needs_factor": not who.principal.scopes,
            "profile_form": profile_form or Form(values=stored),
            "password_form": password_form or Form(values={"password": "", "new_password": ""}),
            "sessions": [shown(row, who) for row in rows],
            "tenant_names": {one.tenant_id: one.name for one in profile.tenants},
            **self._factor_state(),
        }
