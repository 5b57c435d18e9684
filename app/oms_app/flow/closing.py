"""A book and a running liquidation in, what to do next out: which orders to cancel, which quantities to close. Pure.

Guarantee: what is proposed never sums to more than what is held less what is open on the closing side, so that no
proposal, however often it is made, takes a position through zero.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from oms_kernel.consequences import orders_of
from oms_kernel.domain.book import Book
from oms_kernel.domain.controls import Liquidation
from oms_kernel.domain.ids import AccountId, InstrumentId, OrderId, StrategyId
from oms_kernel.domain.lifecycle import is_open_request
from oms_kernel.domain.money import ZERO, subtract
from oms_kernel.domain.order import EXTERNAL_BOOK, MANUAL_BOOK, NET_BOOK, Order, Side
from oms_kernel.domain.position import Position


class Closing(msgspec.Struct, frozen=True):
    """A quantity of one holding that no open order closes yet. strategy_id: whose book the fills belong to."""

    account_id: AccountId
    instrument_id: InstrumentId
    strategy_id: StrategyId | None
    side: Side
    quantity: Decimal


class Step(msgspec.Struct, frozen=True):
    """What is due. waits: holdings whose other orders are being called back. is_flat: nothing is left to do at all."""

    cancels: tuple[OrderId, ...]
    closings: tuple[Closing, ...]
    waits: int
    is_flat: bool


def next_step(book: Book, liquidation: Liquidation) -> Step:
    """What the liquidation does next: first orders from before it are called back, then what is held is closed.

    An order that cannot be called back (in doubt, or its cancel was refused) is not waited for; what it may still
    trade on the closing side counts as covered.
    """
    earlier = [order for order in orders_of(book, liquidation.scope) if order.accepted_at <= liquidation.started_at]
    cancels = tuple(order.order_id for order in earlier if order.cancel is None)
    waiting = {_holding(order) for order in earlier if _will_end(order)}
    own = any(order.request.liquidation_id == liquidation.liquidation_id for order in book.open_order_list())
    held = list(_held(book, liquidation))
    closings = [
        closing
        for position in held
        if (position.account_id, position.instrument_id) not in waiting
        for closing in _closings(book, position, liquidation.scope.strategy_id)
    ]
    return Step(
        cancels=cancels,
        closings=tuple(closings),
        waits=len(waiting),
        is_flat=not held and not earlier and not own,
    )


def _held(book: Book, liquidation: Liquidation) -> Iterator[Position]:
    """The open positions of the scope, of each account as a whole; those in which the strategy takes part."""
    scope = liquidation.scope
    for (account_id, name, instrument_id), position in list(book.positions.items()):
        if name != (scope.strategy_id or NET_BOOK) or not position.is_open:
            continue
        if scope.covers(account_id, scope.strategy_id, instrument_id):
            yield position


def _closings(book: Book, position: Position, strategy_id: StrategyId | None) -> Iterator[Closing]:
    """The quantities by sub-book that close the position; none on the other side of the account's net."""
    account_id, instrument_id = position.account_id, position.instrument_id
    net = book.position(account_id, instrument_id)
    if net is None or not net.is_open or (net.quantity > 0) != (position.quantity > 0):
        return
    side = Side.SELL if net.quantity > 0 else Side.BUY
    left = subtract(net.quantity.copy_abs(), book.opened(account_id, NET_BOOK, instrument_id, side).quantity)
    for part in [position] if strategy_id is not None else _parts(book, net):
        is_external = part.book == EXTERNAL_BOOK  # no order of ours is booked there
        covered = ZERO if is_external else book.opened(account_id, part.book, instrument_id, side).quantity
        quantity = min(subtract(part.quantity.copy_abs(), covered), left)
        if quantity > 0:
            left = subtract(left, quantity)
            named = None if part.book in (MANUAL_BOOK, EXTERNAL_BOOK) else StrategyId(part.book)
            yield Closing(account_id, instrument_id, named, side, quantity)


def _parts(book: Book, net: Position) -> list[Position]:
    """The sub-books on the same side as the net position, the largest first."""
    found = [
        position
        for (account_id, name, instrument_id), position in list(book.positions.items())
        if name != NET_BOOK
        and (account_id, instrument_id) == (net.account_id, net.instrument_id)
        and position.is_open
        and (position.quantity > 0) == (net.quantity > 0)
    ]
    return sorted(found, key=lambda position: (-position.quantity.copy_abs(), position.book))


def _will_end(order: Order) -> bool:
    """Whether a cancel of the order is, or is about to be, under way and nothing speaks against its success."""
    return not order.in_doubt and (order.cancel is None or is_open_request(order.cancel))


def _holding(order: Order) -> tuple[AccountId, InstrumentId]:
    return order.request.account_id, order.request.instrument_id
