"""What rules see: the book as of this order, with the market and the instruments of the batch, read-only."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal

from oms_kernel.contracts.rules import Exposure
from oms_kernel.domain.account import TradingAccount
from oms_kernel.domain.book import Book, OpenQuantity
from oms_kernel.domain.calendar import ALWAYS_OPEN, Calendar, risk_date
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import AccountId, InstrumentId, OrderId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import MarketView
from oms_kernel.domain.money import ZERO, subtract
from oms_kernel.domain.order import NET_BOOK, Order, Side
from oms_kernel.domain.position import Position

_NOTHING_OPEN = OpenQuantity()


class LedgerView:
    """A RuleView over one book; `without` hides one order, for judging its replacement."""

    def __init__(
        self,
        book: Book,
        market: MarketView,
        instruments: Mapping[InstrumentId, Instrument],
        calendars: Mapping[str, Calendar],
        *,
        without: OrderId | None = None,
    ) -> None:
        self._book = book
        self.market = market
        self.now: datetime = market.now
        self._instruments = instruments
        self._calendars = calendars
        self._without = without

    def hiding(self, order_id: OrderId) -> "LedgerView":
        """The same view without one order."""
        return LedgerView(self._book, self.market, self._instruments, self._calendars, without=order_id)

    def account(self, account_id: AccountId) -> TradingAccount:
        """The trading account."""
        return self._book.accounts[account_id]

    def instrument(self, instrument_id: InstrumentId) -> Instrument | None:
        """An instrument, or None when the platform does not know it."""
        return self._instruments.get(instrument_id)

    def calendar(self, instrument: Instrument) -> Calendar:
        """The venue's calendar. Raises InvalidRequest when the instrument names one that does not exist."""
        calendar = self._calendars.get(instrument.calendar)
        if calendar is None and instrument.calendar == ALWAYS_OPEN.name:
            return ALWAYS_OPEN
        if calendar is None:
            raise InvalidRequest(f"calendar {instrument.calendar} of {instrument.symbol} does not exist")
        return calendar

    def position(self, account_id: AccountId, instrument_id: InstrumentId, book: str = NET_BOOK) -> Position | None:
        """The position of a book, or None."""
        return self._book.position(account_id, instrument_id, book)

    def held(self, account_id: AccountId, instrument_id: InstrumentId) -> Decimal:
        """The account's signed quantity."""
        position = self._book.position(account_id, instrument_id)
        return position.quantity if position else ZERO

    def exposure(self, account_id: AccountId, instrument_id: InstrumentId) -> Exposure:
        """Open quantity by side, worst case."""
        buy = self._open(account_id, instrument_id, Side.BUY)
        sell = self._open(account_id, instrument_id, Side.SELL)
        return Exposure(
            buy_quantity=buy.quantity, sell_quantity=sell.quantity, buy_orders=buy.orders, sell_orders=sell.orders
        )

    def open_orders(self, account_id: AccountId, instrument_id: InstrumentId, side: Side) -> Iterator[Order]:
        """The orders of one side that may still trade."""
        orders = self._book.active_orders(account_id, instrument_id, side)
        return (order for order in orders if order.order_id != self._without)

    def cash(self, account_id: AccountId, currency: str) -> Decimal:
        """Cash of one currency."""
        return self._book.cash.get((account_id, currency)) or ZERO

    def in_doubt(self, account_id: AccountId, instrument_id: InstrumentId) -> bool:
        """Whether another order of this holding is in doubt."""
        return self._book.in_doubt(account_id, instrument_id)

    def trading_date(self, instrument: Instrument) -> str:
        """The venue's trading date of this moment, ISO."""
        return self.calendar(instrument).trading_date(self.now).isoformat()

    def risk_date(self, account_id: AccountId, at: datetime | None = None) -> str:
        """The account's risk day of a moment (now), ISO."""
        account = self._book.accounts[account_id]
        return risk_date(at or self.now, account.time_zone, account.day_roll).isoformat()

    def _open(self, account_id: AccountId, instrument_id: InstrumentId, side: Side) -> OpenQuantity:
        found = self._book.open_quantity.get((account_id, instrument_id, side)) or _NOTHING_OPEN
        hidden = self._book.orders.get(self._without) if self._without is not None else None
        if hidden is None or not hidden.is_active:
            return found
        request = hidden.request
        if (request.account_id, request.instrument_id, request.side) != (account_id, instrument_id, side):
            return found
        return OpenQuantity(subtract(found.quantity, hidden.worst_case_quantity), found.orders - 1)
