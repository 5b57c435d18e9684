"""Quotes in, one small order for every so many of them out: to see the whole path move."""

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
from oms_kernel.domain.market import Quote
from oms_kernel.domain.money import to_text
from oms_kernel.domain.order import Side


class EchoParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to trade and how often."""

    symbol: Annotated[str, described("Symbol to trade")]
    quantity: Annotated[Decimal, described("Quantity of each order", "units", gt=0)] = Decimal(1)
    every: Annotated[int, described("One order for this many quotes", "quotes", ge=1)] = 10
    max_orders: Annotated[int, described("Orders in one run; 0 for no end", "orders", ge=0)] = 0


class Echo(StrategyBase):
    """Buys and sells in turn, a MARKET order for every `every` quotes, and logs what became of each."""

    name: ClassVar[str] = "echo"
    title: ClassVar[str] = "One small order for every so many quotes"
    Params: ClassVar[type[msgspec.Struct]] = EchoParams

    def __init__(self, params: EchoParams) -> None:
        self.params = params
        self.symbols = (params.symbol,)
        self.quotes = 0
        self.orders = 0

    def on_start(self, context: StrategyContext) -> list[Action]:
        """A line in the log."""
        return [StrategyLog(f"echo of {self.params.symbol}: one order for {self.params.every} quotes")]

    def on_quote(self, quote: Quote, symbol: str, context: StrategyContext) -> list[Action]:
        """An order after every `every` quotes."""
        self.quotes += 1
        done = self.params.max_orders and self.orders >= self.params.max_orders
        if self.quotes % self.params.every or done:
            return []
        self.orders += 1
        side = Side.BUY if context.position(symbol) <= 0 else Side.SELL
        return [
            StrategyLog(f"quote {self.quotes}: {side.value} {to_text(self.params.quantity)} {symbol}"),
            StrategyOrder(symbol=symbol, side=side, quantity=self.params.quantity),
        ]

    def on_order(self, update: OrderUpdate, context: StrategyContext) -> list[Action]:
        """A line in the log."""
        return [StrategyLog(f"{update.side.value} {to_text(update.quantity)} {update.symbol}: {update.state.value}")]
