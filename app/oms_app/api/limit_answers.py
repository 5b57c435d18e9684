"""The schemas of limits, rules, changes that wait for a second person, files of limits, and usage."""

from typing import Any

import marshmallow as ma

from oms_app.api.fields import Count, DecimalText, Flag, IdText, Instant, JsonObject, Text, Word
from oms_app.api.schema_from_struct import make_schema
from oms_app.flow.limit_edits import EditKind
from oms_app.flow.rule_catalogue import RuleKind
from oms_app.store.tenant_tables import CHANGE_STATUSES
from oms_kernel.domain.controls import Action, Category
from oms_kernel.domain.decision import RuleSeverity
from oms_kernel.domain.scope import ScopeLevel

Fields = dict[str, ma.fields.Field[Any]]
LONGEST_YAML = 1_000_000


def limit_answers() -> dict[str, Fields]:
    """The fields of each schema by its name."""
    edit = make_schema("LimitEdit", _edit())
    section = make_schema(
        "LimitSection",
        {
            "tenant": _text(),
            "edits": ma.fields.List(ma.fields.Nested(edit)),
            "waiting": ma.fields.List(ma.fields.Nested(edit)),
            "unchanged": Count(high=2**31),
            "change_id": _text(),
        },
    )
    return {
        "RiskRule": {
            "name": _text(),
            "title": _text(),
            "kind": Word(RuleKind),
            "plugin": _text(),
            "description": _text(),
            "source": _text(),
            "category": Word(Category),
            "rank": ma.fields.Integer(),
            "can_trigger": Flag(),
            "default_action": Word(Action, allow_none=True),
            "params_schema": JsonObject(),
        },
        "Limit": {
            "limit_id": _text(),
            "name": _text(),
            "rule": _text(),
            "level": Word(ScopeLevel),
            **_scope(),
            "severity": Word(RuleSeverity),
            "action": Word(Action, allow_none=True),
            "effective_from": Instant(allow_none=True),
            "effective_until": Instant(allow_none=True),
            "params": JsonObject(),
            "version": Count(high=2**63 - 1),
            "is_active": Flag(),
            "is_in_force": Flag(),
            "is_installed": Flag(),
            "updated_by": _text(),
            "created_at": Instant(),
            "updated_at": Instant(),
        },
        "LimitChange": {
            "change_id": IdText(),
            "edits": ma.fields.List(ma.fields.Nested(edit)),
            "asked_by": _text(),
            "reason": _text(),
            "status": ma.fields.String(validate=ma.validate.OneOf(CHANGE_STATUSES)),
            "created_at": Instant(),
            "expires_at": Instant(),
            "decided_by": _text(),
            "decided_at": Instant(allow_none=True),
            "decision_reason": _text(),
        },
        "LimitsApplied": {
            "dry_run": Flag(),
            "has_changes": Flag(),
            "sections": ma.fields.List(ma.fields.Nested(section)),
        },
        "LimitsExported": {"yaml": _text()},
        "Usage": {
            "limit_id": _text(),
            "name": _text(),
            "rule": _text(),
            "severity": Word(RuleSeverity),
            "level": Word(ScopeLevel),
            **_scope(),
            "symbol": _text(),
            "figure": _text(),
            "used": DecimalText(),
            "limit": DecimalText(),
            "headroom": DecimalText(),
            "share": DecimalText(allow_none=True),
            "unit": _text(),
            "is_floor": Flag(),
        },
    }


def limit_fields(*, is_new: bool) -> Fields:
    """The fields with which a limit is made, or changed."""
    rule: Fields = {"rule": Text(longest=100, required=True)} if is_new else {}
    return {
        **rule,
        "params": JsonObject(),
        "name": Text(longest=200, shortest=0),
        **_scope(),
        "severity": Word(RuleSeverity),
        "action": Word(Action, allow_none=True),
        "effective_from": Instant(allow_none=True),
        "effective_until": Instant(allow_none=True),
        "reason": Text(longest=4000, shortest=0),
    }


def firm_limit_fields(*, is_new: bool) -> Fields:
    """The same for a limit of the firm, which covers every account."""
    fields = limit_fields(is_new=is_new)
    return {name: field for name, field in fields.items() if name not in ("account_id", "strategy_id")}


def _edit() -> Fields:
    change = make_schema(
        "FieldChange",
        {"field": _text(), "before": ma.fields.Raw(allow_none=True), "after": ma.fields.Raw(allow_none=True)},
    )
    return {
        "kind": Word(EditKind),
        "limit_id": _text(),
        "name": _text(),
        "rule": _text(),
        **_scope(),
        "fields": ma.fields.List(ma.fields.Nested(change)),
        "loosens": ma.fields.List(_text()),
    }


def _scope() -> Fields:
    return {name: IdText(allow_none=True) for name in ("account_id", "strategy_id", "instrument_id")}


def _text(**options: bool) -> Text:
    return Text(longest=LONGEST_YAML, shortest=0, **options)
