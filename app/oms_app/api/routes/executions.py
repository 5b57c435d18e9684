"""What was traded: executions as they were booked, late, corrected and busted ones too."""

from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.paging import list_query
from oms_app.api.paths import also_oms, v1
from oms_app.api.problems import not_found
from oms_app.api.reading import orders as reading
from oms_app.flow.scopes import Scope

EXECUTION = "/executions/<uuid:execution_id>"


def list_executions(call: Call) -> Answer:
    """List executions, newest first."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.list_executions(unit, call.principal, call.query))


def get_execution(call: Call, execution_id: str) -> Answer:
    """Read an execution."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        found = reading.find_execution(unit, call.principal, execution_id)
    if found is None:
        raise not_found("execution")
    return Answer(found)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=v1("/executions"),
        view=list_executions,
        scope=Scope.VIEW_ORDERS,
        tag="executions",
        query=list_query(
            "symbol", "exchange", "side", "account_id", "strategy_id", "instrument_id", "order_id", "book"
        ),
        answers={200: "ExecutionList"},
        aliases=(also_oms("GET", "/executions"),),
    ),
    Endpoint(
        method="GET",
        path=v1(EXECUTION),
        view=get_execution,
        scope=Scope.VIEW_ORDERS,
        tag="executions",
        answers={200: "Execution"},
        aliases=(also_oms("GET", EXECUTION),),
    ),
)
