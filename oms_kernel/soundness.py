"""What a plugin answered in, whether the log can store it and a completed copy out."""

from decimal import Decimal

from oms_kernel.contracts.rules import Trigger
from oms_kernel.domain.decision import Gate, Outcome, RuleSeverity, Verdict
from oms_kernel.domain.errors import InvalidNumber
from oms_kernel.domain.money import bounded
from oms_kernel.domain.scope import Scope
from oms_kernel.terms import Terms

LONGEST_TEXT = 500
MOST_INPUTS = 20
MOST_MAKING_WAY = 100


def is_sound(verdict: Verdict) -> bool:
    """Whether every field of a plugin's verdict has the type and bounds that the log can store."""
    return (
        verdict.outcome.__class__ is Outcome
        and _is_storable(verdict.observed)
        and _is_storable(verdict.limit)
        and _is_storable(verdict.quote_price)
        and _is_text(verdict.code)
        and _is_text(verdict.message)
        and _is_text(verdict.unit)
        and _is_text(verdict.would_pass)
        and (not verdict.inputs or _are_storable(verdict.inputs))
        and (not verdict.makes_way or _may_make_way(verdict.makes_way))
        and (verdict.quote_at is None or getattr(verdict.quote_at, "tzinfo", None) is not None)
    )


def complete(verdict: Verdict, rule: str, plugin: str, gate: Gate, terms: Terms) -> Verdict:
    """The verdict with what only the host knows, and texts of bounded length; a soft limit's denial is a HOLD."""
    outcome = verdict.outcome
    if outcome is Outcome.DENY and terms.severity is RuleSeverity.SOFT:
        outcome = Outcome.HOLD
    return Verdict(
        rule=rule,
        outcome=outcome,
        gate=gate,
        plugin=plugin,
        code=verdict.code[:LONGEST_TEXT],
        message=verdict.message[:LONGEST_TEXT],
        observed=verdict.observed,
        limit=verdict.limit,
        unit=verdict.unit[:LONGEST_TEXT],
        quote_price=verdict.quote_price,
        quote_at=verdict.quote_at,
        inputs=verdict.inputs,
        would_pass=verdict.would_pass[:LONGEST_TEXT],
        severity=terms.severity,
        limit_id=terms.limit_id,
        limit_version=terms.version,
        scope=terms.scope.level if terms.limit_id else None,
        is_floor=verdict.is_floor is True,
        makes_way=verdict.makes_way,
    )


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


def _is_text(text: object) -> bool:
    return isinstance(text, str)


def _are_storable(inputs: object) -> bool:
    return (
        isinstance(inputs, dict)
        and len(inputs) <= MOST_INPUTS
        and all(
            isinstance(name, str) and figure is not None and _is_storable(figure) for name, figure in inputs.items()
        )
    )


def _may_make_way(totals: object) -> bool:
    return (
        isinstance(totals, dict)
        and len(totals) <= MOST_MAKING_WAY
        and all(
            isinstance(order_id, str) and isinstance(total, Decimal) and _is_storable(total) and total >= 0
            for order_id, total in totals.items()
        )
    )


def _is_storable(figure: object) -> bool:
    if figure is None:
        return True
    try:
        return isinstance(figure, Decimal) and bounded(figure) is not None
    except InvalidNumber:
        return False
