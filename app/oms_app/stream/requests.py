"""Turn an ASGI request into who asks and what for; refuse with problem+json what cannot be answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from oms_app.flow.api_keys import PREFIXES
from oms_app.flow.hosts import unknown_here
from oms_app.flow.identity import Caller, Identity
from oms_app.flow.key_terms import AddressNotAllowed
from oms_app.flow.scopes import Scope
from oms_app.flow.tokens import InvalidToken
from oms_kernel.domain.ids import TenantId

CLIENT = "oms client address"
"""Under this name, which no header can have, the headers tell from which address the request came."""
HEALTH_PATHS = frozenset({"/healthz", "/health/live"})
ALLOWED_HEADERS = b"Authorization, X-API-Key, Last-Event-ID, Cache-Control, X-Request-ID"
SESSION_COOKIE = "oms_access"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Refused(Exception):
    """The request ends with this status and problem."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail

    def body(self) -> bytes:
        """The problem as JSON."""
        return msgspec.json.encode(
            {
                "type": f"urn:oms:problem:{self.code}",
                "title": self.code.replace("_", " "),
                "status": self.status,
                "detail": self.detail,
                "code": self.code,
            }
        )


class Wish(msgspec.Struct, frozen=True):
    """What a listener wants. Empty filters let everything through."""

    after_seq: int | None
    ledger_id: str | None
    account_ids: frozenset[str]
    kinds: frozenset[str]


def headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """The request's headers, names in lower case, and the client's address under CLIENT."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    headers[CLIENT] = (scope.get("client") or ("", 0))[0]
    return headers


def wish_of(scope: Mapping[str, Any], headers: Mapping[str, str]) -> Wish:
    """What the query string and Last-Event-ID ask for. Raises Refused."""
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    known = {"account_id", "kinds", "ledger_id", "last_event_id"}
    for name in query:
        if name not in known:
            raise Refused(422, "invalid_request", f"unknown parameter {name}; known are {', '.join(sorted(known))}")
    last = headers.get("last-event-id") or query.get("last_event_id", [""])[0]
    if last and not (last.isascii() and last.isdigit() and len(last) < 19):
        raise Refused(422, "invalid_request", "Last-Event-ID is a seq: a whole number")
    return Wish(
        after_seq=int(last) if last else None,
        ledger_id=query.get("ledger_id", [None])[0],
        account_ids=_listed(query.get("account_id", [])),
        kinds=_listed(query.get("kinds", [])),
    )


def caller_of(
    headers: Mapping[str, str], identity: Identity, tenant_of: Callable[[str], TenantId | None] = lambda host: None
) -> Caller:
    """Who asks, by API key, bearer token or the dashboard's cookie. Raises Refused.

    tenant_of: the tenant to which a host belongs; there, everybody of another one is unknown.
    """
    try:
        caller = _identified(headers, identity)
        if tenant_of(headers.get("host", "")) not in (None, caller.principal.tenant_id):
            raise unknown_here(caller)
        if caller.terms is not None:
            caller.terms.check_address(headers.get(CLIENT, ""))
    except InvalidToken as error:
        raise Refused(401, error.code, error.detail) from None
    except AddressNotAllowed as error:
        raise Refused(403, error.code, error.detail) from None
    if Scope.VIEW_ORDERS not in caller.principal.scopes:
        raise Refused(403, "not_permitted", f"the scope {Scope.VIEW_ORDERS} is needed")
    return caller


def cors_headers(headers: Mapping[str, str], url: str) -> list[tuple[bytes, bytes]]:
    """What lets the dashboard's page read the answer, when it is the dashboard that asks."""
    origin = headers.get("origin")
    if origin is None or not is_own_origin(origin, url):
        return [(b"vary", b"Origin")]
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-allow-headers", ALLOWED_HEADERS),
        (b"access-control-allow-methods", b"GET, OPTIONS"),
        (b"vary", b"Origin"),
    ]


def is_own_origin(origin: str, url: str) -> bool:
    """Whether a page of this origin is the dashboard; on loopback its names are the same place."""
    try:
        asked, own = urlsplit(origin), urlsplit(url)
        ports = (asked.port, own.port)
    except ValueError:
        return False
    same_host = asked.hostname == own.hostname or {asked.hostname, own.hostname} <= LOOPBACK
    return asked.scheme == own.scheme and same_host and ports[0] == ports[1]


def _identified(headers: Mapping[str, str], identity: Identity) -> Caller:
    if key := headers.get("x-api-key"):
        return identity.caller_of_key(key.strip())
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        token = token.strip()
        return identity.caller_of_key(token) if token.startswith(PREFIXES) else identity.caller_of_token(token)
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(SESSION_COOKIE)
    except CookieError:
        cookie = None
    if cookie is None:
        raise Refused(401, "unauthenticated", "send X-API-Key, a bearer token, or sign in to the dashboard first")
    return identity.caller_of_token(cookie.value)


def _listed(values: list[str]) -> frozenset[str]:
    return frozenset(part.strip() for value in values for part in value.split(",") if part.strip())
