"""Column types that mean the same on PostgreSQL and SQLite: exact decimals, aware UTC instants, ids as text, JSON."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import CHAR, JSON, Date, DateTime, LargeBinary, Numeric, Row, String, Text
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from oms_kernel.domain.money import FRACTION_DIGITS, INTEGER_DIGITS, bounded, to_text


def instant_to_text(at: datetime) -> str:
    """An aware instant as text of fixed width that sorts by time. Raises ValueError on a naive one."""
    if at.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def instant_from_text(text: str) -> datetime:
    """The aware UTC instant that `instant_to_text` wrote."""
    return datetime.fromisoformat(text).astimezone(UTC)


class ExactDecimal(TypeDecorator[Decimal]):
    """A Decimal of up to 18 integer and 12 fraction digits: NUMERIC(30,12), on SQLite canonical text.

    Raises InvalidNumber on anything larger, TypeError on a float.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """NUMERIC(30,12) or TEXT."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(Numeric(INTEGER_DIGITS + FRACTION_DIGITS, FRACTION_DIGITS))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """The value as stored."""
        if value is None:
            return None
        if not isinstance(value, Decimal):
            raise TypeError(f"a Decimal is needed, got {type(value).__name__}")
        return bounded(value) if dialect.name == "postgresql" else to_text(bounded(value))

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """The canonical Decimal."""
        return None if value is None else canonical(value)


def canonical(value: Decimal | str) -> Decimal:
    """The number without trailing zeros and without exponent, so that equal numbers print alike."""
    return Decimal(to_text(value if isinstance(value, Decimal) else Decimal(value)))


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC instant to the microsecond: timestamptz, on SQLite sortable text. A naive one: ValueError."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """timestamptz or VARCHAR(32)."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(DateTime(timezone=True))
        return dialect.type_descriptor(String(32))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """The instant as stored."""
        if value is None:
            return None
        text = instant_to_text(value)
        return value if dialect.name == "postgresql" else text

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """The aware UTC instant."""
        if value is None:
            return None
        return value.astimezone(UTC) if isinstance(value, datetime) else instant_from_text(value)


class Id(TypeDecorator[str]):
    """A UUID that Python sees as text: uuid, on SQLite CHAR(36)."""

    impl = CHAR
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """uuid or CHAR(36)."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(UUID(as_uuid=False))
        return dialect.type_descriptor(CHAR(36))

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        """The id as lower-case text with hyphens."""
        return None if value is None else str(value)


class Day(TypeDecorator[date]):
    """A calendar date: date, on SQLite ISO text."""

    impl = Date
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """date or CHAR(10)."""
        return dialect.type_descriptor(Date() if dialect.name == "postgresql" else CHAR(10))

    def process_bind_param(self, value: date | None, dialect: Dialect) -> Any:
        """The date as stored."""
        return value if value is None or dialect.name == "postgresql" else value.isoformat()

    def process_result_value(self, value: Any, dialect: Dialect) -> date | None:
        """The date."""
        return date.fromisoformat(value) if isinstance(value, str) else value


AnyRow = Row[*tuple[Any, ...]]
"""A row of any query."""
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""Small structured values (parameters, scopes): JSONB, on SQLite text. Decimals travel as strings."""
Octets = LargeBinary
"""Bytes: hashes and encrypted credentials."""

_ENCODER = msgspec.json.Encoder(decimal_format="string", order="deterministic")


def to_json(value: Any) -> str:
    """JSON text of a value, Decimals as strings, keys sorted."""
    return _ENCODER.encode(value).decode()


def time_to_text(value: time) -> str:
    """A time of day as HH:MM:SS."""
    return value.isoformat(timespec="seconds")
