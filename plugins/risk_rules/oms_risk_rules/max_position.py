"""An order in, DENY out when the position could become larger than the limit if everything open were filled."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView, Usage
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.ids import InstrumentId
from oms_kernel.domain.money import ONE, ZERO, add, multiply, subtract
from oms_kernel.domain.order import Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_risk_rules.measuring import Per, accounts_of, book_of, measured, parts
from oms_risk_rules.reach import adds_no_quantity, on_side
from oms_risk_rules.room import at_most, kept, overstepped
from oms_risk_rules.used import instruments_of, used
from oms_risk_rules.valuation import MIXED_CURRENCIES, Missing, unit_value, unit_value_of


class PositionLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits for one instrument's position; at least one is given."""

    max_quantity: (
        Annotated[Decimal, described("Largest position in one instrument, long or short", "shares or contracts", gt=0)]
        | None
    ) = None
    max_long: (
        Annotated[
            Decimal, described("Largest long position, in place of max_quantity; 0: none", "shares or contracts", ge=0)
        ]
        | None
    ) = None
    max_short: (
        Annotated[
            Decimal, described("Largest short position, in place of max_quantity; 0: none", "shares or contracts", ge=0)
        ]
        | None
    ) = None
    max_notional: (
        Annotated[Decimal, described("Largest value of the position at its mark, long or short", "base currency", gt=0)]
        | None
    ) = None
    max_long_notional: (
        Annotated[
            Decimal, described("Largest value of a long position, in place of max_notional", "base currency", ge=0)
        ]
        | None
    ) = None
    max_short_notional: (
        Annotated[
            Decimal, described("Largest value of a short position, in place of max_notional", "base currency", ge=0)
        ]
        | None
    ) = None
    per: Annotated[
        Per, described("Whether each account is measured by itself, or all accounts of the scope together")
    ] = Per.ACCOUNT

    def __post_init__(self) -> None:
        """Raises ValueError when no limit is given."""
        if all(getattr(self, name) is None for name in _LIMITS):
            raise ValueError(f"at least one of {', '.join(_LIMITS)} is needed")


_LIMITS = ("max_quantity", "max_long", "max_short", "max_notional", "max_long_notional", "max_short_notional")
DIRECTION = {Side.BUY: "long", Side.SELL: "short"}
"""The position that an order of a side adds to."""


def quantity_limits(params: PositionLimit) -> dict[Side, Decimal | None]:
    """The largest quantity of a long (BUY) and of a short position (SELL); None: any."""
    return {
        Side.BUY: params.max_quantity if params.max_long is None else params.max_long,
        Side.SELL: params.max_quantity if params.max_short is None else params.max_short,
    }


def value_limits(params: PositionLimit) -> dict[Side, Decimal | None]:
    """The largest value of a long (BUY) and of a short position (SELL) in the base currency; None: any."""
    return {
        Side.BUY: params.max_notional if params.max_long_notional is None else params.max_long_notional,
        Side.SELL: params.max_notional if params.max_short_notional is None else params.max_short_notional,
    }


class MaxPosition:
    """Denies an order with which the worst case of its side is larger than the limit, in quantity or in value.

    Worst case of a BUY: position + every open BUY, held and doubtful ones in full, + this order, and no SELL filled;
    of a SELL the mirror image. An order is judged on its own side only: what reduces a position that is already too
    large passes. A modification that adds nothing passes. A limit of a strategy measures the strategy's own book. A
    limit of several accounts measures each account by itself, or with `per` SCOPE the sum of their worst cases: a
    long position of one account then makes room for a short one of another, as positions net. The value is the worst
    case at the mark (mid, else last, of a fresh quote): `no_quote` and `no_fx_rate` say what is missing.
    """

    name: ClassVar[str] = "max_position"
    title: ClassVar[str] = "Largest position in one instrument"
    Params: ClassVar[type[msgspec.Struct]] = PositionLimit
    rank: ClassVar[int] = 50
    takes_scope: ClassVar[bool] = True
    source: ClassVar[str] = "FIA 2024 1.2 maximum intraday position; RTS 6 Art. 15(4)"

    def __init__(self, params: PositionLimit, scope: Scope = EVERYTHING) -> None:
        self.scope = scope
        self.per = params.per
        self.quantities = quantity_limits(params)
        self.values = value_limits(params)
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at the limits; observed is the worst case, in value where that is limited too."""
        if adds_no_quantity(intent):
            return self.passed
        side = intent.request.side
        most, dearest = self.quantities[side], self.values[side]
        if most is None and dearest is None:
            return self.passed
        before = self._before(intent, view)
        quantity = intent.open_quantity
        after = add(before, quantity)
        verdict = self.passed
        if most is not None:
            inputs = {"position_and_open": before, "order": quantity}
            if after > most:
                text = f"the worst case of a {DIRECTION[side]} position of"
                room = at_most(intent, subtract(most, before), ONE)
                return overstepped(self.name, text, after, most, "units", inputs, room)
            verdict = kept(self.name, after, most, "units", inputs)
        return verdict if dearest is None else self._value(intent, view, before, after, dearest)

    def usage(self, view: RuleView, state: Any) -> Iterator[Usage]:
        """The worst case of each side of every instrument that is held or has open orders, in quantity and value."""
        for part in parts(self.per, self.scope, view):
            currency = view.base_currency(part)
            for instrument_id in instruments_of(view, part):
                unit = unit_value_of(view, instrument_id, currency) if currency is not None else MIXED_CURRENCIES
                for side, word in DIRECTION.items():
                    size = self._worst(view, part, instrument_id, side)
                    yield from used(size, self.quantities[side], "units", part, word, instrument_id)
                    if currency is not None and not isinstance(unit, Missing):
                        value = multiply(size, unit)
                        yield from used(value, self.values[side], currency, part, f"{word} value", instrument_id)

    def _before(self, intent: OrderIntent, view: RuleView) -> Decimal:
        """The worst case of the order's side without the order; negative while the other side outweighs it."""
        request = intent.request
        if self.per is Per.ACCOUNT:
            reach = view.worst_case(request.account_id, request.instrument_id, book_of(self.scope))
            return on_side(reach, request.side)
        return self._worst(view, self.scope, request.instrument_id, request.side)

    def _worst(self, view: RuleView, part: Scope, instrument_id: InstrumentId, side: Side) -> Decimal:
        total, book = ZERO, book_of(part)
        for account_id in accounts_of(part, view):
            total = add(total, on_side(view.worst_case(account_id, instrument_id, book), side))
        return total

    def _value(self, intent: OrderIntent, view: RuleView, before: Decimal, after: Decimal, limit: Decimal) -> Verdict:
        scope = measured(self.per, self.scope, intent.request.account_id)
        currency = view.base_currency(scope)
        if currency is None:
            return MIXED_CURRENCIES.denies(self.name)
        unit = unit_value(view, intent.instrument, currency)
        if isinstance(unit, Missing):
            return unit.denies(self.name)
        value = multiply(after, unit)
        inputs = {"position_and_open": before, "order": intent.open_quantity}
        if value <= limit:
            return kept(self.name, value, limit, currency, inputs)
        text = f"the worst case of a {DIRECTION[intent.request.side]} position worth"
        room = at_most(intent, subtract(limit, multiply(before, unit)), unit)
        return overstepped(self.name, text, value, limit, currency, inputs, room)
