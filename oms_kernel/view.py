"""What rules see: the book as of this order, with the market and the instruments of the batch, read-only."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal

from oms_kernel.contracts.rules import Exposure, Exposures, InstrumentFacts, Link, OpenTotals, WorstCase
from oms_kernel.domain.account import TradingAccount, TradingState, strictest
from oms_kernel.domain.book import Book, HoldingKey
from oms_kernel.domain.breaks import Break
from oms_kernel.domain.calendar import ALWAYS_OPEN, Calendar, risk_date
from oms_kernel.domain.controls import EquityMark
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.folds import OPEN
from oms_kernel.domain.ids import AccountId, EventId, InstrumentId, OrderId, StrategyId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import MarketView
from oms_kernel.domain.money import ZERO, add, subtract
from oms_kernel.domain.order import NET_BOOK, Order, OrderRequest, Side
from oms_kernel.domain.position import Position
from oms_kernel.domain.scope import Scope
from oms_kernel.domain.totals import limits_of
from oms_kernel.exposures import ValuedBook
from oms_kernel.valuation import CurrencyPairs, Valuation

Links = Callable[[AccountId], Link | None] | Mapping[AccountId, Link]
"""How the ways to the accounts' brokers are: known beforehand, or found out when a rule asks."""
_NO_FACTS: Mapping[InstrumentId, InstrumentFacts] = {}
_NO_LINKS: Mapping[AccountId, Link] = {}


