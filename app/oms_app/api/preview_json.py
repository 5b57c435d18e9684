"""A Preview in, its JSON out: the submit's own verdicts, with what the order would cost and change."""

from typing import Any

import marshmallow as ma

from oms_app.api.json_text import plain
from oms_app.api.order_json import verdict_document, verdict_schema
from oms_app.api.schema_from_struct import fields_of, make_schema
from oms_app.flow.preview import Preview


def preview_document(preview: Preview) -> dict[str, Any]:
    """The preview as JSON values."""
    shown: dict[str, Any] = plain(preview)
    shown["verdicts"] = [verdict_document(one) for one in preview.verdicts]
    return shown


def preview_schema() -> ma.Schema:
    """What the API answers for a preview."""
    verdicts = ma.fields.List(ma.fields.Nested(verdict_schema()))
    return make_schema("Preview", {**fields_of(Preview, omit=("verdicts",)), "verdicts": verdicts})
