"""Quotes in, orders towards a long or short target out whenever a fast average of mid prices crosses a slow one."""

from collections import deque
from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.strategy import (
    Action,
    OrderUpdate,
    StrategyBase,
    StrategyContext,
    StrategyLog,
    StrategyOrder,
)
from oms_kernel.domain.lifecycle import OrderState
from oms_kernel.domain.market import Quote
from oms_kernel.domain.money import ZERO, add, multiply, subtract, to_text
from oms_kernel.domain.order import Side

ENDED = frozenset({OrderState.FILLED, OrderState.CANCELED, OrderState.REJECTED, OrderState.EXPIRED, OrderState.DENIED})
REFUSED = frozenset({OrderState.REJECTED, OrderState.DENIED})


class CrossParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to trade, and the two averages."""

    symbol: Annotated[str, described("Symbol to trade")]
    quantity: Annotated[Decimal, described("Target position, long or short", "units", gt=0)]
    fast: Annotated[int, described("Quotes in the fast average", "quotes", ge=1)] = 20
    slow: Annotated[int, described("Quotes in the slow average; more than in the fast one", "quotes", ge=2)] = 60
    long_only: Annotated[bool, described("Be flat instead of short")] = False

    def __post_init__(self) -> None:
        if self.fast >= self.slow:
            raise ValueError("slow must be greater than fast")


class MovingAverageCross(StrategyBase):
    """Holds +quantity while the fast average is above the slow one, and -quantity (or nothing) while it is below.

    Averages are compared exactly, as sums of the mid prices of the latest two-sided quotes. One order at a time goes
    out; a refused one is not tried again before the next crossing. After a restart the averages are filled anew.
    """

    name: ClassVar[str] = "moving_average_cross"
    title: ClassVar[str] = "Follow a fast average over a slow one"
    Params: ClassVar[type[msgspec.Struct]] = CrossParams

    def __init__(self, params: CrossParams) -> None:
        self.params = params
        self.symbols = (params.symbol,)
        self.mids: deque[Decimal] = deque(maxlen=params.slow)
        self.fast_sum = ZERO
        self.slow_sum = ZERO
        self.in_flight = False
        self.refused_target: Decimal | None = None

    def on_quote(self, quote: Quote, symbol: str, context: StrategyContext) -> list[Action]:
        """An order that brings the position to its target, if none is under way."""
        mid = quote.mid()
        if mid is None:
            return []
        self._remember(mid)
        target = self._target()
        if target is None or self.in_flight:
            return []
        if target == self.refused_target:
            return []
        self.refused_target = None
        change = subtract(target, context.position(symbol))
        if not change:
            return []
        self.in_flight = True
        side = Side.BUY if change > 0 else Side.SELL
        return [
            StrategyLog(f"crossed at {to_text(mid)}: target {to_text(target)}, {side.value} {to_text(abs(change))}"),
            StrategyOrder(symbol=symbol, side=side, quantity=abs(change)),
        ]

    def on_order(self, update: OrderUpdate, context: StrategyContext) -> list[Action]:
        """Notes that the order under way ended; a refusal is logged."""
        if update.state not in ENDED:
            return []
        self.in_flight = False
        if update.state not in REFUSED:
            return []
        self.refused_target = self._target()
        return [StrategyLog(f"{update.state.value}: {update.reason or 'no reason given'}")]

    def _remember(self, mid: Decimal) -> None:
        if len(self.mids) == self.params.slow:
            self.slow_sum = subtract(self.slow_sum, self.mids[0])
        if len(self.mids) >= self.params.fast:
            self.fast_sum = subtract(self.fast_sum, self.mids[-self.params.fast])
        self.mids.append(mid)
        self.fast_sum = add(self.fast_sum, mid)
        self.slow_sum = add(self.slow_sum, mid)

    def _target(self) -> Decimal | None:
        """The position to hold; None before the slow average is filled or while both are equal."""
        if len(self.mids) < self.params.slow:
            return None
        fast = multiply(self.fast_sum, Decimal(self.params.slow))
        slow = multiply(self.slow_sum, Decimal(self.params.fast))
        if fast == slow:
            return None
        if fast > slow:
            return self.params.quantity
        return ZERO if self.params.long_only else self.params.quantity.copy_negate()
