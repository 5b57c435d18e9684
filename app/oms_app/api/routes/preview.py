"""Try an order or new terms without making them: what every rule would say, what it would cost and change."""

from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.order_fields import OrderBody
from oms_app.api.paths import v1
from oms_app.api.preview_json import preview_document
from oms_app.api.rate_limit import Bucket
from oms_app.api.routes.orders import ORDER, ReplaceBody
from oms_app.flow.scopes import Scope
from oms_kernel.domain.ids import OrderId


def preview_order(call: Call) -> Answer:
    """Say what would become of an order: the verdicts of every rule, passes too, costs, cash and position.

    The body is that of POST /orders. Nothing is sent, stored or counted. What placing the order would be refused for
    as bad input, is refused here in the same words.
    """
    return Answer(preview_document(call.services.previews.order(call.principal, call.body)))


def preview_replace(call: Call, order_id: str) -> Answer:
    """Say what would become of new terms of an order; the body is that of PATCH /orders/{order_id}."""
    return Answer(preview_document(call.services.previews.replace(call.principal, OrderId(order_id), call.body)))


ENDPOINTS = (
    Endpoint(
        method="POST",
        path=v1("/orders/preview"),
        view=preview_order,
        decided_in_ledger=True,
        scope=Scope.PLACE_ORDERS,
        tag="orders",
        body=OrderBody(),
        answers={200: "Preview"},
        problems=(404, 409, 422, 503),
        bucket=Bucket.ORDERS,
    ),
    Endpoint(
        method="POST",
        path=v1(ORDER + "/preview"),
        view=preview_replace,
        decided_in_ledger=True,
        scope=Scope.MODIFY_ORDERS,
        tag="orders",
        body=ReplaceBody(),
        answers={200: "Preview"},
        problems=(404, 409, 422, 503),
        bucket=Bucket.ORDERS,
    ),
)
