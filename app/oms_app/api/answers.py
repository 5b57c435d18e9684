"""The schemas of what the API answers, by name: generated from the kernel's Structs where there is one."""

from functools import lru_cache
from typing import Any

import marshmallow as ma

from oms_app.api.attention_answers import attention_answers
from oms_app.api.audit_answers import audit_answers
from oms_app.api.breach_answers import breach_answers
from oms_app.api.fields import Count, DecimalText, Flag, IdText, Instant, JsonObject, Text, Word
from oms_app.api.limit_answers import limit_answers
from oms_app.api.market_answers import market_answers
from oms_app.api.order_json import order_answer_schema, verdict_schema
from oms_app.api.people_answers import people_answers
from oms_app.api.preview_json import preview_schema
from oms_app.api.restraint_answers import restraint_schemas
from oms_app.api.schema_from_struct import fields_of, make_schema
from oms_app.api.sign_in_answers import sign_in_answers
from oms_app.store.queries import VerdictView
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import Quote
from oms_kernel.domain.position import Position

Fields = dict[str, ma.fields.Field[Any]]


def answer_schemas() -> dict[str, ma.Schema]:
    """Every schema that an answer may have, by its name in the OpenAPI document."""
    schemas = {"Order": order_answer_schema(), "Verdict": verdict_schema()}
    problem = make_schema(
        "Problem",
        {
            "type": _text(),
            "title": _text(),
            "status": Count(low=400, high=599),
            "detail": _text(),
            "code": _text(),
            "errors": ma.fields.List(
                ma.fields.Nested(make_schema("FieldError", {"field": _text(), "detail": _text(), "fix": _text()}))
            ),
            "request_id": _text(),
            "fix": _text(),
            "order_id": IdText(),
            "verdicts": ma.fields.List(ma.fields.Nested(schemas["Verdict"])),
        },
    )
    schemas["Problem"] = problem
    schemas["Preview"] = preview_schema()
    schemas["Connection"] = connection_schema()
    schemas["BulkResults"] = _bulk(schemas["Order"], problem)
    schemas.update(restraint_schemas())
    for name, fields in _plain_answers().items():
        schemas[name] = make_schema(name, fields)
    for name in LISTED:
        schemas[f"{name}List"] = make_schema(
            f"{name}List",
            {
                "items": ma.fields.List(ma.fields.Nested(schemas[name]), required=True),
                "next_cursor": _text(allow_none=True),
                "total_count": Count(high=2**63 - 1, allow_none=True),
                "has_next": Flag(),
            },
        )
    return schemas


LISTED = (
    "RiskRule",
    "Limit",
    "LimitChange",
    "Usage",
    "Judgement",
    "FoundVerdict",
    "Approval",
    "Modification",
    "Alert",
    "Break",
    "Breach",
    "DeadManSwitch",
    "KillSwitch",
    "KillSwitchEvent",
    "Liquidation",
    "MonitoringRound",
    "Run",
    "UnbookedReport",
    "Order",
    "Event",
    "Execution",
    "Position",
    "Account",
    "BrokerAccount",
    "Instrument",
    "Calendar",
    "Broker",
    "Strategy",
    "StrategyRun",
    "Webhook",
    "WebhookDelivery",
    "Consumer",
    "Plugin",
    "ApiKey",
    "Tenant",
    "Member",
    "Invitation",
    "Session",
    "AuditEntry",
)
"""What lists hold: each has a schema `<name>List` of one page."""


def _text(**options: bool) -> Text:
    return Text(longest=65_536, shortest=0, **options)


def _bulk(order: ma.Schema, problem: ma.Schema) -> ma.Schema:
    item = make_schema(
        "BulkItem",
        {
            "index": Count(high=499),
            "status": Count(low=200, high=599),
            "order_id": IdText(),
            "order": ma.fields.Nested(order, allow_none=True),
            "problem": ma.fields.Nested(problem, allow_none=True),
        },
    )
    return make_schema("BulkResults", {"results": ma.fields.List(ma.fields.Nested(item), required=True)})


