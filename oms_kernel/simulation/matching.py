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

import msgspec

from oms_kernel.contracts.broker import (
    Acknowledged,
    AnyReport,
    Canceled,
    CancelRefused,
    Rejected,
    Replaced,
    ReplaceRefused,
)
from oms_kernel.contracts.simulation import FeeModel
from oms_kernel.domain.calendar import ALWAYS_OPEN, Calendar
from oms_kernel.domain.ids import BrokerOrderId, InstrumentId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import Quote
from oms_kernel.domain.order import TimeInForce
from oms_kernel.simulation.book import InstrumentBook
from oms_kernel.simulation.clockwork import CLOSES, ENDS, Clockwork
from oms_kernel.simulation.fees import ZeroFees
from oms_kernel.simulation.holdings import Holdings
from oms_kernel.simulation.latency import NO_LATENCY, Latency
from oms_kernel.simulation.orders import NewOrder, NewTerms, Progress, SimOrder, check_terms, rank_of
from oms_kernel.simulation.sessions import Session, session_at, session_end
from oms_kernel.simulation.trading import StopMoved, Trading, about, may_start

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""The engine's time before anything has told it the time."""
_NOW_OR_NEVER = frozenset({TimeInForce.IOC, TimeInForce.FOK})
_AUCTIONS = frozenset({TimeInForce.OPG, TimeInForce.CLS})
_PRICES = ("limit_price", "stop_price", "trail_amount", "trail_percent")


