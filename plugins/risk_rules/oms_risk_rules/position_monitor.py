"""What is held in a scope in, a trigger out for each instrument of which more is held than the limit."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from oms_kernel.contracts.rules import RuleView, Trigger, Usage
from oms_kernel.domain.controls import Action
from oms_kernel.domain.ids import InstrumentId
from oms_kernel.domain.money import ZERO, add, multiply
from oms_kernel.domain.order import Side
from oms_kernel.domain.scope import Scope
from oms_risk_rules.alarms import above
from oms_risk_rules.max_position import DIRECTION, PositionLimit, quantity_limits, value_limits
from oms_risk_rules.measuring import book_of, parts
from oms_risk_rules.used import used
from oms_risk_rules.valuation import Missing, unit_value_of


class PositionMonitor:
    """Finds positions that are larger than the limit, in quantity or in value, by what is filled alone.

    The limits are those of the rule max_position, which counts open orders too: a position gets above them by fills
    that nobody ordered here, by late or corrected fills, by a limit that was lowered, and in value by a price that
    moved. A position that cannot be valued is judged by its quantity only. A trigger is for the instrument in its
    account alone, whatever the scope; with `per` SCOPE positions net over the accounts, and it is for the instrument in
    all of them.
    """

    name: ClassVar[str] = "position_monitor"
    title: ClassVar[str] = "Position larger than the limit"
    Params: ClassVar[type[msgspec.Struct]] = PositionLimit
    default_action: ClassVar[Action] = Action.REDUCE_ONLY
    source: ClassVar[str] = "FIA 2024 1.2 and post-trade credit; RTS 6 Art. 17(2)"

    def __init__(self, params: PositionLimit, scope: Scope) -> None:
        self.per = params.per
        self.scope = scope
        self.quantities = quantity_limits(params)
        self.values = value_limits(params)

    def watch(self, view: RuleView, state: Any) -> tuple[Trigger, ...]:
        """A trigger for each account and instrument, or for each instrument, that is beyond a limit."""
        found: list[Trigger] = []
        for part in parts(self.per, self.scope, view):
            for instrument_id, held in _held(view, part).items():
                trigger = self._beyond(view, part, instrument_id, held)
                if trigger is not None:
                    found.append(trigger)
        return tuple(found)

    def usage(self, view: RuleView, state: Any) -> Iterator[Usage]:
        """Every position, in quantity and in value."""
        for part in parts(self.per, self.scope, view):
            currency = view.base_currency(part)
            for instrument_id, held in _held(view, part).items():
                side = Side.BUY if held > ZERO else Side.SELL
                word, size = DIRECTION[side], held.copy_abs()
                yield from used(size, self.quantities[side], "units", part, word, instrument_id)
                unit = unit_value_of(view, instrument_id, currency) if currency is not None else None
                if currency is not None and isinstance(unit, Decimal):
                    value = multiply(size, unit)
                    yield from used(value, self.values[side], currency, part, f"{word} value", instrument_id)

    def _beyond(self, view: RuleView, part: Scope, instrument_id: InstrumentId, held: Decimal) -> Trigger | None:
        side = Side.BUY if held > ZERO else Side.SELL
        most, dearest = self.quantities[side], self.values[side]
        size = held.copy_abs()
        instrument = view.instrument(instrument_id)
        text = f"a {DIRECTION[side]} position in {instrument.symbol if instrument is not None else instrument_id} of"
        key = f"{part.account_id or ''}:{instrument_id}"
        scope = Scope(account_id=part.account_id, strategy_id=part.strategy_id, instrument_id=instrument_id)
        if most is not None and size > most:
            return above(self.name, text, size, most, "units", key, scope)
        currency = view.base_currency(part) if dearest is not None else None
        if dearest is None or currency is None:
            return None
        unit = unit_value_of(view, instrument_id, currency)
        if isinstance(unit, Missing) or multiply(size, unit) <= dearest:
            return None
        return above(self.name, text, multiply(size, unit), dearest, currency, key, scope)


def _held(view: RuleView, part: Scope) -> dict[InstrumentId, Decimal]:
    """The signed quantity of each instrument that the part holds, summed over its accounts."""
    book = book_of(part)
    sums: dict[InstrumentId, Decimal] = {}
    for account_id, instrument_id in view.holdings(part):
        position = view.position(account_id, instrument_id, book)
        if position is not None and position.quantity:
            sums[instrument_id] = add(sums.get(instrument_id, ZERO), position.quantity)
    return {instrument_id: held for instrument_id, held in sums.items() if held}