def _plain_answers() -> dict[str, Fields]:
    """The answers that are neither orders nor problems."""
    connection = connection_schema()
    return {
        "Event": {
            "seq": Count(high=2**63 - 1),
            "event_id": IdText(),
            "kind": _text(),
            "version": Count(high=1000),
            "recorded_at": Instant(),
            "account_id": IdText(allow_none=True),
            "order_id": IdText(allow_none=True),
            "data": JsonObject(),
        },
        **attention_answers(),
        **breach_answers(order_answer_schema()),
        **limit_answers(),
        **market_answers(),
        **people_answers(),
        **audit_answers(),
        **sign_in_answers(),
        "Judgement": {
            "seq": Count(high=2**63 - 1),
            "event_id": IdText(),
            "kind": _text(),
            "judged_at": Instant(),
            "judgement": _text(),
            "principal": _text(),
            "limits_version": Count(high=2**63 - 1, allow_none=True),
            "overridden": ma.fields.List(_text()),
            "verdicts": ma.fields.List(ma.fields.Nested(verdict_schema())),
        },
        "FoundVerdict": {
            "ledger_id": IdText(),
            "order_seq": Count(high=2**63 - 1),
            **fields_of(VerdictView, omit=("ledger_id", "seq", "limit_value")),
            "limit": DecimalText(allow_none=True),
        },
        "Approval": {
            "order": ma.fields.Nested(order_answer_schema()),
            "verdicts": ma.fields.List(ma.fields.Nested(verdict_schema())),
            "requested_by": ma.fields.List(_text()),
            "hold_until": Instant(allow_none=True),
        },
        "Execution": {
            "seq": Count(high=2**63 - 1),
            "execution_id": IdText(),
            "symbol": _text(),
            **fields_of(Fill),
            "booked_at": Instant(),
        },
        "Position": {
            "position_id": IdText(),
            "symbol": _text(),
            **fields_of(Position),
            "average_price": DecimalText(allow_none=True),
            "mark_price": DecimalText(allow_none=True),
            "market_value": DecimalText(allow_none=True),
            "unrealised_pnl": DecimalText(allow_none=True),
            "is_open": Flag(),
            "updated_at": Instant(),
            "closed_at": Instant(allow_none=True),
        },
        "PnlToday": {
            "items": ma.fields.List(
                ma.fields.Nested(
                    make_schema(
                        "AccountPnl",
                        {
                            "account_id": IdText(),
                            "currency": _text(),
                            "risk_date": ma.fields.Date(),
                            "realised_pnl": DecimalText(),
                            "unrealised_pnl": DecimalText(allow_none=True),
                            "fees": DecimalText(),
                            "total_pnl": DecimalText(allow_none=True),
                            "traded_value": DecimalText(),
                            "accepted": Count(high=2**31),
                            "denied": Count(high=2**31),
                            "fills": Count(high=2**31),
                        },
                    )
                )
            )
        },
        "Account": {
            "account_id": IdText(),
            "name": _text(),
            "base_currency": _text(),
            "time_zone": _text(),
            "day_roll": _text(),
            "calendar": _text(),
            "trading_state": Word(TradingState),
            "state_reason": _text(),
            "cash": JsonObject(),
            "broker": _text(allow_none=True),
            "broker_account_id": IdText(allow_none=True),
            "created_at": Instant(),
            "closed_at": Instant(allow_none=True),
        },
        "BrokerAccount": {
            "broker_account_id": IdText(),
            "connection_id": IdText(),
            "broker": _text(),
            "account_number": _text(),
            "account_type": _text(),
            "base_currency": _text(),
            "account_ids": ma.fields.List(IdText()),
            "is_active": Flag(),
            "created_at": Instant(),
        },
        "Instrument": fields_of(Instrument),
        "Quote": {
            "symbol": _text(),
            "venue": _text(),
            **fields_of(Quote),
            "is_stale": Flag(),
        },
        "Broker": {
            "name": _text(),
            "title": _text(),
            "plugin": _text(),
            "params_schema": JsonObject(),
            "connections": ma.fields.List(ma.fields.Nested(connection)),
        },
        "Strategy": {
            "strategy_id": IdText(),
            "name": _text(),
            "strategy": _text(),
            "account_id": IdText(),
            "params": JsonObject(),
            "status": _text(),
            "error": _text(),
            "created_at": Instant(),
            "updated_at": Instant(),
            "closed_at": Instant(allow_none=True),
        },
        "StrategyRun": {
            "run_id": IdText(),
            "strategy_id": IdText(),
            "status": _text(),
            "started_at": Instant(),
            "stopped_at": Instant(allow_none=True),
            "restarts": Count(high=2**31),
            "cursor_seq": Count(high=2**63 - 1),
            "ledger_id": IdText(),
            "error": _text(),
            "log": _text(),
        },
        "Webhook": {
            "webhook_id": IdText(),
            "name": _text(),
            "url": _text(),
            "sink": _text(),
            "params": JsonObject(),
            "event_kinds": ma.fields.List(_text()),
            "is_active": Flag(),
            "secret": _text(),
            "created_at": Instant(),
            "updated_at": Instant(),
            "closed_at": Instant(allow_none=True),
        },
        "WebhookDelivery": {
            "delivery_id": IdText(),
            "webhook_id": IdText(),
            "message_id": _text(),
            "seq": Count(high=2**63 - 1),
            "event_kind": _text(),
            "status": _text(),
            "attempts": Count(high=2**31),
            "due_at": Instant(),
            "occurred_at": Instant(),
            "delivered_at": Instant(allow_none=True),
            "last_status_code": Count(high=599, allow_none=True),
            "last_error": _text(),
            "ledger_id": IdText(),
        },
        "Consumer": {
            "name": _text(),
            "ledger_id": IdText(),
            "seq": Count(high=2**63 - 1),
            "head": Count(high=2**63 - 1),
            "lag": Count(high=2**63 - 1),
            "lag_s": DecimalText(),
            "moved_at": Instant(),
        },
        "Plugin": {
            "name": _text(),
            "distribution": _text(),
            "version": _text(),
            "status": _text(),
            "reason": _text(),
            "load_ms": DecimalText(),
            "contributions": ma.fields.List(JsonObject()),
            "calls": Count(high=2**63 - 1),
            "error_count": Count(high=2**63 - 1),
            "latency_ms": DecimalText(allow_none=True),
        },
        "BrokerCredentials": {"connection_id": IdText(), "credentials": ma.fields.List(_text())},
        "ApiKey": _api_key(),
        "NewApiKey": {"api_key": _text(), **_api_key()},
        "Health": {
            "status": _text(),
            "checks": ma.fields.List(
                ma.fields.Nested(make_schema("Check", {"name": _text(), "status": _text(), "detail": _text()}))
            ),
        },
    }


