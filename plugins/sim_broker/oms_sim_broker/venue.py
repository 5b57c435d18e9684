"""Client commands and quotes in, ledger records and effects out: a broker without sockets, files or waiting.

Every record is appended before the effects that tell of it are returned; whoever carries the effects out syncs first.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal

import msgspec

from oms_kernel.contracts.broker import (
    AnyReport,
    CancelRefused,
    Filled,
    Rejected,
    ReplaceRefused,
    SnapshotPart,
)
from oms_kernel.domain.calendar import Calendar
from oms_kernel.domain.ids import BrokerAccountId, BrokerOrderId, ExecId, WireId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import Quote
from oms_kernel.domain.money import multiply, quantise, subtract
from oms_kernel.simulation.matching import MatchingEngine
from oms_kernel.simulation.orders import NewOrder
from oms_kernel.testkit.faults import Fault, FaultKind, FaultPoint, FaultScript
from oms_sim_broker.config import AccountConfig, SimBrokerConfig, feed_name
from oms_sim_broker.ledger import Ledger
from oms_sim_broker.protocol import Cancel, Place, Replace, SnapshotQuery, WirePart
from oms_sim_broker.query import answer_part
from oms_sim_broker.records import (
    AccountOpened,
    AnyRecord,
    CalendarAdded,
    CancelReceived,
    ClockNoted,
    FeedStarted,
    InstrumentListed,
    Opened,
    OrderReceived,
    ReplaceReceived,
    Reported,
    StopNoted,
)
from oms_sim_broker.state import BrokerState, KnownOrder
from oms_sim_broker.telling import Telling

Command = Place | Cancel | Replace


class Tell(msgspec.Struct, frozen=True):
    """Tell every client of the account."""

    report: AnyReport


class HangUp(msgspec.Struct, frozen=True):
    """Break the connection that brought the command, before anything that follows is told."""

    reason: str


class Later(msgspec.Struct, frozen=True):
    """Do this command so many milliseconds later; it was delayed on the way."""

    delay_ms: int
    command: Command


Effect = Tell | HangUp | Later


class SimVenue:
    """The simulated broker: matching, its own books, and the faults that it was told to commit.

    wall_clock: stamps records, and answers of the query; reports bear the engine's own time.
    """

    def __init__(
        self, config: SimBrokerConfig, ledger: Ledger, wall_clock: Callable[[], datetime], new_ledger_id: str
    ) -> None:
        self._ledger = ledger
        self._wall_clock = wall_clock
        self._deduplicate = config.deduplicate
        self.state = BrokerState()
        for record in ledger.records():
            self.state.fold(record)
        if not self.state.ledger_id:
            self._write(Opened(written_at=wall_clock(), ledger_id=new_ledger_id))
        feed = feed_name(config.feed)
        if feed != self.state.feed:
            self._write(FeedStarted(written_at=wall_clock(), feed=feed))
        self.faults = FaultScript(config.faults)
        self._telling = Telling(self._fill_faults, self._write_made_up)
        self._order_number = len(self.state.orders)
        self._made_up = sum(1 for _, fill in self.state.executions if "-F" in fill.exec_id)
        self.engine = MatchingEngine(
            fees=config.fees.build(),
            latency=config.latency,
            seed=config.seed,
            exec_prefix=f"{self.state.ledger_id}-E",
            first_exec_number=len(self.state.executions) - self._made_up + 1,
            now=self.state.clock,
        )
        for known_instrument in self.state.instruments.values():
            self.engine.add_instrument(known_instrument)
        for known_calendar in self.state.calendars.values():
            self.engine.add_calendar(known_calendar)
        self.configure(config.instruments, config.calendars, config.accounts)
        self._take_up_again()

    # ------------------------------------------------------------------ what the broker knows

    def configure(
        self,
        instruments: Iterable[Instrument] = (),
        calendars: Iterable[Calendar] = (),
        accounts: Iterable[AccountConfig] = (),
    ) -> None:
        """Add what is unknown; known instruments and calendars get their new terms, known accounts stay."""
        now = self._wall_clock()
        for calendar in calendars:
            if self.state.calendars.get(calendar.name) != calendar:
                self._write(CalendarAdded(written_at=now, calendar=calendar))
                self.engine.add_calendar(calendar)
        for instrument in instruments:
            if self.state.instruments.get(instrument.instrument_id) != instrument:
                self._write(InstrumentListed(written_at=now, instrument=instrument))
                self.engine.add_instrument(instrument)
        for account in accounts:
            if account.broker_account_id not in self.state.accounts:
                self._write(AccountOpened(written_at=now, account=account))

    def list_unknown(self, instruments: Iterable[Instrument]) -> None:
        """Add only the instruments that are unknown: a client does not change terms."""
        self.configure(instruments=[new for new in instruments if new.instrument_id not in self.state.instruments])

    # ------------------------------------------------------------------ what moves it

    def on_quote(self, quote: Quote) -> list[Effect]:
        """What a quote of the feed brings."""
        return self._settle(self.engine.on_quote(quote))

    def advance(self, at: datetime) -> list[Effect]:
        """What time alone brings, by the broker's own clock."""
        return self._settle(self.engine.advance(at))

    def note_clock(self) -> None:
        """Write down how far the feed has come."""
        if self.engine.now > self.state.clock:
            self._write(ClockNoted(written_at=self._wall_clock(), at=self.engine.now))

    def command(self, command: Command, *, delayed: bool = False) -> list[Effect]:
        """What a client's command brings. `delayed`: it comes from a `Later` and meets no faults again."""
        if isinstance(command, Place):
            return self._place(command, delayed=delayed)
        known = self._find(command.broker_account_id, command.wire_id, command.broker_order_id)
        if not known:
            return [Tell(self._unknown(command))]
        effects: list[Effect] = []
        for order in known:
            effects += (
                self._cancel(command, order, delayed=delayed)
                if isinstance(command, Cancel)
                else self._replace(command, order, delayed=delayed)
            )
        return effects

    def snapshot(self, query: SnapshotQuery) -> tuple[dict[SnapshotPart, WirePart], bool]:
        """(the parts, whether the connection breaks instead of an answer)."""
        struck = self.faults.strike(FaultPoint.SNAPSHOT)
        failed = {fault.part for fault in struck if fault.do is FaultKind.FAILED_QUERY}
        breaks = any(fault.do is FaultKind.DISCONNECT for fault in struck)
        text = next((fault.text for fault in struck), "")
        as_of = self._wall_clock()
        parts = {}
        for part in SnapshotPart:
            if None in failed or part.value in failed:
                parts[part] = WirePart(complete=False, as_of=as_of, since=query.since, error=text)
            else:
                parts[part] = answer_part(self.state, part, query, as_of)
        return parts, breaks

    # ------------------------------------------------------------------ commands

    def _place(self, command: Place, *, delayed: bool) -> list[Effect]:
        order = command.order
        struck = () if delayed else self._struck(FaultPoint.SUBMIT, order)
        known = self.state.by_wire_id.get((order.broker_account_id, order.wire_id))
        if known and self._deduplicate:
            return []
        early = _early(struck, command)
        if early is not None:
            return early
        self._order_number += 1
        order = msgspec.structs.replace(
            order, broker_order_id=BrokerOrderId(f"{self.state.ledger_id}-O{self._order_number:08d}")
        )
        self._write(OrderReceived(written_at=self._wall_clock(), order=order, at=self.engine.now))
        kinds = {fault.do for fault in struck}
        if order.broker_account_id not in self.state.accounts:
            return self._settle([_rejected(order, self.engine.now, "unknown account at this broker")])
        if FaultKind.REJECT in kinds:
            return self._settle([_rejected(order, self.engine.now, _text(struck, FaultKind.REJECT))])
        known_order = self.state.orders[order.broker_order_id]
        if FaultKind.LOST_ACK in kinds:
            self._telling.lose_answer(known_order, FaultPoint.SUBMIT)
        if FaultKind.FILL_BEFORE_ACK in kinds:
            self._telling.fill_before_ack(known_order)
        if FaultKind.REORDERED_REPORTS in kinds:
            self._telling.reverse(known_order)
        effects: list[Effect] = []
        if FaultKind.DISCONNECT_MID_SUBMIT in kinds:
            effects.append(HangUp("the fault script broke the connection in the middle of a submit"))
        return effects + self._settle(self.engine.submit(order))

    def _cancel(self, command: Cancel, known: KnownOrder, *, delayed: bool) -> list[Effect]:
        struck = () if delayed else self._struck(FaultPoint.CANCEL, known.order)
        early = _early(struck, command)
        if early is not None:
            return early
        self._write(
            CancelReceived(
                written_at=self._wall_clock(), broker_order_id=known.order.broker_order_id, at=self.engine.now
            )
        )
        kinds = {fault.do for fault in struck}
        if FaultKind.REJECT in kinds:
            refusal = _answer(CancelRefused, known.order, self.engine.now, reason=_text(struck, FaultKind.REJECT))
            return self._settle([refusal])
        if FaultKind.LOST_ACK in kinds:
            self._telling.lose_answer(known, FaultPoint.CANCEL)
        was_live = known.is_live
        effects = self._settle(self.engine.cancel(known.terms()))
        late = [fault for fault in struck if fault.do is FaultKind.FILL_AFTER_CANCEL]
        if late and was_live:
            left = subtract(known.quantity, known.filled)
            fill = self._write_made_up(known, late[0].quantity_percent, left, None)
            effects += [Tell(one) for one in self._telling.tell(fill, known, made_up=True)]
        return effects

    def _replace(self, command: Replace, known: KnownOrder, *, delayed: bool) -> list[Effect]:
        struck = () if delayed else self._struck(FaultPoint.REPLACE, known.order)
        early = _early(struck, command)
        if early is not None:
            return early
        self._write(
            ReplaceReceived(
                written_at=self._wall_clock(),
                broker_order_id=known.order.broker_order_id,
                request_id=command.request_id,
                terms=command.terms,
                at=self.engine.now,
            )
        )
        kinds = {fault.do for fault in struck}
        if FaultKind.REJECT in kinds:
            refusal = _answer(ReplaceRefused, known.order, self.engine.now, reason=_text(struck, FaultKind.REJECT))
            return self._settle([refusal])
        if FaultKind.LOST_ACK in kinds:
            self._telling.lose_answer(known, FaultPoint.REPLACE)
        return self._settle(self.engine.replace(known.terms(), command.terms))

    def _find(
        self, account: BrokerAccountId, wire_id: WireId | None, broker_order_id: BrokerOrderId | None
    ) -> list[KnownOrder]:
        if broker_order_id is not None:
            known = self.state.orders.get(broker_order_id)
            return [known] if known and known.order.broker_account_id == account else []
        if wire_id is None:
            return []
        same = self.state.by_wire_id.get((account, wire_id), [])
        return [known for known in same if known.is_live] or same[-1:]

    def _unknown(self, command: Cancel | Replace) -> AnyReport:
        kind = CancelRefused if isinstance(command, Cancel) else ReplaceRefused
        return kind(
            broker_account_id=command.broker_account_id,
            broker_at=self.engine.now,
            wire_id=command.wire_id,
            broker_order_id=command.broker_order_id,
            reason="unknown order",
        )

    # ------------------------------------------------------------------ reports

    def _settle(self, reports: list[AnyReport]) -> list[Effect]:
        """Write down what happened, then say what of it is told, and in which order."""
        for moved in self.engine.drain_notes():
            self._write(StopNoted(written_at=self._wall_clock(), moved=moved))
        effects: list[Effect] = []
        for report in reports:
            self._write(Reported(written_at=self._wall_clock(), report=report))
            assert report.broker_order_id is not None
            known = self.state.orders[report.broker_order_id]
            effects += [Tell(one) for one in self._telling.tell(report, known)]
        return effects

    def _fill_faults(self, known: KnownOrder) -> tuple[Fault, ...]:
        return self._struck(FaultPoint.FILL, known.order)

    def _write_made_up(self, known: KnownOrder, percent: int, whole: Decimal, price: Decimal | None) -> Filled:
        """An execution that the book never saw, written down like any other."""
        order = known.order
        instrument = self.state.instruments[order.instrument_id]
        quote = self.engine.quote(order.instrument_id)
        price = price or known.limit_price or (quote.opposite(order.side) if quote else None) or instrument.tick_size
        part = quantise(multiply(whole, Decimal(percent)) / 100)
        quantity = max(instrument.lot_size, subtract(part, part % instrument.lot_size))
        self._made_up += 1
        fill = Filled(
            broker_account_id=order.broker_account_id,
            broker_at=self.engine.now,
            wire_id=order.wire_id,
            broker_order_id=order.broker_order_id,
            exec_id=ExecId(f"{self.state.ledger_id}-F{self._made_up:010d}"),
            instrument_id=order.instrument_id,
            side=order.side,
            quantity=quantity,
            price=price,
            fee=Decimal(0),
        )
        self._write(Reported(written_at=self._wall_clock(), report=fill))
        return fill

    def _struck(self, point: FaultPoint, order: NewOrder) -> tuple[Fault, ...]:
        return self.faults.strike(point, symbol=self.state.symbol(order.instrument_id), order_type=order.order_type)

    # ------------------------------------------------------------------ the ledger

    def _write(self, record: AnyRecord) -> None:
        self.state.fold(record)
        self._ledger.append(record)

    def _take_up_again(self) -> None:
        """Rest what rested before a restart; what had not arrived arrives now. Ends that time brought come with it."""
        for known in self.state.live_orders():
            if known.acknowledged:
                self.engine.restore(known.terms(), known.progress(), known.venue_at)
                continue
            self._settle(self.engine.submit(known.terms()))
        for known in self.state.live_orders():
            for asked in tuple(known.replaces):
                self._settle(self.engine.replace(known.terms(), asked.terms))
            if known.cancel_waits:
                self._settle(self.engine.cancel(known.terms()))


def _early(struck: tuple[Fault, ...], command: Command) -> list[Effect] | None:
    """What happens to a command that never gets in, or None when it does."""
    for fault in struck:
        if fault.do is FaultKind.SILENCE:
            return []
        if fault.do is FaultKind.DISCONNECT:
            return [HangUp("the fault script broke the connection")]
        if fault.do is FaultKind.DELAY:
            return [Later(fault.delay_ms, command)]
    return None


def _answer(kind: type, order: NewOrder, at: datetime, *, reason: str) -> AnyReport:
    answer: AnyReport = kind(
        broker_account_id=order.broker_account_id,
        broker_at=at,
        wire_id=order.wire_id,
        broker_order_id=order.broker_order_id,
        reason=reason,
    )
    return answer


def _rejected(order: NewOrder, at: datetime, reason: str) -> AnyReport:
    return _answer(Rejected, order, at, reason=reason)


def _text(struck: tuple[Fault, ...], kind: FaultKind) -> str:
    return next(fault.text for fault in struck if fault.do is kind)
