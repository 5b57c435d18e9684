"""Ledger records in, the broker's own state out: orders, executions, positions and cash as a pure fold."""

from datetime import datetime

from oms_kernel.contracts.broker import (
    Acknowledged,
    AnyReport,
    Canceled,
    CancelRefused,
    Expired,
    Filled,
    OrderSnapshot,
    Rejected,
    Replaced,
    ReplaceRefused,
)
from oms_kernel.domain.calendar import Calendar
from oms_kernel.domain.ids import BrokerAccountId, BrokerOrderId, InstrumentId, WireId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.money import ZERO, add
from oms_kernel.simulation.holdings import Holdings
from oms_kernel.simulation.matching import BEGINNING
from oms_kernel.simulation.orders import NewOrder, NewTerms, Progress
from oms_sim_broker.config import AccountConfig
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

WORKING = "WORKING"
FILLED = "FILLED"
ENDS = {Canceled: "CANCELED", Expired: "EXPIRED", Rejected: "REJECTED"}


class KnownOrder:
    """One order as the ledger tells it. Belongs to the state."""

    __slots__ = (
        "acknowledged",
        "cancel_waits",
        "changed_at",
        "filled",
        "limit_price",
        "order",
        "place_in_line",
        "quantity",
        "reason",
        "received_at",
        "replaces",
        "status",
        "stop",
        "stop_price",
        "trail_amount",
        "trail_percent",
        "triggered",
        "venue_at",
    )

    def __init__(self, received: OrderReceived) -> None:
        order = received.order
        self.order = order
        self.received_at = self.changed_at = received.written_at
        self.venue_at = received.at
        self.status = WORKING
        self.acknowledged = False
        self.reason = ""
        self.filled = ZERO
        self.quantity = order.quantity
        self.limit_price, self.stop_price = order.limit_price, order.stop_price
        self.trail_amount, self.trail_percent = order.trail_amount, order.trail_percent
        self.stop = order.stop_price
        self.triggered = False
        self.replaces: list[ReplaceReceived] = []
        self.place_in_line = 0
        self.cancel_waits = False

    @property
    def is_live(self) -> bool:
        """Whether it may still trade."""
        return self.status == WORKING

    def terms(self) -> NewOrder:
        """The order with its present terms."""
        order = self.order
        return NewOrder(
            broker_order_id=order.broker_order_id,
            wire_id=order.wire_id,
            broker_account_id=order.broker_account_id,
            instrument_id=order.instrument_id,
            side=order.side,
            quantity=self.quantity,
            order_type=order.order_type,
            time_in_force=order.time_in_force,
            limit_price=self.limit_price,
            stop_price=self.stop_price,
            trail_amount=self.trail_amount,
            trail_percent=self.trail_percent,
            expire_at=order.expire_at,
        )

    def progress(self) -> Progress:
        """How far it has come."""
        return Progress(filled_quantity=self.filled, triggered=self.triggered, stop_price=self.stop)

    def adopt(self, terms: NewTerms) -> bool:
        """Take new terms, absent prices stay; whether the order lost its place by that."""
        before = (self.limit_price, self.stop_price, self.trail_amount, self.trail_percent)
        larger = terms.quantity > self.quantity
        self.quantity = terms.quantity
        if terms.limit_price is not None:
            self.limit_price = terms.limit_price
        if terms.stop_price is not None:
            self.stop_price = self.stop = terms.stop_price
        if terms.trail_amount is not None:
            self.trail_amount, self.trail_percent = terms.trail_amount, None
        elif terms.trail_percent is not None:
            self.trail_amount, self.trail_percent = None, terms.trail_percent
        return larger or before != (self.limit_price, self.stop_price, self.trail_amount, self.trail_percent)

    def snapshot(self, symbol: str) -> OrderSnapshot:
        """The order as the query shows it."""
        return OrderSnapshot(
            broker_account_id=self.order.broker_account_id,
            broker_order_id=self.order.broker_order_id,
            wire_id=self.order.wire_id,
            instrument_id=self.order.instrument_id,
            symbol=symbol,
            side=self.order.side,
            status=self.status,
            quantity=self.quantity,
            filled_quantity=self.filled,
            order_type=self.order.order_type,
            limit_price=self.limit_price,
            stop_price=self.stop_price,
            time_in_force=self.order.time_in_force,
            reason=self.reason,
        )


