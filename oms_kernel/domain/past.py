"""Ended orders and old executions of a book in, out of the way: still found by every id, at a fraction of the memory.

It changes how a book is kept, never what it says: whoever asks a map of the book gets what was there before.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from oms_kernel.domain.fill import Fill
from oms_kernel.domain.lifecycle import TERMINAL
from oms_kernel.domain.order import Order
from oms_kernel.domain.packed import BLOCK, Blocks, PackedMap, Places

if TYPE_CHECKING:
    from oms_kernel.domain.book import Book

ORDER_MAPS = ("orders", "client_orders", "wires", "broker_orders")
"""Maps of a book whose entries follow from an order."""


class PackedGroups:
    """The executions of each holding, in the order in which they were booked."""

    def __init__(self, fills: Blocks[Fill]) -> None:
        self._fills = fills
        self.groups: dict[tuple[str, str], tuple[array[int], array[int]]] = {}
        """Holding -> places and seqs."""

    def note(self, holding: tuple[str, str], place: int, seq: int) -> None:
        """Take in an execution that was packed at this place and booked with this seq."""
        places, seqs = self.groups.setdefault(holding, (array("I"), array("Q")))
        places.append(place)
        seqs.append(seq)

    def entries(self, holding: Any) -> Iterator[tuple[Any, Any]]:
        """(key, seq) of each execution."""
        for place, seq in zip(*self.groups.get(holding, ((), ())), strict=True):
            yield _fill_key(self._fills[place]), seq


class Past:
    """What was packed of one book."""

    def __init__(self) -> None:
        self.order_blocks: Blocks[Order] = Blocks(Order)
        self.fill_blocks: Blocks[Fill] = Blocks(Fill)
        self._link()

    def _link(self) -> None:
        orders = self.order_blocks
        self.maps: dict[str, PackedMap[Any]] = {
            "orders": PackedMap(orders, Places(), _order_keys, _whole),
            "client_orders": PackedMap(orders, Places(), _client_keys, _order_id),
            "wires": PackedMap(orders, Places(), _wire_keys, _order_id),
            "broker_orders": PackedMap(orders, Places(), _broker_keys, _order_id),
            "executions": PackedMap(self.fill_blocks, Places(), _fill_keys, _whole),
        }
        self.holdings = PackedGroups(self.fill_blocks)


def pack(book: Book, keep: int) -> int:
    """Pack what has ended in a committed book but for the last `keep` orders and executions; how many were packed.

    Whole blocks only; what does not fill one waits.
    """
    packed = 0
    while len(book.ended) >= keep + BLOCK and _pack_orders(book):
        packed += BLOCK
    while len(book.booked) >= keep + BLOCK:
        _pack_fills(book)
        packed += BLOCK
    return packed


def attach(book: Book, past: Past) -> None:
    """Let the book's maps look into the past for what they do not hold themselves."""
    book.past = past
    for name, packed in past.maps.items():
        getattr(book, name).below = packed
    book.fills.below = past.holdings


def _pack_orders(book: Book) -> bool:
    """Whether a block was packed. Ids that are not the last word (the order is open again, or was packed) fall out."""
    orders = book.orders.changes
    chosen: dict[Any, Order] = {}
    taken = 0
    for order_id in book.ended:
        taken += 1
        order = orders.get(order_id)
        if order is not None and order.status in TERMINAL and not order.in_doubt:
            chosen[order_id] = order
            if len(chosen) == BLOCK:
                break
    if len(chosen) < BLOCK:
        book.ended[:] = chosen
        return False
    past = _past_of(book)
    values = list(chosen.values())
    first = past.order_blocks.add(values)
    # Known below before it is gone above: whoever reads meanwhile finds it in either place.
    for place, order in enumerate(values, first):
        for name in ORDER_MAPS:
            past.maps[name].note(order, place)
    for order in values:
        del orders[order.order_id]
        for name, keys in _KEYS.items():
            changes = getattr(book, name).changes
            for key in keys(order):
                changes.pop(key, None)
    del book.ended[:taken]
    return True


def _pack_fills(book: Book) -> None:
    past = _past_of(book)
    keys = list(islice(book.booked, BLOCK))
    fills = [book.executions.changes[key] for key in keys]
    first = past.fill_blocks.add(fills)
    for place, fill in enumerate(fills, first):
        past.maps["executions"].note(fill, place)
        holding, key = (fill.account_id, fill.instrument_id), _fill_key(fill)
        group = book.fills.added[holding]
        past.holdings.note(holding, place, group[key])
        del group[key]
        if not group:
            del book.fills.added[holding]
    for key in keys:
        del book.executions.changes[key]
    del book.booked[:BLOCK]


def _past_of(book: Book) -> Past:
    if book.past is None:
        attach(book, Past())
    assert book.past is not None
    return book.past


def _whole(value: Any) -> Any:
    return value


def _order_id(order: Order) -> Any:
    return order.order_id


def _order_keys(order: Order) -> Sequence[Any]:
    return (order.order_id,)


def _client_keys(order: Order) -> Sequence[Any]:
    request = order.request
    return () if request.client_order_id is None else ((request.account_id, request.client_order_id),)


def _wire_keys(order: Order) -> Sequence[Any]:
    return order.wire_ids


def _broker_keys(order: Order) -> Sequence[Any]:
    return [(order.broker_account_id, one) for one in order.broker_order_ids]


def _fill_key(fill: Fill) -> Any:
    return (fill.broker_account_id, fill.exec_id)


def _fill_keys(fill: Fill) -> Sequence[Any]:
    return (_fill_key(fill),)


_KEYS = {"client_orders": _client_keys, "wires": _wire_keys, "broker_orders": _broker_keys}
