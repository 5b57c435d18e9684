"""A value and its limit in, how much of the limit is used out, for people to look at."""

from collections.abc import Iterator
from decimal import Decimal

from oms_kernel.contracts.rules import RuleView, Usage
from oms_kernel.domain.ids import InstrumentId
from oms_kernel.domain.money import ZERO
from oms_kernel.domain.scope import Scope
from oms_risk_rules.valuation import figure


def used(
    value: Decimal,
    limit: Decimal | None,
    unit: str,
    part: Scope,
    name: str = "",
    instrument_id: InstrumentId | None = None,
) -> Iterator[Usage]:
    """The usage of one figure of a part of the scope; nothing where there is no limit, or no amount can show it."""
    shown = figure(max(value, ZERO))
    bound = figure(limit) if limit is not None else None
    if shown is None or bound is None:
        return
    yield Usage(
        used=shown,
        limit=bound,
        unit=unit,
        figure=name,
        account_id=part.account_id,
        strategy_id=part.strategy_id,
        instrument_id=instrument_id or part.instrument_id,
    )


def instruments_of(view: RuleView, part: Scope) -> Iterator[InstrumentId]:
    """Each instrument that a part of a scope holds or has open orders in, once."""
    yield from dict.fromkeys(instrument_id for _, instrument_id in view.holdings(part))
