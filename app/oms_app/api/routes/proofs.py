"""Sessions listed and ended, a fresh proof of the person, second factors, and passwords changed and reset."""

from typing import Any

from flask_jwt_extended import unset_jwt_cookies

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Access, Answer, Call, Endpoint
from oms_app.api.fields import Text
from oms_app.api.json_text import plain
from oms_app.api.paging import list_query
from oms_app.api.paths import v1
from oms_app.api.problems import not_found
from oms_app.api.rate_limit import Bucket
from oms_app.api.reading.asked import made_between, part_of
from oms_app.api.routes.sign_in import session_of
from oms_app.flow.scopes import Scope
from oms_app.flow.session_list import shown

CODE = Text(longest=40, required=True)
PASSWORD = Text(longest=1024, required=True)


def step_up(call: Call) -> Answer:
    """Prove anew who you are: `totp_code` when a second factor is enrolled, else `password`. It counts five minutes."""
    lasts_until = call.services.identity.sessions.step_up(
        session_of(call), call.actor, password=call.body.get("password"), totp_code=call.body.get("totp_code")
    )
    return Answer({"stepped_up_until": lasts_until})


def list_sessions(call: Call) -> Answer:
    """List your sessions in all your tenants, used last first."""
    caller = session_of(call)
    rows = call.services.identity.sessions.of_person(caller.user_id or "")
    return Answer(part_of(plain(made_between([shown(row, caller) for row in rows], call.query)), call.query))


def end_session(call: Call, session_id: str) -> Answer:
    """End one of your sessions: its tokens are refused from now on."""
    caller = session_of(call)
    if not call.services.identity.sessions.end(session_id, call.actor, user_id=caller.user_id):
        raise not_found("session")
    return Answer(None, 204)


def log_out_everywhere(call: Call) -> Answer:
    """End all your sessions, this one too."""
    caller = session_of(call)
    ended = call.services.identity.sessions.end_all(call.actor, user_id=caller.user_id or "")
    return Answer({"ended": ended}, edit=unset_jwt_cookies)


def list_member_sessions(call: Call) -> Answer:
    """List the sessions of your tenant's members there; of one of them with `user_id`."""
    rows = call.services.identity.sessions.of_tenant(call.principal.tenant_id, call.query.get("user_id"))
    assert call.caller is not None
    listed = [shown(row, call.caller) for row in rows]
    return Answer(part_of(plain(made_between(listed, call.query)), call.query))


def end_member_session(call: Call, session_id: str) -> Answer:
    """End a session of a member of your tenant: its tokens are refused from now on."""
    if not call.services.identity.sessions.end(session_id, call.actor, tenant_id=call.principal.tenant_id):
        raise not_found("session")
    return Answer(None, 204)


def enrol_totp(call: Call) -> Answer:
    """Begin to enrol a second factor: a secret for an authenticator app, shown this once. It counts once verified."""
    made = call.services.identity.second_factors.enrol(session_of(call).user_id or "", call.actor)
    return Answer({"secret": made.secret, "otpauth_uri": made.uri, "qr_svg": made.qr_svg})


def verify_totp(call: Call) -> Answer:
    """Confirm the second factor by its first code. Answers ten recovery codes, shown this once; other sessions end."""
    caller = session_of(call)
    codes = call.services.identity.second_factors.verify(caller, caller.user_id or "", call.body["code"], call.actor)
    return Answer({"recovery_codes": list(codes)})


def renew_recovery_codes(call: Call) -> Answer:
    """Make ten new recovery codes, shown this once; those from before work no more."""
    codes = call.services.identity.second_factors.renew_codes(session_of(call).user_id or "", call.actor)
    return Answer({"recovery_codes": list(codes)})


def remove_totp(call: Call) -> Answer:
    """Remove the second factor, by password and a code of it or a recovery code."""
    call.services.identity.second_factors.remove(
        session_of(call).user_id or "", call.body["password"], call.body["code"], call.actor
    )
    return Answer(None, 204)


def change_password(call: Call) -> Answer:
    """Change your password. Your other sessions end."""
    call.services.identity.passwords.change(
        session_of(call), call.actor, call.body["password"], call.body["new_password"]
    )
    return Answer(None, 204)


