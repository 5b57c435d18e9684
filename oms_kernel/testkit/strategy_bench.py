"""A strategy and quotes in, its actions and its position out: orders are filled at once at the opposite quote."""

import random
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from oms_kernel.contracts.strategy import (
    Action,
    OrderUpdate,
    StrategyCancel,
    StrategyContext,
    StrategyLog,
    StrategyOrder,
)
from oms_kernel.domain.ids import OrderId, StrategyId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.lifecycle import OrderState
from oms_kernel.domain.market import Quote
from oms_kernel.domain.money import ZERO, add
from oms_kernel.domain.order import Side
from oms_kernel.testkit.builders import ACCOUNT_ID, NOON, a_quote, a_uuid, an_instrument

STRATEGY_ID = StrategyId(a_uuid("strategy"))


class StrategyBench:
    """Runs one strategy over given quotes.

    actions: all that it returned, in order. fate: what becomes of each order: FILLED at the opposite quote, or
    DENIED, REJECTED and so on with the quantity untouched.
    """

    def __init__(
        self,
        strategy: Any,
        instruments: Iterable[Instrument] | None = None,
        *,
        fate: OrderState = OrderState.FILLED,
    ) -> None:
        self.strategy = strategy
        listed = instruments if instruments is not None else map(an_instrument, strategy.symbols)
        self.instruments = {instrument.symbol: instrument for instrument in listed}
        self.fate = fate
        self.positions: dict[str, Decimal] = {}
        self.actions: list[Action] = []
        self.now: datetime = NOON
        self._orders = 0

    @property
    def orders(self) -> list[StrategyOrder]:
        """The orders among the actions."""
        return [action for action in self.actions if isinstance(action, StrategyOrder)]

    @property
    def log(self) -> list[str]:
        """The log lines among the actions."""
        return [action.text for action in self.actions if isinstance(action, StrategyLog)]

    @property
    def cancels(self) -> list[StrategyCancel]:
        """The cancels among the actions."""
        return [action for action in self.actions if isinstance(action, StrategyCancel)]

    def context(self) -> StrategyContext:
        """What the strategy is told now."""
        return StrategyContext(
            strategy_id=STRATEGY_ID,
            account_id=ACCOUNT_ID,
            now=self.now,
            instruments=dict(self.instruments),
            positions=dict(self.positions),
        )

    def start(self) -> "StrategyBench":
        """Call on_start."""
        self._take(self.strategy.on_start(self.context()), None)
        return self

    def stop(self) -> "StrategyBench":
        """Call on_stop."""
        self._take(self.strategy.on_stop(self.context()), None)
        return self

    def feed(self, *quotes: Quote) -> "StrategyBench":
        """Call on_quote for each quote, and on_order for what became of its orders."""
        symbols = {instrument.instrument_id: symbol for symbol, instrument in self.instruments.items()}
        for quote in quotes:
            self.now = max(self.now, quote.received_at)
            actions = self.strategy.on_quote(quote, symbols[quote.instrument_id], self.context())
            self._take(actions, quote)
        return self

    def prices(self, *prices: Decimal | int | str, symbol: str | None = None) -> "StrategyBench":
        """Feed quotes one second apart, a cent around each mid price."""
        instrument = self.instruments[symbol or next(iter(self.instruments))]
        for price in prices:
            mid = Decimal(price)
            at = self.now + timedelta(seconds=1)
            self.feed(a_quote(instrument, mid - Decimal("0.01"), mid + Decimal("0.01"), at=at))
        return self

    def update(self, order: StrategyOrder, state: OrderState, **fields: Any) -> OrderUpdate:
        """What the strategy would be told of an order in this state."""
        return OrderUpdate(
            **{
                "order_id": OrderId(a_uuid(f"strategy order {self._orders}")),
                "symbol": order.symbol,
                "side": order.side,
                "state": state,
                "quantity": order.quantity,
                "filled_quantity": ZERO,
                "client_order_id": order.client_order_id,
                **fields,
            }
        )

    def _take(self, actions: list[Action], quote: Quote | None) -> None:
        self.actions.extend(actions)
        for action in actions:
            if not isinstance(action, StrategyOrder):
                continue
            self._orders += 1
            self._tell(self.update(action, OrderState.ROUTED))
            price = quote.opposite(action.side) if quote is not None else None
            if self.fate is not OrderState.FILLED or price is None:
                fate = self.fate if self.fate is not OrderState.FILLED else OrderState.EXPIRED
                self._tell(self.update(action, fate, reason="so it was"))
                continue
            signed = action.quantity if action.side is Side.BUY else action.quantity.copy_negate()
            self.positions[action.symbol] = add(self.positions.get(action.symbol, ZERO), signed)
            filled = {
                "filled_quantity": action.quantity,
                "last_quantity": action.quantity,
                "last_price": price,
            }
            self._tell(self.update(action, OrderState.FILLED, **filled))

    def _tell(self, update: OrderUpdate) -> None:
        self._take(self.strategy.on_order(update, self.context()), None)


def a_walk(instrument: Instrument, length: int = 300, *, seed: int = 7) -> list[Quote]:
    """A seeded walk of two-sided quotes around 100, one second apart, on the instrument's ticks."""
    steps = random.Random(seed)
    mid, quotes = 10_000, []
    for second in range(length):
        mid = max(100, mid + steps.randint(-30, 30))
        bid, ask = mid * instrument.tick_size, (mid + 2) * instrument.tick_size
        quotes.append(a_quote(instrument, bid, ask, at=NOON + timedelta(seconds=second + 1)))
    return quotes
