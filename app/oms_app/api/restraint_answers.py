"""The schemas of kill switches, liquidations and dead-man switches."""

from typing import Any

import marshmallow as ma

from oms_app.api.fields import Count, Flag, IdText, Instant, Text, Word
from oms_app.api.schema_from_struct import make_schema
from oms_app.flow.dead_man import DeadManAction
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.controls import Cause
from oms_kernel.domain.scope import ScopeLevel

Fields = dict[str, ma.fields.Field[Any]]
MOST_MS = 2**31


def restraint_schemas() -> dict[str, ma.Schema]:
    """Each schema by its name."""
    switch, liquidation = make_schema("KillSwitch", _switch()), make_schema("Liquidation", _liquidation())
    made = {name: make_schema(name, fields) for name, fields in _answers(switch, liquidation).items()}
    return {"KillSwitch": switch, "Liquidation": liquidation, **made}


def _answers(switch: ma.Schema, liquidation: ma.Schema) -> dict[str, Fields]:
    unrecallable = make_schema("Unrecallable", {"order_id": IdText(), "why": _text()})
    return {
        "KillSwitchResult": {
            "already_active": Flag(),
            "firm_switch_id": _text(),
            "kill_switches": ma.fields.List(ma.fields.Nested(switch)),
            "cancelling": ma.fields.List(IdText()),
            "ended": ma.fields.List(IdText()),
            "unrecallable": ma.fields.List(ma.fields.Nested(unrecallable)),
            "liquidation_ids": ma.fields.List(IdText()),
            "ledgers": Count(high=2**31),
            "elapsed_ms": Count(high=MOST_MS),
        },
        "KillSwitchDrill": {
            "orders": Count(high=2**31),
            "positions": Count(high=2**31),
            "ledgers": Count(high=2**31),
            "elapsed_ms": Count(high=MOST_MS),
        },
        "KillSwitchEvent": {
            "event_id": IdText(),
            "kind": _text(),
            "switch_id": IdText(allow_none=True),
            **_scope(),
            "trading_state": Word(TradingState, allow_none=True),
            "reason_code": _text(),
            "principal": _text(),
            "order_count": Count(high=2**31, allow_none=True),
            "position_count": Count(high=2**31, allow_none=True),
            "elapsed_ms": Count(high=MOST_MS, allow_none=True),
            "recorded_at": Instant(),
        },
        "LiquidationResult": {
            "already_running": Flag(),
            "liquidations": ma.fields.List(ma.fields.Nested(liquidation)),
        },
        "DeadManSwitch": {
            "principal": _text(),
            "strategy_id": IdText(allow_none=True),
            "account_id": IdText(allow_none=True),
            "action": Word(DeadManAction),
            "timeout_s": Count(high=2**31),
            "spare_gtc": Flag(),
            "is_armed": Flag(),
            "armed_at": Instant(),
            "heard_at": Instant(),
            "due_at": Instant(allow_none=True),
            "struck_at": Instant(allow_none=True),
        },
    }


def _switch() -> Fields:
    return {
        "switch_id": IdText(),
        "ledger_id": IdText(),
        "level": Word(ScopeLevel),
        **_scope(),
        "trading_state": Word(TradingState),
        "cause": Word(Cause),
        "reason_code": _text(),
        "reason": _text(),
        "cancel_working": Flag(),
        "flatten": Flag(),
        "breach_id": IdText(allow_none=True),
        "firm_switch_id": _text(),
        "is_active": Flag(),
        "activated_at": Instant(),
        "activated_by": _text(),
        "release_asked_by": _text(),
        "release_reason": _text(),
        "released_at": Instant(allow_none=True),
        "released_by": _text(),
    }


def _liquidation() -> Fields:
    return {
        "liquidation_id": IdText(),
        "ledger_id": IdText(),
        **_scope(),
        "reason_code": _text(),
        "switch_id": IdText(allow_none=True),
        "is_running": Flag(),
        "started_at": Instant(),
        "started_by": _text(),
        "ended_at": Instant(allow_none=True),
        "outcome": _text(),
    }


def _scope() -> Fields:
    return {
        "account_id": IdText(allow_none=True),
        "strategy_id": IdText(allow_none=True),
        "instrument_id": IdText(allow_none=True),
    }


def _text() -> Text:
    return Text(longest=65_536, shortest=0)
