"""One order's change in, the book's sums of what is open brought in step: quantities, values, limits and reach."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from oms_kernel.domain.ids import AccountId, InstrumentId
from oms_kernel.domain.layered import Grouped
from oms_kernel.domain.order import NET_BOOK, Order, Side
from oms_kernel.domain.totals import NO_REACH, NO_VALUE, NOTHING_OPEN, OpenQuantity, Reach, limits_of, standing

if TYPE_CHECKING:
    from oms_kernel.domain.book import Book

_SideKey = tuple[AccountId, InstrumentId, Side]


def counts_otherwise(old: Order, new: Order) -> bool:
    """Whether anything of an open order changed that the sums depend on."""
    return (
        old.quantity is not new.quantity
        or old.filled_quantity is not new.filled_quantity
        or old.replace is not new.replace
        or old.reservation is not new.reservation
        or old.limit_price is not new.limit_price
    )


def count_anew(book: Book, old: Order | None, order: Order) -> None:
    """Let every sum follow an order from what it was to what it is."""
    before, after = standing(old), standing(order)
    if before != after:
        count_open(book, order, after.less(before))
    request = order.request
    side_key = (request.account_id, request.instrument_id, request.side)
    count_limits(book, side_key, limits_of(old), limits_of(order))


def count_open(book: Book, order: Order, change: OpenQuantity) -> None:
    """Let quantities, values and reach follow a change of what an order counts as."""
    request = order.request
    account_id, instrument_id, side, own = request.account_id, request.instrument_id, request.side, order.book
    side_key, own_key = (account_id, instrument_id, side), (account_id, own, instrument_id, side)
    book.open_quantity[side_key] = (book.open_quantity.get(side_key) or NOTHING_OPEN).plus(change)
    book.book_quantity[own_key] = (book.book_quantity.get(own_key) or NOTHING_OPEN).plus(change)
    values, holdings, currency = book.open_values, book.holdings, order.currency
    for key in ((account_id, NET_BOOK), (account_id, own)):
        values.add(key, currency, (values.find(key, currency) or NO_VALUE).plus(change))
        reach = (holdings.find(key, instrument_id) or NO_REACH).plus(side, change)
        if reach.held or reach.orders:
            holdings.add(key, instrument_id, reach)
        else:
            holdings.remove(key, instrument_id)
    if book.touched is not None:
        book.touched.append((account_id, instrument_id))


def count_limits(book: Book, side_key: _SideKey, before: tuple[Decimal, ...], after: tuple[Decimal, ...]) -> None:
    """Let the limits of a side follow one order."""
    if before == after:
        return
    limits = book.limits
    for limit in before:
        left = (limits.find(side_key, limit) or 0) - 1
        if left > 0:
            limits.add(side_key, limit, left)
        else:
            limits.remove(side_key, limit)
    for limit in after:
        limits.add(side_key, limit, (limits.find(side_key, limit) or 0) + 1)


def put_reach(book: Book, key: tuple[AccountId, str], instrument_id: InstrumentId, reach: Reach) -> None:
    """Keep what a sub-book holds or has open orders of."""
    if reach.is_empty:
        book.holdings.remove(key, instrument_id)
    else:
        book.holdings.add(key, instrument_id, reach)
    if book.touched is not None:
        book.touched.append((key[0], instrument_id))


def best_of(limits: Grouped[Any, Decimal, int], side_key: _SideKey, better: Any) -> Decimal | None:
    """The best key of a group, without walking through what lies below an overlay entry by entry where it need not."""
    if limits.removed.get(side_key):
        found: Decimal | None = better((limit for limit, _ in limits.entries(side_key)), default=None)
        return found
    best: Decimal | None = better(limits.added.get(side_key) or (), default=None)
    below = best_of(limits.base, side_key, better) if limits.base is not None else None
    return below if best is None else best if below is None else better(best, below)
