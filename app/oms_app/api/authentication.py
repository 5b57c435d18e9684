"""Credentials of a request in, its Caller out: API key, bearer token, or the dashboard's cookie with its CSRF token."""

from typing import Any

from flask import Request
from flask_jwt_extended import JWTManager, verify_jwt_in_request
from flask_jwt_extended.exceptions import CSRFError, JWTExtendedException
from jwt.exceptions import InvalidKeyError, PyJWTError

from oms_app.api.problems import Problem
from oms_app.flow.api_keys import PREFIXES
from oms_app.flow.identity import Caller, Identity
from oms_app.flow.tokens import ALGORITHM, AUDIENCE, ISSUER, TYP

ACCESS_COOKIE = "oms_access"
REFRESH_COOKIE = "oms_refresh"
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="oms"'}


def caller_of(request: Request, identity: Identity, *, may_be_old: bool = False) -> Caller:
    """Who sends the request. may_be_old: the auth epoch is confirmed later. Raises Problem (401) or InvalidToken."""
    key = request.headers.get("X-API-Key")
    if key is not None:
        return identity.caller_of_key(key.strip(), may_be_old=may_be_old)
    authorization = request.headers.get("Authorization")
    if authorization is not None:
        scheme, _, credentials = authorization.partition(" ")
        credentials = credentials.strip()
        if scheme.lower() != "bearer" or not credentials:
            raise Problem("unauthenticated", "the Authorization header must be 'Bearer <token>'", headers=CHALLENGE)
        if credentials.startswith(PREFIXES):
            return identity.caller_of_key(credentials, may_be_old=may_be_old)
        return identity.caller_of_token(credentials, may_be_old=may_be_old)
    cookie = request.cookies.get(ACCESS_COOKIE)
    if cookie is not None:
        check_cookie(refresh=False)
        return identity.caller_of_token(cookie, may_be_old=may_be_old)
    raise Problem(
        "unauthenticated",
        "send an API key in X-API-Key or a token in Authorization: Bearer",
        headers=CHALLENGE,
    )


def admit(caller: Caller, address: str, identity: Identity) -> None:
    """Nothing, when the caller may come from this address; a key's use is written down. Raises AddressNotAllowed."""
    if caller.terms is not None:
        caller.terms.check_address(address)
        identity.machine_keys.note_use(caller.principal.tenant_id, caller.terms.key_id, address)


def presented_key(request: Request) -> str | None:
    """The API key that the request was sent with, or None."""
    key = request.headers.get("X-API-Key") or request.headers.get("Authorization", "").partition(" ")[2]
    return key.strip() if key.strip().startswith(PREFIXES) else None


def check_cookie(*, refresh: bool) -> None:
    """Nothing when the request's cookie is whole and, on a changing method, its CSRF token was sent beside it.

    Raises Problem (401).
    """
    try:
        verify_jwt_in_request(locations=["cookies"], refresh=refresh)
    except CSRFError:
        raise Problem("csrf_failed", "send the CSRF cookie's value in the header X-CSRF-TOKEN") from None
    except (JWTExtendedException, PyJWTError):
        raise Problem("invalid_token", "the session cookie is not valid or has expired; sign in again") from None


def find_keys(manager: JWTManager, identity: Identity) -> None:
    """Let flask-jwt-extended look up the key that a cookie names, for its check of the CSRF token."""
    kinds = {typ: kind for kind, typ in TYP.items()}

    @manager.decode_key_loader
    def key_of(header: dict[str, Any], _claims: dict[str, Any]) -> bytes:
        kind, key_id = kinds.get(header.get("typ", "")), header.get("kid")
        found = identity.signing_key(key_id, kind) if kind is not None and isinstance(key_id, str) else None
        if found is None:
            raise InvalidKeyError("the token names no key of ours")
        return found.secret


def cookie_settings(secret: str, *, secure: bool) -> dict[str, Any]:
    """What flask-jwt-extended needs to set and check the dashboard's cookies."""
    return {
        "JWT_SECRET_KEY": secret,
        "JWT_ALGORITHM": ALGORITHM,
        "JWT_DECODE_ALGORITHMS": [ALGORITHM],
        "JWT_ENCODE_ISSUER": ISSUER,
        "JWT_DECODE_ISSUER": ISSUER,
        "JWT_ENCODE_AUDIENCE": AUDIENCE,
        "JWT_DECODE_AUDIENCE": AUDIENCE,
        "JWT_TOKEN_LOCATION": ["cookies"],
        "JWT_ACCESS_COOKIE_NAME": ACCESS_COOKIE,
        "JWT_REFRESH_COOKIE_NAME": REFRESH_COOKIE,
        "JWT_REFRESH_COOKIE_PATH": "/api/v1/auth",
        "JWT_REFRESH_CSRF_COOKIE_PATH": "/",
        "JWT_ACCESS_CSRF_COOKIE_NAME": "oms_csrf",
        "JWT_REFRESH_CSRF_COOKIE_NAME": "oms_refresh_csrf",
        "JWT_COOKIE_SECURE": secure,
        "JWT_COOKIE_SAMESITE": "Strict",
        "JWT_COOKIE_CSRF_PROTECT": True,
        "JWT_SESSION_COOKIE": True,
    }
