"""A book and the valuation of one moment in, what its scopes hold and have open in the base currency out.

Sums are made once for each scope that is asked for, and follow the book from then on holding by holding: what an order
of the batch changed is valued anew, nothing else. They are exact, so that following gives what a recount would give.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from oms_kernel.contracts.rules import Exposures, OpenTotals, WorstCase
from oms_kernel.domain.book import Book, HoldingKey
from oms_kernel.domain.ids import AccountId, InstrumentId
from oms_kernel.domain.money import ZERO, add, multiply, quantise, subtract
from oms_kernel.domain.order import NET_BOOK, Order, Side
from oms_kernel.domain.scope import Scope
from oms_kernel.domain.totals import NO_VALUE, NOTHING_OPEN, OpenQuantity, OpenValue, standing
from oms_kernel.valuation import Valuation

Worth = tuple[Decimal, Decimal, Decimal, Decimal]
"""Of one holding in the base currency: the larger of long and short, long, short, and what is held (signed)."""
_NOTHING: Worth = (ZERO, ZERO, ZERO, ZERO)
MIXED = "one base currency of all accounts"
"""What is missing where the accounts of a scope are kept in several currencies."""


class Sums:
    """The worths of the holdings of one scope and their sums, as of a moment of the batch."""

    __slots__ = ("gross", "held", "long", "missing", "seen", "seq", "short", "worths")

    def __init__(self) -> None:
        self.worths: dict[HoldingKey, Worth] = {}
        self.missing: dict[HoldingKey, str] = {}
        """Holdings that have no value -> the instrument or currency that has no price."""
        self.gross = self.long = self.short = self.held = ZERO
        self.seen = 0
        self.seq = 0

    def put(self, holding: HoldingKey, worth: Worth | str) -> None:
        """Let a holding have this worth from now on."""
        self.missing.pop(holding, None)
        gross, long, short, held = self.worths.pop(holding, _NOTHING)
        if isinstance(worth, str):
            self.missing[holding] = worth
            worth = _NOTHING
        elif worth is not _NOTHING:
            self.worths[holding] = worth
        self.gross = add(self.gross, subtract(worth[0], gross))
        self.long = add(self.long, subtract(worth[1], long))
        self.short = add(self.short, subtract(worth[2], short))
        self.held = add(self.held, subtract(worth[3], held))


class ValuedBook:
    """The book of a batch, valued; one for all views of the batch, which say what order they hide."""

    def __init__(self, book: Book, valuation: Valuation) -> None:
        self._book = book
        self._valuation = valuation
        self._sums: dict[tuple[AccountId | None, str], Sums] = {}
        self._accounts: tuple[AccountId, ...] = ()
        self._base: str | None = None
        self._known = -1

    def base_currency(self, scope: Scope) -> str | None:
        """The scope's account's currency, or the one that all accounts share; None: they have several."""
        if scope.account_id is not None:
            account = self._book.accounts.get(scope.account_id)
            return account.base_currency if account is not None else None
        self._know_accounts()
        return self._base

    def accounts(self, scope: Scope) -> tuple[AccountId, ...]:
        """The trading accounts of the scope; none for an account that the ledger does not know."""
        if scope.account_id is not None:
            return (scope.account_id,) if scope.account_id in self._book.accounts else ()
        return self._know_accounts()

    def worst_case(
        self, account_id: AccountId, instrument_id: InstrumentId, book: str, hidden: Order | None
    ) -> WorstCase:
        """How far a holding could go."""
        held = self._held(account_id, instrument_id, book)
        buy = self.opened(account_id, instrument_id, book, Side.BUY, hidden)
        sell = self.opened(account_id, instrument_id, book, Side.SELL, hidden)
        return WorstCase(long=add(held, buy.quantity), short=subtract(held, sell.quantity))

    def opened(
        self, account_id: AccountId, instrument_id: InstrumentId, book: str, side: Side, hidden: Order | None
    ) -> OpenQuantity:
        """What is open on one side of a book."""
        found = self._book.opened(account_id, book, instrument_id, side)
        if hidden is None or not _is_of(hidden, account_id, instrument_id, book) or hidden.request.side is not side:
            return found
        return found.changed(standing(hidden), NOTHING_OPEN)

    def exposures(self, scope: Scope, but: InstrumentId | None, hidden: Order | None) -> Exposures:
        """Worst-case values of the scope's holdings."""
        if self.base_currency(scope) is None:
            return Exposures(gross=None, long=None, short=None, missing=MIXED)
        name = scope.strategy_id or NET_BOOK
        if scope.instrument_id is not None:
            sums = Sums()
            for account_id in self.accounts(scope) if scope.instrument_id != but else ():
                holding = (account_id, scope.instrument_id)
                sums.put(holding, self._worth(holding, name, hidden))
            return _told(sums.gross, sums.long, sums.short, sums.missing.values())
        sums = self._followed(scope.account_id, name)
        without = [(account_id, but) for account_id in self.accounts(scope)] if but is not None else []
        again: HoldingKey | None = None
        if hidden is not None and scope.account_id in (None, hidden.request.account_id):
            again = (hidden.request.account_id, hidden.request.instrument_id)
            if again[1] == but or not _is_of(hidden, *again, name):
                again = None
            else:
                without.append(again)
        if not without:
            return _told(sums.gross, sums.long, sums.short, sums.missing.values())
        rest = _Rest(sums, without)
        if again is not None:
            rest.put(again, self._worth(again, name, hidden))
        return _told(rest.gross, rest.long, rest.short, rest.missing())

    def open_totals(self, scope: Scope, hidden: Order | None) -> OpenTotals:
        """The open orders of the scope."""
        totals: dict[str, OpenValue] = {}
        for currency, found in self._open_values(scope):
            totals[currency] = _joined(totals.get(currency) or NO_VALUE, found)
        if hidden is not None:
            request = hidden.request
            if scope.covers(request.account_id, request.strategy_id, request.instrument_id):
                rest = totals.get(hidden.currency) or NO_VALUE
                totals[hidden.currency] = rest.changed(standing(hidden), NOTHING_OPEN)
        orders = sum(found.orders for found in totals.values())
        into = self.base_currency(scope)
        if into is None or any(found.unpriced for found in totals.values()):
            return OpenTotals(orders=orders, value=None)
        return OpenTotals(orders=orders, value=self.converted(((one, of.value) for one, of in totals.items()), into))

    def equity(self, account_id: AccountId) -> Decimal | None:
        """Cash and positions at their marks; None: a mark or rate is missing."""
        into = self._book.accounts[account_id].base_currency
        sums = self._followed(account_id, NET_BOOK)
        if any(self._held(*holding, NET_BOOK) for holding in sums.missing):
            return None
        cash = self.converted(self._cash(account_id), into)
        return None if cash is None else quantise(add(cash, sums.held))

    def converted(self, amounts: Iterable[tuple[str, Decimal]], into: str) -> Decimal | None:
        """The sum of amounts in their currencies, in one currency; None: a rate is missing."""
        total = ZERO
        for currency, amount in amounts:
            if not amount:
                continue
            if currency != into:
                rate = self._valuation.rate(currency, into)
                if rate is None:
                    return None
                amount = multiply(amount, rate)
            total = add(total, amount)
        return quantise(total)

    def _cash(self, account_id: AccountId) -> Iterator[tuple[str, Decimal]]:
        for currency, _ in self._book.currencies.entries(account_id):
            yield currency, self._book.cash.get((account_id, currency)) or ZERO

    def _open_values(self, scope: Scope) -> Iterator[tuple[str, OpenValue]]:
        book, name = self._book, scope.strategy_id or NET_BOOK
        for account_id in self.accounts(scope):
            if scope.instrument_id is None:
                yield from book.open_values.entries((account_id, name))
                continue
            for side in Side:
                found = book.opened(account_id, name, scope.instrument_id, side)
                if found.orders:
                    currency = self._valuation.currency(scope.instrument_id)
                    unpriced = found.unpriced if currency else found.orders
                    yield currency, OpenValue(found.orders, found.value, unpriced)

    def _followed(self, account_id: AccountId | None, name: str) -> Sums:
        """The sums of a book of one account, or of all accounts, as the ledger is now."""
        book, touched = self._book, self._book.touched
        sums = self._sums.get((account_id, name))
        if sums is not None and sums.seq == book.seq:
            return sums
        if sums is None or touched is None:
            sums = self._sums[account_id, name] = Sums()
            for one in (account_id,) if account_id is not None else self._know_accounts():
                for instrument_id, _ in book.holdings.entries((one, name)):
                    sums.put((one, instrument_id), self._worth((one, instrument_id), name, None))
        else:
            for holding in dict.fromkeys(touched[sums.seen :]):
                if account_id is None or holding[0] == account_id:
                    sums.put(holding, self._worth(holding, name, None))
        sums.seen, sums.seq = len(touched or ()), book.seq
        return sums

    def _worth(self, holding: HoldingKey, name: str, hidden: Order | None) -> Worth | str:
        """What a holding is worth at worst; a text: what has no price."""
        account_id, instrument_id = holding
        held = self._held(account_id, instrument_id, name)
        buy = self.opened(account_id, instrument_id, name, Side.BUY, hidden).quantity
        sell = self.opened(account_id, instrument_id, name, Side.SELL, hidden).quantity
        if not (held or buy or sell):
            return _NOTHING
        base = self._book.accounts[account_id].base_currency
        unit = self._valuation.unit(instrument_id, base)
        if isinstance(unit, str):
            return unit
        size = unit.copy_abs()  # the value at risk of what has a negative price is not negative
        long, short = add(held, buy), subtract(sell, held)
        long_worth = multiply(long, size) if long > 0 else ZERO
        short_worth = multiply(short, size) if short > 0 else ZERO
        return max(long_worth, short_worth), long_worth, short_worth, multiply(held, unit) if held else ZERO

    def _held(self, account_id: AccountId, instrument_id: InstrumentId, name: str) -> Decimal:
        position = self._book.positions.get((account_id, name, instrument_id))
        return position.quantity if position is not None else ZERO

    def _know_accounts(self) -> tuple[AccountId, ...]:
        """Every account of the ledger; read again when one was opened in the batch."""
        accounts = self._book.accounts
        if self._known != len(accounts.changes):
            found = list(accounts.items())
            currencies = {account.base_currency for _, account in found}
            self._accounts = tuple(account_id for account_id, _ in found)
            self._base = currencies.pop() if len(currencies) == 1 else None
            self._known = len(accounts.changes)
        return self._accounts


