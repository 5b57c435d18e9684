"""Give every request an id, and every response its headers: the id, the limits left, and what browsers must not do."""

import logging
import re
import uuid

import structlog
from flask import Flask, Response, g, request

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


def current_request_id() -> str:
    """The id of the request being served."""
    known: str | None = g.get("request_id")
    if known is None:
        given = request.headers.get("X-Request-ID", "")
        known = g.request_id = given if _ID.match(given) else uuid.uuid4().hex
    return known


def follow_requests(app: Flask) -> None:
    """Name each request in answers and logs, and set the headers of every response of the app."""

    @app.before_request
    def name_request() -> None:
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=current_request_id())

    @app.after_request
    def tell(response: Response) -> Response:
        level = _LEVELS.get(response.status_code // 100, logging.DEBUG)
        if _SERVED.isEnabledFor(level):
            log.log(level, "request", method=request.method, path=request.path, status=response.status_code)
        return response

    @app.after_request
    def set_headers(response: Response) -> Response:
        headers = response.headers
        given = {name for name, _ in headers}
        # Appended, not set: a header is looked for once here instead of once for each that is added.
        for name, value in ALWAYS:
            if name not in given:
                headers.add(name, value)
        headers.add("X-Request-ID", current_request_id())
        if "Cache-Control" not in given and request.path.startswith("/api/v1"):
            headers.add("Cache-Control", "no-store")
        if request.is_secure:
            headers.add("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
        limits: tuple[tuple[str, str], ...] = g.get("rate_limit_headers", ())
        for name, value in limits:
            headers.add(name, value)
        return response