class BrokerState:
    """What the ledger says, folded one record at a time."""

    def __init__(self) -> None:
        self.ledger_id = ""
        self.feed = ""
        self.clock: datetime = BEGINNING
        self.accounts: dict[BrokerAccountId, AccountConfig] = {}
        self.instruments: dict[InstrumentId, Instrument] = {}
        self.calendars: dict[str, Calendar] = {}
        self.orders: dict[BrokerOrderId, KnownOrder] = {}
        self.by_wire_id: dict[tuple[BrokerAccountId, WireId], list[KnownOrder]] = {}
        self.executions: list[tuple[datetime, Filled]] = []
        self.holdings = Holdings()
        self._line = 0

    def live_orders(self) -> list[KnownOrder]:
        """The orders that may still trade, in the order in which they stand in line."""
        live = [order for order in self.orders.values() if order.is_live]
        return sorted(live, key=lambda order: order.place_in_line)

    def symbol(self, instrument_id: InstrumentId) -> str:
        """The symbol of an instrument, or '' when it is unknown."""
        instrument = self.instruments.get(instrument_id)
        return instrument.symbol if instrument else ""

    def fold(self, record: AnyRecord) -> None:
        """Take one record in."""
        if isinstance(record, Reported):
            self._report(record.report, record.written_at)
        elif isinstance(record, OrderReceived):
            known = KnownOrder(record)
            self._to_the_end(known)
            self.orders[record.order.broker_order_id] = known
            key = (record.order.broker_account_id, record.order.wire_id)
            self.by_wire_id.setdefault(key, []).append(known)
            self.clock = max(self.clock, record.at)
        elif isinstance(record, StopNoted):
            stopped = self.orders[record.moved.broker_order_id]
            stopped.stop = record.moved.stop_price
            if record.moved.triggered:
                stopped.triggered = True
                self._to_the_end(stopped)
        elif isinstance(record, ReplaceReceived):
            self.orders[record.broker_order_id].replaces.append(record)
            self.clock = max(self.clock, record.at)
        elif isinstance(record, CancelReceived):
            self.orders[record.broker_order_id].cancel_waits = True
            self.clock = max(self.clock, record.at)
        elif isinstance(record, ClockNoted):
            self.clock = max(self.clock, record.at)
        elif isinstance(record, AccountOpened):
            account = record.account
            self.accounts[account.broker_account_id] = account
            self.holdings.deposit(account.broker_account_id, account.base_currency, account.cash)
        elif isinstance(record, InstrumentListed):
            self.instruments[record.instrument.instrument_id] = record.instrument
        elif isinstance(record, CalendarAdded):
            self.calendars[record.calendar.name] = record.calendar
        elif isinstance(record, FeedStarted):
            if record.feed != self.feed:
                self.feed, self.clock = record.feed, BEGINNING
        elif isinstance(record, Opened):
            self.ledger_id = record.ledger_id

    def _to_the_end(self, known: KnownOrder) -> None:
        self._line += 1
        known.place_in_line = self._line

    def _report(self, report: AnyReport, written_at: datetime) -> None:
        self.clock = max(self.clock, report.broker_at)
        assert report.broker_order_id is not None
        known = self.orders[report.broker_order_id]
        known.changed_at = written_at
        if isinstance(report, Filled):
            known.filled = add(known.filled, report.quantity)
            if known.filled >= known.quantity and known.is_live:
                known.status = FILLED
            self.executions.append((written_at, report))
            self.holdings.apply(report, self.instruments[report.instrument_id])
        elif isinstance(report, Acknowledged):
            known.acknowledged = True
        elif isinstance(report, Replaced):
            if known.replaces and known.adopt(known.replaces.pop(0).terms):
                self._to_the_end(known)
        elif isinstance(report, ReplaceRefused):
            if known.replaces:
                known.reason = report.reason
                known.replaces.pop(0)
        elif isinstance(report, CancelRefused):
            known.cancel_waits = False
        elif isinstance(report, Canceled | Expired | Rejected) and known.is_live:
            known.status = ENDS[type(report)]
            known.reason = report.reason
