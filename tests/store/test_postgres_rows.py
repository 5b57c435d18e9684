"""Every value that is written as a column of texts is read back by PostgreSQL as it was."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms_app.store.postgres_rows import columns, source
from oms_app.store.projected_tables import Projection

TYPES = {
    "i": "bigint",
    "u": "uuid",
    "t": "text",
    "at": "timestamptz",
    "n": "numeric",
    "b": "boolean",
    "o": "bytea",
    "document": "json",
    "day": "date",
}
KIND = Projection(table="nowhere", key=("i",), columns=tuple(TYPES), types=tuple(TYPES.values()))
ID = "0190f3a1-0000-7000-8000-0000000000aa"
AT = datetime(2026, 1, 31, 15, 30, 0, 123456, UTC)
TEXTS = [
    "",
    "NULL",
    "null",
    '"',
    "\\",
    '\\"',
    "{a,b}",
    "a\nb",
    " a ",
    "\x1f",
    "O'Neill",
    "€ 日本",
    "\\x41",
    "a,b",
    "\t",
]


@pytest.fixture(scope="module")
def connection(new_postgres_database: Callable[[], str]) -> Iterator["psycopg.Connection[Any]"]:
    with psycopg.connect(new_postgres_database(), autocommit=True) as opened:
        yield opened


def there_and_back(connection: "psycopg.Connection[Any]", rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    sql = f"SELECT {', '.join(f'r.{name}' for name in TYPES)} FROM {source(KIND, 1)}"
    answer = psycopg.RawCursor(connection).execute(sql, columns(KIND, rows))
    return [(i, str(u) if u is not None else None, *more) for i, u, *more in answer]


def row(**changes: Any) -> tuple[Any, ...]:
    values = {
        "i": 1, "u": ID, "t": "text", "at": AT, "n": Decimal("0.000000000001"), "b": True, "o": bytearray(b"\0\\x"),
        "document": b'{"a":"\\n\\"\\u0000"}', "day": AT.date(),
    }  # fmt: skip
    return tuple({**values, **changes}.values())


@pytest.mark.integration
@given(
    texts=st.lists(
        st.one_of(st.none(), st.sampled_from(TEXTS), st.text(st.characters(exclude_characters="\0"))), min_size=1
    )
)
def test_texts_come_back_as_they_were(connection: "psycopg.Connection[Any]", texts: list[str | None]) -> None:
    rows = [row(i=number, t=text) for number, text in enumerate(texts)]
    assert [one[2] for one in there_and_back(connection, rows)] == texts


@pytest.mark.integration
def test_every_type_comes_back_as_it_was(connection: "psycopg.Connection[Any]") -> None:
    nothing = row(i=2, u=None, t=None, at=None, n=None, b=None, day=None)
    rows = [row(), nothing, row(i=3, n=Decimal("1E+2"), b=False, document=b"[]")]
    wanted = [tuple(value.decode() if type(value) is bytes else value for value in one) for one in rows]
    assert there_and_back(connection, rows) == wanted


@pytest.mark.parametrize("texts", [["a\0b"], ["a", "b\0"], [None, "\0"]])
def test_a_text_with_nul_is_refused(texts: list[str | None]) -> None:
    with pytest.raises(psycopg.DataError, match="NUL"):
        columns(KIND, [row(t=text) for text in texts])


def test_a_document_of_two_lines_is_refused() -> None:
    with pytest.raises(psycopg.DataError, match="line break"):
        columns(KIND, [row(), row(document=b"{\n}")])
