"""A trading tenant with a broker that answers when told, kill switches and liquidations: for the stories about them."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from oms_app.flow import booking, submission
from oms_app.flow.kill_switch import Activated, Asked, KillSwitches
from oms_app.flow.liquidation import Liquidations
from oms_app.flow.principal import Principal
from oms_kernel.contracts import broker as br
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.events import AlertRaised, Recorded
from oms_kernel.domain.ids import ExecId, StrategyId, wire_id
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.order import NET_BOOK, Order, Side
from oms_kernel.domain.scope import Scope
from oms_kernel.testkit.builders import ACCOUNT_ID, BROKER_ACCOUNT_ID, a_uuid
from tests.flow.trading import CAPABILITIES, CONNECTION, LEDGER, TENANT, Trading

STRATEGY = StrategyId(a_uuid("strategy"))
OFFICER = Principal("user:officer", TENANT, frozenset())
SECOND = Principal("user:second", TENANT, frozenset())


class Stopping(Trading):
    """`stopping.halt()` throws a switch of the tenant; `send()` is one turn of the session, `fills()` the broker's."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.capabilities = CAPABILITIES
        self.capabilities_of = CAPABILITIES
        self.elapsed = 0.0
        super().__init__(*args, **options)

    def _wire(self, desk: Any) -> None:
        desk.capabilities = lambda broker: self.capabilities_of
        super()._wire(desk)
        directory = self.intake._directory
        self.liquidations = Liquidations(desk, directory, lambda: self.elapsed)
        self.switches = KillSwitches(desk, directory, lambda: self.elapsed, begin_closing=self.liquidations.advance)

    def throw(self, state: TradingState = TradingState.HALTED, scope: Scope = Scope(), **options: Any) -> Activated:  # noqa: B008
        """A switch of the tenant, or of another scope."""
        asked = Asked(scope=scope, trading_state=state, reason_code="test", **options)
        return self.switches.activate(OFFICER, asked)

    def send(self) -> list[br.Intent]:
        """What goes out now."""

        def take(turn: Any) -> list[br.Intent]:
            def prepare(command: br.Command) -> br.WireIdentity:
                return br.WireIdentity(wire_id(command.order_id, command.attempt, 28))

            return submission.next_intents(turn, CONNECTION, 1, self.capabilities, prepare)

        found: list[br.Intent] = self.in_turn(take)
        return found

    def working(self, *orders: Order) -> None:
        """The broker acknowledges these orders, which are sent first if need be."""
        self.send()
        for order in orders:
            self.hears(br.Acknowledged(**self._named(order)))

    def fills(self, order: Order, quantity: int | str, price: str = "100") -> None:
        """The broker fills a part of the order."""
        executed: dict[str, Any] = {
            "exec_id": ExecId(f"E{next(self._counter)}"),
            "instrument_id": order.request.instrument_id,
            "side": order.request.side,
            "quantity": Decimal(quantity),
            "fee": Decimal(0),
        }
        self.hears(br.Filled(price=Decimal(price), **executed, **self._named(order)))

    def cancelled(self, *orders: Order) -> None:
        """The broker confirms that these orders are cancelled."""
        for order in orders:
            self.hears(br.Canceled(**self._named(order)))

    def rejected(self, order: Order) -> None:
        """The broker refuses the order."""
        self.hears(br.Rejected(reason="not today", **self._named(order)))

    def hears(self, *reports: Any) -> None:
        """Book what the broker says."""
        self.in_turn(lambda turn: booking.book(turn, CONNECTION, reports))

    def holds(self, quantity: int, strategy_id: StrategyId | None = None) -> None:
        """Come to hold so much more, by an order that is filled."""
        side = Side.BUY if quantity > 0 else Side.SELL
        order = self.place(side, abs(quantity), strategy_id=strategy_id)
        self.working(order)
        self.fills(order, abs(quantity))

    def held(self, book: str = NET_BOOK) -> Decimal:
        """The signed quantity of the account, or of a sub-book."""
        position = self.in_turn(lambda turn: turn.batch.book.position(ACCOUNT_ID, self.instrument.instrument_id, book))
        return position.quantity if position is not None else Decimal(0)

    def closing(self) -> list[Order]:
        """The orders of liquidations that may still trade."""
        found: list[Order] = self.in_turn(
            lambda turn: [one for one in turn.batch.book.open_order_list() if one.request.liquidation_id is not None]
        )
        return found

    def step(self) -> Any:
        """One step of every liquidation, as a worker makes it."""
        return self.liquidations.advance(TENANT, LEDGER)

    def alerts(self, source: str) -> list[AlertRaised]:
        """What people were told."""
        return [one.event for one in self.log() if isinstance(one.event, AlertRaised) and one.event.source == source]

    def log(self) -> Sequence[Recorded]:
        """Every event of the ledger."""
        return self.store.events(TENANT, LEDGER, 0, 10_000)

    def sent_places(self) -> list[br.Intent]:
        """The new orders that go out now."""
        return [intent for intent in self.send() if intent.command.kind is RequestKind.PLACE]

    def _named(self, order: Order) -> dict[str, Any]:
        return {
            "broker_account_id": BROKER_ACCOUNT_ID,
            "broker_at": self.now,
            "wire_id": wire_id(order.order_id, 0, 28),
        }