class _Rest:
    """Sums without some of their holdings."""

    def __init__(self, sums: Sums, without: list[HoldingKey]) -> None:
        self.gross, self.long, self.short = sums.gross, sums.long, sums.short
        self._missing = sums.missing
        self._without = without
        self._more = ""
        for holding in without:
            worth = sums.worths.get(holding)
            if worth is not None:
                self.gross = subtract(self.gross, worth[0])
                self.long = subtract(self.long, worth[1])
                self.short = subtract(self.short, worth[2])

    def put(self, holding: HoldingKey, worth: Worth | str) -> None:
        """Count a holding after all."""
        if isinstance(worth, str):
            self._more = worth
            return
        self.gross, self.long = add(self.gross, worth[0]), add(self.long, worth[1])
        self.short = add(self.short, worth[2])

    def missing(self) -> list[str]:
        """What has no price among what is left."""
        left = [text for holding, text in self._missing.items() if holding not in self._without]
        return [*left, self._more] if self._more else left


def _told(gross: Decimal, long: Decimal, short: Decimal, missing: Iterable[str]) -> Exposures:
    first = next(iter(missing), None)
    if first is not None:
        return Exposures(gross=None, long=None, short=None, missing=first)
    return Exposures(gross=quantise(gross), long=quantise(long), short=quantise(short))


def _is_of(order: Order, account_id: AccountId, instrument_id: InstrumentId, book: str) -> bool:
    """Whether an order is counted among what is open of this holding in this book."""
    request = order.request
    is_there = order.is_active and request.instrument_id == instrument_id and request.account_id == account_id
    return is_there and book in (NET_BOOK, order.book)


def _joined(one: OpenValue, other: OpenValue) -> OpenValue:
    return OpenValue(one.orders + other.orders, add(one.value, other.value), one.unpriced + other.unpriced)
