"""The book of one ledger: recorded events in, orders, exposure, positions, cash and day counters out; a pure fold.

The same events give the same book. A batch works on `overlay()` and the committed book takes it over with `adopt`.
"""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingAccount
from oms_kernel.domain.breaks import Break, BreakKey
from oms_kernel.domain.controls import Breach, EquityMark, KillSwitch, Liquidation
from oms_kernel.domain.counting import best_of, count_anew, count_limits, count_open, counts_otherwise, put_reach
from oms_kernel.domain.errors import CorruptLog
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.folds import FOLDS, OPEN
from oms_kernel.domain.ids import (
    AccountId,
    BreakId,
    BrokerAccountId,
    BrokerOrderId,
    ClientOrderId,
    EventId,
    ExecId,
    InstrumentId,
    OrderId,
    WireId,
)
from oms_kernel.domain.layered import Grouped, Layered
from oms_kernel.domain.lifecycle import (
    TERMINAL,
    OrderStatus,
    RequestStatus,
    is_open_request,
)
from oms_kernel.domain.money import ZERO, add, subtract
from oms_kernel.domain.order import NET_BOOK, Order, Side
from oms_kernel.domain.past import Past
from oms_kernel.domain.position import Position
from oms_kernel.domain.totals import (
    NO_REACH,
    NOTHING_MOVED,
    NOTHING_OPEN,
    MovedCash,
    OpenQuantity,
    OpenValue,
    Reach,
    limits_of,
    standing,
)

ExecutionKey = tuple[BrokerAccountId, ExecId]
Figures = tuple[Decimal, Decimal]
"""Quantity and price of an execution."""
PositionKey = tuple[AccountId, str, InstrumentId]
HoldingKey = tuple[AccountId, InstrumentId]
SideKey = tuple[AccountId, InstrumentId, Side]


BookKey = tuple[AccountId, str]
"""An account and one of its sub-books; NET is the account as a whole."""
BookSideKey = tuple[AccountId, str, InstrumentId, Side]


class DayCounters(msgspec.Struct, frozen=True):
    """What one account did in one currency on one risk day."""

    risk_date: date
    accepted: int = 0
    denied: int = 0
    fills: int = 0
    traded_value: Decimal = ZERO
    realised_pnl: Decimal = ZERO
    fees: Decimal = ZERO


