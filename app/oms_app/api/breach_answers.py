"""The schemas of breaches of limits, cases of surveillance and the rounds of monitoring."""

from typing import Any

import marshmallow as ma

from oms_app.api.fields import Count, DecimalText, Flag, IdText, Instant, Text, Word
from oms_app.api.schema_from_struct import make_schema
from oms_kernel.domain.controls import Action, Category
from oms_kernel.domain.order import Side

Fields = dict[str, ma.fields.Field[Any]]
STATUSES = ("OPEN", "ASSIGNED", "CLOSED")


def breach_answers(order: ma.Schema) -> dict[str, Fields]:
    """The fields of each schema by its name. order: the schema of an order."""
    note = make_schema("BreachNote", {"event_id": IdText(), "text": _text(), "written_at": Instant()})
    execution = make_schema(
        "CaseExecution",
        {
            "execution_id": IdText(),
            "order_id": IdText(allow_none=True),
            "symbol": _text(allow_none=True),
            "side": Word(Side),
            "quantity": DecimalText(),
            "price": DecimalText(),
            "executed_at": Instant(),
        },
    )
    whole: Fields = {**_breach(), "notes": ma.fields.List(ma.fields.Nested(note))}
    return {
        "Breach": _breach(),
        "BreachRead": whole,
        "SurveillanceCase": {
            **_breach(),
            "notes": ma.fields.List(ma.fields.Nested(note)),
            "code": _text(),
            "order_id": IdText(allow_none=True),
            "orders": ma.fields.List(ma.fields.Nested(order)),
            "executions": ma.fields.List(ma.fields.Nested(execution)),
        },
        "MonitoringRound": {
            "ledger_id": IdText(),
            "holder": _text(),
            "ended_at": Instant(),
            "age_ms": Count(high=2**63 - 1),
            "is_late": Flag(),
            "duration_ms": Count(high=2**63 - 1),
            "lag_ms": Count(high=2**63 - 1),
            "monitors": Count(high=2**31),
            "failures": ma.fields.List(_text()),
            "rounds": Count(high=2**63 - 1),
            "error": _text(),
        },
    }


def _breach() -> Fields:
    return {
        "breach_id": IdText(),
        "limit_id": _text(),
        "key": _text(),
        "rule": _text(),
        "account_id": IdText(allow_none=True),
        "strategy_id": IdText(allow_none=True),
        "instrument_id": IdText(allow_none=True),
        "category": Word(Category),
        "action": Word(Action),
        "message": _text(),
        "observed": DecimalText(allow_none=True),
        "limit": DecimalText(allow_none=True),
        "unit": _text(),
        "status": _text(),
        "breached_at": Instant(),
        "assigned_to": _text(),
        "closed_at": Instant(allow_none=True),
        "closed_by": _text(),
        "finding": _text(),
    }


def _text(**options: bool) -> Text:
    return Text(longest=65_536, shortest=0, **options)
