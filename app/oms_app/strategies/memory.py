"""What a strategy's orders and positions are, folded from the events of its own orders and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from oms_kernel.contracts.strategy import OrderUpdate
from oms_kernel.domain.book import Book
from oms_kernel.domain.events import OrderAccepted, OrderDenied, OrderFilled, Recorded
from oms_kernel.domain.ids import AccountId, OrderId, StrategyId


class OwnOrders:
    """The strategy's part of a ledger: a Book in which only its own orders exist."""

    def __init__(self, strategy_id: StrategyId, account_id: AccountId) -> None:
        self._strategy_id = strategy_id
        self._account_id = account_id
        self._book = Book()
        self._symbols: dict[str, str] = {}

    def fold(self, events: Iterable[Recorded]) -> None:
        """Take over what happened before."""
        for recorded in events:
            self.update(recorded)

    def update(self, recorded: Recorded) -> OrderUpdate | None:
        """What the event means to the strategy, or None when it is not about one of its orders."""
        event = recorded.event
        if isinstance(event, OrderAccepted | OrderDenied):
            if event.request.strategy_id != self._strategy_id:
                return None
            self._symbols[event.request.instrument_id] = event.symbol
        elif recorded.order_id is None or recorded.order_id not in self._book.orders:
            return None
        self._book.seq = recorded.seq - 1  # the events of others in between do not exist here
        self._book.apply(recorded)
        order = self._book.orders[OrderId(str(recorded.order_id))]
        fill = event.fill if isinstance(event, OrderFilled) else None
        return OrderUpdate(
            order_id=order.order_id,
            symbol=order.symbol,
            side=order.request.side,
            state=order.state,
            quantity=order.quantity,
            filled_quantity=order.filled_quantity,
            client_order_id=order.request.client_order_id,
            last_quantity=fill.quantity if fill else None,
            last_price=fill.price if fill else None,
            reason=order.reason,
        )

    def owns(self, order_id: OrderId) -> bool:
        """Whether the order is the strategy's."""
        return order_id in self._book.orders

    def positions(self) -> dict[str, Decimal]:
        """Signed quantities by symbol, without flat ones."""
        found = {}
        for instrument_id, symbol in self._symbols.items():
            position = self._book.positions.get((self._account_id, self._strategy_id, instrument_id))  # type: ignore[arg-type]
            if position is not None and position.quantity:
                found[symbol] = position.quantity
        return found
