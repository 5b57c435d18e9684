"""Quotes and commands in, broker reports out: never worse than the limit, never more than the quantity.

The rules, each of which a test holds:
- An order trades at the touch of the quote of that moment (BUY at the ask, SELL at the bid), up to the size shown;
  our fills consume that size until the instrument's next quote. Our own orders never trade with each other.
- At each quote: orders without a limit first, then the keenest limit, then the earliest arrival.
- Outside the session of the instrument's calendar orders only rest; IOC and FOK end at once. The engine's own clock
  counts: the time of the latest quote, or what `advance` was told.
- DAY ends (Expired) at the close of the session in which it arrived, or of the next one when it arrived between
  sessions; GTD at `expire_at`. What ends at an instant no longer trades at that instant.
- OPG takes part in the first quote of its instrument in a session that is not crossed; what that quote leaves expires.
  An OPG that comes later in a session waits for the next one.
- CLS trades at the close against the last quote of the session, with the size that is left of it; the rest expires.
  A session without a quote of the instrument fills nothing.
- A stop is triggered by the touch at which it would trade (BUY: ask at or above, SELL: bid at or below), inside the
  session only, and then is a market or limit order that arrived at that moment. A trailing stop follows the touch
  from its arrival on, `stop_price` being its first trigger; it only ever moves closer.
- A replace keeps its place only when the price stays and the quantity falls. A new total at or below the filled
  quantity cancels the rest (Canceled). A stop that was triggered stays triggered.
- Latency delays commands on their way in and reports on their way out by the engine's clock; neither is reordered.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from heapq import heappop, heappush
from random import Random
from typing import Any

import msgspec

from oms_kernel.contracts.broker import (
    Acknowledged,
    AnyReport,
    Canceled,
    CancelRefused,
    Expired,
    Filled,
    Rejected,
    Replaced,
    ReplaceRefused,
)
from oms_kernel.contracts.simulation import FeeModel
from oms_kernel.domain.calendar import ALWAYS_OPEN, Calendar
from oms_kernel.domain.ids import BrokerOrderId, ExecId, InstrumentId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import Quote
from oms_kernel.domain.money import add
from oms_kernel.domain.order import Side, TimeInForce
from oms_kernel.simulation.book import InstrumentBook
from oms_kernel.simulation.fees import MAKER, TAKER, ZeroFees
from oms_kernel.simulation.holdings import Holdings
from oms_kernel.simulation.latency import NO_LATENCY, Latency
from oms_kernel.simulation.orders import NewOrder, NewTerms, Progress, SimOrder, check_terms, rank_of
from oms_kernel.simulation.sessions import Session, session_at, session_end

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_NOW_OR_NEVER = frozenset({TimeInForce.IOC, TimeInForce.FOK})
_SIDES = (Side.BUY, Side.SELL)

# What happens at an instant: what ends goes before what arrives, and reports leave last.
_CLOSE, _END, _ARRIVE, _REPORT = range(4)


class StopMoved(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a stop stands now, or that it was triggered: what a venue must remember besides its reports."""

    broker_order_id: BrokerOrderId
    stop_price: Decimal | None = None
    triggered: bool = False


