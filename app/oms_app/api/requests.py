"""Give every request an id, and every response its headers: the id, the limits left, and what browsers must not do.

The headers are added behind Flask, to the list that the server is given: in a response object a dozen of them are
looked through and copied several times, which costs more than reading an order.
"""

import logging
import re
import uuid
from collections.abc import Iterable
from typing import Any, TypeAlias

import structlog
from flask import Flask, Response, request

log = structlog.get_logger("oms.api")
_SERVED = logging.getLogger("oms.api")
_LEVELS = {4: logging.INFO, 5: logging.WARNING}
"""What went well is told at debug only: a line for every order would cost more than the order."""
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}\Z", re.ASCII)
CSP_OF_API = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
ALWAYS = (
    ("Content-Security-Policy", CSP_OF_API),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""Headers of every response that does not bring its own."""


Environ: TypeAlias = dict[str, Any]
HeaderList: TypeAlias = list[tuple[str, str]]
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})
_REQUEST_ID = "oms.request_id"
_LIMITS = "oms.rate_limit_headers"


def current_request_id() -> str:
    """The id of the request being served."""
    return request_id_of(request.environ)


def tell_limits(environ: Environ, headers: HeaderList) -> None:
    """Send these headers with the answer to the request."""
    environ[_LIMITS] = headers


def follow_requests(app: Flask) -> None:
    """Name each request in answers and logs, and set the headers of every response of the app."""

    @app.before_request
    def name_request() -> None:
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=current_request_id())
        if request.method not in _WITHOUT_BODY:
            # An answer that comes before the body ends the connection, and with it the request that follows on it.
            request.get_data()

    @app.after_request
    def tell(response: Response) -> Response:
        level = _LEVELS.get(response.status_code // 100, logging.DEBUG)
        if _SERVED.isEnabledFor(level):
            log.log(level, "request", method=request.method, path=request.path, status=response.status_code)
        return response

    app.wsgi_app = _Headed(app.wsgi_app)  # type: ignore[method-assign]


class _Headed:
    """A WSGI application whose answers all bear the headers."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        def start(status: str, headers: HeaderList, *error: Any) -> Any:
            return start_response(status, headers + _missing(environ, headers), *error)

        answer: Iterable[bytes] = self._inner(environ, start)
        return answer


def _missing(environ: Environ, headers: HeaderList) -> HeaderList:
    given = {name for name, _ in headers}
    more = [header for header in ALWAYS if header[0] not in given]
    more.append(("X-Request-ID", request_id_of(environ)))
    if "Cache-Control" not in given and environ.get("PATH_INFO", "").startswith("/api/v1"):
        more.append(("Cache-Control", "no-store"))
    if environ.get("wsgi.url_scheme") == "https":
        more.append(("Strict-Transport-Security", "max-age=31536000; includeSubDomains"))
    more += environ.get(_LIMITS, ())
    return more


def request_id_of(environ: Environ) -> str:
    """The caller's id of the request when it is well formed, else one made for it, the same each time."""
    known: str | None = environ.get(_REQUEST_ID)
    if known is None:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        known = environ[_REQUEST_ID] = given if _ID.match(given) else uuid.uuid4().hex
    return known
