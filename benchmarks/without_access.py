"""`python -m benchmarks.without_access`: POST /api/v1/orders for anybody, nobody recognised, limited or chained.

A composition that exists in the benchmarks only: the same application with the same routes, headers and errors. What is
left out is who asks, whether they may, how often, from which host, whether they still may when the order is booked, and
the hash that chains each row of the log to the rows before it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from flask import Flask, Request, Response, request

from oms_app.api import app as app_module
from oms_app.api.app import ENDPOINTS, create_api
from oms_app.api.call import Call
from oms_app.api.requests import current_request_id
from oms_app.api.routes.orders import place_order
from oms_app.api.serving import _body, _idempotency_key, _query, respond
from oms_app.bootstrap import build_services
from oms_app.bootstrap.collector import collect_rarely
from oms_app.cli.demo import TENANT_ID
from oms_app.config import Settings, load_settings
from oms_app.flow.known_callers import Caller
from oms_app.flow.principal import Principal
from oms_app.flow.scopes import Scope
from oms_app.lifeline import Pulse
from oms_app.store import chain
from oms_app.wsgi import serve

NO_HASH = bytearray(32)


def make_app(settings: Settings) -> tuple[Flask, Callable[[], None]]:
    """(the application of one worker process, what frees it)."""
    chain.extended = unchained
    app_module.Edge = undecorated  # type: ignore[misc,assignment]
    services = build_services(settings, process="api")
    app = create_api(services)
    anybody = Caller(
        principal=Principal("system:bench", TENANT_ID, frozenset(str(scope) for scope in Scope)),
        session_id=None,
        expires_at=None,
    )
    (endpoint,) = (one for one in ENDPOINTS if one.view is place_order)

    def place() -> Response:
        """As `serving.make_view` does it, from reading on."""
        http: Request = request._get_current_object()  # type: ignore[attr-defined]
        call = Call(
            services=services,
            caller=anybody,
            body=_body(endpoint, http),
            query=_query(endpoint, http.args),
            idempotency_key=_idempotency_key(http),
            if_match=None,
            remote=http.remote_addr or "",
            agent=http.headers.get("User-Agent", ""),
            request_id=current_request_id(),
        )
        return respond(place_order(call))

    (name,) = (name for name in app.view_functions if name.endswith(".place_order"))
    app.view_functions[name] = place
    collect_rarely()
    return app, services.close


def undecorated(wsgi_app: Any, *_: Any) -> Any:
    """The application without what looks at hosts, proxies and origins."""
    return wsgi_app


def unchained(
    tenant_id: str, ledger_id: str, head: bytes | None, rows: Sequence[tuple[Any, ...]]
) -> tuple[list[tuple[Any, ...]], bytes]:
    """The rows with a column of zeros where their hash would be."""
    return [(*row, NO_HASH) for row in rows], bytes(NO_HASH)


def main() -> None:
    """Serve with the settings of the environment until SIGTERM."""
    settings = load_settings()
    serve(settings, Pulse("api", None), make_app)


if __name__ == "__main__":
    main()
