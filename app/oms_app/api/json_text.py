"""JSON bytes in, plain values out, and back: no float ever, no key twice, depth bounded, decimals as canonical text."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from oms_kernel.domain.money import to_text

MAX_DEPTH = 32
_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_KEY_ENDS = re.compile(rb'"[ \t\r\n]*:')
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
    # A quote and a colon end each key. Only more of them than keys, or the same inside a text, call for a second look.
    if len(_KEY_ENDS.findall(data)) != _key_count(value):
        json.loads(data.decode(), object_pairs_hook=_without_repetition, parse_int=str, parse_float=str)
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


def _key_count(value: Any) -> int:
    count = len(value) if isinstance(value, dict) else 0
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(item, (dict, list)):
            count += _key_count(item)
    return count


def _without_repetition(pairs: list[tuple[str, Any]]) -> None:
    """Nothing, when each key stands once. Raises NotJson: readers do not agree on which of two values counts."""
    seen: set[str] = set()
    for key, _value in pairs:
        if key in seen:
            raise NotJson(f"the key {key!r} stands twice in one object")
        seen.add(key)


def _deeper(value: Any, left: int) -> bool:
    if not isinstance(value, (list, dict)):
        return False
    if left == 0:
        return True
    items = value.values() if isinstance(value, dict) else value
    return any(_deeper(item, left - 1) for item in items)
