"""One order: place, get, change, cancel. A denial is 422 with the order stored; bad input stores nothing."""

from typing import Any

import structlog

from oms_app.api.bodies import summary
from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.json_text import plain
from oms_app.api.order_fields import REPLACE_READERS, OrderBody, fingerprint, read_fields, refused
from oms_app.api.order_json import denial, etag, order_document
from oms_app.api.paths import also_oms, v1
from oms_app.api.problems import FieldError, Problem, problem_of
from oms_app.api.rate_limit import Bucket
from oms_app.api.schema_from_struct import fields_of, make_schema
from oms_app.flow.amendment import AmendResult
from oms_app.flow.intake import IdempotencyKey, ItemResult
from oms_app.flow.scopes import Scope
from oms_kernel.domain.decision import Decision
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.order import Order
from oms_kernel.engine import NewTerms

ORDER = "/orders/<uuid:order_id>"


class ReplaceBody:
    """The body of PATCH /orders/{id}."""

    def __init__(self) -> None:
        self.schema_name = "ReplaceOrder"
        self.schema = make_schema("ReplaceOrder", fields_of(NewTerms))

    def read(self, value: Any) -> NewTerms:
        """The new terms. Raises Problem."""
        if not isinstance(value, dict):
            errors = [FieldError("", "must be a JSON object", "send the terms that change")]
            raise Problem("invalid_request", summary(errors), errors=errors)
        values, errors = read_fields(value, REPLACE_READERS)
        if errors:
            raise refused(errors)
        if not values:
            errors = [FieldError("quantity", "nothing is to be changed", "send at least one of the terms")]
            raise Problem("invalid_request", summary(errors), errors=errors)
        return NewTerms(**values)


def place_order(call: Call) -> Answer:
    """Place an order.

    201 means that it will be sent, or is held. 422 risk_denied or compliance_denied means that our own checks refused
    it: it is stored as DENIED and the problem names the rules. Any other 4xx and 503 mean that nothing was stored.
    """
    draft = call.body
    result = call.services.intake.place(
        call.principal, [draft], idempotency=idempotency(call, "POST orders", draft), atomic=False
    )
    try:
        order = placed(result.items[0])
    except Problem as problem:
        problem.headers = replayed_header(problem.headers, result.replayed)
        raise
    structlog.contextvars.bind_contextvars(order_id=order.order_id)
    headers = {"ETag": etag(order), "Location": v1(f"/orders/{order.order_id}")}
    return Answer(order_document(order, plain(draft.tags)), 201, replayed_header(headers, result.replayed))


def modify_order(call: Call, order_id: str) -> Answer:
    """Change an order's terms; `quantity` is always the new total. The order keeps its id."""
    result: AmendResult = call.services.amendment.replace(
        call.principal,
        OrderId(order_id),
        call.body,
        if_match=call.if_match,
        idempotency=idempotency(call, f"PATCH orders/{order_id}", call.body),
    )
    if result.decision is not None and not result.decision.accepted:
        raise denied(result.decision, result.order)
    headers = replayed_header({"ETag": etag(result.order)}, result.replayed)
    return Answer(order_document(result.order), 202, headers)


def cancel_order(call: Call, order_id: str) -> Answer:
    """Cancel what is left of an order: 202 the first time, 200 while it is under way, 409 once the order has ended."""
    result: AmendResult = call.services.amendment.cancel(
        call.principal,
        OrderId(order_id),
        if_match=call.if_match,
        idempotency=idempotency(call, f"POST orders/{order_id}/cancel", None),
    )
    headers = replayed_header({"ETag": etag(result.order)}, result.replayed)
    return Answer(order_document(result.order), 200 if result.repeated else 202, headers)


def placed(item: ItemResult) -> Order:
    """The accepted order of an item. Raises Problem for a denial, FlowError or KernelError for bad input."""
    if item.error is not None:
        raise item.error
    if item.decision is not None and not item.decision.accepted:
        raise denied(item.decision, item.order)
    if item.order is None:
        raise RuntimeError("an item without order, denial or error")
    return item.order


def denied(decision: Decision, order: Order | None) -> Problem:
    """The problem of a denial, with the order's id and what the rules said."""
    code, detail, verdicts = denial(decision)
    extra: dict[str, Any] = {"verdicts": verdicts}
    if order is not None:
        extra = {"order_id": order.order_id, "state": order.state.value, **extra}
    return Problem(code, detail, extra=extra)


def item_problem(item: ItemResult, at: str) -> Problem | None:
    """Why an item of a bulk failed, or None."""
    if item.error is not None:
        return problem_of(item.error, at)
    if item.decision is not None and not item.decision.accepted:
        return denied(item.decision, item.order)
    return None


def idempotency(call: Call, operation: str, asked: Any) -> IdempotencyKey | None:
    """The caller's key with what it stands for; None when the caller sent none."""
    if call.idempotency_key is None:
        return None
    return IdempotencyKey(key=call.idempotency_key, operation=operation, fingerprint=fingerprint(asked))


def replayed_header(headers: dict[str, str], replayed: bool) -> dict[str, str]:
    """The headers, and the word that this answer was given before."""
    return {**headers, "Idempotency-Replayed": "true"} if replayed else headers


ENDPOINTS = (
    Endpoint(
        method="POST",
        path=v1("/orders"),
        view=place_order,
        decided_in_ledger=True,
        scope=Scope.PLACE_ORDERS,
        tag="orders",
        body=OrderBody(),
        answers={201: "Order"},
        gives_etag=True,
        aliases=(also_oms("POST", "/orders"),),
        problems=(404, 409, 422, 503, 504),
        bucket=Bucket.ORDERS,
        takes_idempotency_key=True,
    ),
    Endpoint(
        method="PATCH",
        path=v1(ORDER),
        view=modify_order,
        decided_in_ledger=True,
        scope=Scope.MODIFY_ORDERS,
        tag="orders",
        body=ReplaceBody(),
        answers={202: "Order"},
        gives_etag=True,
        aliases=(
            ("PUT", v1(ORDER)),
            ("POST", v1(ORDER + "/modify")),
            also_oms("PATCH", ORDER),
            also_oms("PUT", ORDER),
            also_oms("POST", ORDER + "/modify"),
        ),
        problems=(404, 409, 412, 422, 503, 504),
        bucket=Bucket.ORDERS,
        takes_idempotency_key=True,
        takes_if_match=True,
    ),
    Endpoint(
        method="POST",
        path=v1(ORDER + "/cancel"),
        view=cancel_order,
        decided_in_ledger=True,
        scope=Scope.CANCEL_ORDERS,
        tag="orders",
        answers={202: "Order", 200: "Order"},
        gives_etag=True,
        aliases=(("DELETE", v1(ORDER)), also_oms("POST", ORDER + "/cancel"), also_oms("DELETE", ORDER)),
        problems=(404, 409, 412, 422, 503, 504),
        bucket=Bucket.CANCELS,
        takes_idempotency_key=True,
        takes_if_match=True,
    ),
)
