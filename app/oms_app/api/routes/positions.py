"""What is held, and what the day brought."""

from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.fields import IdText
from oms_app.api.paging import list_query
from oms_app.api.paths import also_oms, v1
from oms_app.api.problems import not_found
from oms_app.api.reading import holdings as reading
from oms_app.api.schema_from_struct import make_schema
from oms_app.flow.scopes import Scope

POSITION = "/positions/<uuid:position_id>"


def list_positions(call: Call) -> Answer:
    """List open positions. `book` names a sub-book; without it, the account as a whole (NET)."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.list_positions(unit, call.principal, call.query))


def get_position(call: Call, position_id: str) -> Answer:
    """Read a position."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        found = reading.find_position(unit, call.principal, position_id)
    if found is None:
        raise not_found("position")
    return Answer(found)


def get_pnl_today(call: Call) -> Answer:
    """Read today's profit and loss: realised on the account's risk day, unrealised at the last quotes."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer({"items": reading.pnl_today(unit, call.principal, call.query.get("account_id"))})


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=v1("/positions"),
        view=list_positions,
        scope=Scope.VIEW_POSITIONS,
        tag="positions",
        query=list_query("symbol", "exchange", "account_id", "strategy_id", "instrument_id", "book", "with_closed"),
        answers={200: "PositionList"},
        aliases=(also_oms("GET", "/positions"),),
    ),
    Endpoint(
        method="GET",
        path=v1(POSITION),
        view=get_position,
        scope=Scope.VIEW_POSITIONS,
        tag="positions",
        answers={200: "Position"},
        aliases=(also_oms("GET", POSITION),),
    ),
    Endpoint(
        method="GET",
        path=v1("/pnl/today"),
        view=get_pnl_today,
        scope=Scope.VIEW_POSITIONS,
        tag="positions",
        query=make_schema("PnlFilter", {"account_id": IdText()}),
        answers={200: "PnlToday"},
        aliases=(also_oms("GET", "/pnl/today"),),
    ),
)