class MatchingEngine:
    """A venue in memory. Every method returns the reports that are due by now, in the order in which they arose.

    seed: of the jitter of latency. exec_prefix and first_exec_number: execution ids are prefix and counter.
    """

    def __init__(
        self,
        instruments: Iterable[Instrument] = (),
        calendars: Mapping[str, Calendar] | None = None,
        *,
        fees: FeeModel | None = None,
        latency: Latency = NO_LATENCY,
        seed: int = 0,
        exec_prefix: str = "SIM-",
        first_exec_number: int = 1,
        now: datetime = BEGINNING,
    ) -> None:
        self.now = now
        self.holdings = Holdings()
        self._calendars: dict[str, Calendar] = {ALWAYS_OPEN.name: ALWAYS_OPEN, **(calendars or {})}
        self._fees: FeeModel = fees or ZeroFees()
        self._latency = latency if latency != NO_LATENCY else NO_LATENCY
        self._random = Random(seed)
        self._exec_prefix = exec_prefix
        self._exec_number = first_exec_number
        self._sequence = 0
        self._books: dict[InstrumentId, InstrumentBook] = {}
        self._sessions: dict[str, Session] = {}
        self._orders: dict[BrokerOrderId, SimOrder] = {}
        self._timers: list[tuple[datetime, int, int, Any]] = []
        self._last_arrival = now
        self._last_report = now
        self._out: list[AnyReport] = []
        self._notes: list[StopMoved] = []
        for instrument in instruments:
            self.add_instrument(instrument)

    # ------------------------------------------------------------------ what the venue knows

    def add_instrument(self, instrument: Instrument) -> None:
        """Trade this instrument too, or know its new terms."""
        book = self._books.get(instrument.instrument_id)
        if book is None:
            self._books[instrument.instrument_id] = InstrumentBook(instrument)
        else:
            book.instrument = instrument

    def add_calendar(self, calendar: Calendar) -> None:
        """Know a calendar that instruments name; a known name gets the new sessions."""
        self._calendars[calendar.name] = calendar
        self._sessions.pop(calendar.name, None)

    def is_live(self, broker_order_id: BrokerOrderId) -> bool:
        """Whether the order has arrived and may still trade."""
        return broker_order_id in self._orders

    def quote(self, instrument_id: InstrumentId) -> Quote | None:
        """The instrument's latest quote."""
        book = self._books.get(instrument_id)
        return book.quote if book else None

    def drain_notes(self) -> list[StopMoved]:
        """The moves and triggers of stops since the last call."""
        notes, self._notes = self._notes, []
        return notes

    # ------------------------------------------------------------------ what moves it

    def on_quote(self, quote: Quote) -> list[AnyReport]:
        """The reports that this quote brings. A quote of an unknown instrument only moves the clock."""
        if quote.data_at > self.now:
            self._run_until(quote.data_at)
        book = self._books.get(quote.instrument_id)
        if book is not None:
            book.show(quote)
            session = self._session(book)
            if session.is_open:
                opens = book.session is not session and book.session != session and not book.crossed
                if opens:
                    book.session = session
                if book.orders:
                    self._trade(book, opens=opens)
        return self._drain()

    def advance(self, now: datetime) -> list[AnyReport]:
        """The reports of what time alone brings up to this instant: arrivals, ends, closes, delayed reports."""
        if now > self.now:
            self._run_until(now)
        return self._drain()

    def submit(self, order: NewOrder) -> list[AnyReport]:
        """Take an order; it reaches the book after the latency. Answers Acknowledged or Rejected, then its fills."""
        self._receive(self._arrive, order)
        return self._drain()

    def cancel(self, order: NewOrder) -> list[AnyReport]:
        """Ask to cancel the rest. Answers Canceled, or CancelRefused when the order is not live."""
        self._receive(self._cancel, order)
        return self._drain()

    def replace(self, order: NewOrder, terms: NewTerms) -> list[AnyReport]:
        """Ask for new terms. Answers Replaced, Canceled (nothing left) or ReplaceRefused; `order` names it."""
        self._receive(self._replace, (order, terms))
        return self._drain()

    def restore(self, order: NewOrder, progress: Progress, arrived_at: datetime) -> None:
        """Rest an order again that was acknowledged before a restart; reports nothing by itself."""
        book = self._books[order.instrument_id]
        self._rest(book, SimOrder(order, self._next(), progress), arrived_at)

    # ------------------------------------------------------------------ time

    def _receive(self, act: Any, subject: Any) -> None:
        if self._latency is NO_LATENCY:
            act(subject)
            return
        arrives_at = max(self._last_arrival, self.now + self._latency.order_delay(self._random))
        self._last_arrival = arrives_at
        self._at(arrives_at, _ARRIVE, (act, subject))

    def _run_until(self, now: datetime) -> None:
        timers = self._timers
        while timers and timers[0][0] <= now:
            at, kind, _, subject = heappop(timers)
            self.now = max(self.now, at)
            if kind == _REPORT:
                self._out.append(subject)
            elif kind == _ARRIVE:
                act, order = subject
                act(order)
            elif kind == _CLOSE:
                self._close(subject)
            elif subject.live:
                self._expire(subject, f"{subject.terms.time_in_force} ended")
        self.now = now

    def _at(self, at: datetime, kind: int, subject: Any) -> None:
        heappush(self._timers, (at, kind, self._next(), subject))

    def _session(self, book: InstrumentBook) -> Session:
        name = book.instrument.calendar
        session = self._sessions.get(name)
        if session is None or not session.holds(self.now):
            session = session_at(self._calendar(book), self.now)
            self._sessions[name] = session
        return session

    def _calendar(self, book: InstrumentBook) -> Calendar:
        return self._calendars.get(book.instrument.calendar, ALWAYS_OPEN)

    # ------------------------------------------------------------------ commands at the book

    def _arrive(self, order: NewOrder) -> None:
        book = self._books.get(order.instrument_id)
        reason = check_terms(order, book.instrument if book else None, self.now)
        if reason or book is None:
            self._emit(_about(Rejected, order, self.now, reason=reason))
            return
        self._emit(_about(Acknowledged, order, self.now))
        trades = self._trades_now(book)
        sim = SimOrder(order, self._next())
        if order.time_in_force in _NOW_OR_NEVER and not (trades and _may_start(book, sim)):
            self._emit(_about(Canceled, order, self.now, reason=f"{order.time_in_force}: no fill at once"))
            return
        self._rest(book, sim, self.now)
        if not trades or order.time_in_force in _AUCTIONS:
            return
        if sim.triggered:
            self._match(book, order.side)
            if sim.live and order.time_in_force in _NOW_OR_NEVER:
                self._end(sim)
                self._emit(_about(Canceled, order, self.now, reason=f"{order.time_in_force}: the rest was not filled"))
        else:
            self._trigger(book)

    def _trades_now(self, book: InstrumentBook) -> bool:
        """Whether the session is open and has shown a quote: yesterday's last quote is nobody's offer today."""
        session = self._session(book)
        return session.is_open and book.session == session

    def _rest(self, book: InstrumentBook, sim: SimOrder, arrived_at: datetime) -> None:
        terms = sim.terms
        self._orders[terms.broker_order_id] = sim
        book.rest(sim)
        if terms.time_in_force is TimeInForce.DAY:
            self._at(session_end(self._calendar(book), arrived_at), _END, sim)
        elif terms.time_in_force is TimeInForce.GTD:
            assert terms.expire_at is not None
            self._at(terms.expire_at, _END, sim)
        elif terms.time_in_force is TimeInForce.CLS:
            sim.ends_at = session_end(self._calendar(book), arrived_at)
            self._at(sim.ends_at, _CLOSE, book)

    def _cancel(self, order: NewOrder) -> None:
        sim = self._orders.get(order.broker_order_id)
        if sim is None:
            self._emit(_about(CancelRefused, order, self.now, reason="the order is not live"))
            return
        self._end(sim)
        self._emit(_about(Canceled, order, self.now, reason="asked for"))

    def _replace(self, asked: tuple[NewOrder, NewTerms]) -> None:
        order, new = asked
        sim = self._orders.get(order.broker_order_id)
        if sim is None:
            self._emit(_about(ReplaceRefused, order, self.now, reason="the order is not live"))
            return
        book = self._books[order.instrument_id]
        old = sim.terms
        terms = msgspec.structs.replace(
            old,
            quantity=new.quantity,
            **{field: value for field in _PRICES if (value := getattr(new, field)) is not None},
        )
        if new.trail_amount is not None:
            terms = msgspec.structs.replace(terms, trail_percent=None)
        elif new.trail_percent is not None:
            terms = msgspec.structs.replace(terms, trail_amount=None)
        reason = check_terms(terms, book.instrument, self.now)
        if reason:
            self._emit(_about(ReplaceRefused, order, self.now, reason=reason))
            return
        if terms.quantity <= sim.filled:
            self._end(sim)
            text = f"the new total {terms.quantity} is at or below the filled quantity {sim.filled}"
            self._emit(_about(Canceled, order, self.now, reason=text))
            return
        self._change(book, sim, terms)
        self._emit(
            _about(
                Replaced,
                order,
                self.now,
                quantity=terms.quantity,
                limit_price=terms.limit_price,
                stop_price=terms.stop_price,
            )
        )
        if self._trades_now(book):
            self._trigger(book)
            self._match(book, terms.side)

    def _change(self, book: InstrumentBook, sim: SimOrder, terms: NewOrder) -> None:
        old = sim.terms
        same_prices = all(getattr(old, field) == getattr(terms, field) for field in _PRICES)
        if same_prices and terms.quantity <= sim.quantity:
            sim.terms, sim.quantity = terms, terms.quantity
            return
        book.remove(sim)
        sim.sequence = self._next()
        sim.rank = rank_of(terms)
        if terms.stop_price != old.stop_price:
            sim.stop = terms.stop_price
        if (terms.trail_amount, terms.trail_percent) != (old.trail_amount, old.trail_percent):
            sim.best, sim.stop = None, terms.stop_price
        sim.terms, sim.quantity = terms, terms.quantity
        book.rest(sim)

    # ------------------------------------------------------------------ trading

    def _trade(self, book: InstrumentBook, *, opens: bool) -> None:
        if opens and book.opening:
            auction, book.opening = book.opening, []
            for sim in auction:
                book.queue(sim)
        else:
            auction = []
        self._trigger(book)
        for side in _SIDES:
            self._match(book, side)
        for sim in auction:
            if sim.live:
                self._expire(sim, "OPG: the opening quote left it")

    def _trigger(self, book: InstrumentBook) -> None:
        fired = [*book.triggered(Side.BUY), *book.triggered(Side.SELL)]
        if book.trailing:
            moved, trailed = book.trail()
            for sim in moved:
                self._notes.append(StopMoved(sim.terms.broker_order_id, stop_price=sim.stop))
            fired += trailed
        for sim in fired:
            sim.triggered = True
            sim.sequence = self._next()
            book.queue(sim)
            self._notes.append(StopMoved(sim.terms.broker_order_id, stop_price=sim.stop, triggered=True))
        for side in {sim.terms.side for sim in fired}:
            self._match(book, side)

    def _match(self, book: InstrumentBook, side: Side) -> None:
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

    def _fill(self, book: InstrumentBook, sim: SimOrder, quantity: Decimal, price: Decimal) -> None:
        terms = sim.terms
        book.take(terms.side, quantity)
        sim.filled = add(sim.filled, quantity)
        liquidity = MAKER if terms.limit_price is not None and sim.queued_at != book.quotes else TAKER
        exec_id = ExecId(f"{self._exec_prefix}{self._exec_number:010d}")
        self._exec_number += 1
        fill = Filled(
            broker_account_id=terms.broker_account_id,
            broker_at=self.now,
            wire_id=terms.wire_id,
            broker_order_id=terms.broker_order_id,
            exec_id=exec_id,
            instrument_id=terms.instrument_id,
            side=terms.side,
            quantity=quantity,
            price=price,
            fee=self._fees.fee(book.instrument, terms.side, quantity, price, liquidity),
            liquidity=liquidity,
        )
        if sim.filled >= sim.quantity:
            self._end(sim)
        self.holdings.apply(fill, book.instrument)
        self._emit(fill)

    def _close(self, book: InstrumentBook) -> None:
        auction = [sim for sim in book.closing if sim.ends_at is not None and sim.ends_at <= self.now]
        session = book.session
        if auction and session is not None and session.ends_at == self.now:
            for side in _SIDES:
                self._match_only(book, side, auction)
        for sim in auction:
            if sim.live:
                self._expire(sim, "CLS: the close left it")

    def _match_only(self, book: InstrumentBook, side: Side, auction: list[SimOrder]) -> None:
        touch = book.touch(side)
        members = sorted((sim.rank, sim.sequence, sim) for sim in auction if sim.terms.side is side)
        for _, _, sim in members:
            if touch is None or not _allows(sim, touch) or not (left := book.left(side)):
                break
            self._fill(book, sim, min(sim.leaves, left), touch)

    # ------------------------------------------------------------------ ends and reports

    def _expire(self, sim: SimOrder, reason: str) -> None:
        self._end(sim)
        self._emit(_about(Expired, sim.terms, self.now, reason=reason))

    def _end(self, sim: SimOrder) -> None:
        self._books[sim.terms.instrument_id].remove(sim)
        del self._orders[sim.terms.broker_order_id]

    def _emit(self, report: AnyReport) -> None:
        latency = self._latency
        if latency is NO_LATENCY:
            self._out.append(report)
            return
        leaves_at = max(self._last_report, self.now + latency.report_delay(self._random))
        self._last_report = leaves_at
        self._at(leaves_at, _REPORT, report)

    def _drain(self) -> list[AnyReport]:
        if self._timers and self._timers[0][0] <= self.now:
            self._run_until(self.now)
        out, self._out = self._out, []
        return out

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence


_PRICES = ("limit_price", "stop_price", "trail_amount", "trail_percent")
_AUCTIONS = (TimeInForce.OPG, TimeInForce.CLS)


def _about(kind: Any, order: NewOrder, now: datetime, **fields: Any) -> Any:
    return kind(
        broker_account_id=order.broker_account_id,
        broker_at=now,
        wire_id=order.wire_id,
        broker_order_id=order.broker_order_id,
        **fields,
    )


def _may_start(book: InstrumentBook, sim: SimOrder) -> bool:
    side = sim.terms.side
    touch = book.touch(side)
    if touch is None or not _allows(sim, touch):
        return False
    left = book.left(side)
    return left >= sim.quantity if sim.terms.time_in_force is TimeInForce.FOK else left > 0


def _allows(sim: SimOrder, touch: Decimal) -> bool:
    limit = sim.terms.limit_price
    if limit is None:
        return True
    return touch <= limit if sim.terms.side is Side.BUY else touch >= limit
