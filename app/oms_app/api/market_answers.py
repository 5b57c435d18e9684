"""The answers about venues and instruments beside their quotes: calendars and facts."""

from typing import Any

import marshmallow as ma

from oms_app.api.fields import Flag, Instant, Text
from oms_app.api.schema_from_struct import fields_of
from oms_kernel.contracts.rules import InstrumentFacts
from oms_kernel.domain.calendar import Calendar

SUMMED = ("holidays", "early_closes", "late_opens")
"""What a list of calendars leaves out."""


def market_answers() -> dict[str, dict[str, ma.fields.Field[Any]]]:
    """Fields by schema."""
    now: dict[str, ma.fields.Field[Any]] = {
        "is_open": Flag(),
        "trading_date": Text(longest=10),
        "next_change_at": Instant(allow_none=True),
        "is_known": Flag(),
    }
    return {
        "Calendar": {**fields_of(Calendar, required=()), **now},
        "InstrumentFacts": fields_of(InstrumentFacts, required=()),
    }


def facts_fields() -> dict[str, ma.fields.Field[Any]]:
    """What may be told of an instrument."""
    return fields_of(InstrumentFacts, omit=("instrument_id",), required=())
