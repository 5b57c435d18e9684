"""Executions as a list: filters in, booked trades out, newest first."""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal

import msgspec
from sqlalchemy import select

from oms_app.store.queries.paging import Page, Paging, page
from oms_app.store.queries.reading import viewer
from oms_app.store.rows import scope_of
from oms_app.store.tables import EXECUTIONS, INSTRUMENTS
from oms_app.store.unit_of_work import RowsUnit


class ExecutionFilter(msgspec.Struct, frozen=True):
    """What a list of executions shows; None lets everything through. `executed_before` is excluded.

    allowed_accounts: those that the caller may see; None means all of the tenant.
    """

    order_id: str | None = None
    account_id: str | None = None
    instrument_id: str | None = None
    symbol: str | None = None
    side: str | None = None
    book: str | None = None
    executed_from: datetime | None = None
    executed_before: datetime | None = None
    allowed_accounts: Collection[str] | None = None


class ExecutionView(msgspec.Struct, frozen=True):
    """One booked execution. `order_id` is None for an order that is not ours; busted ones stay in the list."""

    execution_id: str
    exec_id: str
    order_id: str | None
    account_id: str
    broker_account_id: str
    instrument_id: str
    symbol: str
    book: str
    side: str
    quantity: Decimal
    price: Decimal
    currency: str
    multiplier: Decimal
    fee: Decimal
    liquidity: str
    is_busted: bool
    executed_at: datetime
    booked_at: datetime
    trading_date: str
    risk_date: str
    seq: int
    ledger_id: str


def list_executions(unit: RowsUnit, filters: ExecutionFilter, paging: Paging) -> Page[ExecutionView]:
    """The executions that pass the filters, newest first as they were booked."""
    columns = EXECUTIONS.c
    query = (
        select(EXECUTIONS, INSTRUMENTS.c.symbol)
        .join(INSTRUMENTS, INSTRUMENTS.c.instrument_id == columns.instrument_id, isouter=True)
        .where(columns.tenant_id == scope_of(unit))
    )
    equal = (
        (columns.order_id, filters.order_id),
        (columns.account_id, filters.account_id),
        (columns.instrument_id, filters.instrument_id),
        (INSTRUMENTS.c.symbol, filters.symbol),
        (columns.side, filters.side),
        (columns.book, filters.book),
    )
    for column, wanted in equal:
        if wanted is not None:
            query = query.where(column == wanted)
    if filters.allowed_accounts is not None:
        query = query.where(columns.account_id.in_(sorted(filters.allowed_accounts)))
    if filters.executed_from is not None:
        query = query.where(columns.executed_at >= filters.executed_from)
    if filters.executed_before is not None:
        query = query.where(columns.executed_at < filters.executed_before)
    return page(unit, query, columns.execution_id, paging, viewer(ExecutionView, symbol=""))
