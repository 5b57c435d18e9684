"""Many orders in one request: place up to 500 as one batch, cancel many, cancel all; each item has its own result."""

from collections.abc import Sequence
from typing import Any

import marshmallow as ma
from flask import current_app

from oms_app.api.bodies import SchemaBody, summary
from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.fields import Flag, IdText
from oms_app.api.json_text import plain
from oms_app.api.order_fields import order_schema, read_draft
from oms_app.api.order_json import order_document
from oms_app.api.paths import also_oms, v1
from oms_app.api.problems import FieldError, Problem, problem_of
from oms_app.api.quotas import Quotas
from oms_app.api.rate_limit import Bucket
from oms_app.api.requests import current_request_id
from oms_app.api.routes.orders import idempotency, item_problem, replayed_header
from oms_app.api.schema_from_struct import make_schema
from oms_app.flow.amendment import AmendOutcome
from oms_app.flow.intake import MAX_BULK, ItemResult
from oms_app.flow.pretrade import OrderDraft
from oms_app.flow.scopes import Scope
from oms_kernel.domain.ids import AccountId, InstrumentId, OrderId, StrategyId


class BulkOrders:
    """What POST /orders/bulk was asked: drafts, or the errors of those that could not be read."""

    def __init__(self, orders: Sequence[OrderDraft | list[FieldError]], atomic: bool) -> None:
        self.orders = orders
        self.atomic = atomic


class BulkBody:
    """The body of POST /orders/bulk: an object with `orders` and `atomic`, or just the list of orders."""

    def __init__(self) -> None:
        self.schema_name = "BulkOrders"
        self.schema = make_schema(
            "BulkOrders",
            {
                "orders": ma.fields.List(
                    ma.fields.Nested(order_schema()), required=True, validate=ma.validate.Length(1, MAX_BULK)
                ),
                "atomic": Flag(load_default=False),
            },
        )

    def read(self, value: Any) -> BulkOrders:
        """The orders, read one by one. Raises Problem when the request is wrong as a whole."""
        if isinstance(value, list):
            value = {"orders": value}
        if not isinstance(value, dict):
            raise _wrong("", "must be a JSON object", 'send {"orders": [...]}')
        unknown = sorted(set(value) - {"orders", "atomic"})
        if unknown:
            raise _wrong(unknown[0], "is unknown", "remove it; known fields: atomic, orders")
        orders, atomic = value.get("orders"), value.get("atomic", False)
        if not isinstance(atomic, bool):
            raise _wrong("atomic", "must be true or false", "send true or false")
        if not isinstance(orders, list) or not orders:
            raise _wrong("orders", "must be a list of 1 to 500 orders", f"send 1 to {MAX_BULK} orders")
        _check_size(len(orders), "orders")
        read: list[OrderDraft | list[FieldError]] = []
        for one in orders:
            draft, errors = read_draft(one)
            read.append(draft if draft is not None else errors)
        return BulkOrders(read, atomic)


class CancelManyBody(SchemaBody):
    """The body of POST /orders/bulk/cancel."""

    def __init__(self) -> None:
        super().__init__(
            "BulkCancel",
            {"order_ids": ma.fields.List(IdText(), required=True, validate=ma.validate.Length(1, MAX_BULK))},
        )

    def read(self, value: Any) -> Any:
        """The ids. Raises Problem."""
        if isinstance(value, dict) and isinstance(value.get("order_ids"), list):
            _check_size(len(value["order_ids"]), "order_ids")
        return super().read(value)


def place_orders(call: Call) -> Answer:
    """Place up to 500 orders in one batch and one transaction; each has its own result.

    `atomic`: true stores all of them or none.
    """
    asked: BulkOrders = call.body
    _charge(call, len(asked.orders))
    drafts = [one for one in asked.orders if isinstance(one, OrderDraft)]
    unread = len(asked.orders) - len(drafts)
    if unread and asked.atomic:
        return Answer({"results": [_unplaced(index, one) for index, one in enumerate(asked.orders)]})
    results: list[dict[str, Any]] = []
    replayed = False
    placed: list[ItemResult] = []
    if drafts:
        key = idempotency(call, "POST orders/bulk", {"orders": drafts, "atomic": asked.atomic})
        answer = call.services.intake.place(call.principal, drafts, idempotency=key, atomic=asked.atomic)
        placed, replayed = list(answer.items), answer.replayed
    items = iter(placed)
    for index, one in enumerate(asked.orders):
        if isinstance(one, OrderDraft):
            results.append(_placed(index, one, next(items)))
        else:
            results.append(_unread(index, one))
    return Answer({"results": results}, 200, replayed_header({}, replayed))


def cancel_orders(call: Call) -> Answer:
    """Cancel up to 500 orders; each has its own result."""
    ids = [OrderId(order_id) for order_id in dict.fromkeys(call.body["order_ids"])]
    key = idempotency(call, "POST orders/bulk/cancel", call.body)
    result = call.services.amendment.cancel_many(call.principal, ids, idempotency=key)
    results = [_cancelled(index, outcome) for index, outcome in enumerate(result.outcomes)]
    return Answer({"results": results}, 200, replayed_header({}, result.replayed))