@lru_cache(maxsize=1)
def connection_schema() -> ma.Schema:
    """How a connection to a broker stands."""
    return make_schema(
        "Connection",
        {
            "connection_id": IdText(),
            "broker": _text(),
            "name": _text(),
            "desired": _text(),
            "status": _text(),
            "detail": _text(),
            "is_ready": Flag(),
            "last_heard_at": Instant(allow_none=True),
            "lease_expires_at": Instant(allow_none=True),
        },
    )


def _api_key() -> Fields:
    return {
        "key_id": IdText(),
        "name": _text(),
        "prefix": _text(),
        "scopes": ma.fields.List(_text()),
        "account_ids": ma.fields.List(IdText(), allow_none=True),
        "is_test": Flag(),
        "networks": ma.fields.List(_text()),
        "requests_per_s": ma.fields.Integer(allow_none=True),
        "burst": ma.fields.Integer(allow_none=True),
        "expires_at": Instant(allow_none=True),
        "revoked_at": Instant(allow_none=True),
        "created_at": Instant(),
        "rotated_at": Instant(allow_none=True),
        "previous_prefix": _text(allow_none=True),
        "previous_until": Instant(allow_none=True),
        "last_used_at": Instant(allow_none=True),
        "last_used_address": _text(allow_none=True),
    }
