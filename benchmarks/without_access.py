"""`python -m benchmarks.without_access`: POST /api/v1/orders for anybody, nobody recognised, limited or chained.

A composition that exists in the benchmarks only. It is the same code from the body of the request to the row of the
order; what is left out is who asks, whether they may, how often, from which host, whether they still may when the order
is booked, and the hash that chains each row of the log to the rows before it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from flask import Flask, Response, request

from oms_app.api.call import Call
from oms_app.api.json_text import decode
from oms_app.api.order_fields import OrderBody
from oms_app.api.routes.orders import place_order
from oms_app.api.serving import respond
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
    services = build_services(settings, process="api")
    anybody = Caller(
        principal=Principal("system:bench", TENANT_ID, frozenset(str(scope) for scope in Scope)),
        session_id=None,
        expires_at=None,
    )
    body = OrderBody()
    app = Flask("benchmarks.without_access", static_folder=None)

    @app.post("/api/v1/orders")
    def place() -> Response:
        call = Call(
            services=services,
            caller=anybody,
            body=body.read(decode(request.get_data())),
            query={},
            idempotency_key=None,
            if_match=None,
            remote="",
        )
        return respond(place_order(call))

    @app.get("/api/v1/health/live")
    def live() -> str:
        return "{}"

    collect_rarely()
    return app, services.close


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
