"""The pages of people who are not signed in: accept an invitation, register, prove an address, set a new password.

The token of a mail stands behind the `#` of its link, which browsers keep to themselves; a script puts it in the form.
"""

from collections.abc import Callable
from typing import Any

from flask import Response, make_response, render_template, request
from flask.typing import ResponseReturnValue

from oms_app.config import Registration
from oms_app.dashboard import forms
from oms_app.dashboard.answering import PUBLIC, Routes
from oms_app.dashboard.forms import Form
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sessions import Sessions
from oms_app.dashboard.sheets import stranger
from oms_app.flow.errors import FlowError
from oms_app.flow.identity import Overloaded
from oms_kernel.domain.errors import InvalidRequest, KernelError

BUSY = "Too many people at once. Try again in a few seconds."
REGISTRATION = ("email", "tenant_name", "first_name", "last_name")
ACCEPTANCE = ("token", "first_name", "last_name")


class JoiningPages:
    """The views; each form is tied to the browser that asked for it, and each try is counted."""

    def __init__(self, services: DashboardServices, sessions: Sessions, may_try: Callable[[str], bool]) -> None:
        self._services = services
        self._sessions = sessions
        self._may_try = may_try

    def routes(self) -> Routes:
        """Rule, view, scope and method of each."""
        return (
            ("/invitation", self.show_invitation, PUBLIC, "GET"),
            ("/invitation", self.look_at_invitation, PUBLIC, "POST"),
            ("/invitation/accept", self.accept_invitation, PUBLIC, "POST"),
            ("/forgot-password", self.show_forgot_password, PUBLIC, "GET"),
            ("/forgot-password", self.ask_for_password, PUBLIC, "POST"),
            ("/reset-password", self.show_new_password, PUBLIC, "GET"),
            ("/reset-password", self.set_new_password, PUBLIC, "POST"),
            ("/verify-email", self.show_verification, PUBLIC, "GET"),
            ("/verify-email", self.verify_email, PUBLIC, "POST"),
            ("/register", self.show_registration, PUBLIC, "GET"),
            ("/register", self.ask_for_registration, PUBLIC, "POST"),
            ("/registration", self.show_last_step, PUBLIC, "GET"),
            ("/registration", self.finish_registration, PUBLIC, "POST"),
        )

    # Invitation -------------------------------------------------------------------------------------------

    def show_invitation(self) -> ResponseReturnValue:
        """Where the mail's link leads: the code is shown to the server by the next step."""
        return self._page("invitation", offer=None)

    def look_at_invitation(self) -> ResponseReturnValue:
        """What the invitation offers."""
        return self._try(lambda form: self._offer(form), "invitation", forms.read("token"), offer=None)

    def accept_invitation(self) -> ResponseReturnValue:
        """Join."""
        form = forms.read(*ACCEPTANCE)
        if (turned_away := self._turned_away("invitation", form, offer=None)) is not None:
            return turned_away
        password = request.form.get("password", "")
        try:
            accepted = self._services.invitations.accept(
                form.values["token"],
                stranger(),
                password=password or None,
                first_name=form.values["first_name"],
                last_name=form.values["last_name"],
            )
        except (FlowError, KernelError) as error:
            return self._offer(form, error)
        except Overloaded:
            return self._offer(form, InvalidRequest(BUSY))
        return self._done("Welcome", f"You are a member now, as {accepted.role}. Sign in to go on.")

    def _offer(self, form: Form, error: FlowError | KernelError | None = None) -> ResponseReturnValue:
        """The offer with its form; when there is none any more, the first page with the reason."""
        form = Form(values={**dict.fromkeys(ACCEPTANCE, ""), "password": "", **form.values})
        try:
            offer = self._services.invitations.look(form.values["token"])
        except (FlowError, KernelError) as worthless:
            return self._page("invitation", form.refused(worthless), 422, offer=None)
        shown = form.refused(error) if error is not None else form
        return self._page("invitation", shown, 422 if error is not None else 200, offer=offer)

    # Passwords --------------------------------------------------------------------------------------------

    def show_forgot_password(self) -> ResponseReturnValue:
        """Ask for a mail."""
        return self._page("forgot_password", Form(values={"email": ""}))

    def ask_for_password(self) -> ResponseReturnValue:
        """Send the mail, if somebody has the address; the answer is the same."""

        def ask(form: Form) -> ResponseReturnValue:
            if not form.values["email"]:
                raise InvalidRequest("enter your e-mail address", field="email")
            self._services.identity.passwords.ask_reset(form.values["email"], stranger())
            told = "If the address has an account, a mail with a link is on its way. The link works for 30 minutes."
            return self._done("Look at your mail", told)

        return self._try(ask, "forgot_password", forms.read("email"))

    def show_new_password(self) -> ResponseReturnValue:
        """Where the mail's link leads."""
        return self._page("reset_password", Form(values={"token": "", "password": ""}))

    def set_new_password(self) -> ResponseReturnValue:
        """Set it; all sessions end."""

        def reset(form: Form) -> ResponseReturnValue:
            self._services.identity.passwords.reset(form.values["token"], request.form.get("password", ""), stranger())
            return self._done("Your password is set", "All your sessions were ended. Sign in with the new password.")

        return self._try(reset, "reset_password", self._with_password(forms.read("token")))

    # Addresses and strangers ------------------------------------------------------------------------------

    def show_verification(self) -> ResponseReturnValue:
        """Where the mail's link leads."""
        return self._page("verify_email", Form(values={"token": ""}))

    def verify_email(self) -> ResponseReturnValue:
        """The address is proved."""

        def verify(form: Form) -> ResponseReturnValue:
            self._services.profiles.verify(form.values["token"], stranger())
            return self._done("Thank you", "Your e-mail address is verified.")

        return self._try(verify, "verify_email", forms.read("token"))

    def show_registration(self) -> ResponseReturnValue:
        """Ask for an account and a tenant, where that is open."""
        return self._page("register", Form(values=dict.fromkeys(REGISTRATION, "")))

    def ask_for_registration(self) -> ResponseReturnValue:
        """Send the mail; nothing is made yet."""

        def ask(form: Form) -> ResponseReturnValue:
            values = form.values
            self._services.registration.ask(
                values["email"], values["tenant_name"], first_name=values["first_name"], last_name=values["last_name"]
            )
            return self._done("Look at your mail", "A mail with the next step is on its way.")

        return self._try(ask, "register", forms.read(*REGISTRATION))

    def show_last_step(self) -> ResponseReturnValue:
        """Where the mail's link leads: choose a password."""
        return self._page("registration", Form(values={"token": "", "password": ""}))

    def finish_registration(self) -> ResponseReturnValue:
        """Account and tenant are made."""

        def finish(form: Form) -> ResponseReturnValue:
            self._services.registration.finish(form.values["token"], request.form.get("password", ""), stranger())
            return self._done("Welcome", "Your account and your tenant are made. Sign in to go on.")

        return self._try(finish, "registration", self._with_password(forms.read("token")))

    # Parts ------------------------------------------------------------------------------------------------

    def _try(
        self, do: Callable[[Form], ResponseReturnValue], name: str, form: Form, **state: Any
    ) -> ResponseReturnValue:
        """What `do` answers, or the form with what is wrong."""
        if (turned_away := self._turned_away(name, form, **state)) is not None:
            return turned_away
        try:
            return do(form)
        except (FlowError, KernelError) as error:
            status = 429 if getattr(error, "code", "") == "too_many_requests" else 422
            return self._page(name, form.refused(error), status, **state)
        except Overloaded:
            return self._page(name, form.refused(InvalidRequest(BUSY)), 503, **state)

    def _turned_away(self, name: str, form: Form, **state: Any) -> Response | None:
        if not self._sessions.is_own_login(request):
            return self._page(name, form.refused(InvalidRequest("the page was out of date; try again")), 403, **state)
        if not self._may_try(request.remote_addr or ""):
            return self._page(name, form.refused(InvalidRequest("too many tries; wait a minute")), 429, **state)
        return None

    def _with_password(self, form: Form) -> Form:
        return Form(values={**form.values, "password": ""})

    def _done(self, title: str, text: str) -> Response:
        return self._page("done", title=title, text=text)

    def _page(self, name: str, form: Form | None = None, status: int = 200, **state: Any) -> Response:
        page = render_template(
            f"dashboard/{name}.html",
            form=form or Form(values={"token": ""}),
            csrf=self._sessions.login_token(request),
            is_open=self._services.settings.registration is Registration.OPEN,
            **state,
        )
        response = make_response(page, status)
        self._sessions.begin_login(request, response)
        return response
