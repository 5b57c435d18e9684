"""One instrument's resting orders and the quote that they may trade against, in price-time order on each side."""

from bisect import bisect_left, insort
from decimal import Decimal

from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import Quote
from oms_kernel.domain.money import ONE, ZERO, add, multiply, ratio, subtract
from oms_kernel.domain.order import OrderType, Side, TimeInForce
from oms_kernel.simulation.orders import SimOrder
from oms_kernel.simulation.sessions import Session

_UNLIMITED = Decimal(10) ** 18
_HUNDRED = Decimal(100)
Entry = tuple[Decimal, int, SimOrder]
"""Price rank, then time: the order of a queue. Sequence numbers are unique, so orders are never compared."""


class InstrumentBook:
    """Queues of one instrument. A side that is absent, of no size or part of a crossed quote trades nothing.

    `left` is what our own fills left of the size shown; it is renewed by the next quote only.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.quote: Quote | None = None
        self.ask: Decimal | None = None
        self.bid: Decimal | None = None
        self.ask_left = ZERO
        self.bid_left = ZERO
        self.queues: dict[Side, list[Entry]] = {Side.BUY: [], Side.SELL: []}
        self.stops: dict[Side, list[Entry]] = {Side.BUY: [], Side.SELL: []}
        self.trailing: list[SimOrder] = []
        self.opening: list[SimOrder] = []
        self.closing: list[SimOrder] = []
        self.orders = 0
        self.quotes = 0
        """How many quotes were shown: an order that waited for the present one made it, any other took it."""
        self.crossed = False
        self.session: Session | None = None
        """The open session in which the instrument has had a quote."""

    @property
    def has_stops(self) -> bool:
        """Whether any order waits for a trigger."""
        stops = self.stops
        return bool(self.trailing or stops[Side.BUY] or stops[Side.SELL])

    def show(self, quote: Quote) -> None:
        """Take a new quote: its sizes are fresh."""
        self.quote = quote
        self.quotes += 1
        bid, ask = quote.bid, quote.ask
        self.crossed = bid is not None and ask is not None and bid > ask
        if self.crossed:
            self.bid = self.ask = None  # crossed: nobody could trade at these prices
            return
        self.bid_left = self._tradable(quote.bid_size)
        self.ask_left = self._tradable(quote.ask_size)
        self.bid = bid if self.bid_left else None
        self.ask = ask if self.ask_left else None

    def touch(self, side: Side) -> Decimal | None:
        """The price at which an order of this side trades now; None when there is nobody to trade with."""
        return self.ask if side is Side.BUY else self.bid

    def left(self, side: Side) -> Decimal:
        """How much an order of this side finds at the touch."""
        return self.ask_left if side is Side.BUY else self.bid_left

    def take(self, side: Side, quantity: Decimal) -> None:
        """Consume size that is shown to this side."""
        if side is Side.BUY:
            self.ask_left = subtract(self.ask_left, quantity)
        else:
            self.bid_left = subtract(self.bid_left, quantity)

    def rest(self, order: SimOrder) -> None:
        """Put an order where it waits: its auction, its stop, or its queue."""
        order.live = True
        self.orders += 1
        time_in_force = order.terms.time_in_force
        if time_in_force is TimeInForce.OPG:
            self.opening.append(order)
        elif time_in_force is TimeInForce.CLS:
            self.closing.append(order)
        elif order.triggered:
            self.queue(order)
        elif order.terms.order_type is OrderType.TRAILING_STOP:
            self.trailing.append(order)
        else:
            insort(self.stops[order.terms.side], (_stop_rank(order), order.sequence, order))

    def queue(self, order: SimOrder) -> None:
        """Put an order into the queue of its side."""
        order.queued_at = self.quotes
        insort(self.queues[order.terms.side], (order.rank, order.sequence, order))

    def remove(self, order: SimOrder) -> None:
        """Take an order out of wherever it waits."""
        order.live = False
        self.orders -= 1
        side = order.terms.side
        if _take_out(self.queues[side], (order.rank, order.sequence, order)):
            return
        if order.stop is not None and _take_out(self.stops[side], (_stop_rank(order), order.sequence, order)):
            return
        for place in (self.trailing, self.opening, self.closing):
            if order in place:
                place.remove(order)

    def triggered(self, side: Side) -> list[SimOrder]:
        """The stops of this side that the touch has reached, the nearest first; they are taken out."""
        touch = self.touch(side)
        stops = self.stops[side]
        if touch is None or not stops:
            return []
        reached = touch if side is Side.BUY else touch.copy_negate()
        count = 0
        while count < len(stops) and stops[count][0] <= reached:
            count += 1
        fired = [entry[2] for entry in stops[:count]]
        del stops[:count]
        return fired

    def trail(self) -> tuple[list[SimOrder], list[SimOrder]]:
        """(trailing stops that moved, trailing stops that the touch has reached; those are taken out)."""
        moved, fired, kept = [], [], []
        for order in self.trailing:
            touch = self.touch(order.terms.side)
            if touch is not None:
                if follow(order, touch):
                    moved.append(order)
                if order.stop is not None and _reached(order.terms.side, touch, order.stop):
                    fired.append(order)
                    continue
            kept.append(order)
        self.trailing = kept
        return moved, fired

    def _tradable(self, size: Decimal | None) -> Decimal:
        """The size in whole lots; a feed that shows no sizes stands for any quantity."""
        if size is None:
            return _UNLIMITED
        if size <= 0:
            return ZERO
        lot = self.instrument.lot_size
        return size if lot == ONE and size == size.to_integral_value() else subtract(size, size % lot)


def follow(order: SimOrder, touch: Decimal) -> bool:
    """Move a trailing stop after the touch, only ever closer; whether it moved."""
    buys = order.terms.side is Side.BUY
    best = order.best
    if best is not None and (touch >= best if buys else touch <= best):
        return False
    order.best = touch
    distance = order.terms.trail_amount
    if distance is None:
        assert order.terms.trail_percent is not None
        distance = ratio(multiply(touch, order.terms.trail_percent), _HUNDRED)
    stop = add(touch, distance) if buys else subtract(touch, distance)
    if order.stop is not None and (stop >= order.stop if buys else stop <= order.stop):
        return False
    order.stop = stop
    return True


def _reached(side: Side, touch: Decimal, stop: Decimal) -> bool:
    return touch >= stop if side is Side.BUY else touch <= stop


def _stop_rank(order: SimOrder) -> Decimal:
    assert order.stop is not None
    return order.stop if order.terms.side is Side.BUY else order.stop.copy_negate()


def _take_out(entries: list[Entry], entry: Entry) -> bool:
    place = bisect_left(entries, entry[:2], key=lambda held: held[:2])
    if place < len(entries) and entries[place][2] is entry[2]:
        del entries[place]
        return True
    return False
