"""Rows of a projection in, one text for each column out, and the SQL that turns those texts into rows again.

Most columns are arrays; JSON documents, which hold no line break, are lines of one text, so that nothing in them is
quoted. Guarantee: every value comes back as it was. A text with NUL, which PostgreSQL stores nowhere, is refused.
"""

from collections.abc import Callable, Sequence
from typing import Any

from psycopg import errors

from oms_app.store.projected_tables import Projection, Rows

_BETWEEN = "\0"
"""Stands between texts while all of them are quoted at once."""


def source(projection: Projection, first: int) -> str:
    """A FROM item `r` with the projection's columns, made of parameters of which the first has this number."""
    numbered = list(enumerate(zip(projection.columns, projection.types, strict=True), first))
    arrays = {name: f"${number}::{kind}[]" for number, (name, kind) in numbered if kind != "json"}
    lines = {name: f"string_to_table(${number}, E'\\n')" for number, (name, kind) in numbered if kind == "json"}
    functions = ", ".join((f"unnest({', '.join(arrays.values())})", *lines.values()))
    return f"ROWS FROM ({functions}) AS r({', '.join((*arrays, *lines))})"


def columns(projection: Projection, rows: Rows) -> list[str]:
    """One text for each column, in the order of the columns. Raises UntranslatableCharacter."""
    by_column = zip(*rows, strict=True)
    return [_WRITERS.get(kind, _plain)(values) for kind, values in zip(projection.types, by_column, strict=True)]


def _plain(values: Sequence[Any]) -> str:
    """Numbers, times, flags and ids: nothing in them needs quotes."""
    if None in values:
        return f"{{{','.join(['NULL' if value is None else str(value) for value in values])}}}"
    return f"{{{','.join(map(str, values))}}}"


def _texts(values: Sequence[str | None]) -> str:
    if None not in values:
        return f"{{{_quoted(values)}}}"  # type: ignore[arg-type]
    return f"{{{','.join(['NULL' if value is None else _quoted((value,)) for value in values])}}}"


def _documents(values: Sequence[bytes]) -> str:
    joined = b"\n".join(values)
    if joined.count(b"\n") != len(values) - 1:
        raise errors.InvalidTextRepresentation("a JSON document holds a line break")
    return joined.decode()


def _octets(values: Sequence[bytearray]) -> str:
    return _texts(["\\x" + value.hex() for value in values])


def _quoted(values: Sequence[str]) -> str:
    joined = _BETWEEN.join(values)
    if joined.count(_BETWEEN) != len(values) - 1:
        raise errors.UntranslatableCharacter("a text holds NUL")
    escaped = joined.replace("\\", "\\\\").replace('"', '\\"').replace(_BETWEEN, '","')
    return f'"{escaped}"'


_WRITERS: dict[str, Callable[[Sequence[Any]], str]] = {"text": _texts, "json": _documents, "bytea": _octets}
