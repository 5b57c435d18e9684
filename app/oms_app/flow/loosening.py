"""A limit before and after a change in, what makes it looser out: such changes need a fresh proof of the person.

Only what is known to tighten passes without: whatever cannot be judged counts as looser.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from oms_app.flow.limit_draft import LimitDraft
from oms_app.flow.tenant_settings import TenantSettings
from oms_kernel.domain.decision import RuleSeverity
from oms_kernel.domain.errors import InvalidNumber
from oms_kernel.domain.money import parse_decimal
from oms_kernel.domain.scope import Scope

_STRICTNESS = (RuleSeverity.SHADOW, RuleSeverity.SOFT, RuleSeverity.HARD)
_LOWER_IS_TIGHTER = ("max_", "per_")
"""How parameters begin of which less denies more. Of `min_` nothing follows: a larger count to begin at is looser."""
_IDS = ("account_id", "strategy_id", "instrument_id")


def loosened(before: LimitDraft, after: LimitDraft, now: datetime) -> tuple[str, ...]:
    """The fields by which the change lets more through, or may; empty for one that only tightens."""
    found = [f"params.{name}" for name in sorted({*before.params, *after.params}) if _is_looser(name, before, after)]
    if _STRICTNESS.index(after.severity) < _STRICTNESS.index(before.severity):
        found.append("severity")
    if after.action is not before.action:
        found.append("action")
    if not _is_within(before.scope, after.scope):
        found.append("scope")
    begin = before.effective_from if before.effective_from is not None and before.effective_from > now else now
    if after.effective_from is not None and after.effective_from > begin:
        found.append("effective_from")
    if after.effective_until is not None and (
        before.effective_until is None or after.effective_until < before.effective_until
    ):
        found.append("effective_until")
    return tuple(found)


def loosened_settings(before: TenantSettings, after: TenantSettings) -> tuple[str, ...]:
    """The settings by which the change takes a safeguard away, or weakens one."""
    found = [name for name in ("second_person_limits", "second_person_release") if _is_off(name, before, after)]
    if set(before.required_limits) - set(after.required_limits):
        found.append("required_limits")
    if after.approval_window_s > before.approval_window_s:
        found.append("approval_window_s")
    if before.strategy_dead_man_s and not 0 < after.strategy_dead_man_s <= before.strategy_dead_man_s:
        found.append("strategy_dead_man_s")
    return tuple(found)


def _is_off(name: str, before: TenantSettings, after: TenantSettings) -> bool:
    return getattr(before, name) and not getattr(after, name)


def _is_within(before: Scope, after: Scope) -> bool:
    """Whether the new scope covers all that the old one did."""
    return all(getattr(after, name) in (None, getattr(before, name)) for name in _IDS)


def _is_looser(name: str, before: LimitDraft, after: LimitDraft) -> bool:
    old, new = before.params.get(name), after.params.get(name)
    if old == new:
        return False
    was, becomes = _number(old), _number(new)
    if was is None or becomes is None:
        return True
    if was == becomes:
        return False
    return becomes > was or not name.startswith(_LOWER_IS_TIGHTER)


def _number(value: Any) -> Decimal | None:
    try:
        return parse_decimal(value)
    except InvalidNumber:
        return None
