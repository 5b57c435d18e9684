"""The last quote of an instrument, and where the stream of events is."""

from datetime import timedelta

from flask import request

from oms_app.api.call import Access, Answer, Call, Endpoint
from oms_app.api.fields import Text
from oms_app.api.paths import v1
from oms_app.api.reading import catalogue as reading
from oms_app.api.schema_from_struct import make_schema
from oms_app.flow.scopes import Scope

STREAM_PATH = "/api/v1/stream"


def last_quote(call: Call, symbol: str) -> Answer:
    """Read the last quote of SYMBOL or VENUE:SYMBOL; `is_stale` says that orders are not judged by it any more."""
    max_age = timedelta(seconds=call.services.settings.quote_max_age_s)
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.last_quote(unit, symbol, max_age))


def stream(call: Call) -> Answer:
    """Go to the stream of events (server-sent events, resumable by Last-Event-ID), which answers at its own address."""
    query = request.query_string.decode("ascii", "ignore")
    location = call.services.settings.stream_url.rstrip("/") + STREAM_PATH + (f"?{query}" if query else "")
    return Answer(None, 307, {"Location": location})


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=v1("/marketdata/last/<path:symbol>"),
        view=last_quote,
        scope=Scope.VIEW_ORDERS,
        tag="market data",
        answers={200: "Quote"},
    ),
    Endpoint(
        method="GET",
        path=STREAM_PATH,
        view=stream,
        scope=Access.AUTHENTICATED,
        tag="market data",
        query=make_schema(
            "StreamFilter",
            {
                "last_event_id": Text(longest=200),
                "account_id": Text(longest=64),
                "kinds": Text(longest=1000),
            },
        ),
        answers={307: None},
    ),
)
