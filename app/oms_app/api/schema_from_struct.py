"""A kernel Struct in, a marshmallow schema instance out: field by field, so that the Struct stays the only definition.

The API's hand-written extras are given beside the Struct; every field must stand in the table of descriptions.
"""

import types
import typing
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any

import marshmallow as ma
import msgspec

from oms_app.api.descriptions import describe
from oms_app.api.fields import Count, DecimalText, Flag, IdText, Instant, JsonObject, Text, Word
from oms_kernel.domain import ids

LONGEST_TEXT = 4096
_UUIDS = frozenset(
    {
        ids.TenantId,
        ids.LedgerId,
        ids.AccountId,
        ids.BrokerAccountId,
        ids.ConnectionId,
        ids.OrderId,
        ids.InstrumentId,
        ids.StrategyId,
        ids.StrategyRunId,
        ids.GroupId,
        ids.EventId,
    }
)
"""Ids that are UUIDs; the others are texts that somebody else made."""


def make_schema(name: str, fields: Mapping[str, ma.fields.Field[Any]]) -> ma.Schema:
    """An instance of a new schema that refuses unknown fields; `name` is its name in the OpenAPI document."""
    for field_name, field in fields.items():
        field.metadata = {"description": describe(name, field_name), **field.metadata}
    schema: ma.Schema = type(name, (_Strict,), dict(fields))()
    return schema


def fields_of(
    struct: type[msgspec.Struct], *, omit: Iterable[str] = (), required: Iterable[str] | None = None
) -> dict[str, ma.fields.Field[Any]]:
    """One marshmallow field for each field of a Struct, in its order.

    required: which must be given; by default those without a default value.
    """
    hints = typing.get_type_hints(struct, include_extras=False)
    left_out = frozenset(omit)
    made: dict[str, ma.fields.Field[Any]] = {}
    for info in msgspec.structs.fields(struct):
        if info.name in left_out:
            continue
        needed = info.required if required is None else info.name in frozenset(required)
        made[info.name] = field_for(hints[info.name], required=needed)
    return made


def field_for(hint: Any, *, required: bool = False) -> ma.fields.Field[Any]:
    """The marshmallow field of one type. Raises TypeError for a type that the wire does not know."""
    hint, nullable = _without_none(hint)
    options: dict[str, Any] = {"required": required, "allow_none": nullable}
    if hint in _UUIDS:
        return IdText(**options)
    hint = getattr(hint, "__supertype__", hint)
    if typing.get_origin(hint) in (tuple, list):
        return ma.fields.List(field_for(typing.get_args(hint)[0]), **options)
    if typing.get_origin(hint) is dict:
        return JsonObject(**options)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return Word(hint, **options)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return ma.fields.Nested(struct_schema(hint), **options)
    maker = _MAKERS.get(hint)
    if maker is None:
        raise TypeError(f"the wire has no field for {hint!r}")
    made: ma.fields.Field[Any] = maker(options)
    return made


@lru_cache(maxsize=100)
def struct_schema(struct: type[msgspec.Struct]) -> ma.Schema:
    """The schema of a Struct as it is; the same instance each time."""
    return make_schema(struct.__name__, fields_of(struct))


class _Strict(ma.Schema):
    class Meta:
        unknown = ma.RAISE
        register = False


def bare_type(hint: Any) -> Any:
    """The type without None, a NewType's base, or a container's own type."""
    hint, _ = _without_none(hint)
    hint = getattr(hint, "__supertype__", hint)
    return typing.get_origin(hint) or hint


def _without_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        others = [argument for argument in typing.get_args(hint) if argument is not type(None)]
        return others[0], len(others) < len(typing.get_args(hint))
    return hint, False


_MAKERS: dict[Any, Any] = {
    str: lambda options: Text(shortest=0, longest=LONGEST_TEXT, **options),
    bool: lambda options: Flag(**options),
    int: lambda options: Count(high=2**63 - 1, **options),
    Decimal: lambda options: DecimalText(**options),
    datetime: lambda options: Instant(**options),
    date: lambda options: ma.fields.Date(**options),
    time: lambda options: ma.fields.Time(**options),
}
