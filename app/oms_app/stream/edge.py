"""A request as it came from the network in, the same with its client's true address out; every answer with its headers.

Only trusted proxies may say for whom they ask, a Host that is not ours is refused, and pages of listed origins may
read besides the dashboard's own.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from ipaddress import ip_network
from typing import Any

import structlog

from oms_app.config import Settings
from oms_app.flow.client_address import TrustedProxies
from oms_app.flow.host_list import HostList
from oms_app.stream.requests import ALLOWED_HEADERS, HEALTH_PATHS, Refused, headers_of

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}\Z", re.ASCII)
ALWAYS = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
"""Headers of every answer that does not bring its own."""
HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


class StreamEdge:
    """The outermost ASGI application of the stream."""

    def __init__(self, inner: App, settings: Settings, hosts: HostList) -> None:
        self._inner = inner
        self._hosts = hosts
        self._proxies = TrustedProxies([ip_network(text) for text in settings.trusted_proxies])
        self._origins = frozenset(settings.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        headers = headers_of(scope)
        given = headers.get("x-request-id", "")
        request_id = given if _ID.match(given) else uuid.uuid4().hex
        client, is_https = self._client(scope, headers)
        origin = headers.get("origin", "")

        async def answer(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                named = {name.lower() for name, _value in message["headers"]}
                more = [header for header in ALWAYS if header[0] not in named]
                more.append((b"x-request-id", request_id.encode("ascii")))
                if is_https:
                    more.append(HSTS)
                if origin in self._origins and b"access-control-allow-origin" not in named:
                    more += _cors(origin)
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            if scope["path"].rstrip("/") not in HEALTH_PATHS and not self._hosts.is_ours(headers.get("host", "")):
                await _refuse(answer)
                return
            await self._inner({**scope, "client": client}, receive, answer)

    def _client(self, scope: Scope, headers: Mapping[str, str]) -> tuple[tuple[str, int], bool]:
        """((address, port) for whom the request is made, whether it came by https)."""
        peer, port = scope.get("client") or ("", 0)
        is_https = scope.get("scheme") == "https"
        if not self._proxies.is_trusted(peer):
            return (peer, port), is_https
        forwarded = headers.get("x-forwarded-proto", "").rpartition(",")[2].strip().lower()
        return (self._proxies.client(peer, headers.get("x-forwarded-for", "")), 0), is_https or forwarded == "https"


def _cors(origin: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-allow-headers", ALLOWED_HEADERS),
        (b"access-control-allow-methods", b"GET, OPTIONS"),
    ]


async def _refuse(send: Send) -> None:
    refusal = Refused(400, "unknown_host", "the Host of the request is none of ours")
    body = refusal.body()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
