"""What a plugin answered in, whether the log can store it and a completed copy out."""

from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

import msgspec

from oms_kernel.contracts.rules import Trigger, Usage
from oms_kernel.domain.decision import Gate, Outcome, RuleSeverity, Verdict
from oms_kernel.domain.money import FRACTION_DIGITS, INTEGER_DIGITS
from oms_kernel.domain.scope import Scope
from oms_kernel.terms import Terms

LONGEST_TEXT = 500
MOST_INPUTS = 20
MOST_MAKING_WAY = 100
_TEXTS = ("code", "message", "unit", "would_pass")

_SMALLEST = Decimal(1).scaleb(-FRACTION_DIGITS)
_fit = Context(prec=INTEGER_DIGITS + FRACTION_DIGITS, traps=[Inexact, InvalidOperation]).quantize
"""Raises where a number does not fit 18 integer and 12 fraction digits, as `bounded` does, in a fifth of the time."""


def is_sound(verdict: Verdict) -> bool:
    """Whether every field of a plugin's verdict has the type and bounds that the log can store."""
    observed, limit, price = verdict.observed, verdict.limit, verdict.quote_price
    inputs: object = verdict.inputs
    return (
        verdict.outcome.__class__ is Outcome
        and (observed is None or _is_storable(observed))
        and (limit is None or _is_storable(limit))
        and (price is None or _is_storable(price))
        and (verdict.code.__class__ is str or _is_text(verdict.code))
        and (verdict.message.__class__ is str or _is_text(verdict.message))
        and (verdict.unit.__class__ is str or _is_text(verdict.unit))
        and (verdict.would_pass.__class__ is str or _is_text(verdict.would_pass))
        and (not inputs or _are_storable(inputs))
        and (not verdict.makes_way or _may_make_way(verdict.makes_way))
        and (verdict.quote_at is None or getattr(verdict.quote_at, "tzinfo", None) is not None)
    )


def known_of(rule: str, plugin: str, gate: Gate, terms: Terms) -> dict[str, Any]:
    """What only the host knows of a rule's verdicts, by the names of their fields."""
    return {
        "rule": rule,
        "plugin": plugin,
        "gate": gate,
        "severity": terms.severity,
        "limit_id": terms.limit_id,
        "limit_version": terms.version,
        "scope": terms.scope.level if terms.limit_id else None,
    }


def complete(verdict: Verdict, known: dict[str, Any]) -> Verdict:
    """A sound verdict with what only the host knows, and texts of bounded length; a soft limit's denial is a HOLD."""
    code, message, unit, would_pass = verdict.code, verdict.message, verdict.unit, verdict.would_pass
    if len(code) + len(message) + len(unit) + len(would_pass) > LONGEST_TEXT:
        known = known | {name: getattr(verdict, name)[:LONGEST_TEXT] for name in _TEXTS}
    if verdict.outcome is Outcome.DENY and known["severity"] is RuleSeverity.SOFT:
        known = known | {"outcome": Outcome.HOLD}
    if verdict.is_floor is not False:
        known = known | {"is_floor": verdict.is_floor is True}
    return msgspec.structs.replace(verdict, **known)


def is_sound_trigger(trigger: object) -> bool:
    """Whether every field of a plugin's trigger has the type and bounds that the log can store."""
    if not isinstance(trigger, Trigger):
        return False
    return (
        all(_is_text(text) for text in (trigger.message, trigger.unit, trigger.code, trigger.key))
        and _is_storable(trigger.observed)
        and _is_storable(trigger.limit)
        and _is_optional(trigger.scope, Scope)
        and _is_optional(trigger.order_id, str)
    )


def is_sound_usage(usage: object) -> bool:
    """Whether every field of a plugin's usage has the type and bounds that the API can show."""
    if not isinstance(usage, Usage):
        return False
    ids = (usage.account_id, usage.strategy_id, usage.instrument_id)
    return (
        all(_is_storable(number) and _is_given(number) for number in (usage.used, usage.limit))
        and all(_is_text(text) and len(text) <= LONGEST_TEXT for text in (usage.unit, usage.figure))
        and all(_is_optional(one, str) for one in ids)
    )


def describe(error: object) -> str:
    """One line about an exception or a strange value, even when its own text raises."""
    name = type(error).__name__
    try:
        text = str(error) if isinstance(error, BaseException) else repr(error)
    except Exception:
        text = "its text cannot be read"
    return f"{name}: {text}".splitlines()[0][:LONGEST_TEXT]


def _is_optional(value: object, kind: type) -> bool:
    return value is None or isinstance(value, kind)


def _is_given(value: object) -> bool:
    return value is not None


def _is_text(text: object) -> bool:
    return isinstance(text, str)


def _are_storable(inputs: object) -> bool:
    if inputs.__class__ is not dict and not isinstance(inputs, dict):
        return False
    if len(inputs) > MOST_INPUTS:
        return False
    try:
        for name, figure in inputs.items():
            if name.__class__ is not str and not _is_text(name):
                return False
            if figure.__class__ is not Decimal or _fit(figure, _SMALLEST).is_nan():
                return False
    except (Inexact, InvalidOperation):
        return False
    return True


def _may_make_way(totals: object) -> bool:
    return (
        isinstance(totals, dict)
        and len(totals) <= MOST_MAKING_WAY
        and all(
            isinstance(order_id, str) and total is not None and _is_storable(total) and total >= 0
            for order_id, total in totals.items()
        )
    )


def _is_storable(figure: object) -> bool:
    if figure.__class__ is not Decimal:
        return figure is None
    number: Any = figure
    try:
        return not _fit(number, _SMALLEST).is_nan()
    except (Inexact, InvalidOperation):
        return False