class MatchingEngine:
    """A venue in memory. Every method returns the reports that are due by now, in the order in which they arose.

    calendars: by the names that instruments bear; an instrument whose calendar is unknown is open day and night.
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
        self._clock = Clockwork(now, latency, seed)
        self._trading = Trading(self._clock, fees or ZeroFees(), exec_prefix, first_exec_number)
        self._calendars: dict[str, Calendar] = {ALWAYS_OPEN.name: ALWAYS_OPEN, **(calendars or {})}
        self._books: dict[InstrumentId, InstrumentBook] = {}
        self._sessions: dict[str, Session] = {}
        for instrument in instruments:
            self.add_instrument(instrument)

    # ------------------------------------------------------------------ what the venue knows

    @property
    def now(self) -> datetime:
        """The engine's own time."""
        return self._clock.now

    @property
    def holdings(self) -> Holdings:
        """Positions and cash by the executions so far; deposit cash here."""
        return self._trading.holdings

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
        return broker_order_id in self._trading.live

    def quote(self, instrument_id: InstrumentId) -> Quote | None:
        """The instrument's latest quote."""
        book = self._books.get(instrument_id)
        return book.quote if book else None

    def drain_notes(self) -> list[StopMoved]:
        """The moves and triggers of stops since the last call."""
        notes, self._trading.notes = self._trading.notes, []
        return notes

    # ------------------------------------------------------------------ what moves it

    def on_quote(self, quote: Quote) -> list[AnyReport]:
        """The reports that this quote brings. A quote of an unknown instrument only moves the clock."""
        if quote.data_at > self._clock.now:
            self._clock.run_until(quote.data_at)
        book = self._books.get(quote.instrument_id)
        if book is not None:
            book.show(quote)
            session = self._session(book)
            if session.is_open:
                opens = book.session is not session and book.session != session and not book.crossed
                if opens:
                    book.session = session
                if book.orders:
                    self._trading.trade(book, opens=opens)
        return self._clock.drain()

    def advance(self, now: datetime) -> list[AnyReport]:
        """The reports of what time alone brings up to this instant: arrivals, ends, closes, delayed reports."""
        if now > self._clock.now:
            self._clock.run_until(now)
        return self._clock.drain()

    def submit(self, order: NewOrder) -> list[AnyReport]:
        """Take an order; it reaches the book after the latency. Answers Acknowledged or Rejected, then its fills."""
        self._clock.receive(self._arrive, order)
        return self._clock.drain()

    def cancel(self, order: NewOrder) -> list[AnyReport]:
        """Ask to cancel the rest. Answers Canceled, or CancelRefused when the order is not live."""
        self._clock.receive(self._cancel, order)
        return self._clock.drain()

    def replace(self, order: NewOrder, terms: NewTerms) -> list[AnyReport]:
        """Ask for new terms. Answers Replaced, Canceled (nothing left) or ReplaceRefused; `order` names it."""
        self._clock.receive(self._replace, (order, terms))
        return self._clock.drain()

    def restore(self, order: NewOrder, progress: Progress, arrived_at: datetime) -> None:
        """Rest an order again that was acknowledged before a restart; reports nothing by itself."""
        self._rest(self._books[order.instrument_id], SimOrder(order, self._clock.next(), progress), arrived_at)

    # ------------------------------------------------------------------ commands, once they have arrived

    def _arrive(self, order: NewOrder) -> None:
        book = self._books.get(order.instrument_id)
        reason = check_terms(order, book.instrument if book else None, self.now)
        if reason or book is None:
            self._say(Rejected, order, reason=reason)
            return
        self._say(Acknowledged, order)
        trades = self._trades_now(book)
        sim = SimOrder(order, self._clock.next())
        if order.time_in_force in _NOW_OR_NEVER and not (trades and may_start(book, sim)):
            self._say(Canceled, order, reason=f"{order.time_in_force}: no fill at once")
            return
        self._rest(book, sim, self.now)
        if not trades or order.time_in_force in _AUCTIONS:
            return
        if not sim.triggered:
            self._trading.trigger(book)
            return
        self._trading.match(book, order.side)
        if sim.live and order.time_in_force in _NOW_OR_NEVER:
            self._trading.end(book, sim)
            self._say(Canceled, order, reason=f"{order.time_in_force}: the rest was not filled")

    def _cancel(self, order: NewOrder) -> None:
        sim = self._trading.live.get(order.broker_order_id)
        if sim is None:
            self._say(CancelRefused, order, reason="the order is not live")
            return
        self._trading.end(self._books[order.instrument_id], sim)
        self._say(Canceled, order, reason="asked for")

    def _replace(self, asked: tuple[NewOrder, NewTerms]) -> None:
        order, new = asked
        sim = self._trading.live.get(order.broker_order_id)
        if sim is None:
            self._say(ReplaceRefused, order, reason="the order is not live")
            return
        book = self._books[order.instrument_id]
        terms = changed(sim.terms, new)
        reason = check_terms(terms, book.instrument, self.now)
        if reason:
            self._say(ReplaceRefused, order, reason=reason)
            return
        if terms.quantity <= sim.filled:
            self._trading.end(book, sim)
            reason = f"the new total {terms.quantity} is at or below the filled quantity {sim.filled}"
            self._say(Canceled, order, reason=reason)
            return
        self._change(book, sim, terms)
        self._say(
            Replaced,
            order,
            quantity=terms.quantity,
            limit_price=terms.limit_price,
            stop_price=terms.stop_price,
        )
        if self._trades_now(book):
            self._trading.trigger(book)
            self._trading.match(book, terms.side)

    def _change(self, book: InstrumentBook, sim: SimOrder, terms: NewOrder) -> None:
        old = sim.terms
        same_prices = all(getattr(old, field) == getattr(terms, field) for field in _PRICES)
        if same_prices and terms.quantity <= sim.quantity:
            sim.terms, sim.quantity = terms, terms.quantity
            return
        book.remove(sim)
        sim.sequence = self._clock.next()
        sim.rank = rank_of(terms)
        if terms.stop_price != old.stop_price:
            sim.stop = terms.stop_price
        if (terms.trail_amount, terms.trail_percent) != (old.trail_amount, old.trail_percent):
            sim.best, sim.stop = None, terms.stop_price
        sim.terms, sim.quantity = terms, terms.quantity
        book.rest(sim)

    def _rest(self, book: InstrumentBook, sim: SimOrder, arrived_at: datetime) -> None:
        terms = sim.terms
        self._trading.live[terms.broker_order_id] = sim
        book.rest(sim)
        if terms.time_in_force is TimeInForce.DAY:
            self._clock.at(session_end(self._calendar(book), arrived_at), ENDS, self._end_of_time, (book, sim))
        elif terms.time_in_force is TimeInForce.GTD:
            assert terms.expire_at is not None
            self._clock.at(terms.expire_at, ENDS, self._end_of_time, (book, sim))
        elif terms.time_in_force is TimeInForce.CLS:
            sim.ends_at = session_end(self._calendar(book), arrived_at)
            self._clock.at(sim.ends_at, CLOSES, self._trading.close, book)

    def _end_of_time(self, ending: tuple[InstrumentBook, SimOrder]) -> None:
        book, sim = ending
        if sim.live:
            self._trading.expire(book, sim, f"{sim.terms.time_in_force} ended")

    def _say(self, kind: type, order: NewOrder, **fields: object) -> None:
        self._clock.report(about(kind, order, self._clock.now, **fields))

    # ------------------------------------------------------------------ sessions

    def _trades_now(self, book: InstrumentBook) -> bool:
        """Whether the session is open and has shown a quote: yesterday's last quote is nobody's offer today."""
        session = self._session(book)
        return session.is_open and book.session == session

    def _session(self, book: InstrumentBook) -> Session:
        name = book.instrument.calendar
        session = self._sessions.get(name)
        if session is None or not session.holds(self._clock.now):
            session = session_at(self._calendar(book), self._clock.now)
            self._sessions[name] = session
        return session

    def _calendar(self, book: InstrumentBook) -> Calendar:
        return self._calendars.get(book.instrument.calendar, ALWAYS_OPEN)


def changed(old: NewOrder, new: NewTerms) -> NewOrder:
    """The order on its new terms; an absent price stays, a new trail takes the place of the old one."""
    given = {field: value for field in _PRICES if (value := getattr(new, field)) is not None}
    if new.trail_amount is not None or new.trail_percent is not None:
        given = {"trail_amount": None, "trail_percent": None, **given}
    return msgspec.structs.replace(old, quantity=new.quantity, **given)
