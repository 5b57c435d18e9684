"""Positions, quotes and day counters in, figures for people out: every position at its mark, every account's day.

A mark is half-way between bid and ask, else the last trade; without a quote there is no mark and nothing is guessed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from oms_app.dashboard.rows import AccountRow, Holdings
from oms_app.store.queries import DayView, PositionView
from oms_kernel.domain.calendar import risk_date
from oms_kernel.domain.ids import InstrumentId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import Quote
from oms_kernel.domain.money import ZERO, add, subtract
from oms_kernel.domain.position import Position

USUAL_TICK = Decimal("0.01")


class Valued(msgspec.Struct, frozen=True):
    """A position with its mark; `unrealised_pnl` is None while there is no mark."""

    position: Position
    symbol: str
    account: str
    tick_size: Decimal
    mark: Decimal | None
    is_stale: bool
    unrealised_pnl: Decimal | None


class Day(msgspec.Struct, frozen=True):
    """An account's P&L of today in one currency. `unpriced`: open positions without a mark, not in the sums."""

    account: str
    currency: str
    realised: Decimal
    unrealised: Decimal
    fees: Decimal
    cash: Decimal
    fills: int
    unpriced: int

    @property
    def total(self) -> Decimal:
        """Realised and unrealised, less fees."""
        return subtract(add(self.realised, self.unrealised), self.fees)


def mark_of(quote: Quote | None) -> Decimal | None:
    """The price at which a position counts."""
    if quote is None:
        return None
    mid = quote.mid()
    return mid if mid is not None else quote.last


def is_stale(quote: Quote | None, now: datetime, max_age: timedelta) -> bool:
    """Whether a quote is absent or older than orders may rest on."""
    return quote is None or now - quote.received_at > max_age


def value_positions(
    positions: Sequence[PositionView],
    accounts: Sequence[AccountRow],
    instruments: Mapping[InstrumentId, Instrument],
    now: datetime,
    max_age: timedelta,
) -> tuple[Valued, ...]:
    """Open positions first, then those closed that left a result; each by symbol."""
    names = {account.account_id: account.name for account in accounts}
    valued = []
    for view in positions:
        position, instrument = view.position, instruments.get(view.position.instrument_id)
        mark = mark_of(view.quote)
        unrealised: Decimal | None = ZERO
        if position.is_open:
            unrealised = position.unrealised_pnl(mark) if mark is not None else None
        valued.append(
            Valued(
                position=position,
                symbol=view.symbol,
                account=names.get(position.account_id, position.account_id),
                tick_size=instrument.tick_size if instrument else USUAL_TICK,
                mark=mark,
                is_stale=is_stale(view.quote, now, max_age),
                unrealised_pnl=unrealised,
            )
        )
    return tuple(sorted(valued, key=lambda one: (not one.position.is_open, one.symbol, one.account)))


def days_of(
    accounts: Sequence[AccountRow], holdings: Holdings, valued: Sequence[Valued], now: datetime
) -> tuple[Day, ...]:
    """Today's figures of each account, in its base currency first and then in every other it holds or traded."""
    counted = {(day.account_id, day.currency): day for day in holdings.days}
    cash = {(balance.account_id, balance.currency): balance.amount for balance in holdings.cash}
    found = []
    for account in accounts:
        held = [one for one in valued if one.position.account_id == account.account_id]
        traded = {one.position.currency for one in held}
        kept = {currency for account_id, currency in cash if account_id == account.account_id}
        today = risk_date(now, account.time_zone, account.day_roll)
        for currency in (account.base_currency, *sorted((traded | kept) - {account.base_currency})):
            key = (account.account_id, currency)
            day = counted.get(key)
            ours = [one for one in held if one.position.currency == currency]
            found.append(
                _day(account, currency, day if day and day.risk_date == today else None, cash.get(key, ZERO), ours)
            )
    return tuple(found)


def _day(account: AccountRow, currency: str, day: DayView | None, cash: Decimal, held: Sequence[Valued]) -> Day:
    unrealised = ZERO
    for one in held:
        unrealised = add(unrealised, one.unrealised_pnl or ZERO)
    return Day(
        account=account.name,
        currency=currency,
        realised=day.realised_pnl if day else ZERO,
        unrealised=unrealised,
        fees=day.fees if day else ZERO,
        cash=cash,
        fills=day.fills if day else 0,
        unpriced=sum(one.unrealised_pnl is None for one in held),
    )
