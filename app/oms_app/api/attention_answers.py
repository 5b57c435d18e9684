"""The schemas of what people should look at: alerts, breaks, runs, reports not booked, modifications of an order."""

from typing import Any

import marshmallow as ma

from oms_app.api.fields import Count, DecimalText, Flag, IdText, Instant, JsonObject, Text, Word
from oms_app.flow.modifications import ModificationStatus
from oms_kernel.domain.breaks import BreakType, Severity

Fields = dict[str, ma.fields.Field[Any]]


def attention_answers() -> dict[str, Fields]:
    """The fields of each schema by its name."""
    return {
        "Modification": {
            "number": Count(low=1, high=2**31),
            "status": Word(ModificationStatus),
            "quantity": DecimalText(),
            "limit_price": DecimalText(allow_none=True),
            "stop_price": DecimalText(allow_none=True),
            "trail_amount": DecimalText(allow_none=True),
            "trail_percent": DecimalText(allow_none=True),
            "principal": _text(),
            "requested_at": Instant(),
            "sent_at": Instant(allow_none=True),
            "settled_at": Instant(allow_none=True),
            "settled_by": _text(),
            "reason": _text(),
            "wire_ids": ma.fields.List(_text()),
            "broker_order_id": _text(allow_none=True),
        },
        "Alert": {
            "alert_id": IdText(),
            "ledger_id": IdText(),
            "seq": Count(high=2**63 - 1),
            "account_id": IdText(allow_none=True),
            "order_id": IdText(allow_none=True),
            "severity": Word(Severity),
            "source": _text(),
            "text": _text(),
            "what_to_do": _text(),
            "raised_at": Instant(),
            **_acknowledgement(),
        },
        "Acknowledged": {"acknowledged": Count(high=500)},
        "Break": {
            "break_id": IdText(),
            "broker_account_id": IdText(),
            "account_id": IdText(allow_none=True),
            "order_id": IdText(allow_none=True),
            "instrument_id": IdText(allow_none=True),
            "currency": _text(allow_none=True),
            "symbol": _text(),
            "break_type": Word(BreakType),
            "severity": Word(Severity),
            "is_critical": Flag(),
            "subject": _text(),
            "ours": _text(),
            "theirs": _text(),
            "as_of": Instant(),
            "proposed_fix": _text(),
            "found_at": Instant(),
            **_acknowledgement(),
            "is_resolved": Flag(),
            "hours_unresolved": DecimalText(),
            "resolved_at": Instant(allow_none=True),
            "resolved_by": _text(),
            "resolution": _text(),
            "resolution_text": _text(),
            "auto_fixed": Flag(),
        },
        "Run": {
            "run_id": IdText(),
            "connection_id": IdText(),
            "broker_account_id": IdText(allow_none=True),
            "trigger": _text(),
            "status": _text(),
            "requested_by": _text(),
            "requested_at": Instant(allow_none=True),
            "started_at": Instant(allow_none=True),
            "finished_at": Instant(allow_none=True),
            "parts": JsonObject(),
            "opened": Count(high=2**31),
            "fixed": Count(high=2**31),
            "closed": Count(high=2**31),
            "error": _text(),
        },
        "UnbookedReport": {
            "report_id": IdText(),
            "connection_id": IdText(),
            "broker_account_id": IdText(),
            "account_id": IdText(allow_none=True),
            "kind": _text(),
            "report": JsonObject(),
            "error": _text(),
            "status": _text(),
            "created_at": Instant(),
            **_settlement(),
        },
    }


def _text(**options: bool) -> Text:
    return Text(longest=65_536, shortest=0, **options)


def _acknowledgement() -> Fields:
    return {"acknowledged_at": Instant(allow_none=True), "acknowledged_by": _text()}


def _settlement() -> Fields:
    return {"settled_by": _text(), "settled_at": Instant(allow_none=True)}
