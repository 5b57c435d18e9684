"""Cut a list into pages: by an opaque cursor (no row twice while rows are added), or by limit and offset."""

import base64
import binascii
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import Column, Select, func, select

from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import RowsUnit

T = TypeVar("T")
MOST = 500


class InvalidCursor(ValueError):
    """A cursor that no page of this list gave."""

    code = "invalid_cursor"


class Paging(msgspec.Struct, frozen=True):
    """Which part of a list. `cursor` is a page's `next_cursor` and excludes `offset`; limit 1 to 500.

    with_total None: count in offset mode only. since, before: when the rows were made, for lists whose filter has no
    times of its own; `before` is excluded.
    """

    limit: int = 100
    offset: int = 0
    cursor: str | None = None
    with_total: bool | None = None
    since: datetime | None = None
    before: datetime | None = None


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One part of a list. `total_count` is None when it was not counted."""

    items: list[T]
    next_cursor: str | None
    total_count: int | None
    has_next: bool


def encode_cursor(key: str) -> str:
    """The opaque form of the last row's id."""
    return base64.urlsafe_b64encode(uuid.UUID(key).bytes).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> str:
    """The id behind a cursor. Raises InvalidCursor."""
    try:
        return str(uuid.UUID(bytes=base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))))
    except (ValueError, binascii.Error) as error:
        raise InvalidCursor("the cursor is not one of this list") from error


def page(
    unit: RowsUnit,
    query: Select[Any],
    key: Column[str],
    paging: Paging,
    view: Callable[[AnyRow], T],
) -> Page[T]:
    """The page of a query, newest first by `key` (a UUIDv7 that is unique in the list)."""
    limit = max(1, min(paging.limit, MOST))
    if paging.since is not None:
        query = query.where(key.table.c.created_at >= paging.since)
    if paging.before is not None:
        query = query.where(key.table.c.created_at < paging.before)
    ordered = query.order_by(key.desc()).limit(limit + 1)
    if paging.cursor is not None:
        ordered = ordered.where(key < decode_cursor(paging.cursor))
    elif paging.offset:
        ordered = ordered.offset(paging.offset)
    rows = unit.connection.execute(ordered).all()
    has_next = len(rows) > limit
    rows = rows[:limit]
    counted = paging.with_total if paging.with_total is not None else paging.cursor is None
    total = unit.connection.scalar(select(func.count()).select_from(query.subquery())) if counted else None
    return Page(
        items=[view(row) for row in rows],
        next_cursor=encode_cursor(getattr(rows[-1], key.key or "")) if has_next else None,
        total_count=total,
        has_next=has_next,
    )
