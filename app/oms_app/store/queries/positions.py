"""Positions, cash and day counters: what accounts hold and did, with the last quote for whoever values it."""

from collections.abc import Collection
from datetime import date, datetime
from decimal import Decimal

import msgspec
from sqlalchemy import func, select

from oms_app.store.config_rows import quote_from_row
from oms_app.store.queries.reading import viewer
from oms_app.store.rows import scope_of
from oms_app.store.tables import CASH_BALANCES, DAY_COUNTERS, INSTRUMENTS, LAST_QUOTES, POSITIONS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import AccountId, InstrumentId
from oms_kernel.domain.market import Quote
from oms_kernel.domain.order import NET_BOOK
from oms_kernel.domain.position import Position


class PositionFilter(msgspec.Struct, frozen=True):
    """What a list of positions shows; `book` NET is each account as a whole, None shows every book."""

    account_id: str | None = None
    instrument_id: str | None = None
    symbol: str | None = None
    book: str | None = NET_BOOK
    is_open: bool | None = None
    allowed_accounts: Collection[str] | None = None


class PositionView(msgspec.Struct, frozen=True):
    """A position with its instrument's symbol and last quote, however old."""

    ledger_id: str
    symbol: str
    position: Position
    quote: Quote | None
    updated_at: datetime
    closed_at: datetime | None


class CashView(msgspec.Struct, frozen=True):
    """Cash of one account in one currency."""

    account_id: str
    currency: str
    amount: Decimal
    updated_at: datetime


class DayView(msgspec.Struct, frozen=True):
    """What an account did in one currency on `risk_date`, its last active risk day."""

    account_id: str
    currency: str
    risk_date: date
    accepted: int
    denied: int
    fills: int
    traded_value: Decimal
    realised_pnl: Decimal
    fees: Decimal


def list_positions(unit: RowsUnit, filters: PositionFilter) -> list[PositionView]:
    """The positions that pass the filters, by symbol."""
    columns = POSITIONS.c
    query = (
        select(POSITIONS, INSTRUMENTS.c.symbol, *(column.label(f"quote_{column.name}") for column in LAST_QUOTES.c))
        .join(INSTRUMENTS, INSTRUMENTS.c.instrument_id == columns.instrument_id, isouter=True)
        .join(LAST_QUOTES, LAST_QUOTES.c.instrument_id == columns.instrument_id, isouter=True)
        .where(columns.tenant_id == scope_of(unit))
    )
    equal = (
        (columns.account_id, filters.account_id),
        (columns.instrument_id, filters.instrument_id),
        (INSTRUMENTS.c.symbol, filters.symbol),
        (columns.book, filters.book),
    )
    for column, wanted in equal:
        if wanted is not None:
            query = query.where(column == wanted)
    if filters.is_open is not None:
        query = query.where(columns.is_open if filters.is_open else ~columns.is_open)
    if filters.allowed_accounts is not None:
        query = query.where(columns.account_id.in_(sorted(filters.allowed_accounts)))
    rows = unit.connection.execute(query.order_by(INSTRUMENTS.c.symbol, columns.account_id, columns.book))
    return [
        PositionView(
            ledger_id=row.ledger_id,
            symbol=row.symbol or "",
            position=Position(
                account_id=AccountId(row.account_id),
                book=row.book,
                instrument_id=InstrumentId(row.instrument_id),
                currency=row.currency,
                multiplier=row.multiplier,
                quantity=row.quantity,
                cost=row.cost,
                realised_pnl=row.realised_pnl,
                fees=row.fees,
                bought_quantity=row.bought_quantity,
                sold_quantity=row.sold_quantity,
            ),
            quote=quote_from_row(row, prefix="quote_"),
            updated_at=row.updated_at,
            closed_at=row.closed_at,
        )
        for row in rows
    ]


def list_cash(unit: RowsUnit, allowed_accounts: Collection[str] | None = None) -> list[CashView]:
    """Cash of every account and currency that may be seen."""
    query = select(CASH_BALANCES).where(CASH_BALANCES.c.tenant_id == scope_of(unit))
    if allowed_accounts is not None:
        query = query.where(CASH_BALANCES.c.account_id.in_(sorted(allowed_accounts)))
    rows = unit.connection.execute(query.order_by(CASH_BALANCES.c.account_id, CASH_BALANCES.c.currency))
    return [viewer(CashView)(row) for row in rows]


def list_days(unit: RowsUnit, allowed_accounts: Collection[str] | None = None) -> list[DayView]:
    """The last risk day of every account and currency that may be seen; compare `risk_date` with today's."""
    later = DAY_COUNTERS.alias()
    last = select(func.max(later.c.risk_date)).where(
        later.c.tenant_id == DAY_COUNTERS.c.tenant_id,
        later.c.account_id == DAY_COUNTERS.c.account_id,
        later.c.currency == DAY_COUNTERS.c.currency,
    )
    query = select(DAY_COUNTERS).where(
        DAY_COUNTERS.c.tenant_id == scope_of(unit), DAY_COUNTERS.c.risk_date == last.scalar_subquery()
    )
    if allowed_accounts is not None:
        query = query.where(DAY_COUNTERS.c.account_id.in_(sorted(allowed_accounts)))
    rows = unit.connection.execute(query.order_by(DAY_COUNTERS.c.account_id, DAY_COUNTERS.c.currency))
    return [viewer(DayView)(row) for row in rows]
