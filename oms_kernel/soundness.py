"""What a plugin answered in, whether the log can store it and a completed copy out."""

from decimal import Decimal

from oms_kernel.domain.decision import Gate, Outcome, Verdict
from oms_kernel.domain.errors import InvalidNumber
from oms_kernel.domain.money import bounded

LONGEST_TEXT = 500


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
        and (verdict.quote_at is None or getattr(verdict.quote_at, "tzinfo", None) is not None)
    )


def complete(verdict: Verdict, rule: str, plugin: str, gate: Gate) -> Verdict:
    """The verdict with the names that only the host knows, and texts of bounded length."""
    return Verdict(
        rule=rule,
        outcome=verdict.outcome,
        gate=gate,
        plugin=plugin,
        code=verdict.code[:LONGEST_TEXT],
        message=verdict.message[:LONGEST_TEXT],
        observed=verdict.observed,
        limit=verdict.limit,
        unit=verdict.unit[:LONGEST_TEXT],
        quote_price=verdict.quote_price,
        quote_at=verdict.quote_at,
    )


def describe(error: object) -> str:
    """One line about an exception or a strange value, even when its own text raises."""
    name = type(error).__name__
    try:
        text = str(error) if isinstance(error, BaseException) else repr(error)
    except Exception:
        text = "its text cannot be read"
    return f"{name}: {text}".splitlines()[0][:LONGEST_TEXT]


def _is_text(text: object) -> bool:
    return isinstance(text, str)


def _is_storable(figure: object) -> bool:
    if figure is None:
        return True
    try:
        return isinstance(figure, Decimal) and bounded(figure) is not None
    except InvalidNumber:
        return False
