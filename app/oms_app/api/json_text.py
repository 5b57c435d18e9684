"""JSON bytes in, plain values out, and back: no float ever, depth bounded, decimals as canonical strings."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from oms_kernel.domain.money import to_text

MAX_DEPTH = 32
_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="string")


class NotJson(Exception):
    """The bytes are no JSON of bounded depth; the text says why."""


def decode(data: bytes) -> Any:
    """The values of a JSON text; numbers with a point or an exponent are Decimals. Raises NotJson."""
    try:
        value = _DECODER.decode(data)
    except RecursionError:
        raise NotJson(f"it is nested deeper than {MAX_DEPTH} levels") from None
    except (msgspec.DecodeError, UnicodeDecodeError, ArithmeticError, ValueError) as error:
        raise NotJson(str(error) or "it cannot be read") from None
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _deeper(value, MAX_DEPTH):
        raise NotJson(f"it is nested deeper than {MAX_DEPTH} levels")
    return value


def encode(value: Any) -> bytes:
    """The JSON text of plain values; datetimes as RFC 3339 in UTC."""
    return _ENCODER.encode(value)


def plain(value: Any) -> Any:
    """The value with every Decimal as canonical text and every tuple or mapping as list or dict."""
    if isinstance(value, Decimal):
        return to_text(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    return value


def _deeper(value: Any, left: int) -> bool:
    if not isinstance(value, (list, dict)):
        return False
    if left == 0:
        return True
    items = value.values() if isinstance(value, dict) else value
    return any(_deeper(item, left - 1) for item in items)
