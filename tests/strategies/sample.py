"""Small strategies that tests run in processes of their own."""

from __future__ import annotations

import os
import signal
import time
from decimal import Decimal
from pathlib import Path
from typing import ClassVar

import msgspec

from oms_kernel.contracts.strategy import (
    Action,
    OrderUpdate,
    StrategyBase,
    StrategyCancel,
    StrategyContext,
    StrategyLog,
    StrategyOrder,
)
from oms_kernel.domain.lifecycle import OrderState
from oms_kernel.domain.market import Quote
from oms_kernel.domain.order import OrderType, Side


class ChainParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many orders, and after which update the process dies once; `scratch` remembers that it did."""

    orders: int
    die_at: int = 0
    scratch: str = ""
    prefix: str = "a"


def limit_order(price: str = "1.00", side: Side = Side.BUY) -> StrategyOrder:
    """An order far from the market."""
    return StrategyOrder(
        symbol="SPY", side=side, quantity=Decimal(1), order_type=OrderType.LIMIT, limit_price=Decimal(price)
    )


class Chain(StrategyBase):
    """One order at the start, and another for each accepted one, until there are so many."""

    name: ClassVar[str] = "chain"
    title: ClassVar[str] = "A chain of orders"
    Params: ClassVar[type[msgspec.Struct]] = ChainParams

    def __init__(self, params: ChainParams) -> None:
        self.params = params

    def on_start(self, context: StrategyContext) -> list[Action]:
        return [limit_order("1.00"), StrategyLog("started")]

    def on_order(self, update: OrderUpdate, context: StrategyContext) -> list[Action]:
        marker = Path(self.params.scratch) if self.params.scratch else None
        number = int((update.client_order_id or "x1")[1:])
        if marker is not None and number == self.params.die_at and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if number >= self.params.orders:
            return [StrategyLog("done")]
        order = limit_order(f"1.{number:02d}")
        return [msgspec.structs.replace(order, client_order_id=f"{self.params.prefix}{number + 1}")]


class QuoteBuyer(StrategyBase):
    """Sends an order that nobody may place and a right one at the first quote; cancels the right one when stopped."""

    name: ClassVar[str] = "quote_buyer"
    title: ClassVar[str] = "Buys at a quote"
    Params: ClassVar[type[msgspec.Struct]] = msgspec.defstruct("NoParams", [], frozen=True, forbid_unknown_fields=True)
    symbols = ("SPY",)

    def __init__(self, params: msgspec.Struct) -> None:
        self.order_id = None
        self.quotes = 0

    def on_quote(self, quote: Quote, symbol: str, context: StrategyContext) -> list[Action]:
        self.quotes += 1
        if self.quotes > 1:
            return []
        wrong = msgspec.structs.replace(limit_order(), symbol="NOSUCH")
        return [StrategyLog(f"{symbol} {quote.bid}"), wrong, limit_order("2.00")]

    def on_order(self, update: OrderUpdate, context: StrategyContext) -> list[Action]:
        if update.state is OrderState.NEW:
            self.order_id = update.order_id
        return [StrategyLog(f"{update.symbol} {update.state}")]

    def on_stop(self, context: StrategyContext) -> list[Action]:
        cancels: list[Action] = [StrategyCancel(order_id=self.order_id)] if self.order_id else []
        return [StrategyLog("stopped"), *cancels]


class Broken(StrategyBase):
    """Raises at its start."""

    name: ClassVar[str] = "broken"
    title: ClassVar[str] = "Raises"
    Params: ClassVar[type[msgspec.Struct]] = msgspec.defstruct("NoParams", [], frozen=True, forbid_unknown_fields=True)

    def __init__(self, params: msgspec.Struct) -> None:
        pass

    def on_start(self, context: StrategyContext) -> list[Action]:
        raise ValueError("no such luck")


class Sleepy(StrategyBase):
    """Never returns from its start."""

    name: ClassVar[str] = "sleepy"
    title: ClassVar[str] = "Hangs"
    Params: ClassVar[type[msgspec.Struct]] = msgspec.defstruct("NoParams", [], frozen=True, forbid_unknown_fields=True)

    def __init__(self, params: msgspec.Struct) -> None:
        pass

    def on_start(self, context: StrategyContext) -> list[Action]:
        time.sleep(600)
        return []


class MuteParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether it raises when it hears of its order, or never answers."""

    raises: bool = False


class Mute(StrategyBase):
    """One order at the start; of what becomes of it, it cannot hear."""

    name: ClassVar[str] = "mute"
    title: ClassVar[str] = "Falls silent"
    Params: ClassVar[type[msgspec.Struct]] = MuteParams

    def __init__(self, params: MuteParams) -> None:
        self.params = params

    def on_start(self, context: StrategyContext) -> list[Action]:
        return [limit_order("1.00"), StrategyLog("started")]

    def on_order(self, update: OrderUpdate, context: StrategyContext) -> list[Action]:
        if self.params.raises:
            raise ValueError("no ear for that")
        time.sleep(600)
        return []
