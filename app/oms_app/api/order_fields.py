"""The JSON of an order in, an OrderDraft out, or every field at fault with its fix; the one path of single and bulk.

Read by a table of plain functions, because this is what every order waits for; the marshmallow schema beside it says
the same in the OpenAPI document, and a test holds the two to each other.
"""

import difflib
import hashlib
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any

import marshmallow as ma
import msgspec

from oms_app.api.bodies import summary
from oms_app.api.fields import (
    DECIMAL_FIX,
    INSTANT_FIX,
    DecimalText,
    IdText,
    JsonObject,
    Text,
    Word,
    read_decimal,
    read_id,
    read_instant,
    read_text,
)
from oms_app.api.json_text import encode, plain
from oms_app.api.problems import FieldError, Problem
from oms_app.api.schema_from_struct import fields_of, make_schema
from oms_app.flow.pretrade import OrderDraft
from oms_kernel.domain.order import OrderRequest, OrderType, Product, Side, TimeInForce

ALIASES = {
    "price": "limit_price",
    "trigger_price": "stop_price",
    "validity": "time_in_force",
    "metadata": "tags",
}
"""Spellings of other systems -> ours. Giving both is refused."""
ORDER_TYPE_ALIASES = {"SL": OrderType.STOP_LIMIT, "SL-M": OrderType.STOP, "SL_M": OrderType.STOP}
MAX_TAGS_BYTES = 4096
LONGEST_CLIENT_ORDER_ID = 128
LONGEST_REFERENCE = 100

Reader = Callable[[Any], Any]


def _above_zero(value: Any) -> Any:
    number = read_decimal(value)
    if number <= 0:
        raise ma.ValidationError("must be greater than 0")
    return number


def _word_of(words: type[StrEnum], aliases: Mapping[str, StrEnum]) -> Reader:
    known: dict[str, StrEnum] = {**{word.value: word for word in words}, **aliases}
    shown = ", ".join(known)

    def read(value: Any) -> StrEnum:
        found = known.get(value) if isinstance(value, str) else None
        if found is None:
            raise ma.ValidationError(f"must be one of {shown}")
        return found

    return read


def _remembered(read: Reader) -> Reader:
    """A reader that knows the texts which it read lately: most orders name the same accounts, instruments and times."""
    known = lru_cache(maxsize=1024)(read)
    return lambda value: known(value) if value.__class__ is str else read(value)


def _text(longest: int) -> Reader:
    return lambda value: read_text(value, 1, longest)


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ma.ValidationError("must be true or false")


def read_tags(value: Any) -> dict[str, Any]:
    """The JSON object, numbers as texts. Raises ValidationError beyond 4 kB."""
    if not isinstance(value, dict):
        raise ma.ValidationError("must be a JSON object")
    tags: dict[str, Any] = plain(value)
    if len(encode(tags)) > MAX_TAGS_BYTES:
        raise ma.ValidationError(f"must not be larger than {MAX_TAGS_BYTES} bytes")
    return tags


_REFERENCE_FIX = f"send 1 to {LONGEST_REFERENCE} printable characters"
_ID_FIX = "send the id as the API gave it"
_READERS: dict[str, tuple[Reader, str]] = {
    "account_id": (_remembered(_text(64)), "GET /api/v1/accounts lists your accounts"),
    "broker_account_id": (_remembered(_text(64)), "GET /api/v1/broker-accounts lists them"),
    "symbol": (_remembered(_text(60)), "GET /api/v1/instruments lists what can be traded"),
    "exchange": (_text(30), "send the venue of the instrument"),
    "instrument_id": (_remembered(_text(64)), "GET /api/v1/instruments lists what can be traded"),
    "side": (_word_of(Side, {}), "send BUY or SELL"),
    "quantity": (_above_zero, DECIMAL_FIX),
    "order_type": (
        _word_of(OrderType, ORDER_TYPE_ALIASES),
        "send MARKET, LIMIT, STOP, STOP_LIMIT or TRAILING_STOP",
    ),
    "limit_price": (_remembered(read_decimal), DECIMAL_FIX),
    "stop_price": (_remembered(read_decimal), DECIMAL_FIX),
    "trail_amount": (_above_zero, DECIMAL_FIX),
    "trail_percent": (_above_zero, DECIMAL_FIX),
    "time_in_force": (_word_of(TimeInForce, {}), "send DAY, GTC, IOC, FOK, GTD, OPG or CLS"),
    "expire_at": (_remembered(read_instant), INSTANT_FIX),
    "queue_until": (_remembered(read_instant), INSTANT_FIX),
    "client_order_id": (
        _text(LONGEST_CLIENT_ORDER_ID),
        f"send 1 to {LONGEST_CLIENT_ORDER_ID} printable characters",
    ),
    "strategy_id": (_remembered(read_id), _ID_FIX),
    "product": (_word_of(Product, {}), "send MIS, CNC or NRML"),
    "tags": (read_tags, f"send a JSON object of at most {MAX_TAGS_BYTES} bytes"),
    "reduce_only": (_flag, "send true or false"),
    "allow_duplicate": (_flag, "send true or false"),
    "parent_order_id": (read_id, _ID_FIX),
    "confirmed_quantity": (_above_zero, DECIMAL_FIX),
    "locate_id": (_text(LONGEST_REFERENCE), _REFERENCE_FIX),
    "algo_version": (_remembered(_text(LONGEST_REFERENCE)), _REFERENCE_FIX),
    "desk": (_remembered(_text(LONGEST_REFERENCE)), _REFERENCE_FIX),
    "client_ref": (_remembered(_text(LONGEST_REFERENCE)), _REFERENCE_FIX),
}
_REFERENCES = ("locate_id", "algo_version", "desk", "client_ref")
_REQUIRED = {
    "side": "send BUY or SELL",
    "quantity": DECIMAL_FIX,
    "order_type": "send MARKET, LIMIT, STOP, STOP_LIMIT or TRAILING_STOP",
}
_ONE_OF = (
    ("account_id", "broker_account_id", "GET /api/v1/accounts lists your accounts"),
    ("symbol", "instrument_id", "GET /api/v1/instruments lists what can be traded"),
)


