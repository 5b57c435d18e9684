"""The book of one ledger: recorded events in, orders, exposure, positions, cash and day counters out; a pure fold.

The same events give the same book. A batch works on `overlay()` and the committed book takes it over with `adopt`.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingAccount
from oms_kernel.domain.errors import CorruptLog
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.ids import (
    AccountId,
    BrokerAccountId,
    BrokerOrderId,
    ClientOrderId,
    ExecId,
    InstrumentId,
    OrderId,
    WireId,
)
from oms_kernel.domain.layered import Grouped, Layered
from oms_kernel.domain.lifecycle import (
    TERMINAL,
    Evidence,
    OrderStatus,
    RequestKind,
    RequestStatus,
    Signal,
    Word,
    is_open_request,
    next_request,
    next_status,
)
from oms_kernel.domain.money import ZERO, add, notional, subtract
from oms_kernel.domain.order import NET_BOOK, Order, ReplaceRequest, Reservation, Side
from oms_kernel.domain.position import Position

ExecutionKey = tuple[BrokerAccountId, ExecId]
Figures = tuple[Decimal, Decimal]
"""Quantity and price of an execution."""
PositionKey = tuple[AccountId, str, InstrumentId]
HoldingKey = tuple[AccountId, InstrumentId]
SideKey = tuple[AccountId, InstrumentId, Side]


class OpenQuantity(msgspec.Struct, frozen=True):
    """Worst-case open quantity of one side and how many orders make it up."""

    quantity: Decimal = ZERO
    orders: int = 0


class DayCounters(msgspec.Struct, frozen=True):
    """What one account did in one currency on its present risk day; begins anew with the first event of a day."""

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
        self.doubts: Grouped[HoldingKey, OrderId, int] = Grouped(base.doubts if base else None)
        """Orders in doubt: their instrument takes only what reduces."""
        self.unsettled: Grouped[str, OrderId, int] = Grouped(base.unsettled if base else None)
        """By connection: orders with a request that is to be sent, sent or in doubt."""
        self.positions: Layered[PositionKey, Position] = Layered(base.positions if base else None)
        self.cash: Layered[tuple[AccountId, str], Decimal] = Layered(base.cash if base else None)
        self.days: Layered[tuple[AccountId, str], DayCounters] = Layered(base.days if base else None)
        self.quarantined: Layered[str, str] = Layered(base.quarantined if base else None)
        """Plugin -> why it was quarantined; an empty reason after its release."""

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
        self.seq, self.recorded_at = overlay.seq, overlay.recorded_at

    def apply(self, recorded: ev.Recorded) -> None:
        """Fold the next event. Raises CorruptLog when it does not follow the last one."""
        if recorded.seq != self.seq + 1:
            raise CorruptLog(f"event {recorded.seq} cannot follow event {self.seq}")
        _FOLDS[recorded.event.kind](self, recorded.event, recorded)
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

    def in_doubt(self, account_id: AccountId, instrument_id: InstrumentId) -> bool:
        """Whether an order of this holding is in doubt."""
        return any(True for _ in self.doubts.entries((account_id, instrument_id)))

    # Changing ---------------------------------------------------------------------------------------------

    def put_order(self, order: Order) -> None:
        """Store an order and keep exposure and the lists of open, doubtful and unsettled orders in step."""
        old = self.orders.get(order.order_id)
        self.orders[order.order_id] = order
        request = order.request
        holding = (request.account_id, request.instrument_id)
        side_key = (request.account_id, request.instrument_id, request.side)
        before = old.worst_case_quantity if old else ZERO
        after = order.worst_case_quantity
        was_open = old is not None and old.status not in TERMINAL
        is_open = order.status not in TERMINAL
        if before != after or was_open != is_open:
            total = self.open_quantity.get(side_key) or OpenQuantity()
            self.open_quantity[side_key] = OpenQuantity(
                add(total.quantity, subtract(after, before)), total.orders + is_open - was_open
            )
        if is_open != was_open:
            _keep(self.open_orders, side_key, order.order_id, is_open)
        if order.in_doubt != (old is not None and old.in_doubt):
            _keep(self.doubts, holding, order.order_id, order.in_doubt)
        if _is_unsettled(order) != (old is not None and _is_unsettled(old)):
            _keep(self.unsettled, order.connection_id, order.order_id, _is_unsettled(order))

    def book_fill(self, fill: Fill, seq: int) -> None:
        """Put a new execution into positions, cash and the day's counters."""
        key = (fill.broker_account_id, fill.exec_id)
        self.executions[key] = fill
        self.fills.add((fill.account_id, fill.instrument_id), key, seq)
        net = self.positions.get((fill.account_id, NET_BOOK, fill.instrument_id))
        for book in (NET_BOOK, fill.book):
            position = self.positions.get((fill.account_id, book, fill.instrument_id)) or _flat(fill, book)
            self.positions[fill.account_id, book, fill.instrument_id] = position.apply(fill)
        realised = subtract(
            self.positions[fill.account_id, NET_BOOK, fill.instrument_id].realised_pnl,
            net.realised_pnl if net else ZERO,
        )
        self._move_cash(fill.account_id, fill.currency, fill.cash_change)
        self._count(
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

        The present day's counters become what they would be, had the execution always had the new figures; those of
        earlier days are gone and stay as they were.
        """
        old = self.executions[key]
        account_id, instrument_id, currency = old.account_id, old.instrument_id, old.currency
        counters = self.days.get((account_id, currency))
        today = counters.risk_date.isoformat() if counters else old.risk_date
        before = self._realised_on(today, account_id, instrument_id)
        self.executions[key] = new
        if not new.busted and (new.quantity, new.price) != (old.quantity, old.price):
            self.superseded[key] = (*(self.superseded.get(key) or ()), (old.quantity, old.price))
        rebuilt = {book: _flat(old, book) for book in (NET_BOOK, old.book)}
        for fill in self._live_fills(account_id, instrument_id):
            for book in (NET_BOOK, fill.book):
                if book in rebuilt:
                    rebuilt[book] = rebuilt[book].apply(fill)
        for book, position in rebuilt.items():
            self.positions[account_id, book, instrument_id] = position
        was, now = _effect(old), _effect(new)
        self._move_cash(account_id, currency, subtract(now[0], was[0]))
        self._count(
            account_id,
            currency,
            old.risk_date,
            traded_value=subtract(now[1], was[1]),
            fees=subtract(now[2], was[2]),
        )
        realised = subtract(self._realised_on(today, account_id, instrument_id), before)
        self._count(account_id, currency, today, realised_pnl=realised)

    def _live_fills(self, account_id: AccountId, instrument_id: InstrumentId) -> Iterator[Fill]:
        fills = (self.executions[key] for key, _ in self.fills.entries((account_id, instrument_id)))
        return (fill for fill in fills if not fill.busted)

    def _realised_on(self, day: str, account_id: AccountId, instrument_id: InstrumentId) -> Decimal:
        """What the holding's executions of one risk day realised, by all executions as they stand."""
        net: Position | None = None
        realised = ZERO
        for fill in self._live_fills(account_id, instrument_id):
            held = net or _flat(fill, NET_BOOK)
            net = held.apply(fill)
            if fill.risk_date == day:
                realised = add(realised, subtract(net.realised_pnl, held.realised_pnl))
        return realised

    def _move_cash(self, account_id: AccountId, currency: str, amount: Decimal) -> None:
        self.cash[account_id, currency] = add(self.cash.get((account_id, currency)) or ZERO, amount)

    def _count(self, account_id: AccountId, currency: str, risk_date: str, **changes: Any) -> None:
        day = date.fromisoformat(risk_date)
        counters = self.days.get((account_id, currency))
        if counters is not None and counters.risk_date > day:
            return  # a restatement of an earlier day is no part of the present one
        if counters is None or counters.risk_date < day:
            counters = DayCounters(risk_date=day)
        sums = {
            name: add(getattr(counters, name), change)
            if isinstance(change, Decimal)
            else getattr(counters, name) + change
            for name, change in changes.items()
        }
        self.days[account_id, currency] = msgspec.structs.replace(counters, **sums)


def _keep(group: "Grouped[Any, OrderId, int]", key: Any, order_id: OrderId, wanted: bool) -> None:
    if wanted:
        group.add(key, order_id, 1)
    else:
        group.remove(key, order_id)


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


def _executed(fill: Fill) -> tuple[Decimal, Decimal]:
    """(quantity, quantity x price) that an execution adds to its order; nothing for a busted one."""
    return (ZERO, ZERO) if fill.busted else (fill.quantity, notional(fill.quantity, fill.price))


# Folds, one for each kind of event ------------------------------------------------------------------------


def _end_requests(order: Order, status: OrderStatus) -> dict[str, Any]:
    """The requests of an order that reached a terminal status."""
    ended: dict[str, Any] = {}
    if is_open_request(order.place):
        signal = Signal.REFUSE if status is OrderStatus.REJECTED else Signal.END
        ended["place"] = next_request(RequestKind.PLACE, order.place, signal)
    if order.replace is not None and is_open_request(order.replace.status):
        closed = next_request(RequestKind.REPLACE, order.replace.status, Signal.END)
        ended["replace"] = msgspec.structs.replace(order.replace, status=closed)
    if order.cancel is not None and is_open_request(order.cancel):
        signal = Signal.END if status is OrderStatus.CANCELED else Signal.REFUSE
        ended["cancel"] = next_request(RequestKind.CANCEL, order.cancel, signal)
    return ended


def _prove(order: Order) -> dict[str, Any]:
    """Any report of an order proves its place."""
    return {"place": next_request(RequestKind.PLACE, order.place, Signal.PROVE)}


_PROVES_PLACE = frozenset({Word.ACKNOWLEDGED, Word.FILLED_PART, Word.FILLED_WHOLE, Word.FOUND_ALIVE, Word.UNFILLED})
_HOW_IT_ENDED = ("evidence", "reason_code", "reason")


def _move(book: Book, order: Order, word: Word, recorded: ev.Recorded, **changes: Any) -> None:
    """Store the order after a word: new status, proved place, ended requests and evidence when it is terminal.

    A word that does not change a terminal status (reordered, repeated) leaves how the order ended as it was told first.
    """
    status = next_status(order.status, word)
    updates: dict[str, Any] = {}
    if status is OrderStatus.FILLED:
        updates.update(_terms_proved_by_fills(order, changes.get("filled_quantity", order.filled_quantity)))
    if status in TERMINAL:
        updates = {**_end_requests(order, status), **updates}
    if word in _PROVES_PLACE:
        updates.update(_prove(order))
    if status in TERMINAL and status is order.status:
        changes = {name: value for name, value in changes.items() if name not in _HOW_IT_ENDED}
    elif status is OrderStatus.FILLED:
        ended_before = order.status if order.status in TERMINAL and order.evidence is Evidence.BROKER else None
        changes.update(evidence=Evidence.BROKER, reason_code=None, reason=None, ended_before=ended_before)
    elif status in TERMINAL:
        changes.setdefault("evidence", Evidence.BROKER)
    else:
        changes.update(evidence=None)
        if order.status in TERMINAL:
            changes.update(reason_code=None, reason=None)
    _put(book, order, recorded, status=status, **{**updates, **changes})


def _terms_proved_by_fills(order: Order, filled_quantity: Decimal) -> dict[str, Any]:
    """The new terms of a sent replace that raised the total, once executions reached it: they must be in force."""
    replace = order.replace
    if replace is None or replace.status not in (RequestStatus.SENT, RequestStatus.IN_DOUBT):
        return {}
    if not order.quantity < replace.quantity <= filled_quantity:
        return {}
    proved = next_request(RequestKind.REPLACE, replace.status, Signal.PROVE)
    return {
        "quantity": replace.quantity,
        "limit_price": replace.limit_price,
        "stop_price": replace.stop_price,
        "trail_amount": replace.trail_amount,
        "trail_percent": replace.trail_percent,
        "reservation": replace.reservation,
        "replace": msgspec.structs.replace(replace, status=proved),
    }


def _put(book: Book, order: Order, recorded: ev.Recorded, **updates: Any) -> None:
    book.put_order(msgspec.structs.replace(order, updated_at=recorded.recorded_at, version=recorded.seq, **updates))


def _with_broker_id(book: Book, order: Order, broker_order_id: BrokerOrderId | None) -> dict[str, Any]:
    """Remember a broker id of the order; all that it ever had stay known."""
    if broker_order_id is None or broker_order_id in order.broker_order_ids:
        return {}
    book.broker_orders[order.broker_account_id, broker_order_id] = order.order_id
    return {"broker_order_ids": (*order.broker_order_ids, broker_order_id)}


def _account_opened(book: Book, event: ev.AccountOpened, recorded: ev.Recorded) -> None:
    assert event.account_id is not None
    book.accounts[event.account_id] = TradingAccount(
        account_id=event.account_id,
        base_currency=event.base_currency,
        time_zone=event.time_zone,
        day_roll=event.day_roll,
    )


def _cash_changed(book: Book, event: ev.CashChanged, recorded: ev.Recorded) -> None:
    assert event.account_id is not None
    book._move_cash(event.account_id, event.currency, event.amount)


def _trading_state_changed(book: Book, event: ev.TradingStateChanged, recorded: ev.Recorded) -> None:
    assert event.account_id is not None
    account = book.accounts[event.account_id]
    book.accounts[event.account_id] = msgspec.structs.replace(
        account, trading_state=event.trading_state, state_reason=event.reason_code
    )


def _new_order(event: ev.OrderAccepted | ev.OrderDenied, recorded: ev.Recorded, **fields: Any) -> Order:
    request = event.request
    return Order(
        order_id=event.order_id,
        request=request,
        broker_account_id=event.broker_account_id,
        connection_id=event.connection_id,
        symbol=event.symbol,
        currency=event.currency,
        multiplier=event.multiplier,
        accepted_at=recorded.recorded_at,
        updated_at=recorded.recorded_at,
        version=recorded.seq,
        quantity=request.quantity,
        limit_price=request.limit_price,
        stop_price=request.stop_price,
        trail_amount=request.trail_amount,
        trail_percent=request.trail_percent,
        trading_date=event.trading_date,
        principal=event.principal,
        **fields,
    )


def _remember_client_order_id(book: Book, order: Order) -> None:
    if order.request.client_order_id is not None:
        book.client_orders[order.request.account_id, order.request.client_order_id] = order.order_id


def _order_accepted(book: Book, event: ev.OrderAccepted, recorded: ev.Recorded) -> None:
    order = _new_order(
        event,
        recorded,
        status=OrderStatus.HELD if event.held else OrderStatus.NEW,
        place=RequestStatus.REQUESTED,
        reservation=event.reservation,
        send_before=event.send_before,
    )
    book.put_order(order)
    _remember_client_order_id(book, order)
    book._count(order.request.account_id, order.currency, event.risk_date, accepted=1)


def _order_denied(book: Book, event: ev.OrderDenied, recorded: ev.Recorded) -> None:
    first = next(iter(event.verdicts), None)
    order = _new_order(
        event,
        recorded,
        status=OrderStatus.DENIED,
        place=RequestStatus.REFUSED,
        evidence=Evidence.OWN_CHECK,
        reason_code=first.rule if first else None,
        reason=first.message if first else None,
    )
    book.put_order(order)
    _remember_client_order_id(book, order)
    book._count(order.request.account_id, order.currency, event.risk_date, denied=1)


def _intent_recorded(book: Book, event: ev.IntentRecorded, recorded: ev.Recorded) -> None:
    order = book.orders[event.order_id]
    book.wires[event.wire_id] = order.order_id
    wires = order.wire_ids if event.wire_id in order.wire_ids else (*order.wire_ids, event.wire_id)
    updates: dict[str, Any] = {"wire_ids": wires, "attempt": max(order.attempt, event.attempt)}
    if event.request_kind is RequestKind.PLACE:
        updates.update(
            place=next_request(RequestKind.PLACE, order.place, Signal.SEND),
            status=OrderStatus.NEW,
            sent_at=recorded.recorded_at,
            lease_token=event.lease_token,
        )
    elif event.request_kind is RequestKind.REPLACE:
        assert order.replace is not None
        updates["replace"] = msgspec.structs.replace(
            order.replace,
            status=next_request(RequestKind.REPLACE, order.replace.status, Signal.SEND),
            wire_id=event.wire_id,
            attempt=event.attempt,
            lease_token=event.lease_token,
            sent_at=recorded.recorded_at,
        )
    elif order.is_active:  # a cancel may be sent first and recorded after: the order may have ended meanwhile
        updates.update(
            cancel=next_request(RequestKind.CANCEL, order.cancel or RequestStatus.REQUESTED, Signal.SEND),
            cancel_sent_at=recorded.recorded_at,
        )
    _put(book, order, recorded, **updates)


def _request_in_doubt(book: Book, event: ev.RequestInDoubt, recorded: ev.Recorded) -> None:
    order = book.orders[event.order_id]
    if event.request_kind is RequestKind.PLACE:
        updates: dict[str, Any] = {"place": next_request(RequestKind.PLACE, order.place, Signal.DOUBT)}
    else:
        assert order.replace is not None
        doubted = next_request(RequestKind.REPLACE, order.replace.status, Signal.DOUBT)
        updates = {"replace": msgspec.structs.replace(order.replace, status=doubted)}
    _put(book, order, recorded, reason=event.reason, queries_negative=0, queried_at=None, **updates)


def _doubt_queried(book: Book, event: ev.DoubtQueried, recorded: ev.Recorded) -> None:
    order = book.orders[event.order_id]
    _put(book, order, recorded, queries_negative=order.queries_negative + 1, queried_at=event.as_of)


def _order_acknowledged(book: Book, event: ev.OrderAcknowledged, recorded: ev.Recorded) -> None:
    order = book.orders[event.order_id]
    told = _with_broker_id(book, order, event.broker_order_id)
    _move(book, order, event.word, recorded, reason=None, **told)


def _replace_requested(book: Book, event: ev.ReplaceRequested, recorded: ev.Recorded) -> None:
    order = book.orders[event.order_id]
    replace = ReplaceRequest(
        status=RequestStatus.REQUESTED,
        quantity=event.quantity,
        limit_price=event.limit_price,
        stop_price=event.stop_price,
        trail_amount=event.trail_amount,
        trail_percent=event.trail_percent,
        reservation=event.reservation,
        send_before=event.send_before,
    )
    _put(book, order, recorded, replace=replace)


def _nothing(book: Book, event: ev.Event, recorded: ev.Recorded) -> None:
    """The event leaves the book as it is."""


def _order_replaced(book: Book, event: ev.OrderReplaced, recorded: ev.Recorded) -> None:
    order = book.orders[event.order_id]
    updates: dict[str, Any] = {
        "quantity": event.quantity,
        "limit_price": event.limit_price,
        "stop_price": event.stop_price,
        "trail_amount": event.trail_amount,
        "trail_percent": event.trail_percent,
        **_with_broker_id(book, order, event.broker_order_id),
    }
    if event.settles and order.replace is not None:
        # An amendment of an unsent order needs no sending, so REQUESTED may end here too.
        updates["replace"] = msgspec.structs.replace(order.replace, status=RequestStatus.DONE)
        updates["reservation"] = order.replace.reservation
    elif event.limit_price is not None:
        updates["reservation"] = Reservation(price=event.limit_price, source="limit_price")
    elif event.stop_price is not None:
        updates["reservation"] = Reservation(price=event.stop_price, source="stop_price")
    if event.broker_at is None:
        _put(book, order, recorded, **updates)
    else:
        _move(book, order, event.word or Word.ACKNOWLEDGED, recorded, **updates)


def _replace_refused(book: Book, event: ev.ReplaceRefused, recorded: ev.Recorded) -> None:
    order = book.orders[event.order_id]
    if order.replace is None:
        return
    status = next_request(RequestKind.REPLACE, order.replace.status, Signal.REFUSE)
    refused = msgspec.structs.replace(order.replace, status=status)
    if order.is_active and order.filled_quantity >= order.quantity:
        # Only the larger total kept the order open: the old one, which goes on, was filled meanwhile.
        _move(book, order, Word.FILLED_WHOLE, recorded, replace=refused)
    else:
        _put(book, order, recorded, replace=refused, reason=event.reason)


def _cancel_requested(book: Book, event: ev.CancelRequested, recorded: ev.Recorded) -> None:
    _put(book, book.orders[event.order_id], recorded, cancel=RequestStatus.REQUESTED)


def _cancel_refused(book: Book, event: ev.CancelRefused, recorded: ev.Recorded) -> None:
    order = book.orders[event.order_id]
    refused = next_request(RequestKind.CANCEL, order.cancel or RequestStatus.REQUESTED, Signal.REFUSE)
    _put(book, order, recorded, cancel=refused, reason=event.reason)


def _order_filled(book: Book, event: ev.OrderFilled, recorded: ev.Recorded) -> None:
    fill = event.fill
    book.book_fill(fill, recorded.seq)
    order = book.orders.get(event.order_id) if event.order_id is not None else None
    if order is not None:
        _move(
            book,
            order,
            event.word,
            recorded,
            filled_quantity=add(order.filled_quantity, fill.quantity),
            filled_value=add(order.filled_value, notional(fill.quantity, fill.price)),
            **_with_broker_id(book, order, event.broker_order_id),
        )


def _fee_attached(book: Book, event: ev.FeeAttached, recorded: ev.Recorded) -> None:
    key = (event.broker_account_id, event.exec_id)
    old = book.executions[key]
    book.executions[key] = msgspec.structs.replace(old, fee=event.fee, fee_known=True)
    if old.busted:
        return  # what never happened costs nothing
    change = subtract(event.fee, old.fee)
    for name in (NET_BOOK, old.book):
        position = book.positions[old.account_id, name, old.instrument_id]
        book.positions[old.account_id, name, old.instrument_id] = msgspec.structs.replace(
            position, fees=add(position.fees, change)
        )
    book._move_cash(old.account_id, old.currency, change.copy_negate())
    book._count(old.account_id, old.currency, old.risk_date, fees=change)


def _restated(
    book: Book, event: ev.ExecutionCorrected | ev.ExecutionBusted, restatement: ExecId, new: Fill, recorded: ev.Recorded
) -> None:
    key = (event.broker_account_id, event.exec_id)
    old = book.executions[key]
    book.restatements[event.broker_account_id, restatement] = event.exec_id
    book.restate_fill(key, new, recorded.seq)
    order = book.orders.get(event.order_id) if event.order_id is not None else None
    if order is not None:
        was, now = _executed(old), _executed(new)
        updates = {
            "filled_quantity": add(subtract(order.filled_quantity, was[0]), now[0]),
            "filled_value": add(subtract(order.filled_value, was[1]), now[1]),
        }
        if event.word is None:
            _put(book, order, recorded, **updates)
        elif event.word is Word.UNFILLED and order.ended_before is not None:
            ended = msgspec.structs.replace(order, status=order.ended_before, ended_before=None)
            _move(book, ended, event.word, recorded, **updates)
        else:
            _move(book, order, event.word, recorded, **updates)


def _execution_corrected(book: Book, event: ev.ExecutionCorrected, recorded: ev.Recorded) -> None:
    old = book.executions[event.broker_account_id, event.exec_id]
    new = msgspec.structs.replace(
        old,
        quantity=event.quantity,
        price=event.price,
        fee=event.fee,
        fee_known=old.fee_known or event.fee != old.fee,
    )
    _restated(book, event, event.correction_id, new, recorded)


def _execution_busted(book: Book, event: ev.ExecutionBusted, recorded: ev.Recorded) -> None:
    old = book.executions[event.broker_account_id, event.exec_id]
    _restated(book, event, event.bust_id, msgspec.structs.replace(old, busted=True), recorded)


_END_WORDS = {"order_canceled": Word.CANCELED, "order_rejected": Word.REJECTED, "order_expired": Word.EXPIRED}


def _order_ended(book: Book, event: ev.OrderEnded, recorded: ev.Recorded) -> None:
    order = book.orders[event.order_id]
    _move(
        book,
        order,
        _END_WORDS[event.kind],
        recorded,
        evidence=event.evidence,
        reason_code=event.reason_code or None,
        reason=event.reason or None,
        **_with_broker_id(book, order, event.broker_order_id),
    )


def _plugin_quarantined(book: Book, event: ev.PluginQuarantined, recorded: ev.Recorded) -> None:
    book.quarantined[event.plugin] = event.reason


def _plugin_released(book: Book, event: ev.PluginReleased, recorded: ev.Recorded) -> None:
    book.quarantined[event.plugin] = ""


_FOLDS: dict[str, Callable[[Book, Any, ev.Recorded], None]] = {
    "account_opened": _account_opened,
    "cash_changed": _cash_changed,
    "trading_state_changed": _trading_state_changed,
    "order_accepted": _order_accepted,
    "order_denied": _order_denied,
    "intent_recorded": _intent_recorded,
    "request_in_doubt": _request_in_doubt,
    "doubt_queried": _doubt_queried,
    "order_acknowledged": _order_acknowledged,
    "replace_requested": _replace_requested,
    "replace_denied": _nothing,
    "order_replaced": _order_replaced,
    "replace_refused": _replace_refused,
    "cancel_requested": _cancel_requested,
    "cancel_refused": _cancel_refused,
    "order_filled": _order_filled,
    "fee_attached": _fee_attached,
    "execution_corrected": _execution_corrected,
    "execution_busted": _execution_busted,
    "order_canceled": _order_ended,
    "order_rejected": _order_ended,
    "order_expired": _order_ended,
    "alert_raised": _nothing,
    "plugin_quarantined": _plugin_quarantined,
    "plugin_released": _plugin_released,
}
