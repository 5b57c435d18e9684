"""The marshmallow fields of the wire: exact decimals, aware instants, ids, words; none takes what only looks right."""

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from marshmallow import ValidationError, fields

from oms_kernel.domain.errors import InvalidNumber
from oms_kernel.domain.money import parse_decimal, to_text

DECIMAL_PATTERN = r"^-?[0-9]{1,18}(\.[0-9]{1,12})?$"
DECIMAL_FIX = 'send a plain decimal such as "12.50", at most 18 digits before and 12 after the point'
INSTANT_FIX = "send an RFC 3339 time with its zone, such as 2026-01-31T15:30:00Z"
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII)


class DecimalText(fields.Field[Decimal]):
    """An exact decimal: text or number in, canonical text out."""

    def _serialize(self, value: Decimal | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else to_text(value)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Decimal:
        return read_decimal(value)


class Instant(fields.Field[datetime]):
    """An aware UTC instant."""

    def _serialize(self, value: datetime | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:
        return read_instant(value)


class IdText(fields.Field[str]):
    """A UUID as lower-case text."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        return read_id(value)


class Word(fields.Field[str]):
    """One word of a closed set, upper case."""

    def __init__(self, words: type[StrEnum], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.words = tuple(word.value for word in words)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise ValidationError(f"must be one of {', '.join(self.words)}")
        return value


class Flag(fields.Field[bool]):
    """true or false, nothing that merely resembles them."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if isinstance(value, bool):
            return value
        raise ValidationError("must be true or false")


class Count(fields.Field[int]):
    """A whole number from `low` to `high`; `from_text` for query strings."""

    def __init__(self, *, low: int = 0, high: int, from_text: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low, self.high, self.from_text = low, high, from_text

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if self.from_text and isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise ValidationError(f"must be a whole number from {self.low} to {self.high}")
        return value


class QueryFlag(fields.Field[bool]):
    """true or false in a query string."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if value in ("true", "false"):
            return bool(value == "true")
        raise ValidationError("must be true or false")


class Text(fields.Field[str]):
    """Text of bounded length without control characters."""

    def __init__(self, *, longest: int, shortest: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.longest, self.shortest = longest, shortest

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        return read_text(value, self.shortest, self.longest)


class JsonObject(fields.Field[dict[str, Any]]):
    """A free JSON object."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValidationError("must be a JSON object")
        return value


def read_decimal(value: Any) -> Decimal:
    """The exact number. Raises ValidationError that says what is wrong."""
    try:
        return parse_decimal(value)
    except InvalidNumber as error:
        raise ValidationError(error.detail) from None


def read_instant(value: Any) -> datetime:
    """The aware UTC instant. Raises ValidationError."""
    if isinstance(value, str) and _INSTANT.match(value):
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise ValidationError("must be a time with its zone")


def read_id(value: Any) -> str:
    """The UUID in canonical form. Raises ValidationError."""
    if isinstance(value, str) and len(value) == 36:
        try:
            return str(uuid.UUID(value))
        except ValueError:
            pass
    raise ValidationError("must be an id (UUID)")


def read_text(value: Any, shortest: int, longest: int) -> str:
    """The text. Raises ValidationError on other types, wrong length and control characters."""
    if not isinstance(value, str):
        raise ValidationError("must be a text")
    if not shortest <= len(value) <= longest:
        raise ValidationError(f"must have {shortest} to {longest} characters")
    if not value.isprintable():
        raise ValidationError("must not hold control characters")
    return value


def openapi_attributes(self: Any, field: Any, **kwargs: Any) -> dict[str, Any]:
    """What the OpenAPI document says of these fields; apispec calls it for every field."""
    nullable = [] if not getattr(field, "allow_none", False) else ["null"]
    return dict(_ATTRIBUTES.get(type(field), _nothing)(field, nullable))


def _typed(name: str, nullable: list[str]) -> str | list[str]:
    return [name, *nullable] if nullable else name


def _nothing(field: Any, nullable: list[str]) -> dict[str, Any]:
    return {}


_ATTRIBUTES: dict[type, Any] = {
    DecimalText: lambda field, nullable: {
        "type": _typed("string", nullable),
        "format": "decimal",
        "pattern": DECIMAL_PATTERN,
    },
    Instant: lambda field, nullable: {"type": _typed("string", nullable), "format": "date-time"},
    IdText: lambda field, nullable: {"type": _typed("string", nullable), "format": "uuid"},
    Word: lambda field, nullable: {
        "type": _typed("string", nullable),
        "enum": [*field.words, *([None] if nullable else [])],
    },
    Flag: lambda field, nullable: {"type": _typed("boolean", nullable)},
    QueryFlag: lambda field, nullable: {"type": "boolean"},
    Count: lambda field, nullable: {
        "type": _typed("integer", nullable),
        "minimum": field.low,
        "maximum": field.high,
    },
    Text: lambda field, nullable: {
        "type": _typed("string", nullable),
        "minLength": field.shortest,
        "maxLength": field.longest,
    },
    JsonObject: lambda field, nullable: {"type": _typed("object", nullable), "additionalProperties": True},
}
