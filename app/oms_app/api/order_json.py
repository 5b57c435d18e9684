"""An Order in, its JSON out: every field of the kernel's order, flat, with what is derived from them."""

import typing
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any

import marshmallow as ma
import msgspec

from oms_app.api.fields import DecimalText, Flag, IdText, JsonObject, Word
from oms_app.api.json_text import plain
from oms_app.api.schema_from_struct import bare_type, field_for, fields_of, make_schema
from oms_kernel.domain.decision import Decision, Verdict
from oms_kernel.domain.lifecycle import OrderState, RequestStatus
from oms_kernel.domain.money import to_text
from oms_kernel.domain.order import Order, OrderRequest, Reservation

REQUEST_FIELDS = tuple(
    name
    for name in OrderRequest.__struct_fields__
    if name not in {"quantity", "limit_price", "stop_price", "trail_amount", "trail_percent", "tags_hash"}
)
"""What the request keeps for good; its terms may be replaced and are shown as they are now."""
ORDER_FIELDS = tuple(
    name for name in Order.__struct_fields__ if name not in {"request", "place", "replace", "cancel", "lease_token"}
)


def _named(struct: type[msgspec.Struct], names: tuple[str, ...], *kinds: Any) -> tuple[str, ...]:
    """The fields among `names` whose type, None aside, is one of `kinds`."""
    hints = typing.get_type_hints(struct)
    return tuple(name for name in names if bare_type(hints[name]) in kinds)


def _others(names: tuple[str, ...], *taken: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if not any(name in part for part in taken))


_DECIMALS = _named(Order, ORDER_FIELDS, Decimal)
_NESTED = _named(Order, ORDER_FIELDS, Reservation, tuple)
_PLAIN = _others(ORDER_FIELDS, _DECIMALS, _NESTED)
_DECIMALS_OF_REQUEST = _named(OrderRequest, REQUEST_FIELDS, Decimal)
_PLAIN_OF_REQUEST = _others(REQUEST_FIELDS, _DECIMALS_OF_REQUEST)
"""The fields by how they become JSON, settled once: this runs for every order that is shown."""
_plain_values = attrgetter(*_PLAIN)
_plain_values_of_request = attrgetter(*_PLAIN_OF_REQUEST)


def order_document(order: Order, tags: dict[str, Any] | None = None) -> dict[str, Any]:
    """The order as the API shows it; `tags` as they were given."""
    document: dict[str, Any] = {"order_id": order.order_id, "state": order.state}
    request = order.request
    document.update(zip(_PLAIN_OF_REQUEST, _plain_values_of_request(request), strict=True))
    document.update(zip(_PLAIN, _plain_values(order), strict=True))
    for name in _DECIMALS_OF_REQUEST:
        number = getattr(request, name)
        document[name] = to_text(number) if number is not None else None
    for name in _DECIMALS:
        number = getattr(order, name)
        document[name] = to_text(number) if number is not None else None
    for name in _NESTED:
        document[name] = plain(getattr(order, name))
    average, replace = order.average_price, order.replace
    document["requests"] = {
        "place": order.place,
        "replace": replace.status if replace is not None else None,
        "cancel": order.cancel,
    }
    document["replacement"] = plain(replace) if replace is not None else None
    document["is_active"] = order.is_active
    document["is_filled"] = order.is_filled
    document["fill_percentage"] = to_text(order.fill_percentage) if order.filled_quantity else "0"
    document["average_price"] = to_text(average) if average is not None else None
    document["leaves_quantity"] = to_text(order.leaves_quantity)
    document["tags"] = tags
    return document


def etag(order: Order) -> str:
    """The order's version as an ETag."""
    return f'"v{order.version}"'


def denial(decision: Decision) -> tuple[str, str, list[dict[str, Any]]]:
    """(code, detail, verdicts) of a denied order. Only a compliance check makes it compliance_denied."""
    denials = decision.denials
    first = denials[0] if denials else None
    code = "compliance_denied" if first is not None and first.gate.value == "compliance" else "risk_denied"
    if first is None:
        return code, "the order was denied", []
    return code, verdict_text(first), [verdict_document(one) for one in denials]


def verdict_text(verdict: Verdict) -> str:
    """A refusal in one line: the rule, why, what was observed against which limit, and what would pass."""
    by = f"{verdict.rule} ({verdict.plugin})" if verdict.plugin else verdict.rule
    told = [f"{by}: {verdict.message or verdict.code or 'denied'}"]
    if verdict.observed is not None and verdict.limit is not None:
        bound = "at least" if verdict.is_floor else "at most"
        unit = f" {verdict.unit}" if verdict.unit else ""
        told.append(f"observed {to_text(verdict.observed)}, allowed {bound} {to_text(verdict.limit)}{unit}")
    if verdict.would_pass:
        told.append(f"what would pass: {verdict.would_pass}")
    return "; ".join(told)


def verdict_document(verdict: Verdict) -> dict[str, Any]:
    """A rule's word as JSON values, with how far it is from its limit."""
    document: dict[str, Any] = plain(verdict)
    document["headroom"] = plain(verdict.headroom)
    return document


@lru_cache(maxsize=1)
def verdict_schema() -> ma.Schema:
    """What the API answers for a verdict: the kernel's Verdict, and its headroom."""
    return make_schema("Verdict", {**fields_of(Verdict), "headroom": DecimalText(allow_none=True)})


@lru_cache(maxsize=1)
def order_answer_schema() -> ma.Schema:
    """What the API answers for an order, generated from the kernel's Order and OrderRequest."""
    fields = {
        "order_id": IdText(required=True),
        "state": Word(OrderState, required=True),
        **fields_of(OrderRequest, omit=set(OrderRequest.__struct_fields__) - set(REQUEST_FIELDS)),
        **fields_of(Order, omit=set(Order.__struct_fields__) - set(ORDER_FIELDS)),
        "requests": ma.fields.Nested(
            make_schema(
                "OrderRequests",
                {
                    "place": Word(RequestStatus),
                    "replace": Word(RequestStatus, allow_none=True),
                    "cancel": Word(RequestStatus, allow_none=True),
                },
            )
        ),
        "replacement": field_for(Order.__annotations__["replace"]),
        "is_active": Flag(),
        "is_filled": Flag(),
        "fill_percentage": DecimalText(),
        "average_price": DecimalText(allow_none=True),
        "leaves_quantity": DecimalText(),
        "tags": JsonObject(allow_none=True),
    }
    return make_schema("Order", fields)
