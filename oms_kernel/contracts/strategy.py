"""The contract of a strategy: callbacks in, orders and cancels out; the host commits both with the cursor."""

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Protocol

import msgspec

from oms_kernel.domain.ids import AccountId, ClientOrderId, OrderId, StrategyId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.lifecycle import OrderState
from oms_kernel.domain.market import Quote
from oms_kernel.domain.money import ZERO
from oms_kernel.domain.order import OrderType, Side, TimeInForce


class StrategyOrder(msgspec.Struct, frozen=True, omit_defaults=True, tag="place", tag_field="action"):
    """An order that the strategy wants. It passes the same checks as any other."""

    symbol: str
    side: Side
    quantity: Decimal
    order_type: OrderType = OrderType.MARKET
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    client_order_id: ClientOrderId | None = None


class StrategyCancel(msgspec.Struct, frozen=True, tag="cancel", tag_field="action"):
    """A cancel of one of the strategy's own orders."""

    order_id: OrderId


class StrategyLog(msgspec.Struct, frozen=True, tag="log", tag_field="action"):
    """A line for the run's log."""

    text: str


Action = StrategyOrder | StrategyCancel | StrategyLog


class OrderUpdate(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one of the strategy's own orders. `last_*` are set when the update is a fill."""

    order_id: OrderId
    symbol: str
    side: Side
    state: OrderState
    quantity: Decimal
    filled_quantity: Decimal
    client_order_id: ClientOrderId | None = None
    last_quantity: Decimal | None = None
    last_price: Decimal | None = None
    reason: str | None = None


class StrategyContext(msgspec.Struct, frozen=True):
    """What a strategy knows besides the callback's argument. `positions` are signed quantities of its own sub-book."""

    strategy_id: StrategyId
    account_id: AccountId
    now: datetime
    instruments: dict[str, Instrument]
    positions: dict[str, Decimal] = {}

    def position(self, symbol: str) -> Decimal:
        """The signed quantity that this strategy holds."""
        return self.positions.get(symbol, ZERO)


class Strategy(Protocol):
    """A trading strategy. One instance lives in a process of its own, is called from one thread, one call at a time.

    State kept in `self` is lost when the run is restarted; rebuild it from callbacks or keep it small.
    A callback returns its actions; the host commits orders and the event cursor together, so that a restart neither
    loses nor repeats an order. Quotes are not replayed after a restart; order updates are, from the cursor on.
    On failure: an exception ends the process; it is started again with backoff, and after 5 in a row the run is ERROR.
    symbols: what the strategy wants quotes of.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    Params: ClassVar[type[msgspec.Struct]]
    symbols: tuple[str, ...]

    def __init__(self, params: Any) -> None:
        """Keep the parameters; set `symbols`."""

    def on_start(self, context: StrategyContext) -> list[Action]:
        """Called once before anything else."""

    def on_quote(self, quote: Quote, symbol: str, context: StrategyContext) -> list[Action]:
        """A new quote of one of `symbols`; between two calls older quotes may be skipped."""

    def on_order(self, update: OrderUpdate, context: StrategyContext) -> list[Action]:
        """One of the strategy's orders changed."""

    def on_stop(self, context: StrategyContext) -> list[Action]:
        """Called when the run is stopped by a person; the actions are still carried out."""


class StrategyBase:
    """A convenience: callbacks that do nothing, for strategies that need only some of them."""

    symbols: tuple[str, ...] = ()

    def on_start(self, context: StrategyContext) -> list[Action]:
        """Nothing."""
        return []

    def on_quote(self, quote: Quote, symbol: str, context: StrategyContext) -> list[Action]:
        """Nothing."""
        return []

    def on_order(self, update: OrderUpdate, context: StrategyContext) -> list[Action]:
        """Nothing."""
        return []

    def on_stop(self, context: StrategyContext) -> list[Action]:
        """Nothing."""
        return []
