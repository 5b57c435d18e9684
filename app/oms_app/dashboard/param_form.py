"""A rule's JSON Schema in, the fields of a form out; what was typed in, plain JSON values for its parameters out.

Numbers stay text until the rule's own Params read them. What is left empty is left out, so that the default counts.
Lists of words are one to a line; anything deeper is JSON, with its shape as a hint.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from oms_kernel.domain.errors import InvalidRequest

PREFIX = "p_"
"""Before the name of each parameter in a form, so that none is taken for a field of the limit itself."""
_BOUNDS = (("exclusiveMinimum", "more than {}"), ("minimum", "at least {}"), ("maximum", "at most {}"))


class ParamField(msgspec.Struct, frozen=True):
    """One field. kind: number, count, flag, choice, words, text or json. hint: unit, bounds and default."""

    name: str
    label: str
    kind: str
    hint: str
    is_required: bool
    default: str = ""
    options: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The field's name in the form."""
        return PREFIX + self.name


def fields_of(schema: Mapping[str, Any]) -> list[ParamField]:
    """The fields for a rule's parameters, in their order; needed ones are marked."""
    needed, defs = set(schema.get("required", ())), schema.get("$defs", {})
    return [_field(name, shape, name in needed, defs) for name, shape in schema.get("properties", {}).items()]


def texts_of(fields: list[ParamField], params: Mapping[str, Any]) -> dict[str, str]:
    """What stands in the form for these parameters; the default of each that is not set."""
    return {one.key: _text(one, params[one.name]) if one.name in params else one.default for one in fields}


def read_params(
    fields: list[ParamField], values: Mapping[str, str], before: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The parameters that were typed in. Raises InvalidRequest that names the form's field.

    before: those that the form showed; what still says the same stays as it was, a default that was not set too.
    """
    known = before or {}
    read = {one.name: _read(one, values.get(one.key, "").strip(), known) for one in fields}
    return {name: value for name, value in read.items() if value is not None}


def form_field(field: str) -> str:
    """The form's field for the path of an error, such as `params.approved[0].principal`."""
    if not field.startswith("params."):
        return field
    return PREFIX + field.removeprefix("params.").partition(".")[0].partition("[")[0]


def _field(name: str, shape: Mapping[str, Any], needed: bool, defs: Mapping[str, Any]) -> ParamField:
    inner = {**shape, **next((one for one in shape.get("anyOf", ()) if one.get("type") != "null"), {})}
    named = _named(inner, defs)
    kind = _kind(inner, named, defs)
    options = tuple(str(one) for one in named.get("enum", ())) if kind == "choice" else ()
    parts = [shape.get("x-unit") or inner.get("x-unit", "")]
    parts += [words.format(inner[word]) for word, words in _BOUNDS if word in inner]
    if kind == "words":
        items = _named(inner.get("items", {}), defs).get("enum", ())
        parts.append(f"one to a line{': ' + ', '.join(map(str, items)) if items else ''}")
    if kind == "json":
        parts.append(f"JSON: {_shape(inner, defs)}")
    field = ParamField(name, _label(name, inner), kind, "", needed, options=options)
    default = _text(field, shape["default"]) if shape.get("default") is not None else ""
    if not needed and not default:
        parts.append("may be empty")
    return msgspec.structs.replace(field, hint=", ".join(part for part in parts if part), default=default)


def _kind(shape: Mapping[str, Any], named: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    if "enum" in named:
        return "choice"
    kind = shape.get("type")
    if kind == "array":
        items = _named(shape.get("items", {}), defs)
        return "words" if items.get("type") == "string" or "enum" in items else "json"
    if shape.get("format") == "decimal":
        return "number"
    return {"integer": "count", "boolean": "flag", "string": "text"}.get(str(kind), "json")


def _named(shape: Mapping[str, Any], defs: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in shape:
        return shape
    found: Mapping[str, Any] = defs.get(str(shape["$ref"]).rsplit("/", 1)[-1], {})
    return found


def _shape(shape: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    """What JSON is wanted, in one line."""
    shape = _named(shape, defs)
    if shape.get("type") == "array":
        return f"[{_shape(shape.get('items', {}), defs)}, …]"
    if "properties" in shape:
        return "{" + ", ".join(f'"{name}": …' for name in shape["properties"]) + "}"
    if "additionalProperties" in shape:
        return f'{{"name": {_shape(shape["additionalProperties"], defs)}}}'
    return f'"{shape["format"]}"' if "format" in shape else "…"


def _label(name: str, shape: Mapping[str, Any]) -> str:
    return str(shape.get("description") or name.replace("_", " ").capitalize())


def _text(field: ParamField, value: Any) -> str:
    if value is None:
        return ""
    if field.kind == "flag":
        return "true" if value else "false"
    if field.kind == "words" and isinstance(value, (list, tuple)):
        return "\n".join(map(str, value))
    return msgspec.json.encode(value).decode() if field.kind == "json" else str(value)


def _read(field: ParamField, text: str, before: Mapping[str, Any]) -> Any:
    if field.name in before:
        return before[field.name] if text == _text(field, before[field.name]) else _value(field, text)
    return None if text == field.default else _value(field, text)


def _value(field: ParamField, text: str) -> Any:
    if field.kind == "flag":
        return text == "true"
    if not text:
        return None
    if field.kind == "count":
        if not text.isascii() or not text.isdigit() or len(text) > 15:
            raise InvalidRequest("a whole number is needed", field=field.key)
        return int(text)
    if field.kind == "words":
        return [line.strip() for line in text.splitlines() if line.strip()]
    if field.kind != "json":
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"it is no JSON: {error}", field=field.key) from None
