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
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_TEXT = re.compile(rb'"[^"]*"')
_UNMARKED = bytes(byte for byte in range(256) if byte not in b'[]{}"')
_ENCODER = msgspec.json.Encoder(decimal_format="string")


class NotJson(Exception):
    """The bytes are no JSON of bounded depth; the text says why."""


def decode(data: bytes) -> Any:
    """The values of a JSON text; numbers with a point or an exponent are Decimals. Raises NotJson."""
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _is_deeper(data, MAX_DEPTH):
        raise NotJson(f"it is nested deeper than {MAX_DEPTH} levels")
    try:
        value = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, ArithmeticError, ValueError) as error:
        raise NotJson(str(error) or "it cannot be read") from None
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


def _is_deeper(data: bytes, most: int) -> bool:
    """Whether brackets outside of texts nest deeper than that; found before anything is parsed.

    Whatever is neither bracket nor quote is dropped first. Two quotes side by side are then a text without brackets,
    or the end of one and the begin of the next: without them what is inside a text is inside still.
    """
    if b"\\" in data:
        data = _ESCAPED.sub(b"", data)
    marks = data.translate(None, _UNMARKED).replace(b'""', b"")
    if b'"' in marks:
        marks = _TEXT.sub(b"", marks)
    depth = 0
    for mark in marks:
        depth += 1 if mark in b"[{" else -1
        if depth > most:
            return True
    return False
