"""What contributed classes have in common: a stable name, a one-line title, typed parameters, masked secrets."""

import operator
import re
from collections.abc import Callable
from datetime import time
from decimal import Decimal
from enum import Enum
from types import UnionType
from typing import Annotated, Any, ClassVar, Protocol, Union, get_args, get_origin, runtime_checkable

import msgspec

from oms_kernel.domain.errors import InvalidNumber, InvalidRequest
from oms_kernel.domain.money import parse_decimal


class Secret:
    """A text that shows itself only to `reveal()`; in reprs, logs, formats and JSON it is '********'."""

    __slots__ = ("_text",)
    MASK = "********"

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself; hand it to the SDK that needs it and to nothing else."""
        return self._text

    def __repr__(self) -> str:
        return self.MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return self.MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a Secret is never pickled")


class NoParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of a plugin class that has none."""


@runtime_checkable
class Contributed(Protocol):
    """A class that a plugin registers.

    name: stable, lower_snake_case, unique within its kind: it is stored in rows and events.
    title: one line for people.
    Params: a frozen msgspec Struct, `forbid_unknown_fields=True`, each field annotated with
    `described(...)` (or `msgspec.Meta(description=..., extra={"unit": ...})`); error texts, JSON Schema and forms
    come from it.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    Params: ClassVar[type[msgspec.Struct]]


def described(
    description: str, unit: str = "", *, gt: int | None = None, ge: int | None = None, le: int | None = None
) -> msgspec.Meta:
    """The annotation of one parameter: what it means, in which unit, and its bounds.

    The bounds hold for Decimal and int fields: `most: Annotated[Decimal, described("...", "shares", gt=0)]`.
    """
    bounds = {"gt": gt, "ge": ge, "le": le}
    given = {name: bound for name, bound in bounds.items() if bound is not None}
    schema = {_SCHEMA_WORDS[name]: bound for name, bound in given.items()}
    return msgspec.Meta(description=description, extra={"unit": unit, **given}, extra_json_schema=schema)


def parse_params(contributed: type[Contributed], values: object) -> Any:
    """The class's Params from plain JSON values: decimals from plain text or ints, never floats, Secrets from strings.

    Times of day are written 15:20 or 15:20:30.
    Raises InvalidRequest with the field's path and what is wrong with it.
    """
    try:
        given = _with_seconds(values, contributed.Params)
        params = msgspec.convert(given, contributed.Params, strict=True, dec_hook=_decode, builtin_types=())
        _check_numbers(values, params, "", None)
    except msgspec.ValidationError as error:
        text = str(error).replace(_NO_TIME, "Expected a time of day, such as 15:20 or 15:20:30")
        field = text.rsplit("`$", 1)[-1].rstrip("`").lstrip(".") if "`$" in text else None
        raise InvalidRequest(f"parameters of {contributed.name}: {text}", field=field or "parameters") from None
    except InvalidRequest as error:
        text = f"parameters of {contributed.name}: {error.field}: {error.detail}"
        raise type(error)(text, field=error.field) from None
    return params


def params_schema(contributed: type[Contributed]) -> dict[str, Any]:
    """The JSON Schema of the class's Params, with descriptions, `x-unit` and bounds; Secrets are writeOnly strings.

    Structs inside Params stand under `$defs`.
    """
    (reference,), components = msgspec.json.schema_components(
        [contributed.Params], schema_hook=_schema, ref_template="#/$defs/{name}"
    )
    schema: dict[str, Any] = dict(components.pop(reference["$ref"].rsplit("/", 1)[-1]))
    for field in msgspec.structs.fields(contributed.Params):
        shape, meta = schema["properties"][field.encode_name], _meta(field.type)
        if meta is not None and meta.description:
            shape.setdefault("description", meta.description)
        if meta is not None and (meta.extra or {}).get("unit"):
            shape["x-unit"] = (meta.extra or {})["unit"]
    if components:
        schema["$defs"] = components
    return schema


def dump_params(params: msgspec.Struct) -> dict[str, Any]:
    """The parameters as JSON values; Secrets stay masked."""
    return dict(msgspec.to_builtins(params, enc_hook=_encode))


_SCHEMA_WORDS = {"gt": "exclusiveMinimum", "ge": "minimum", "le": "maximum"}
_MINUTES = re.compile(r"[0-9]{2}:[0-9]{2}")
_NO_TIME = "Invalid RFC3339 encoded time"
_BOUNDS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "gt": ("greater than", operator.gt),
    "ge": ("at least", operator.ge),
    "le": ("at most", operator.le),
}


def _meta(annotation: object) -> msgspec.Meta | None:
    """The annotation of a type, or of the first annotated member of a union."""
    for meta in getattr(annotation, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta):
            return meta
    if get_origin(annotation) not in (Union, UnionType):
        return None
    found = (_meta(member) for member in get_args(annotation))
    return next((meta for meta in found if meta is not None), None)


def _item(annotation: object) -> object:
    """The type of a container's items, of a dict's values."""
    if get_origin(annotation) is Annotated:
        return _item(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return next((item for item in map(_item, get_args(annotation)) if item is not None), None)
    items = [item for item in get_args(annotation) if item is not Ellipsis]
    return items[-1] if items else None


def _with_seconds(given: Any, annotation: Any) -> Any:
    """The same values, with :00 at each time of day that people wrote without seconds."""
    if get_origin(annotation) is Annotated:
        return _with_seconds(given, get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            given = _with_seconds(given, member)
        return given
    if isinstance(given, str):
        return f"{given}:00" if annotation is time and _MINUTES.fullmatch(given) else given
    if isinstance(given, dict):
        if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
            kinds = {field.encode_name: field.type for field in msgspec.structs.fields(annotation)}
            return {key: _with_seconds(value, kinds.get(key)) for key, value in given.items()}
        item = _item(annotation)
        return {key: _with_seconds(value, item) for key, value in given.items()}
    if isinstance(given, (list, tuple)):
        item = _item(annotation)
        return [_with_seconds(value, item) for value in given]
    return given


def _check_numbers(given: Any, parsed: Any, path: str, annotation: object) -> None:
    """Nothing, when every Decimal came from plain text or an int and every number keeps its bounds."""
    if isinstance(parsed, msgspec.Struct):
        for field in msgspec.structs.fields(parsed):
            if field.encode_name in given:
                inner, value = f"{path}.{field.name}".lstrip("."), getattr(parsed, field.name)
                _check_numbers(given[field.encode_name], value, inner, field.type)
    elif isinstance(parsed, (list, tuple)):
        for place, (one, value) in enumerate(zip(given, parsed, strict=True)):
            _check_numbers(one, value, f"{path}[{place}]", _item(annotation))
    elif isinstance(parsed, dict):
        for key, value in parsed.items():
            _check_numbers(given.get(key), value, f"{path}[{key}]", _item(annotation))
    elif isinstance(parsed, (Decimal, int)) and not isinstance(parsed, (bool, Enum)):
        if isinstance(parsed, Decimal):
            try:
                parse_decimal(given)
            except InvalidNumber as error:
                raise InvalidNumber(error.detail, field=path) from None
        meta = _meta(annotation)
        extra = (meta.extra if meta is not None else None) or {}
        for name, (words, holds) in _BOUNDS.items():
            if extra.get(name) is not None and not holds(parsed, extra[name]):
                raise InvalidRequest(f"must be {words} {extra[name]}", field=path)


def _decode(kind: type, value: Any) -> Any:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise NotImplementedError(kind)


def _encode(value: Any) -> Any:
    if isinstance(value, Secret):
        return Secret.MASK
    raise NotImplementedError(type(value))


def _schema(kind: type) -> dict[str, Any]:
    if kind is Secret:
        return {"type": "string", "format": "password", "writeOnly": True}
    raise NotImplementedError(kind)