class Book:
    """The state of one ledger after `seq` events."""

    def __init__(self, base: "Book | None" = None) -> None:
        self.seq: int = base.seq if base else 0
        self.recorded_at: datetime | None = base.recorded_at if base else None
        self.accounts: Layered[AccountId, TradingAccount] = Layered(base.accounts if base else None)
        self.orders: Layered[OrderId, Order] = Layered(base.orders if base else None)
        self.client_orders: Layered[tuple[AccountId, ClientOrderId], OrderId] = Layered(
            base.client_orders if base else None
        )
        self.wires: Layered[WireId, OrderId] = Layered(base.wires if base else None)
        self.broker_orders: Layered[tuple[BrokerAccountId, BrokerOrderId], OrderId] = Layered(
            base.broker_orders if base else None
        )
        self.executions: Layered[ExecutionKey, Fill] = Layered(base.executions if base else None)
        self.restatements: Layered[ExecutionKey, ExecId] = Layered(base.restatements if base else None)
        """Ids of corrections and busts already booked -> the execution they restated."""
        self.superseded: Layered[ExecutionKey, tuple[Figures, ...]] = Layered(base.superseded if base else None)
        """What a corrected execution said before: by it a late duplicate of the first report is known as one."""
        self.fills: Grouped[HoldingKey, ExecutionKey, int] = Grouped(base.fills if base else None)
        """Executions of each holding in the order in which they were booked."""
        self.open_orders: Grouped[SideKey, OrderId, int] = Grouped(base.open_orders if base else None)
        self.open_quantity: Layered[SideKey, OpenQuantity] = Layered(base.open_quantity if base else None)
        self.book_quantity: Layered[BookSideKey, OpenQuantity] = Layered(base.book_quantity if base else None)
        """The same as `open_quantity` by sub-book: a strategy's own, MANUAL, EXTERNAL."""
        self.limits: Grouped[SideKey, Decimal, int] = Grouped(base.limits if base else None)
        """Limit prices at which open orders of a side may trade now -> how many orders."""
        self.open_values: Grouped[BookKey, str, OpenValue] = Grouped(base.open_values if base else None)
        """What is open by currency, of NET and of each sub-book."""
        self.holdings: Grouped[BookKey, InstrumentId, Reach] = Grouped(base.holdings if base else None)
        """Instruments of which a book holds something or has open orders."""
        self.doubts: Grouped[HoldingKey, OrderId, int] = Grouped(base.doubts if base else None)
        """Orders in doubt: their instrument takes only what reduces."""
        self.unsettled: Grouped[str, OrderId, int] = Grouped(base.unsettled if base else None)
        """By connection: orders with a request that is to be sent, sent or in doubt."""
        self.positions: Layered[PositionKey, Position] = Layered(base.positions if base else None)
        self.cash: Layered[tuple[AccountId, str], Decimal] = Layered(base.cash if base else None)
        self.currencies: Grouped[AccountId, str, int] = Grouped(base.currencies if base else None)
        """Currencies in which cash of an account ever moved."""
        self.moved_cash: Layered[tuple[AccountId, str], MovedCash] = Layered(base.moved_cash if base else None)
        """Deposits and withdrawals since the account's equity was marked."""
        self.days: Layered[tuple[AccountId, str], DayCounters] = Layered(base.days if base else None)
        self.past_days: Layered[tuple[AccountId, str, date], DayCounters] = Layered(base.past_days if base else None)
        """The counters of ended risk days: a correction or bust restates them."""
        self.open_alerts: Grouped[str, EventId, str] = Grouped(base.open_alerts if base else None)
        """Alerts that nobody has acknowledged, in the group "open", with the account or an empty text."""
        self.breaks: Layered[BreakId, Break] = Layered(base.breaks if base else None)
        self.open_breaks: Grouped[BrokerAccountId, BreakKey, BreakId] = Grouped(base.open_breaks if base else None)
        self.quarantined: Layered[str, str] = Layered(base.quarantined if base else None)
        """Plugin -> why it was quarantined; an empty reason after its release."""
        self.breaches: Layered[EventId, Breach] = Layered(base.breaches if base else None)
        self.open_breaches: Grouped[str, str, EventId] = Grouped(base.open_breaches if base else None)
        """By limit: key of each breach that nobody has closed -> its id."""
        self.kill_switches: Layered[EventId, KillSwitch] = Layered(base.kill_switches if base else None)
        self.active_switches: Grouped[str, EventId, int] = Grouped(base.active_switches if base else None)
        """Kill switches that hold, in the group "open"."""
        self.liquidations: Layered[EventId, Liquidation] = Layered(base.liquidations if base else None)
        self.running_liquidations: Grouped[str, EventId, int] = Grouped(base.running_liquidations if base else None)
        """Liquidations that still close positions, in the group "open"."""
        self.equity_marks: Layered[AccountId, EquityMark] = Layered(base.equity_marks if base else None)
        self.touched: list[HoldingKey] | None = [] if base else None
        """Holdings whose position or open quantity this overlay changed, in that order; a committed book keeps none."""
        self.ended: list[OrderId] = []
        """Orders in the order in which they ended, until they are packed."""
        self.booked: list[ExecutionKey] = []
        """Executions in the order in which they were booked, until they are packed."""
        self.past: Past | None = None

    def overlay(self) -> "Book":
        """A book that reads through to this one and keeps its own changes."""
        return Book(self)

    def layers(self) -> Iterator[tuple[str, "Layered[Any, Any] | Grouped[Any, Any, Any]"]]:
        """The maps of the book by name."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, (Layered, Grouped)))

    def adopt(self, overlay: "Book") -> None:
        """Take over a committed overlay of this book."""
        for name, layer in self.layers():
            layer.adopt(getattr(overlay, name))
        self.ended += overlay.ended
        self.booked += overlay.booked
        self.seq, self.recorded_at = overlay.seq, overlay.recorded_at

    def apply(self, recorded: ev.Recorded) -> None:
        """Fold the next event. Raises CorruptLog when it does not follow the last one."""
        if recorded.seq != self.seq + 1:
            raise CorruptLog(f"event {recorded.seq} cannot follow event {self.seq}")
        FOLDS[recorded.event.kind](self, recorded.event, recorded)
        self.seq, self.recorded_at = recorded.seq, recorded.recorded_at

    # Reading ----------------------------------------------------------------------------------------------

    def find_order(
        self, broker_account_id: BrokerAccountId, wire_id: WireId | None, broker_order_id: BrokerOrderId | None
    ) -> Order | None:
        """The order that a report speaks of, by our id first, then by the broker's; any of its former ids will do."""
        order_id = self.wires.get(wire_id) if wire_id is not None else None
        if order_id is None and broker_order_id is not None:
            order_id = self.broker_orders.get((broker_account_id, broker_order_id))
        return self.orders.get(order_id) if order_id is not None else None

    def execution(self, broker_account_id: BrokerAccountId, exec_id: ExecId) -> Fill | None:
        """The booked execution of this id, or of a correction or bust of this id; None when none is booked."""
        root = self.restatements.get((broker_account_id, exec_id)) or exec_id
        return self.executions.get((broker_account_id, root))

    def active_orders(self, account_id: AccountId, instrument_id: InstrumentId, side: Side) -> Iterator[Order]:
        """The orders of one side that may still trade."""
        return (self.orders[order_id] for order_id, _ in self.open_orders.entries((account_id, instrument_id, side)))

    def open_order_list(self) -> Iterator[Order]:
        """Every order that may still trade, oldest first within account, instrument and side."""
        for group in list(self.open_orders.keys()):
            for order_id, _ in list(self.open_orders.entries(group)):
                yield self.orders[order_id]

    def position(self, account_id: AccountId, instrument_id: InstrumentId, book: str = NET_BOOK) -> Position | None:
        """A book's holding, or None when it never traded."""
        return self.positions.get((account_id, book, instrument_id))

    def switches(self) -> Iterator[KillSwitch]:
        """The kill switches that hold, oldest first."""
        return (self.kill_switches[switch_id] for switch_id, _ in self.active_switches.entries(OPEN))

    def liquidating(self) -> Iterator[Liquidation]:
        """The liquidations that still close positions, oldest first."""
        return (self.liquidations[found] for found, _ in self.running_liquidations.entries(OPEN))

    def open_breach(self, limit_id: str, key: str) -> EventId | None:
        """The breach of a limit with this key that nobody has closed, or None."""
        return next((found for known, found in self.open_breaches.entries(limit_id) if known == key), None)

    def in_doubt(self, account_id: AccountId, instrument_id: InstrumentId) -> bool:
        """Whether an order of this holding is in doubt."""
        return self.doubts.holds((account_id, instrument_id))

    # Changing ---------------------------------------------------------------------------------------------

    def add_order(self, order: Order) -> None:
        """Store an order of which the book has not heard before; the same as `put_order`, without looking for it."""
        self.orders[order.order_id] = order
        if order.status in TERMINAL:
            self.ended.append(order.order_id)
            return
        request = order.request
        side_key = (request.account_id, request.instrument_id, request.side)
        count_open(self, order, standing(order))
        count_limits(self, side_key, (), limits_of(order))
        self.open_orders.add(side_key, order.order_id, 1)
        if order.in_doubt:
            self.doubts.add((request.account_id, request.instrument_id), order.order_id, 1)
        if _is_unsettled(order):
            self.unsettled.add(order.connection_id, order.order_id, 1)

    def put_order(self, order: Order) -> None:
        """Store an order and keep exposure and the lists of open, doubtful and unsettled orders in step."""
        old = self.orders.get(order.order_id)
        self.orders[order.order_id] = order
        request = order.request
        holding = (request.account_id, request.instrument_id)
        was_open = old is not None and old.status not in TERMINAL
        is_open = order.status not in TERMINAL
        if old is None or was_open != is_open or (is_open and counts_otherwise(old, order)):
            count_anew(self, old, order)
        if not is_open and (was_open or old is None):
            self.ended.append(order.order_id)
        if is_open != was_open:
            side_key = (request.account_id, request.instrument_id, request.side)
            _keep(self.open_orders, side_key, order.order_id, is_open)
        if old is not None and _asks_the_same(old, order):
            return
        if order.in_doubt != (old is not None and old.in_doubt):
            _keep(self.doubts, holding, order.order_id, order.in_doubt)
        is_unsettled = _is_unsettled(order)
        if is_unsettled != (old is not None and _is_unsettled(old)):
            _keep(self.unsettled, order.connection_id, order.order_id, is_unsettled)

    def best_limit(self, side_key: SideKey) -> Decimal | None:
        """The highest limit of the open BUY orders that wait for no trigger, the lowest of SELL ones; None: no order.

        Infinite where one of them has no limit.
        """
        return best_of(self.limits, side_key, max if side_key[2] is Side.BUY else min)

    def opened(self, account_id: AccountId, book: str, instrument_id: InstrumentId, side: Side) -> OpenQuantity:
        """What is open on one side, of the whole account (NET) or of one of its sub-books."""
        if book == NET_BOOK:
            return self.open_quantity.get((account_id, instrument_id, side)) or NOTHING_OPEN
        return self.book_quantity.get((account_id, book, instrument_id, side)) or NOTHING_OPEN

    def put_position(self, position: Position) -> None:
        """Store a position, and keep the list of what its book holds."""
        account_id, book, instrument_id = position.account_id, position.book, position.instrument_id
        self.positions[account_id, book, instrument_id] = position
        reach = self.holdings.find((account_id, book), instrument_id) or NO_REACH
        if reach.held != position.quantity:
            put_reach(self, (account_id, book), instrument_id, reach.holding(position.quantity))

    def book_fill(self, fill: Fill, seq: int) -> None:
        """Put a new execution into positions, cash and the day's counters."""
        key = (fill.broker_account_id, fill.exec_id)
        self.executions[key] = fill
        self.booked.append(key)
        self.fills.add((fill.account_id, fill.instrument_id), key, seq)
        net = self.positions.get((fill.account_id, NET_BOOK, fill.instrument_id))
        for book in (NET_BOOK, fill.book):
            position = self.positions.get((fill.account_id, book, fill.instrument_id)) or _flat(fill, book)
            self.put_position(position.apply(fill))
        realised = subtract(
            self.positions[fill.account_id, NET_BOOK, fill.instrument_id].realised_pnl,
            net.realised_pnl if net else ZERO,
        )
        self.move_cash(fill.account_id, fill.currency, fill.cash_change)
        self.count(
            fill.account_id,
            fill.currency,
            fill.risk_date,
            fills=1,
            traded_value=fill.value,
            realised_pnl=realised,
            fees=fill.fee,
        )

    def restate_fill(self, key: ExecutionKey, new: Fill, seq: int) -> None:
        """Replace a booked execution and rebuild its positions from all executions of the holding.

        The counters of its day and of every day since become what they would be, had the execution always had the new
        figures.
        """
        old = self.executions[key]
        account_id, instrument_id, currency = old.account_id, old.instrument_id, old.currency
        before = self._realised_by_day(account_id, instrument_id)
        self.executions[key] = new
        if not new.busted and (new.quantity, new.price) != (old.quantity, old.price):
            self.superseded[key] = (*(self.superseded.get(key) or ()), (old.quantity, old.price))
        rebuilt = {book: _flat(old, book) for book in (NET_BOOK, old.book)}
        for fill in self._live_fills(account_id, instrument_id):
            for book in (NET_BOOK, fill.book):
                if book in rebuilt:
                    rebuilt[book] = rebuilt[book].apply(fill)
        for position in rebuilt.values():
            self.put_position(position)
        was, now = _effect(old), _effect(new)
        self.move_cash(account_id, currency, subtract(now[0], was[0]))
        self.count(
            account_id,
            currency,
            old.risk_date,
            traded_value=subtract(now[1], was[1]),
            fees=subtract(now[2], was[2]),
        )
        after = self._realised_by_day(account_id, instrument_id)
        for day in sorted(before.keys() | after.keys()):
            realised = subtract(after.get(day, ZERO), before.get(day, ZERO))
            if realised:
                self.count(account_id, currency, day, realised_pnl=realised)

    def _live_fills(self, account_id: AccountId, instrument_id: InstrumentId) -> Iterator[Fill]:
        fills = (self.executions[key] for key, _ in self.fills.entries((account_id, instrument_id)))
        return (fill for fill in fills if not fill.busted)

    def _realised_by_day(self, account_id: AccountId, instrument_id: InstrumentId) -> dict[str, Decimal]:
        """What the holding's executions realised on each risk day, by all executions as they stand."""
        net: Position | None = None
        realised: dict[str, Decimal] = {}
        for fill in self._live_fills(account_id, instrument_id):
            held = net or _flat(fill, NET_BOOK)
            net = held.apply(fill)
            gained = subtract(net.realised_pnl, held.realised_pnl)
            realised[fill.risk_date] = add(realised.get(fill.risk_date, ZERO), gained)
        return realised

    def move_cash(self, account_id: AccountId, currency: str, amount: Decimal) -> None:
        """Add a signed amount to the account's cash."""
        had = self.cash.get((account_id, currency))
        if had is None:
            self.currencies.add(account_id, currency, 1)
        self.cash[account_id, currency] = add(had or ZERO, amount)

    def deposit(self, account_id: AccountId, currency: str, amount: Decimal) -> None:
        """Move cash without a trade: it is no part of the day's result. Negative: a withdrawal."""
        self.move_cash(account_id, currency, amount)
        if self.equity_marks.get(account_id) is not None:
            moved = self.moved_cash.get((account_id, currency)) or NOTHING_MOVED
            self.moved_cash[account_id, currency] = MovedCash(add(moved.in_day, amount), add(moved.since_mark, amount))

    def mark_equity(self, account_id: AccountId, mark: EquityMark) -> None:
        """Store a mark; deposits count anew from it on, those of the day from the first mark of a risk day on."""
        last = self.equity_marks.get(account_id)
        is_new_day = last is None or last.risk_date != mark.risk_date
        for currency, _ in self.currencies.entries(account_id):
            moved = self.moved_cash.get((account_id, currency))
            if moved is not None:
                self.moved_cash[account_id, currency] = MovedCash(ZERO if is_new_day else moved.in_day, ZERO)
        self.equity_marks[account_id] = mark

    def count(self, account_id: AccountId, currency: str, risk_date: str, **changes: Any) -> None:
        """Add to the account's counters of a risk day: the present one, a new one that ends it, or one that ended."""
        day = date.fromisoformat(risk_date)
        present = self.days.get((account_id, currency))
        if present is not None and present.risk_date > day:
            ended = self.past_days.get((account_id, currency, day)) or DayCounters(risk_date=day)
            self.past_days[account_id, currency, day] = _counted(ended, changes)
            return
        if present is None or present.risk_date < day:
            if present is not None:
                self.past_days[account_id, currency, present.risk_date] = present
            present = DayCounters(risk_date=day)
        self.days[account_id, currency] = _counted(present, changes)

    def day(self, account_id: AccountId, currency: str, day: date) -> DayCounters:
        """The counters of one risk day, zeros for one on which nothing happened."""
        present = self.days.get((account_id, currency))
        if present is not None and present.risk_date == day:
            return present
        return self.past_days.get((account_id, currency, day)) or DayCounters(risk_date=day)


