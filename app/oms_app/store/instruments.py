"""Instruments, their aliases and calendars as rows of the platform; each change makes every cache load anew."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import update

from oms_app.store.config_rows import CATALOGUE
from oms_app.store.rows import put
from oms_app.store.tables import CALENDARS, INSTRUMENT_ALIASES, INSTRUMENTS, PLATFORM_VERSIONS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.calendar import Calendar
from oms_kernel.domain.ids import InstrumentId
from oms_kernel.domain.instrument import Instrument


def put_calendar(unit: RowsUnit, calendar: Calendar) -> None:
    """Add or replace a calendar."""
    put(unit, CALENDARS, {"name": calendar.name}, definition=msgspec.to_builtins(calendar, str_keys=True))
    catalogue_changed(unit)


def put_instrument(unit: RowsUnit, instrument: Instrument) -> None:
    """Add or replace an instrument; its calendar must exist."""
    values: dict[str, Any] = {
        name: getattr(instrument, name)
        for name in Instrument.__struct_fields__
        if name not in ("instrument_id", "right", "legs", "asset_class")
    }
    put(
        unit,
        INSTRUMENTS,
        {"instrument_id": instrument.instrument_id},
        **values,
        asset_class=instrument.asset_class.value,
        option_right=instrument.right.value if instrument.right else None,
        legs=msgspec.to_builtins(instrument.legs) or None,
    )
    catalogue_changed(unit)


def put_alias(
    unit: RowsUnit,
    instrument_id: InstrumentId,
    alias: str,
    *,
    scheme: str,
    valid_from: datetime,
    valid_until: datetime | None = None,
    venue: str = "",
) -> None:
    """Let the instrument be known by another name (scheme SYMBOL, ISIN, CONID...) while it is valid."""
    put(
        unit,
        INSTRUMENT_ALIASES,
        {"scheme": scheme, "alias": alias, "venue": venue, "valid_from": valid_from},
        valid_until=valid_until,
        instrument_id=instrument_id,
    )
    catalogue_changed(unit)


def catalogue_changed(unit: RowsUnit) -> None:
    """Raise the catalogue's version; part of each write of an instrument, alias or calendar."""
    raised = unit.connection.execute(
        update(PLATFORM_VERSIONS)
        .where(PLATFORM_VERSIONS.c.name == CATALOGUE)
        .values(version=PLATFORM_VERSIONS.c.version + 1)
    )
    if not raised.rowcount:
        put(unit, PLATFORM_VERSIONS, {"name": CATALOGUE}, version=1)
