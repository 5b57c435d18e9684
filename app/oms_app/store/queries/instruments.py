"""Instruments as a list and their last quotes: the same for every tenant."""

import msgspec
from sqlalchemy import or_, select

from oms_app.store.config_rows import instrument_from_row, quote_from_row
from oms_app.store.queries.paging import Page, Paging, page
from oms_app.store.tables import INSTRUMENTS, LAST_QUOTES
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import InstrumentId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import Quote


class InstrumentFilter(msgspec.Struct, frozen=True):
    """What a list of instruments shows; `text` is part of a symbol or name."""

    symbol: str | None = None
    venue: str | None = None
    asset_class: str | None = None
    currency: str | None = None
    is_active: bool | None = True
    text: str | None = None


def list_instruments(unit: RowsUnit, filters: InstrumentFilter, paging: Paging) -> Page[Instrument]:
    """The instruments that pass the filters, newest first."""
    columns = INSTRUMENTS.c
    query = select(INSTRUMENTS)
    equal = (
        (columns.symbol, filters.symbol),
        (columns.venue, filters.venue),
        (columns.asset_class, filters.asset_class),
        (columns.currency, filters.currency),
    )
    for column, wanted in equal:
        if wanted is not None:
            query = query.where(column == wanted)
    if filters.is_active is not None:
        query = query.where(columns.is_active if filters.is_active else ~columns.is_active)
    if filters.text is not None:
        query = query.where(
            or_(
                columns.symbol.icontains(filters.text, autoescape=True),
                columns.name.icontains(filters.text, autoescape=True),
            )
        )
    return page(unit, query, columns.instrument_id, paging, instrument_from_row)


def get_quote(unit: RowsUnit, instrument_id: InstrumentId) -> Quote | None:
    """The last quote of an instrument, however old."""
    query = select(LAST_QUOTES).where(LAST_QUOTES.c.instrument_id == instrument_id)
    row = unit.connection.execute(query).one_or_none()
    return quote_from_row(row) if row is not None else None
