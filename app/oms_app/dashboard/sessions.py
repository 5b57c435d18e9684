"""Cookies in, the caller out, and back: a session is two HttpOnly, SameSite=Strict cookies and a token in each form.

The access cookie goes everywhere and lives minutes. The refresh cookie goes to /login only: there it becomes the next
pair, unseen, when a page is opened late. Forms carry a token made from the session's id, which no other site can know.
"""

import hmac
import secrets
from datetime import UTC, datetime

from flask import Request, Response

from oms_app.flow.audit import Actor
from oms_app.flow.identity import Caller, Identity, InvalidToken, TokenPair
from oms_app.flow.tokens import TokenSigner

ACCESS_COOKIE = "oms_access"
REFRESH_COOKIE = "oms_renewal"
LOGIN_COOKIE = "oms_login"
DEVICE_COOKIE = "oms_device"
DEVICE_LIFETIME_S = 90 * 24 * 3600
LOGIN_PATH = "/login"
CSRF_FIELD = "csrf_token"
CSRF_HEADER = "X-CSRF-TOKEN"


class Sessions:
    """Who is signed in, and how a browser stays so. Thread-safe."""

    def __init__(self, identity: Identity, secret: str, *, secure: bool, lifetime_s: int) -> None:
        self._identity = identity
        self._signer = TokenSigner(secret)
        self._secure = secure
        self._lifetime_s = lifetime_s

    def caller(self, request: Request) -> Caller | None:
        """The signed-in person, or None without a valid session."""
        token = request.cookies.get(ACCESS_COOKIE)
        if token is None:
            return None
        try:
            return self._identity.caller_of_token(token)
        except InvalidToken:
            return None

    def renewed(self, request: Request) -> TokenPair | None:
        """The next tokens of the session whose refresh cookie came, or None when there is none that still works."""
        token = request.cookies.get(REFRESH_COOKIE)
        if token is None:
            return None
        try:
            return self._identity.refresh(token, actor_of(request))
        except InvalidToken:
            return None

    def begin(self, response: Response, pair: TokenPair) -> None:
        """Set the session's cookies."""
        self._set(response, ACCESS_COOKIE, pair.access_token, "/", self._lifetime_s)
        self._set(response, REFRESH_COOKIE, pair.refresh_token, LOGIN_PATH, self._lifetime_s)
        if pair.device_token:
            self._set(response, DEVICE_COOKIE, pair.device_token, LOGIN_PATH, DEVICE_LIFETIME_S)

    def end(self, request: Request, response: Response, caller: Caller | None) -> None:
        """Close the session and forget its cookies."""
        if caller is not None and caller.session_id is not None:
            self._identity.sign_out(caller.session_id, actor_of(request, caller))
        for name, path in ((ACCESS_COOKIE, "/"), (REFRESH_COOKIE, LOGIN_PATH)):
            response.delete_cookie(name, path=path, secure=self._secure, httponly=True, samesite="Strict")

    def form_token(self, caller: Caller) -> str:
        """What every form and request of this session must carry."""
        return self._signer.derive("dashboard form", caller.session_id or "")

    def is_own_form(self, request: Request, caller: Caller) -> bool:
        """Whether a changing request came from one of this session's pages."""
        return _is_same(_given(request), self.form_token(caller))

    def begin_login(self, request: Request, response: Response) -> None:
        """Give a browser that has none the cookie which its forms are tied to while nobody is signed in."""
        if not request.cookies.get(LOGIN_COOKIE):
            self._set(response, LOGIN_COOKIE, self.login_nonce(request), "/", None)

    def login_nonce(self, request: Request) -> str:
        """The browser's sign-in cookie, or the one that it will get with this answer."""
        known = request.cookies.get(LOGIN_COOKIE) or request.environ.get(LOGIN_COOKIE)
        if not isinstance(known, str):
            known = request.environ[LOGIN_COOKIE] = secrets.token_urlsafe(24)
        return known

    def login_token(self, request: Request) -> str:
        """What the sign-in form, and every other form without a session, must carry."""
        return self._signer.derive("dashboard sign-in", self.login_nonce(request))

    def is_own_login(self, request: Request) -> bool:
        """Whether a request without a session came from our form in this browser."""
        return bool(request.cookies.get(LOGIN_COOKIE)) and _is_same(_given(request), self.login_token(request))

    def _set(self, response: Response, name: str, value: str, path: str, max_age: int | None) -> None:
        response.set_cookie(
            name, value, max_age=max_age, path=path, secure=self._secure, httponly=True, samesite="Strict"
        )


def actor_of(request: Request, caller: Caller | None = None) -> Actor:
    """Who acts and from where, for the audit trail."""
    return Actor(
        principal_id=caller.principal.principal_id if caller is not None else "",
        address=request.remote_addr or "",
        agent=request.headers.get("User-Agent", ""),
    )


def renew_in(caller: Caller, now: datetime) -> int:
    """Seconds until the page should renew its session: well before the access cookie ends."""
    if caller.expires_at is None:
        return 600
    left = (caller.expires_at.astimezone(UTC) - now).total_seconds()
    return max(5, int(left * 0.7))


def _given(request: Request) -> str:
    return request.headers.get(CSRF_HEADER) or request.form.get(CSRF_FIELD, "")


def _is_same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