def read_draft(value: Any) -> tuple[OrderDraft | None, list[FieldError]]:
    """(draft, no errors) or (None, every error of the order)."""
    if not isinstance(value, dict):
        return None, [FieldError("", "must be a JSON object", "send an object with side, quantity and order_type")]
    values, errors = read_fields(value, _READERS)
    for name, fix in _REQUIRED.items():
        if name not in values and not any(error.field == name for error in errors):
            errors.append(FieldError(name, "is required", fix))
    for one, other, fix in _ONE_OF:
        if one not in values and other not in values and not any(error.field in (one, other) for error in errors):
            errors.append(FieldError(one, f"is required, or {other}", fix))
    if errors:
        return None, errors
    return OrderDraft(**values), []


def read_fields(
    value: Mapping[str, Any], readers: Mapping[str, tuple[Reader, str]]
) -> tuple[dict[str, Any], list[FieldError]]:
    """The fields that are there, under our names, and what is wrong with the others. null counts as not given."""
    values: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    errors: list[FieldError] = []
    for key, raw in value.items():
        name = ALIASES.get(key, key)
        reader = readers.get(name)
        if reader is None:
            errors.append(FieldError(key, "is unknown", _unknown_fix(key, readers)))
            continue
        if raw is None:
            continue
        if name in spelled:
            errors.append(FieldError(key, f"means the same as {spelled[name]}", "give one of the two"))
            continue
        spelled[name] = key
        try:
            values[name] = reader[0](raw)
        except ma.ValidationError as error:
            errors.append(FieldError(key, str(error.messages[0]), reader[1]))
    return values, errors


class OrderBody:
    """The body of POST /orders."""

    def __init__(self) -> None:
        self.schema_name = "OrderRequest"
        self.schema = order_schema()

    def read(self, value: Any) -> OrderDraft:
        """The draft. Raises Problem with every field at fault."""
        draft, errors = read_draft(value)
        if draft is None:
            raise refused(errors)
        return draft


def refused(errors: list[FieldError]) -> Problem:
    """422 for these fields; `invalid_number` when only numbers are at fault."""
    numbers_only = errors and all(error.fix == DECIMAL_FIX and error.detail != "is required" for error in errors)
    return Problem("invalid_number" if numbers_only else "invalid_request", summary(errors), errors=errors)


@lru_cache(maxsize=1)
def order_schema() -> ma.Schema:
    """What POST /orders takes, generated from the kernel's OrderRequest; the extras name things before they resolve."""
    fields = fields_of(
        OrderRequest,
        omit=("group_id", "tags_hash", "strategy_run_id", "time_in_force", "order_type", "liquidation_id"),
        required=("side", "quantity"),
    )
    for name in ("account_id", "instrument_id"):
        fields[name].required = False
    return make_schema(
        "OrderRequest",
        {
            **fields,
            "order_type": _open_word(OrderType, ORDER_TYPE_ALIASES, required=True),
            "time_in_force": Word(TimeInForce, load_default=TimeInForce.DAY),
            "symbol": Text(longest=60),
            "exchange": Text(longest=30, allow_none=True),
            **{name: Text(longest=LONGEST_REFERENCE, allow_none=True) for name in _REFERENCES},
            "broker_account_id": IdText(allow_none=True),
            "tags": JsonObject(allow_none=True),
            "price": DecimalText(allow_none=True),
            "trigger_price": DecimalText(allow_none=True),
            "validity": Word(TimeInForce),
            "metadata": JsonObject(allow_none=True),
        },
    )


def _open_word(words: type[StrEnum], aliases: Mapping[str, StrEnum], *, required: bool) -> Word:
    field = Word(words, required=required)
    field.words = (*field.words, *aliases)
    return field


def fingerprint(parts: Any) -> bytes:
    """SHA-256 of what was asked for, the same however its numbers and fields were written."""
    canonical = msgspec.json.encode(plain(parts), order="deterministic")
    return hashlib.sha256(canonical).digest()


def _unknown_fix(key: str, readers: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(str(key), [*readers, *ALIASES], n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else "remove it"


REPLACE_READERS: dict[str, tuple[Reader, str]] = {
    name: _READERS[name] for name in ("quantity", "limit_price", "stop_price", "trail_amount", "trail_percent")
}


__all__ = [
    "ALIASES",
    "OrderBody",
    "REPLACE_READERS",
    "fingerprint",
    "order_schema",
    "read_draft",
    "read_fields",
    "refused",
]
