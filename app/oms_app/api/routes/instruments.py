"""What can be traded."""

from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.paging import list_query
from oms_app.api.paths import v1
from oms_app.api.problems import not_found
from oms_app.api.reading import catalogue as reading
from oms_app.flow.scopes import Scope


def list_instruments(call: Call) -> Answer:
    """List what can be traded, by symbol."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.list_instruments(unit, call.query))


def get_instrument(call: Call, instrument_id: str) -> Answer:
    """Read an instrument."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        found = reading.find_instrument(unit, instrument_id)
    if found is None:
        raise not_found("instrument")
    return Answer(found)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=v1("/instruments"),
        view=list_instruments,
        scope=Scope.VIEW_ORDERS,
        tag="instruments",
        query=list_query("symbol", "venue", "exchange", "asset_class", "currency", "with_closed"),
        answers={200: "InstrumentList"},
    ),
    Endpoint(
        method="GET",
        path=v1("/instruments/<uuid:instrument_id>"),
        view=get_instrument,
        scope=Scope.VIEW_ORDERS,
        tag="instruments",
        answers={200: "Instrument"},
    ),
)
