"""A figure above a limit in, the trigger of a monitor out: its sentence, its figures and what it is for."""

from decimal import Decimal

from oms_kernel.contracts.rules import Trigger
from oms_kernel.domain.money import to_text
from oms_kernel.domain.scope import Scope
from oms_risk_rules.valuation import figure


def above(name: str, text: str, observed: Decimal, limit: Decimal, unit: str, key: str, scope: Scope) -> Trigger:
    """The trigger of a monitor: `text` says what was measured, the sentence goes on with the figures.

    The code is the monitor's name without its ending: what it is that was overstepped.
    """
    shown, bound = figure(observed), figure(limit)
    told = f"{to_text(shown)} {unit}" if shown is not None else "more digits than any amount"
    most = f"{to_text(bound)} {unit}" if bound is not None else "more digits than any amount"
    return Trigger(
        message=f"{text} {told} is above the limit of {most}",
        observed=shown,
        limit=bound,
        unit=unit,
        code=name.removesuffix("_monitor"),
        key=key,
        scope=scope,
    )
