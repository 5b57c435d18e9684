"""A request as it came from the network in, the same with its client's true address out, or a refusal before any view.

Only trusted proxies may say for whom they ask. A Host that is not ours, and a change that a page of another site sends
with a person's cookie, are refused; pages of listed origins, and of no other, may read answers.
"""

from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any

import structlog

from oms_app.api.authentication import ACCESS_COOKIE, REFRESH_COOKIE
from oms_app.api.problems import PROBLEM_TYPE, Problem
from oms_app.api.requests import Environ, HeaderList, request_id_of
from oms_app.config import Settings
from oms_app.flow.client_address import TrustedProxies
from oms_app.flow.host_list import HostList

log = structlog.get_logger("oms.api")
PEER = "oms.peer"
"""Where a request's environ keeps the address of the connection, which may be a proxy's."""
ANY_HOST = ("/healthz", "/api/v1/health")
"""Whoever watches a process asks it by whatever address the process has."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
ALLOWED_HEADERS = (
    "Authorization, X-API-Key, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-ID, X-CSRF-TOKEN,"
    " Last-Event-ID"
)
SHOWN_HEADERS = (
    "X-Request-ID, ETag, Location, Idempotency-Replayed, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset,"
    " RateLimit, RateLimit-Policy, Retry-After"
)
PREFLIGHT_LASTS_S = 600
_COOKIES = (f"{ACCESS_COOKIE}=", f"{REFRESH_COOKIE}=", "oms_renewal=")


class Edge:
    """The outermost WSGI application but one: whatever it answers still gets the headers of every answer."""

    def __init__(self, inner: Any, settings: Settings, hosts: HostList) -> None:
        self._inner = inner
        self._hosts = hosts
        self._proxies = make_proxies(settings)
        self._origins = frozenset(settings.cors_origins)
        self._own = settings.url.partition("://")[2].rstrip("/").lower()

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        self._see_client(environ)
        path = environ.get("PATH_INFO", "")
        if not path.startswith(ANY_HOST) and not self._hosts.is_ours(environ.get("HTTP_HOST", "")):
            detail = "the Host of the request is none of ours; OMS_ALLOWED_HOSTS and the tenants' domains are"
            return _refuse(Problem("unknown_host", detail), environ, start_response)
        origin = environ.get("HTTP_ORIGIN")
        if origin is None:
            if self._is_cross_site(environ):
                return _refuse(_cross_site(), environ, start_response)
            answer: Iterable[bytes] = self._inner(environ, start_response)
            return answer
        return self._to_origin(origin, environ, start_response)

    def _to_origin(self, origin: str, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Answer a page: its browser says where it comes from."""
        is_listed = origin in self._origins and environ.get("PATH_INFO", "").startswith("/api/")
        allowed = _cors(origin) if is_listed else []
        preflight = environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
        if preflight and is_listed:
            start_response("204 No Content", [*allowed, *_PREFLIGHT, ("Content-Length", "0")])
            return [b""]
        if not is_listed and self._is_cross_site(environ):
            return _refuse(_cross_site(), environ, start_response)

        def start(status: str, headers: HeaderList, *error: Any) -> Any:
            return start_response(status, [*headers, *allowed, ("Vary", "Origin")], *error)

        answer: Iterable[bytes] = self._inner(environ, start)
        return answer

    def _see_client(self, environ: Environ) -> None:
        peer = environ.get("REMOTE_ADDR", "")
        environ[PEER] = peer
        if self._proxies.is_trusted(peer):
            environ["REMOTE_ADDR"] = self._proxies.client(peer, environ.get("HTTP_X_FORWARDED_FOR", ""))
            if environ.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip().lower() == "https":
                environ["wsgi.url_scheme"] = "https"

    def _is_cross_site(self, environ: Environ) -> bool:
        """Whether a page of another site sends a change with a person's cookie; a key or token is no cookie."""
        if environ["REQUEST_METHOD"] in SAFE or "HTTP_AUTHORIZATION" in environ or "HTTP_X_API_KEY" in environ:
            return False
        if not any(name in environ.get("HTTP_COOKIE", "") for name in _COOKIES):
            return False
        site = environ.get("HTTP_SEC_FETCH_SITE")
        if site is not None:  # our own forms come with `Origin: null`, because our pages send no referrer
            return site not in ("none", "same-origin")
        origin = environ.get("HTTP_ORIGIN")
        if origin is None:
            return False
        return origin.partition("://")[2].lower() not in (environ.get("HTTP_HOST", "").lower(), self._own)


def make_proxies(settings: Settings) -> TrustedProxies:
    """The proxies that the settings trust."""
    return TrustedProxies([ip_network(text) for text in settings.trusted_proxies])


def _cross_site() -> Problem:
    return Problem("cross_site", "a page of another site may not change anything with your cookie")


def _cors(origin: str) -> HeaderList:
    return [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Expose-Headers", SHOWN_HEADERS),
    ]


_PREFLIGHT: HeaderList = [
    ("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS"),
    ("Access-Control-Allow-Headers", ALLOWED_HEADERS),
    ("Access-Control-Max-Age", str(PREFLIGHT_LASTS_S)),
    ("Vary", "Origin"),
]


def _refuse(problem: Problem, environ: Environ, start_response: Any) -> Iterable[bytes]:
    log.info("refused_at_the_edge", code=problem.code, request_id=request_id_of(environ), address=environ[PEER])
    body = problem.body(request_id_of(environ))
    headers = [("Content-Type", PROBLEM_TYPE), ("Content-Length", str(len(body))), *problem.headers.items()]
    start_response(f"{problem.status} {problem.title}", headers)
    return [body]