class LedgerView:
    """A RuleView over one book; `without` hides one order, for judging its replacement.

    facts: what is known of instruments today. links: how the ways to the brokers are. pairs: the currency pairs of
    `instruments`, for a host that keeps them from batch to batch.
    """

    def __init__(
        self,
        book: Book,
        market: MarketView,
        instruments: Mapping[InstrumentId, Instrument],
        calendars: Mapping[str, Calendar],
        *,
        without: OrderId | None = None,
        facts: Mapping[InstrumentId, InstrumentFacts] = _NO_FACTS,
        links: Links = _NO_LINKS,
        pairs: CurrencyPairs | None = None,
    ) -> None:
        self._book = book
        self.market = market
        self.now: datetime = market.now
        self._instruments = instruments
        self._calendars = calendars
        self._without = without
        self._facts = facts
        self._links = links
        self._valuation = Valuation(market, instruments, pairs)
        self._valued = ValuedBook(book, self._valuation)

    def hiding(self, order_id: OrderId) -> "LedgerView":
        """The same view without one order."""
        hidden = object.__new__(LedgerView)
        hidden.__dict__.update(self.__dict__)
        hidden._without = order_id
        return hidden

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

    def order(self, order_id: OrderId) -> Order | None:
        """An order of the ledger, whatever became of it; also the hidden one."""
        return self._book.orders.get(order_id)

    def exposure(self, account_id: AccountId, instrument_id: InstrumentId) -> Exposure:
        """Open quantity by side, worst case."""
        hidden = self._hidden()
        buy = self._valued.opened(account_id, instrument_id, NET_BOOK, Side.BUY, hidden)
        sell = self._valued.opened(account_id, instrument_id, NET_BOOK, Side.SELL, hidden)
        return Exposure(
            buy_quantity=buy.quantity, sell_quantity=sell.quantity, buy_orders=buy.orders, sell_orders=sell.orders
        )

    def open_orders(self, account_id: AccountId, instrument_id: InstrumentId, side: Side) -> Iterator[Order]:
        """The orders of one side that may still trade."""
        orders = self._book.active_orders(account_id, instrument_id, side)
        return (order for order in orders if order.order_id != self._without)

    def best_limit(self, account_id: AccountId, instrument_id: InstrumentId, side: Side) -> Decimal | None:
        """The best limit of one side's open orders that wait for no trigger; infinite: one has none; None: no order."""
        hidden = self._hidden()
        request = hidden.request if hidden is not None else None
        side_key = (account_id, instrument_id, side)
        if request is None or (request.account_id, request.instrument_id, request.side) != side_key:
            return self._book.best_limit(side_key)
        own = limits_of(hidden)
        others = (limit for limit, count in self._book.limits.entries(side_key) if count > (limit in own))
        return max(others, default=None) if side is Side.BUY else min(others, default=None)

    def cash(self, account_id: AccountId, currency: str) -> Decimal:
        """Cash of one currency."""
        return self._book.cash.get((account_id, currency)) or ZERO

    def base_currency(self, scope: Scope) -> str | None:
        """The currency in which a scope is valued: its account's, or the one that all accounts share; None: mixed."""
        return self._valued.base_currency(scope)

    def fx_rate(self, currency: str, into: str) -> Decimal | None:
        """Units of `into` for one unit of `currency`, by fresh quotes of FOREX instruments; None: no such quote."""
        return self._valuation.rate(currency, into)

    def mark(self, instrument_id: InstrumentId) -> Decimal | None:
        """The price at which a position is valued: mid, else last, of a fresh quote; None: there is none."""
        return self._valuation.mark(instrument_id)

    def worst_case(self, account_id: AccountId, instrument_id: InstrumentId, book: str = NET_BOOK) -> WorstCase:
        """How far a holding could go; `book` a strategy id: that strategy's alone."""
        return self._valued.worst_case(account_id, instrument_id, book, self._hidden())

    def exposures(self, scope: Scope, *, but: InstrumentId | None = None) -> Exposures:
        """Worst-case values of every holding of a scope, without `but`."""
        return self._valued.exposures(scope, but, self._hidden())

    def open_totals(self, scope: Scope) -> OpenTotals:
        """The open orders of a scope."""
        return self._valued.open_totals(scope, self._hidden())

    def equity(self, account_id: AccountId) -> Decimal | None:
        """Cash and positions at their marks, in the base currency; None: a mark or rate is missing."""
        return self._valued.equity(account_id)

    def day_pnl(self, account_id: AccountId) -> Decimal | None:
        """Equity less equity at the beginning of the risk day, moved cash left out.

        None: a mark or rate is missing, or this risk day was not marked yet.
        """
        mark = self._book.equity_marks.get(account_id)
        if mark is None or mark.risk_date != self.risk_date(account_id):
            return None
        equity = self._valued.equity(account_id)
        moved = self._moved(account_id, "in_day")
        return None if equity is None or moved is None else subtract(subtract(equity, mark.day_start), moved)

    def equity_mark(self, account_id: AccountId) -> EquityMark | None:
        """The last mark of the account's equity, or None."""
        return self._book.equity_marks.get(account_id)

    def high_water(self, account_id: AccountId) -> Decimal | None:
        """The most that the account was ever worth, as marked, and what was moved in or out since; None: no mark."""
        mark = self._book.equity_marks.get(account_id)
        moved = self._moved(account_id, "since_mark") if mark is not None else None
        return None if mark is None or moved is None else add(mark.high_water, moved)

    def facts(self, instrument_id: InstrumentId) -> InstrumentFacts | None:
        """What is known of the instrument today; None: nothing."""
        return self._facts.get(instrument_id)

    def link(self, account_id: AccountId) -> Link | None:
        """How the way to the account's broker is; None: it is routed nowhere."""
        links = self._links
        return links(account_id) if callable(links) else links.get(account_id)

    def in_doubt(self, account_id: AccountId, instrument_id: InstrumentId) -> bool:
        """Whether another order of this holding is in doubt."""
        return self._book.in_doubt(account_id, instrument_id)

    def accounts(self, scope: Scope) -> tuple[AccountId, ...]:
        """The trading accounts of a scope."""
        return self._valued.accounts(scope)

    def holdings(self, scope: Scope) -> Iterator[HoldingKey]:
        """Where the scope holds a position or has open orders, each once; a strategy's: in its own book."""
        name = scope.strategy_id or NET_BOOK
        for account_id in self._valued.accounts(scope):
            for instrument_id, _ in self._book.holdings.entries((account_id, name)):
                if scope.instrument_id in (None, instrument_id):
                    yield account_id, instrument_id

    def doubts(self, scope: Scope) -> Iterator[Order]:
        """The orders of a scope that are in doubt."""
        for account_id, instrument_id in list(self._book.doubts.keys()):
            for order_id, _ in list(self._book.doubts.entries((account_id, instrument_id))):
                order = self._book.orders[order_id]
                if scope.covers(account_id, order.request.strategy_id, instrument_id):
                    yield order

    def open_breaks(self, account_id: AccountId) -> Iterator[Break]:
        """The differences to the account's broker that nobody has resolved."""
        for broker_account_id in list(self._book.open_breaks.keys()):
            for _, break_id in list(self._book.open_breaks.entries(broker_account_id)):
                found = self._book.breaks[break_id]
                if found.difference.account_id == account_id:
                    yield found

    def trading_state(
        self, account_id: AccountId, strategy_id: StrategyId | None, instrument_id: InstrumentId
    ) -> TradingState:
        """The strictest of the account's trading state and of the kill switches that cover such an order."""
        state = self._book.accounts[account_id].trading_state
        if not self._book.active_switches.holds(OPEN):
            return state
        for switch in self._book.switches():
            if switch.scope.covers(account_id, strategy_id, instrument_id):
                state = strictest(state, switch.trading_state)
        return state

    def is_liquidating(self, liquidation_id: EventId) -> bool:
        """Whether such a liquidation still closes positions."""
        found = self._book.liquidations.get(liquidation_id)
        return found is not None and found.is_running

    def reduces(self, request: OrderRequest, quantity: Decimal, book: str = NET_BOOK) -> bool:
        """Whether `quantity` of such an order can only bring the position nearer to zero, open orders counted.

        book: NET, the account's position, or the strategy's whose own position is meant.
        """
        worst = self._valued.worst_case(request.account_id, request.instrument_id, book, self._hidden())
        position = self._book.position(request.account_id, request.instrument_id, book)
        if position is None:
            return False
        if request.side is Side.SELL:
            return position.quantity > 0 and subtract(worst.short, quantity) >= 0
        return position.quantity < 0 and add(worst.long, quantity) <= 0

    def reduces_where_restrained(self, request: OrderRequest, quantity: Decimal) -> bool:
        """Whether such an order reduces every book that a trading state restrains.

        A switch of a strategy restrains the strategy's own book: what it holds may be closed although the account as a
        whole is the other way round, and may not grow although that would make the account's position smaller.
        """
        strategy_id = request.strategy_id
        books = set()
        if self._book.accounts[request.account_id].trading_state is not TradingState.ACTIVE:
            books.add(NET_BOOK)
        for switch in self._book.switches():
            scope = switch.scope
            if scope.covers(request.account_id, strategy_id, request.instrument_id):
                books.add(scope.strategy_id or NET_BOOK)
        return all(self.reduces(request, quantity, book) for book in sorted(books or {NET_BOOK}))

    def trading_date(self, instrument: Instrument) -> str:
        """The venue's trading date of this moment, ISO."""
        return self.calendar(instrument).trading_date(self.now).isoformat()

    def risk_date(self, account_id: AccountId, at: datetime | None = None) -> str:
        """The account's risk day of a moment (now), ISO."""
        account = self._book.accounts[account_id]
        return risk_date(at or self.now, account.time_zone, account.day_roll).isoformat()

    def _hidden(self) -> Order | None:
        return self._book.orders.get(self._without) if self._without is not None else None

    def _moved(self, account_id: AccountId, since: str) -> Decimal | None:
        """Cash that moved without a trade, in the base currency; None: a rate is missing."""
        book = self._book
        moved = [
            (currency, getattr(found, since))
            for currency, _ in book.currencies.entries(account_id)
            if (found := book.moved_cash.get((account_id, currency))) is not None
        ]
        return self._valued.converted(moved, book.accounts[account_id].base_currency)
