"""What the rules said: every judgement of an order's life, and the verdicts of all orders that were no passes."""

from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.fields import Word
from oms_app.api.paging import list_query
from oms_app.api.paths import v1
from oms_app.api.problems import Problem
from oms_app.api.reading import verdicts as reading
from oms_app.api.reading.orders import find_order
from oms_app.api.routes.orders import ORDER
from oms_app.flow.scopes import Scope
from oms_kernel.domain.decision import RuleSeverity


def list_order_verdicts(call: Call, order_id: str) -> Answer:
    """List every judgement of an order, oldest first: what all rules said when it was placed, changed and approved."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        if find_order(unit, call.principal, order_id) is None:
            raise Problem("unknown_order", f"there is no order {order_id}")
        return Answer(reading.order_verdicts(unit, order_id, call.query))


def list_verdicts(call: Call) -> Answer:
    """List the verdicts that denied or held an order, newest first; also those of shadow limits."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.list_verdicts(unit, call.principal, call.query))


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=v1(ORDER + "/verdicts"),
        view=list_order_verdicts,
        scope=Scope.VIEW_ORDERS,
        tag="orders",
        query=list_query(),
        answers={200: "JudgementList"},
    ),
    Endpoint(
        method="GET",
        path=v1("/risk/verdicts"),
        view=list_verdicts,
        scope=Scope.VIEW_ORDERS,
        tag="risk",
        query=list_query("rule", "limit_id", "account_id", "order_id", severity=Word(RuleSeverity)),
        answers={200: "FoundVerdictList"},
    ),
)
