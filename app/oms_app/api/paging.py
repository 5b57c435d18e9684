"""Query parameters of lists in, one page out: limit, offset or cursor, from and to, and shared filters."""

from collections.abc import Sequence
from typing import Any

import marshmallow as ma

from oms_app.api.fields import Count, IdText, Instant, QueryFlag, Text, Word
from oms_app.api.schema_from_struct import make_schema
from oms_app.flow.scopes import Role
from oms_kernel.domain.breaks import BreakType, Severity

MAX_PAGE = 500
DEFAULT_PAGE = 100
MAX_OFFSET = 1_000_000


def list_query(*filters: str, **own: ma.fields.Field[Any]) -> ma.Schema:
    """The schema of a list's query parameters: paging, `from` and `to`, the filters that are named, and its own."""
    fields: dict[str, ma.fields.Field[Any]] = {
        "limit": Count(low=1, high=MAX_PAGE, from_text=True, load_default=DEFAULT_PAGE),
        "offset": Count(high=MAX_OFFSET, from_text=True),
        "cursor": Text(longest=200),
        "with_total": QueryFlag(),
        "from": Instant(),
        "to": Instant(),
    }
    for name in filters:
        fields[name] = _SHARED[name]()
    fields.update(own)
    return make_schema("ListFilter", fields)


def page(items: Sequence[Any], *, next_cursor: str | None, total_count: int | None) -> dict[str, Any]:
    """One page as the API answers it; items are JSON values."""
    return {
        "items": list(items),
        "next_cursor": next_cursor,
        "total_count": total_count,
        "has_next": next_cursor is not None,
    }


def whole_list(items: Sequence[Any]) -> dict[str, Any]:
    """A short list that is never cut."""
    return page(items, next_cursor=None, total_count=len(items))


_SHARED: dict[str, Any] = {
    "status": lambda: Text(longest=300),
    "state": lambda: Text(longest=300),
    "symbol": lambda: Text(longest=100),
    "side": lambda: Text(longest=4),
    "account_id": IdText,
    "strategy_id": IdText,
    "instrument_id": IdText,
    "order_id": IdText,
    "client_order_id": lambda: Text(longest=128),
    "book": lambda: Text(longest=64),
    "venue": lambda: Text(longest=30),
    "exchange": lambda: Text(longest=30),
    "asset_class": lambda: Text(longest=10),
    "currency": lambda: Text(longest=12),
    "with_closed": QueryFlag,
    "kind": lambda: Text(longest=60),
    "severity": lambda: Word(Severity),
    "source": lambda: Text(longest=60),
    "acknowledged": QueryFlag,
    "active": QueryFlag,
    "raised_after": Instant,
    "raised_before": Instant,
    "break_type": lambda: Word(BreakType),
    "broker_account_id": IdText,
    "resolved": QueryFlag,
    "found_after": Instant,
    "found_before": Instant,
    "connection_id": IdText,
    "user_id": IdText,
    "role": lambda: Word(Role),
    "rule": lambda: Text(longest=60),
    "limit_id": lambda: Text(longest=60),
}
