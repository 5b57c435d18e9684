"""E-mail and password in, a session out: the sign-in page, its silent renewal, and signing out."""

from collections.abc import Callable

from flask import make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue

from oms_app.config import Registration
from oms_app.dashboard.answering import ACCOUNT
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sessions import DEVICE_COOKIE, Sessions
from oms_app.dashboard.sheets import stranger
from oms_app.flow.identity import (
    Overloaded,
    SecondFactorNeeded,
    SecondFactorWrong,
    SignInFailed,
    TooManyTries,
)

RETRY_AFTER_S = {429: 20, 503: 5}


class Door:
    """The views that need no session."""

    def __init__(self, services: DashboardServices, sessions: Sessions, may_try: Callable[[str], bool]) -> None:
        self._identity = services.identity
        self._hosts = services.hosts
        self._is_open = services.settings.registration is Registration.OPEN
        self._sessions = sessions
        self._may_try = may_try

    def show_login(self) -> ResponseReturnValue:
        """The sign-in form; a browser whose session only needs renewing goes straight to the desk."""
        pair = self._sessions.renewed(request)
        if pair is not None and self._hosts.tenant_of(request.host) in (None, pair.tenant_id):
            response = redirect("/", 303)
            self._sessions.begin(response, pair)  # type: ignore[arg-type]
            return response
        return self._form("", "", 200)

    def log_in(self) -> ResponseReturnValue:
        """Sign in, or say what is wrong."""
        email, password = request.form.get("email", "").strip(), request.form.get("password", "")
        if not self._sessions.is_own_login(request):
            return self._form(email, "The page was out of date. Try again.", 403)
        if not email or not password:
            return self._form(email, "Enter e-mail and password.", 422)
        if not self._may_try(request.remote_addr or ""):
            return self._form(email, "Too many tries. Wait a minute, then try again.", 429)
        try:
            pair = self._identity.sign_in(
                email,
                password,
                tenant_id=self._hosts.tenant_of(request.host),
                totp_code=request.form.get("totp_code", "").strip() or None,
                device_token=request.cookies.get(DEVICE_COOKIE),
                actor=stranger(),
            )
        except SignInFailed:
            return self._form(email, "E-mail or password is wrong.", 401)
        except SecondFactorNeeded:
            return self._form(email, "Enter the code of your second factor as well.", 401, asks_code=True)
        except SecondFactorWrong:
            return self._form(email, "The code is wrong or was used. Wait for the next one.", 401, asks_code=True)
        except TooManyTries as error:
            return self._form(email, f"Too many tries. Wait {error.retry_after_s} s, then try again.", 429)
        except Overloaded:
            return self._form(email, "Too many sign-ins at once. Try again in a few seconds.", 503)
        response = redirect(ACCOUNT if pair.needs_second_factor else "/", 303)
        self._sessions.begin(response, pair)  # type: ignore[arg-type]
        return response

    def renew(self) -> ResponseReturnValue:
        """New cookies for a page that stays open. SameSite=Strict keeps other sites from asking."""
        pair = self._sessions.renewed(request)
        if pair is None:
            return "", 401
        response = make_response("", 204)
        self._sessions.begin(response, pair)
        return response

    def log_out(self) -> ResponseReturnValue:
        """End the session."""
        caller = self._sessions.caller(request)
        if caller is not None and not self._sessions.is_own_form(request, caller):
            return render_template(
                "dashboard/problem.html", title="Page out of date", detail="Load the page again, then repeat."
            ), 403
        response = redirect("/login", 303)
        self._sessions.end(request, response, caller)  # type: ignore[arg-type]
        return response

    def _form(self, email: str, problem: str, status: int, *, asks_code: bool = False) -> ResponseReturnValue:
        csrf = self._sessions.login_token(request)
        page = render_template("dashboard/login.html", email=email, problem=problem, csrf=csrf, asks_code=asks_code)
        response = make_response(page, status)
        if status in RETRY_AFTER_S:
            response.headers["Retry-After"] = str(RETRY_AFTER_S[status])
        self._sessions.begin_login(request, response)
        return response
