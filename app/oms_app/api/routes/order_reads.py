"""Orders as they stand and what happened to them: lists with filters in both vocabularies, one order, its events."""

from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.order_json import etag, order_document
from oms_app.api.paging import list_query
from oms_app.api.paths import also_oms, v1
from oms_app.api.problems import Problem
from oms_app.api.reading import orders as reading
from oms_app.api.reading.attention import list_modifications
from oms_app.api.routes.orders import ORDER
from oms_app.flow.scopes import Scope


def list_orders(call: Call) -> Answer:
    """List orders, newest first. `status` takes our states and other systems' words, separated by commas."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.list_orders(unit, call.principal, call.query))


def get_order(call: Call, order_id: str) -> Answer:
    """Read an order as it stands now."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        order = reading.find_order(unit, call.principal, order_id)
        if order is None:
            raise Problem("unknown_order", f"there is no order {order_id}")
        tags = reading.tags_of(unit, [order.order_id])
    return Answer(order_document(order, tags.get(order.order_id)), headers={"ETag": etag(order)})


def list_order_events(call: Call, order_id: str) -> Answer:
    """List everything that happened to an order, in the order in which it was recorded."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        if reading.find_order(unit, call.principal, order_id) is None:
            raise Problem("unknown_order", f"there is no order {order_id}")
        return Answer(reading.list_order_events(unit, order_id, call.query))


def list_order_modifications(call: Call, order_id: str) -> Answer:
    """List every change of an order's terms, oldest first: what was asked for, by whom, and how it ended."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        order = reading.find_order(unit, call.principal, order_id)
        if order is None:
            raise Problem("unknown_order", f"there is no order {order_id}")
        return Answer(list_modifications(unit, order, call.query))


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=v1("/orders"),
        view=list_orders,
        scope=Scope.VIEW_ORDERS,
        tag="orders",
        query=list_query(
            "status",
            "state",
            "symbol",
            "exchange",
            "side",
            "account_id",
            "strategy_id",
            "instrument_id",
            "client_order_id",
        ),
        answers={200: "OrderList"},
        aliases=(also_oms("GET", "/orders"),),
    ),
    Endpoint(
        method="GET",
        path=v1(ORDER),
        view=get_order,
        scope=Scope.VIEW_ORDERS,
        tag="orders",
        answers={200: "Order"},
        gives_etag=True,
        aliases=(also_oms("GET", ORDER),),
    ),
    Endpoint(
        method="GET",
        path=v1(ORDER + "/events"),
        view=list_order_events,
        scope=Scope.VIEW_ORDERS,
        tag="orders",
        query=list_query(),
        answers={200: "EventList"},
        aliases=(also_oms("GET", ORDER + "/events"),),
    ),
    Endpoint(
        method="GET",
        path=v1(ORDER + "/modifications"),
        view=list_order_modifications,
        scope=Scope.VIEW_ORDERS,
        tag="orders",
        query=list_query(),
        answers={200: "ModificationList"},
        aliases=(("GET", v1(ORDER + "/revisions")), also_oms("GET", ORDER + "/modifications")),
    ),
)
