"""The last quote of each instrument: newer replaces older in one statement; what is already newer stays."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from oms_app.store.tables import LAST_QUOTES
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.market import Quote


def newest_at(unit: RowsUnit) -> datetime | None:
    """When the newest quote was received; None before the first."""
    found: datetime | None = unit.connection.scalar(select(func.max(LAST_QUOTES.c.received_at)))
    return found


def put_quotes(unit: RowsUnit, quotes: Iterable[Quote]) -> None:
    """Store the newest of these quotes for each instrument, unless a later one stands there.

    None counts as received later than now, whatever a session's clock says or said: it would stay fresh for too long
    and keep newer ones out.
    """
    newest: dict[str, Quote] = {}
    for quote in quotes:
        known = newest.get(quote.instrument_id)
        if known is None or known.received_at <= quote.received_at:
            newest[quote.instrument_id] = quote
    if not newest:
        return
    rows = [
        {**msgspec.structs.asdict(quote), "received_at": min(quote.received_at, unit.now)}
        for _, quote in sorted(newest.items())
    ]
    make: Any = postgres_insert if unit.connection.dialect.name == "postgresql" else sqlite_insert
    statement = make(LAST_QUOTES)
    changed = {column.name: statement.excluded[column.name] for column in LAST_QUOTES.c if not column.primary_key}
    unit.connection.execute(
        statement.on_conflict_do_update(
            index_elements=["instrument_id"],
            set_=changed,
            where=or_(
                statement.excluded.received_at >= LAST_QUOTES.c.received_at, LAST_QUOTES.c.received_at > unit.now
            ),
        ),
        rows,
    )
