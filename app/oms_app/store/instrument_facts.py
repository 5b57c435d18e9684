"""What is known of instruments beside their quotes, one document for each: newer replaces older, older changes nothing.

A document holds only what is known; Decimals are text in it.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from oms_app.store.rows import one, put
from oms_app.store.tables import INSTRUMENT_FACTS
from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.contracts.rules import InstrumentFacts
from oms_kernel.domain.ids import InstrumentId

_KEYS = ("instrument_id", "as_of")


def load(connection: Connection, updated_after: datetime | None) -> list[tuple[InstrumentFacts, datetime]]:
    """Facts and when they were stored: all, or those that were stored since."""
    query = select(INSTRUMENT_FACTS)
    if updated_after is not None:
        query = query.where(INSTRUMENT_FACTS.c.updated_at > updated_after)
    return [(_facts(row), row.updated_at) for row in connection.execute(query)]


def get_facts(unit: RowsUnit, instrument_id: InstrumentId) -> InstrumentFacts | None:
    """What is known of an instrument, or None."""
    row = one(unit, select(INSTRUMENT_FACTS).where(INSTRUMENT_FACTS.c.instrument_id == instrument_id))
    return _facts(row) if row is not None else None


def put_facts(unit: RowsUnit, facts: Sequence[InstrumentFacts]) -> None:
    """Replace what is known of these instruments."""
    for fact in facts:
        document = msgspec.to_builtins(fact)
        told = {name: value for name, value in document.items() if name not in _KEYS}
        put(unit, INSTRUMENT_FACTS, {"instrument_id": fact.instrument_id}, facts=told, as_of=fact.as_of)


def _facts(row: AnyRow) -> InstrumentFacts:
    document = {**row.facts, "instrument_id": row.instrument_id, "as_of": row.as_of}
    return msgspec.convert(document, InstrumentFacts)
