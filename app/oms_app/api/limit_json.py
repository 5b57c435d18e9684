"""Limits, edits and changes that wait in, what the API shows of each out; and a body's fields as a draft's values."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from oms_app.api.json_text import plain
from oms_app.flow.limit_edits import IDS, from_rows, shown_edit
from oms_app.flow.risk_usage import LimitUsage
from oms_app.flow.rulebook import terms_of
from oms_app.store.limit_changes import LimitChange
from oms_app.store.limits import StoredLimit
from oms_kernel.domain.controls import Action
from oms_kernel.domain.decision import RuleSeverity
from oms_kernel.domain.scope import Scope


def shown_limit(stored: StoredLimit, installed: frozenset[str], now: datetime) -> dict[str, Any]:
    """A limit as the API answers it."""
    row = stored.limit
    return {
        "limit_id": row.limit_id,
        "name": row.name,
        "rule": row.rule,
        "level": row.scope.level,
        **shown_scope(row.scope),
        "severity": row.severity,
        "action": row.action,
        "effective_from": row.effective_from,
        "effective_until": row.effective_until,
        "params": row.params,
        "version": row.version,
        "is_active": stored.is_active,
        "is_in_force": stored.is_active and terms_of(row).holds(now),
        "is_installed": row.rule in installed,
        "updated_by": row.updated_by,
        "created_at": stored.created_at,
        "updated_at": stored.updated_at,
    }


def shown_scope(scope: Scope) -> dict[str, str | None]:
    """The ids of a scope."""
    return {name: getattr(scope, name) for name in IDS}


def shown_usage(one: LimitUsage) -> dict[str, Any]:
    """How much of a limit is used, as the API answers it."""
    usage = one.usage
    shown: dict[str, Any] = plain(
        {
            "limit_id": one.limit_id,
            "name": one.name,
            "rule": one.rule,
            "severity": one.severity,
            "level": one.level,
            **shown_scope(one.scope),
            "symbol": one.symbol,
            "figure": usage.figure,
            "used": usage.used,
            "limit": usage.limit,
            "headroom": usage.headroom,
            "share": one.share,
            "unit": usage.unit,
            "is_floor": usage.is_floor,
        }
    )
    return shown


def shown_change(change: LimitChange) -> dict[str, Any]:
    """A change that waits, or waited, as the API answers it."""
    shown = msgspec.structs.asdict(change)
    del shown["changes"]
    return {**shown, "edits": [shown_edit(edit) for edit in from_rows(change.changes)]}


def draft_values(asked: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """The values of a LimitDraft that a body gives; ids that it does not name stay those of `scope`."""
    values = {name: value for name, value in asked.items() if name not in (*IDS, "reason")}
    if "params" in values:
        values["params"] = plain(values["params"])
    if "severity" in values:
        values["severity"] = RuleSeverity(values["severity"])
    if values.get("action") is not None:
        values["action"] = Action(values["action"])
    ids = {name: asked[name] for name in IDS if name in asked}
    return {**values, "scope": msgspec.structs.replace(scope, **ids)}
