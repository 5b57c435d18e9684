"""A book whose quote or orders changed in, executions out: stops are triggered, then price and time decide."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from oms_kernel.contracts.broker import Expired, Filled
from oms_kernel.contracts.simulation import FeeModel
from oms_kernel.domain.ids import BrokerOrderId, ExecId
from oms_kernel.domain.money import add
from oms_kernel.domain.order import Side, TimeInForce
from oms_kernel.simulation.book import InstrumentBook
from oms_kernel.simulation.clockwork import Clockwork
from oms_kernel.simulation.fees import MAKER, TAKER
from oms_kernel.simulation.holdings import Holdings
from oms_kernel.simulation.orders import NewOrder, SimOrder

_SIDES = (Side.BUY, Side.SELL)


class StopMoved(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a stop stands now, or that it was triggered: what a venue must remember besides its reports."""

    broker_order_id: BrokerOrderId
    stop_price: Decimal | None = None
    triggered: bool = False


class Trading:
    """The live orders of all books and what they do when their market moves."""

    def __init__(self, clock: Clockwork, fees: FeeModel, exec_prefix: str, first_exec_number: int) -> None:
        self.live: dict[BrokerOrderId, SimOrder] = {}
        self.holdings = Holdings()
        self.notes: list[StopMoved] = []
        self._clock = clock
        self._fees = fees
        self._exec_prefix = exec_prefix
        self._exec_number = first_exec_number

    def trade(self, book: InstrumentBook, *, opens: bool) -> None:
        """Let the orders of a book meet its new quote; `opens`: it is the first of the session."""
        auction: list[SimOrder] = []
        if opens and book.opening:
            auction, book.opening = book.opening, []
            for sim in auction:
                book.queue(sim)
        if book.has_stops:
            self.trigger(book)
        for side in _SIDES:
            if book.queues[side]:
                self.match(book, side)
        for sim in auction:
            if sim.live:
                self.expire(book, sim, "OPG: the opening quote left it")

    def trigger(self, book: InstrumentBook) -> None:
        """Move the trailing stops, and turn the stops that the touch has reached into orders of this moment."""
        fired = [*book.triggered(Side.BUY), *book.triggered(Side.SELL)]
        if book.trailing:
            moved, trailed = book.trail()
            for sim in moved:
                self.notes.append(StopMoved(sim.terms.broker_order_id, stop_price=sim.stop))
            fired += trailed
        if not fired:
            return
        for sim in fired:
            sim.triggered = True
            sim.sequence = self._clock.next()
            book.queue(sim)
            self.notes.append(StopMoved(sim.terms.broker_order_id, stop_price=sim.stop, triggered=True))
        for side in _SIDES:
            self.match(book, side)

    def match(self, book: InstrumentBook, side: Side) -> None:
        """Fill the queue of one side from its head, as far as price and size reach."""
        touch = book.touch(side)
        if touch is None:
            return
        queue = book.queues[side]
        worst = touch.copy_negate() if side is Side.BUY else touch
        while queue and (left := book.left(side)):
            rank, _, sim = queue[0]
            if rank > worst:
                break
            leaves = sim.leaves
            self._fill(book, sim, leaves if leaves <= left else left, touch)

    def close(self, book: InstrumentBook) -> None:
        """Hold the closing auction of the orders whose close is now."""
        auction = [sim for sim in book.closing if sim.ends_at is not None and sim.ends_at <= self._clock.now]
        session = book.session
        if auction and session is not None and session.ends_at == self._clock.now:
            for side in _SIDES:
                self._match_auction(book, side, auction)
        for sim in auction:
            if sim.live:
                self.expire(book, sim, "CLS: the close left it")

    def end(self, book: InstrumentBook, sim: SimOrder) -> None:
        """Take an order out of the market."""
        book.remove(sim)
        del self.live[sim.terms.broker_order_id]

    def expire(self, book: InstrumentBook, sim: SimOrder, reason: str) -> None:
        """End an order by its time in force."""
        self.end(book, sim)
        self._clock.report(about(Expired, sim.terms, self._clock.now, reason=reason))

    def _match_auction(self, book: InstrumentBook, side: Side, auction: list[SimOrder]) -> None:
        touch = book.touch(side)
        members = sorted((sim.rank, sim.sequence, sim) for sim in auction if sim.terms.side is side)
        for _, _, sim in members:
            if touch is None or not allows(sim, touch) or not (left := book.left(side)):
                break
            self._fill(book, sim, min(sim.leaves, left), touch)

    def _fill(self, book: InstrumentBook, sim: SimOrder, quantity: Decimal, price: Decimal) -> None:
        terms = sim.terms
        book.take(terms.side, quantity)
        sim.filled = add(sim.filled, quantity)
        liquidity = MAKER if terms.limit_price is not None and sim.queued_at != book.quotes else TAKER
        fill = Filled(
            broker_account_id=terms.broker_account_id,
            broker_at=self._clock.now,
            wire_id=terms.wire_id,
            broker_order_id=terms.broker_order_id,
            exec_id=ExecId(f"{self._exec_prefix}{self._exec_number:010d}"),
            instrument_id=terms.instrument_id,
            side=terms.side,
            quantity=quantity,
            price=price,
            fee=self._fees.fee(book.instrument, terms.side, quantity, price, liquidity),
            liquidity=liquidity,
        )
        self._exec_number += 1
        if sim.filled >= sim.quantity:
            self.end(book, sim)
        self.holdings.apply(fill, book.instrument)
        self._clock.report(fill)


def about(kind: Any, order: NewOrder, now: datetime, **fields: Any) -> Any:
    """A report of one kind about an order."""
    return kind(
        broker_account_id=order.broker_account_id,
        broker_at=now,
        wire_id=order.wire_id,
        broker_order_id=order.broker_order_id,
        **fields,
    )


def allows(sim: SimOrder, touch: Decimal) -> bool:
    """Whether an order may trade at this touch."""
    limit = sim.terms.limit_price
    if limit is None:
        return True
    return touch <= limit if sim.terms.side is Side.BUY else touch >= limit


def may_start(book: InstrumentBook, sim: SimOrder) -> bool:
    """Whether an order that must trade at once can: all of a FOK, some of an IOC."""
    side = sim.terms.side
    touch = book.touch(side)
    if touch is None or not allows(sim, touch):
        return False
    left = book.left(side)
    return left >= sim.quantity if sim.terms.time_in_force is TimeInForce.FOK else left > 0
