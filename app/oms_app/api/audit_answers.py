"""The schemas of the audit trail and of a person's own data, and the query parameters of both."""

from enum import StrEnum
from typing import Any

import marshmallow as ma

from oms_app.api.fields import Count, IdText, Instant, JsonObject, QueryFlag, Text, Word
from oms_app.api.paging import DEFAULT_PAGE, MAX_PAGE
from oms_app.api.schema_from_struct import make_schema

Fields = dict[str, ma.fields.Field[Any]]
MOST_SEQ = 10**11


class Form(StrEnum):
    """How an export is written."""

    JSONL = "jsonl"
    CSV = "csv"


def audit_answers() -> dict[str, Fields]:
    """The fields of each schema by its name."""
    return {
        "AuditEntry": {
            "event_id": IdText(),
            "ledger_id": IdText(),
            "seq": Count(high=2**63 - 1),
            "recorded_at": Instant(),
            "kind": _text(),
            "action": _text(),
            "actor": _text(),
            "on_behalf_of": _text(),
            "object_type": _text(),
            "object_id": _text(),
            "account_id": IdText(allow_none=True),
            "order_id": IdText(allow_none=True),
            "request_id": _text(),
            "decision": _text(),
            "address": _text(),
            "agent": _text(),
            "note": _text(),
            "before": JsonObject(allow_none=True),
            "after": JsonObject(allow_none=True),
            "data": JsonObject(),
            "hash": _text(),
        },
        "PersonalData": {
            "person": JsonObject(),
            "sessions": ma.fields.List(JsonObject()),
            "known_devices": ma.fields.List(JsonObject()),
            "mail": ma.fields.List(JsonObject()),
            "tenants": ma.fields.List(JsonObject()),
        },
    }


def audit_query() -> ma.Schema:
    """What a search of the audit trail takes."""
    return make_schema(
        "AuditFilter",
        {
            "limit": Count(low=1, high=MAX_PAGE, from_text=True, load_default=DEFAULT_PAGE),
            "cursor": Text(longest=200),
            "with_total": QueryFlag(),
            "ledger_id": IdText(),
            **_filters(),
        },
    )


def export_query() -> ma.Schema:
    """What an export of the audit trail takes."""
    return make_schema(
        "AuditExportFilter",
        {
            "format": Word(Form),
            "ledger_id": IdText(),
            "from_seq": Count(low=1, high=MOST_SEQ, from_text=True),
            "to_seq": Count(low=1, high=MOST_SEQ, from_text=True),
            **_filters(),
        },
    )


def _filters() -> Fields:
    return {
        "from": Instant(),
        "to": Instant(),
        "actor": Text(longest=100),
        "action": Text(longest=100),
        "kind": Text(longest=60),
        "object_type": Text(longest=40),
        "object_id": Text(longest=200),
        "account_id": IdText(),
        "order_id": IdText(),
        "request_id": Text(longest=128),
    }


def _text(**options: bool) -> Text:
    return Text(longest=65_536, shortest=0, **options)