def ask_password_reset(call: Call) -> Answer:
    """Ask for a mail with a token that sets a new password. The answer is the same whether the address is known."""
    call.services.identity.passwords.ask_reset(call.body["email"], call.actor)
    return Answer({"status": "accepted"}, 202)


def reset_password(call: Call) -> Answer:
    """Set a new password by the token that came by mail; it works once, for 30 minutes. All your sessions end."""
    call.services.identity.passwords.reset(call.body["token"], call.body["password"], call.actor)
    return Answer(None, 204)


def _own(method: str, path: str, view: Any, answers: dict[int, str | None], **more: Any) -> Endpoint:
    """A route for people who are signed in."""
    return Endpoint(
        method=method,
        path=v1(path),
        view=view,
        scope=Access.AUTHENTICATED,
        tag="sign-in",
        answers=answers,
        problems=(409, *more.pop("problems", ())),
        **more,
    )


STEP_UP = SchemaBody("StepUp", {"password": Text(longest=1024), "totp_code": Text(longest=40)})
ENDPOINTS = (
    _own("POST", "/auth/step-up", step_up, {200: "SteppedUp"}, body=STEP_UP, bucket=Bucket.SIGN_IN, problems=(429,)),
    _own("GET", "/auth/sessions", list_sessions, {200: "SessionList"}, query=list_query()),
    _own("DELETE", "/auth/sessions/<uuid:session_id>", end_session, {204: None}, problems=(404,)),
    _own("POST", "/auth/logout-all", log_out_everywhere, {200: "EndedSessions"}),
    _own("POST", "/auth/totp/enrol", enrol_totp, {200: "TotpEnrolment"}, step_up=True),
    _own(
        "POST",
        "/auth/totp/verify",
        verify_totp,
        {200: "RecoveryCodes"},
        body=SchemaBody("TotpCode", {"code": CODE}),
        bucket=Bucket.SIGN_IN,
        problems=(429,),
    ),
    _own("POST", "/auth/totp/recovery-codes", renew_recovery_codes, {200: "RecoveryCodes"}, step_up=True),
    _own(
        "DELETE",
        "/auth/totp",
        remove_totp,
        {204: None},
        body=SchemaBody("RemoveTotp", {"password": PASSWORD, "code": CODE}),
        aliases=(("POST", v1("/auth/totp/remove")),),
        bucket=Bucket.SIGN_IN,
        problems=(429,),
    ),
    _own(
        "POST",
        "/auth/password",
        change_password,
        {204: None},
        body=SchemaBody("ChangePassword", {"password": PASSWORD, "new_password": PASSWORD}),
        bucket=Bucket.SIGN_IN,
        problems=(429,),
    ),
    Endpoint(
        method="POST",
        path=v1("/auth/password-reset"),
        view=ask_password_reset,
        scope=Access.PUBLIC,
        tag="sign-in",
        body=SchemaBody("AskPasswordReset", {"email": Text(longest=254, required=True)}),
        answers={202: "Accepted"},
        problems=(429,),
        bucket=Bucket.SIGN_IN,
    ),
    Endpoint(
        method="POST",
        path=v1("/auth/password-reset/confirm"),
        view=reset_password,
        scope=Access.PUBLIC,
        tag="sign-in",
        body=SchemaBody("ResetPassword", {"token": Text(longest=100, required=True), "password": PASSWORD}),
        answers={204: None},
        problems=(401,),
        bucket=Bucket.SIGN_IN,
    ),
    Endpoint(
        method="GET",
        path=v1("/sessions"),
        view=list_member_sessions,
        scope=Scope.ADMIN_TENANTS,
        tag="sign-in",
        query=list_query("user_id"),
        answers={200: "SessionList"},
    ),
    Endpoint(
        method="DELETE",
        path=v1("/sessions/<uuid:session_id>"),
        view=end_member_session,
        scope=Scope.ADMIN_TENANTS,
        tag="sign-in",
        answers={204: None},
        problems=(404,),
    ),
)