def _counted(counters: DayCounters, changes: dict[str, Any]) -> DayCounters:
    sums = {
        name: add(getattr(counters, name), change) if isinstance(change, Decimal) else getattr(counters, name) + change
        for name, change in changes.items()
    }
    return msgspec.structs.replace(counters, **sums)


def _keep(group: "Grouped[Any, Any, int]", key: Any, member: Any, wanted: bool) -> None:
    if wanted:
        group.add(key, member, 1)
    else:
        group.remove(key, member)


def _asks_the_same(old: Order, new: Order) -> bool:
    """Whether the requests under way are what they were."""
    return (
        old.place is new.place and old.replace is new.replace and old.cancel is new.cancel and old.status is new.status
    )


def _is_unsettled(order: Order) -> bool:
    """Whether the connection's session has something to send or to find out for this order."""
    if order.status in TERMINAL:
        return False
    replace = order.replace.status if order.replace else None
    held = order.status is OrderStatus.HELD and order.place is RequestStatus.REQUESTED
    return (is_open_request(order.place) and not held) or is_open_request(replace) or is_open_request(order.cancel)


def _flat(fill: Fill, book: str) -> Position:
    return Position(
        account_id=fill.account_id,
        book=book,
        instrument_id=fill.instrument_id,
        currency=fill.currency,
        multiplier=fill.multiplier,
    )


def _effect(fill: Fill) -> tuple[Decimal, Decimal, Decimal]:
    """(cash, traded value, fees) of an execution; nothing for a busted one."""
    return (ZERO, ZERO, ZERO) if fill.busted else (fill.cash_change, fill.value, fill.fee)