def cancel_all_orders(call: Call) -> Answer:
    """Cancel every active order that matches all that is given; without a body, every one that you may use."""
    asked = call.body
    account_id = AccountId(asked["account_id"]) if asked.get("account_id") else None
    if account_id is not None:
        # A mistyped account must not look like one that has nothing to cancel.
        call.services.directory.account(call.principal, account_id, None)
    outcomes = call.services.amendment.cancel_all(
        call.principal,
        account_id=account_id,
        instrument_id=InstrumentId(asked["instrument_id"]) if asked.get("instrument_id") else None,
        strategy_id=StrategyId(asked["strategy_id"]) if asked.get("strategy_id") else None,
    )
    return Answer({"results": [_cancelled(index, outcome) for index, outcome in enumerate(outcomes)]})


def _placed(index: int, draft: OrderDraft, item: ItemResult) -> dict[str, Any]:
    problem = item_problem(item, f"orders[{index}].")
    if problem is not None:
        return _failed(index, problem, draft.client_order_id)
    assert item.order is not None
    return {
        "index": index,
        "status": 201,
        "order": order_document(item.order, plain(draft.tags)),
        "problem": None,
    }


def _unread(index: int, errors: list[FieldError]) -> dict[str, Any]:
    named = [FieldError(f"orders[{index}].{error.field}".rstrip("."), error.detail, error.fix) for error in errors]
    return _failed(index, Problem("invalid_request", summary(named), errors=named), None)


def _unplaced(index: int, one: OrderDraft | list[FieldError]) -> dict[str, Any]:
    if not isinstance(one, OrderDraft):
        return _unread(index, one)
    detail = "another order of the atomic request was refused; nothing was stored"
    return _failed(index, Problem("not_attempted", detail), one.client_order_id)


def _cancelled(index: int, outcome: AmendOutcome) -> dict[str, Any]:
    if outcome.error is not None:
        return {**_failed(index, problem_of(outcome.error), None), "order_id": outcome.order_id}
    order = order_document(outcome.order) if outcome.order is not None else None
    status = 200 if outcome.repeated else 202
    return {"index": index, "status": status, "order": order, "problem": None, "order_id": outcome.order_id}


def _failed(index: int, problem: Problem, client_order_id: str | None) -> dict[str, Any]:
    document = problem.document(current_request_id())
    if client_order_id is not None:
        document["client_order_id"] = client_order_id
    return {"index": index, "status": problem.status, "order": None, "problem": document}


def _charge(call: Call, orders: int) -> None:
    """A bulk draws a token for each order, so that it is no way around the limit."""
    if orders > 1:
        principal, terms = call.principal, call.caller.terms if call.caller is not None else None
        own = terms.quota if terms is not None else None
        quotas: Quotas = current_app.extensions["oms_quotas"]
        quotas.charge(Bucket.ORDERS, principal.principal_id, principal.tenant_id, own, orders - 1)


def _check_size(size: int, field: str) -> None:
    if size > MAX_BULK:
        fix = f"send at most {MAX_BULK} in one request"
        raise Problem("bulk_too_large", f"{size} items in one request", errors=[FieldError(field, "has too many", fix)])


def _wrong(field: str, detail: str, fix: str) -> Problem:
    return Problem("invalid_request", f"{field or 'the body'} {detail}", errors=[FieldError(field, detail, fix)])


ENDPOINTS = (
    Endpoint(
        method="POST",
        path=v1("/orders/bulk"),
        view=place_orders,
        decided_in_ledger=True,
        scope=Scope.PLACE_ORDERS,
        tag="orders",
        body=BulkBody(),
        answers={200: "BulkResults"},
        aliases=(also_oms("POST", "/orders/bulk"),),
        problems=(404, 422, 503, 504),
        bucket=Bucket.ORDERS,
        takes_idempotency_key=True,
    ),
    Endpoint(
        method="POST",
        path=v1("/orders/bulk/cancel"),
        view=cancel_orders,
        decided_in_ledger=True,
        scope=Scope.CANCEL_ORDERS,
        tag="orders",
        body=CancelManyBody(),
        answers={200: "BulkResults"},
        aliases=(also_oms("POST", "/orders/bulk/cancel"),),
        problems=(422, 503, 504),
        bucket=Bucket.CANCELS,
        takes_idempotency_key=True,
    ),
    Endpoint(
        method="POST",
        path=v1("/orders/cancel-all"),
        view=cancel_all_orders,
        decided_in_ledger=True,
        scope=Scope.CANCEL_ORDERS,
        tag="orders",
        body=SchemaBody(
            "CancelAll",
            {
                "account_id": IdText(allow_none=True),
                "instrument_id": IdText(allow_none=True),
                "strategy_id": IdText(allow_none=True),
            },
        ),
        answers={200: "BulkResults"},
        aliases=(also_oms("POST", "/orders/cancel-all"),),
        problems=(404, 422, 503, 504),
        bucket=Bucket.CANCELS,
        body_optional=True,
    ),
)
