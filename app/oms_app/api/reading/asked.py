"""Query parameters as loaded in, the store's filters and paging out; words of other systems are translated."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from oms_app.api.json_text import plain
from oms_app.api.paging import DEFAULT_PAGE, page
from oms_app.api.problems import invalid
from oms_app.store.queries import InstrumentFilter, Page, Paging, UnknownState, list_instruments, states_of
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.lifecycle import OrderState

Item = TypeVar("Item", bound="Made")


class Made(Protocol):
    """Something that was made at some time."""

    @property
    def created_at(self) -> datetime:
        """When."""


NONE_AT_ALL = "00000000-0000-0000-0000-000000000000"
"""An id that no row bears: what an unknown symbol is looked for by."""


def paging_of(asked: Mapping[str, Any], *, dated: bool = False) -> Paging:
    """Which part of a list is wanted; dated: `from` and `to` are about when its rows were made."""
    return Paging(
        since=asked.get("from") if dated else None,
        before=asked.get("to") if dated else None,
        limit=asked.get("limit", DEFAULT_PAGE),
        offset=asked.get("offset") or 0,
        cursor=asked.get("cursor"),
        with_total=asked.get("with_total"),
    )


def states_asked(asked: Mapping[str, Any]) -> frozenset[OrderState] | None:
    """The states that `status`, or `state`, names in either vocabulary. Raises Problem for other words."""
    field = "status" if asked.get("status") else "state"
    text = asked.get(field)
    if text is None:
        return None
    try:
        return states_of(word.strip() for word in text.split(","))
    except UnknownState as error:
        raise invalid(field, f"{field}: {error}", "send one of the states") from None


def instrument_asked(unit: RowsUnit, asked: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """(symbol, instrument id) to look for; VENUE:SYMBOL or `exchange` narrow the symbol to one instrument."""
    symbol, wanted = asked.get("symbol"), asked.get("instrument_id")
    if symbol is None:
        return None, wanted
    venue, _, name = symbol.rpartition(":")
    venue = asked.get("exchange") or venue
    if not venue:
        return name, wanted
    found = list_instruments(unit, InstrumentFilter(symbol=name, venue=venue, is_active=None), Paging(limit=1))
    only = found.items[0].instrument_id if found.items else NONE_AT_ALL
    return name, only if wanted in (None, only) else NONE_AT_ALL


def page_of(found: Page[Any], shown: Callable[[Any], Any] = plain) -> dict[str, Any]:
    """A page of the store as the API answers it."""
    items = [shown(item) for item in found.items]
    return page(items, next_cursor=found.next_cursor, total_count=found.total_count)


def made_between(items: Sequence[Item], asked: Mapping[str, Any]) -> list[Item]:
    """Those that were made from `from` on and before `to`."""
    since, before = asked.get("from"), asked.get("to")
    return [
        item
        for item in items
        if (since is None or item.created_at >= since) and (before is None or item.created_at < before)
    ]


def part_of(items: Sequence[Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of a list that is whole in memory; its cursor is the place where the next page begins."""
    cursor = asked.get("cursor")
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise invalid("cursor", "cursor: is none of this list", "send the next_cursor of the page before")
    start = int(cursor) if cursor is not None else asked.get("offset") or 0
    end = start + asked.get("limit", DEFAULT_PAGE)
    with_total = asked.get("with_total")
    counted = with_total if with_total is not None else cursor is None
    return page(
        items[start:end],
        next_cursor=str(end) if end < len(items) else None,
        total_count=len(items) if counted else None,
    )
