"""A book and the valuation of one moment in, what its scopes hold and have open in the base currency out.

Sums are made once for each scope that is asked for, and follow the book from then on holding by holding: what an order
of the batch changed is valued anew, nothing else. They are exact, so that following gives what a recount would give.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from oms_kernel.contracts.rules import Exposures, OpenTotals, WorstCase
from oms_kernel.domain.book import Book, BookKey, HoldingKey
from oms_kernel.domain.ids import AccountId, InstrumentId
from oms_kernel.domain.money import ZERO, add, multiply, subtract
from oms_kernel.domain.order import NET_BOOK, Order, Side
from oms_kernel.domain.scope import Scope
from oms_kernel.domain.totals import NO_REACH, NO_VALUE, NOTHING_OPEN, OpenQuantity, OpenValue, Reach, standing
from oms_kernel.sums import NOTHING, OpenSums, Sums, Worth, kept, plus
from oms_kernel.valuation import Valuation

MIXED = "one base currency of all accounts"
"""What is missing where the accounts of a scope are kept in several currencies."""


class ValuedBook:
    """The book of a batch, valued; one for all views of the batch, which say what order they hide."""

    def __init__(self, book: Book, valuation: Valuation) -> None:
        self._book = book
        self._valuation = valuation
        self._sums: dict[BookKey, Sums] = {}
        self._joined: dict[str, Sums] = {}
        self._opened: dict[str, OpenSums] = {}
        self._equities: dict[AccountId, Decimal | None] = {}
        self._totals: dict[Scope, OpenTotals] = {}
        self._told = -1
        """The seq that those two are of: several rules ask the same of one order."""
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
        reach = self._reach((account_id, instrument_id), book, hidden)
        return WorstCase(long=add(reach.held, reach.buy), short=subtract(reach.held, reach.sell))

    def opened(
        self, account_id: AccountId, instrument_id: InstrumentId, book: str, side: Side, hidden: Order | None
    ) -> OpenQuantity:
        """What is open on one side of a book."""
        found = self._book.opened(account_id, book, instrument_id, side)
        if hidden is None or not _is_of(hidden, account_id, instrument_id, book) or hidden.request.side is not side:
            return found
        return found.plus(NOTHING_OPEN.less(standing(hidden)))

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
            return sums.told()
        sums = self._scoped(scope, name)
        without = [(account_id, but) for account_id in self.accounts(scope)] if but is not None else []
        again = _where(hidden, scope, name)
        if again is not None and again[1] != but:
            sums = sums.without([*without, again])
            sums.put(again, self._worth(again, name, hidden))
        elif without:
            sums = sums.without(without)
        return sums.told()

    def open_totals(self, scope: Scope, hidden: Order | None) -> OpenTotals:
        """The open orders of the scope."""
        if hidden is not None:
            return self._open_totals(scope, hidden)
        self._forget_older()
        found = self._totals.get(scope)
        if found is None:
            found = self._totals[scope] = self._open_totals(scope, None)
        return found

    def _open_totals(self, scope: Scope, hidden: Order | None) -> OpenTotals:
        totals: dict[str, OpenValue] = {}
        for currency, found in self._open_values(scope):
            totals[currency] = plus(totals.get(currency) or NO_VALUE, found)
        if hidden is not None:
            request = hidden.request
            if scope.covers(request.account_id, request.strategy_id, request.instrument_id):
                rest = totals.get(hidden.currency) or NO_VALUE
                totals[hidden.currency] = rest.plus(NOTHING_OPEN.less(standing(hidden)))
        orders = sum(found.orders for found in totals.values())
        into = self.base_currency(scope)
        if into is None or any(found.unpriced for found in totals.values()):
            return OpenTotals(orders=orders, value=None)
        return OpenTotals(orders=orders, value=self.converted(((one, of.value) for one, of in totals.items()), into))

    def equity(self, account_id: AccountId) -> Decimal | None:
        """Cash and positions at their marks; None: a mark or rate is missing."""
        self._forget_older()
        equities = self._equities
        if account_id not in equities:
            equities[account_id] = self._equity(account_id)
        return equities[account_id]

    def _equity(self, account_id: AccountId) -> Decimal | None:
        into = self._book.accounts[account_id].base_currency
        sums = self._followed(account_id, NET_BOOK)
        if any(self._reach(holding, NET_BOOK, None).held for holding in sums.missing):
            return None
        cash = self.converted(self._cash(account_id), into)
        return None if cash is None else kept(add(cash, sums.total.held))

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
        return kept(total)

    def _forget_older(self) -> None:
        if self._told != self._book.seq:
            self._told = self._book.seq
            self._equities.clear()
            self._totals.clear()

    def _cash(self, account_id: AccountId) -> Iterator[tuple[str, Decimal]]:
        for currency, _ in self._book.currencies.entries(account_id):
            yield currency, self._book.cash.get((account_id, currency)) or ZERO

    def _open_values(self, scope: Scope) -> Iterator[tuple[str, OpenValue]]:
        book, name = self._book, scope.strategy_id or NET_BOOK
        if scope.account_id is None and scope.instrument_id is None:
            yield from self._all_opened(name).totals.items()
            return
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

    def _all_opened(self, name: str) -> OpenSums:
        """What all accounts have open in a book, as the ledger is now."""
        book = self._book
        sums = self._opened.get(name)
        if sums is None:
            sums = self._opened[name] = OpenSums()
        elif sums.seq == book.seq:
            return sums
        for account_id in self._changed(sums.counted, sums.seen):
            sums.join(account_id, list(book.open_values.entries((account_id, name))))
        sums.seen, sums.seq = len(book.touched or ()), book.seq
        return sums

    def _scoped(self, scope: Scope, name: str) -> Sums:
        """The sums of a book of the scope's accounts, as the ledger is now."""
        accounts = self.accounts(scope)
        if len(accounts) == 1:
            return self._followed(accounts[0], name)
        book = self._book
        joined = self._joined.get(name)
        if joined is None:
            joined = self._joined[name] = Sums()
        elif joined.seq == book.seq:
            return joined
        for account_id in self._changed(joined.parts, joined.seen):
            joined.join(account_id, self._followed(account_id, name))
        joined.seen, joined.seq = len(book.touched or ()), book.seq
        return joined

    def _changed(self, known: Mapping[AccountId, object], seen: int) -> Iterator[AccountId]:
        """The accounts in which anything happened since so many changes were seen, and those not known."""
        touched = self._book.touched
        accounts = self._know_accounts()
        changed = {holding[0] for holding in touched[seen:]} if touched is not None else None
        return (one for one in accounts if one not in known or changed is None or one in changed)

    def _followed(self, account_id: AccountId, name: str) -> Sums:
        """The sums of one book, brought up to what the ledger is now."""
        book, touched = self._book, self._book.touched
        sums = self._sums.get((account_id, name))
        if sums is not None and sums.seq == book.seq:
            return sums
        if sums is None or touched is None:
            sums = self._sums[account_id, name] = Sums()
            reaches = book.holdings.entries((account_id, name))
            sums.begin({(account_id, one): self._valued((account_id, one), reach) for one, reach in reaches})
        else:
            for holding in dict.fromkeys(touched[sums.seen :]):
                if holding[0] == account_id:
                    sums.put(holding, self._worth(holding, name, None))
        sums.seen, sums.seq = len(touched or ()), book.seq
        return sums

    def _worth(self, holding: HoldingKey, name: str, hidden: Order | None) -> Worth | str:
        """What a holding is worth at worst; a text: what has no price."""
        return self._valued(holding, self._reach(holding, name, hidden))

    def _valued(self, holding: HoldingKey, reach: Reach) -> Worth | str:
        held, buy, sell = reach.held, reach.buy, reach.sell
        if not (held or buy or sell):
            return NOTHING
        unit = self._valuation.unit(holding[1], self._book.accounts[holding[0]].base_currency)
        if isinstance(unit, str):
            return unit
        size = unit.copy_abs()  # the value at risk of what has a negative price is not negative
        high = multiply(add(held, buy) if buy else held, size)
        low = multiply(subtract(held, sell) if sell else held, size)
        long = high if high > 0 else ZERO
        short = low.copy_negate() if low < 0 else ZERO
        return Worth(max(long, short), long, short, high, low, multiply(held, unit))

    def _reach(self, holding: HoldingKey, name: str, hidden: Order | None) -> Reach:
        """What is held and could be traded of a holding, without the hidden order."""
        account_id, instrument_id = holding
        reach = self._book.holdings.find((account_id, name), instrument_id) or NO_REACH
        if hidden is not None and _is_of(hidden, account_id, instrument_id, name):
            return reach.plus(hidden.request.side, NOTHING_OPEN.less(standing(hidden)))
        return reach

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


def _where(hidden: Order | None, scope: Scope, name: str) -> HoldingKey | None:
    """The holding of a scope in which the hidden order is counted; None: it is not."""
    if hidden is None or scope.account_id not in (None, hidden.request.account_id):
        return None
    holding = (hidden.request.account_id, hidden.request.instrument_id)
    return holding if _is_of(hidden, *holding, name) else None


def _is_of(order: Order, account_id: AccountId, instrument_id: InstrumentId, book: str) -> bool:
    """Whether an order is counted among what is open of this holding in this book."""
    request = order.request
    is_there = order.is_active and request.instrument_id == instrument_id and request.account_id == account_id
    return is_there and book in (NET_BOOK, order.book)
