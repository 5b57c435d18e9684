"""Schemas to bodies: a marshmallow schema instance reads JSON values and every error names its field and the fix."""

from collections.abc import Iterator, Mapping
from typing import Any

import marshmallow as ma

from oms_app.api.fields import DECIMAL_FIX, INSTANT_FIX, DecimalText, Instant
from oms_app.api.problems import FieldError, Problem
from oms_app.api.schema_from_struct import make_schema


class SchemaBody:
    """A body that a schema instance reads."""

    def __init__(self, name: str, fields: Mapping[str, ma.fields.Field[Any]]) -> None:
        self.schema_name = name
        self.schema = make_schema(name, fields)

    def read(self, value: Any) -> Any:
        """The loaded values. Raises Problem with every field at fault."""
        return load(self.schema, value)


def load(schema: ma.Schema, value: Any) -> dict[str, Any]:
    """The values that the schema accepts. Raises Problem (invalid_request)."""
    if not isinstance(value, dict):
        raise Problem("invalid_request", "the body must be a JSON object", errors=[_WHOLE_BODY])
    try:
        loaded: dict[str, Any] = schema.load(value)
    except ma.ValidationError as error:
        errors = list(_field_errors(schema, error.messages, ""))
        raise Problem("invalid_request", summary(errors), errors=errors) from None
    return loaded


def summary(errors: list[FieldError]) -> str:
    """One line for people over all errors."""
    first = f"{errors[0].field}: {errors[0].detail}" if errors else "the request is not valid"
    return first if len(errors) < 2 else f"{first} (and {len(errors) - 1} more)"


_WHOLE_BODY = FieldError("", "must be a JSON object", 'send an object such as {"name": "value"}')


def _field_errors(schema: ma.Schema | None, messages: Any, path: str) -> Iterator[FieldError]:
    if isinstance(messages, Mapping):
        for key, below in messages.items():
            name = f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}" if path else str(key)
            yield from _field_errors(schema, below, name)
        return
    for message in messages if isinstance(messages, list) else [messages]:
        yield FieldError(path, _plainly(str(message)), _fix(schema, path, str(message)))


def _plainly(message: str) -> str:
    return _PLAIN.get(message, message)


def _fix(schema: ma.Schema | None, path: str, message: str) -> str:
    field = schema.fields.get(path.partition(".")[0].partition("[")[0]) if schema is not None else None
    if field is None:
        known = ", ".join(sorted(schema.fields)) if schema is not None else ""
        return f"remove it; known fields: {known}"
    if isinstance(field, DecimalText):
        return DECIMAL_FIX
    if isinstance(field, Instant):
        return INSTANT_FIX
    return str(field.metadata.get("description", message))


_PLAIN = {
    "Unknown field.": "is unknown",
    "Missing data for required field.": "is required",
    "Field may not be null.": "must not be null",
    "Not a valid list.": "must be a list",
    "Invalid input type.": "must be a JSON object",
}
