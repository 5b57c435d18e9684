"""Orders that a soft limit holds: who waits, and a second person's yes or no."""

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.fields import Text
from oms_app.api.order_json import etag, order_document
from oms_app.api.paging import list_query
from oms_app.api.paths import v1
from oms_app.api.rate_limit import Bucket
from oms_app.api.reading import verdicts as reading
from oms_app.api.routes.orders import denied
from oms_app.flow.scopes import Scope
from oms_kernel.domain.ids import OrderId

APPROVAL = "/risk/approvals/<uuid:order_id>"
LONGEST_REASON = 4000


def list_approvals(call: Call) -> Answer:
    """List the orders that wait for a person's approval, newest first, with the limits that hold each."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.list_approvals(unit, call.principal, call.query))


def approve_order(call: Call, order_id: str) -> Answer:
    """Release a held order, once, in spite of the soft limits that hold it. Every rule is asked anew.

    422 when a hard limit denies it now: the order goes on waiting. 403 for whoever placed or changed it, also behind
    another key. A person must have stepped up.
    """
    approval = call.services.approvals.approve(call.principal, OrderId(order_id), call.body["reason"])
    if approval.decision is not None and not approval.decision.accepted:
        raise denied(approval.decision, approval.order)
    return Answer(order_document(approval.order), headers={"ETag": etag(approval.order)})


def decline_order(call: Call, order_id: str) -> Answer:
    """End a held order: CANCELED, never sent. A person must have stepped up."""
    approval = call.services.approvals.decline(call.principal, OrderId(order_id), call.body["reason"])
    return Answer(order_document(approval.order), headers={"ETag": etag(approval.order)})


def _is_person(call: Call) -> bool:
    """Keys prove nothing anew: who may use one was settled when it was made."""
    return call.caller is not None and call.caller.session_id is not None


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=v1("/risk/approvals"),
        view=list_approvals,
        scope=Scope.MANAGE_RISK,
        tag="risk",
        query=list_query("account_id"),
        answers={200: "ApprovalList"},
    ),
    Endpoint(
        method="POST",
        path=v1(APPROVAL + "/approve"),
        view=approve_order,
        decided_in_ledger=True,
        scope=Scope.MANAGE_RISK,
        tag="risk",
        body=SchemaBody("ApproveOrder", {"reason": Text(longest=LONGEST_REASON, required=True)}),
        body_example={"reason": "Agreed with the client by phone, 14:05."},
        answers={200: "Order"},
        problems=(403, 404, 409, 422, 503, 504),
        bucket=Bucket.ORDERS,
        gives_etag=True,
        step_up=_is_person,
    ),
    Endpoint(
        method="POST",
        path=v1(APPROVAL + "/decline"),
        view=decline_order,
        decided_in_ledger=True,
        scope=Scope.MANAGE_RISK,
        tag="risk",
        body=SchemaBody("DeclineOrder", {"reason": Text(longest=LONGEST_REASON, required=True)}),
        body_example={"reason": "Too large for this strategy."},
        answers={200: "Order"},
        problems=(403, 404, 409, 422, 503, 504),
        bucket=Bucket.ORDERS,
        gives_etag=True,
        step_up=_is_person,
    ),
)
