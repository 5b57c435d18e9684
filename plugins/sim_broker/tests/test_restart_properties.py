"""Whatever was done, a broker that starts again from its ledger trades on as if it had never stopped."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from oms_kernel.contracts.broker import Filled
from oms_kernel.domain.ids import BrokerOrderId, WireId
from oms_kernel.domain.money import ZERO
from oms_kernel.domain.order import OrderType, Side, TimeInForce
from oms_kernel.simulation.fees import FeeSettings
from oms_kernel.simulation.orders import NewOrder, NewTerms
from oms_kernel.testkit.builders import NOON, a_quote
from oms_sim_broker.ledger import MemoryLedger
from oms_sim_broker.protocol import Cancel, Place, Replace
from oms_sim_broker.testing import ACCOUNT, ACME, CASH, a_config
from oms_sim_broker.venue import SimVenue

CONFIG = a_config(fees=FeeSettings(kind="per_unit", amount=Decimal("0.003")))
prices = st.integers(-5, 5).map(lambda ticks: 100 + ticks * Decimal("0.01"))
quantities = st.integers(1, 30)
sides = st.sampled_from(list(Side))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("quote"), prices, prices, st.sampled_from([5, 20, 50]), st.booleans()),
        st.tuples(st.just("order"), sides, quantities, st.none() | prices, st.sampled_from(["DAY", "GTC", "IOC"])),
        st.tuples(st.just("trail"), sides, quantities, st.integers(1, 5)),
        st.tuples(st.just("stop"), sides, quantities, prices),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("replace"), st.integers(0, 30), quantities, prices),
    ),
    max_size=30,
)


class Life:
    """A broker that is started again before the quotes that say so, if it is to be."""

    def __init__(self, *, restarts: bool) -> None:
        self.restarts = restarts
        self.ledger = MemoryLedger()
        self.at = NOON
        self.placed: list[NewOrder] = []
        self.start()

    def start(self) -> None:
        """Start from the ledger."""
        self.venue = SimVenue(CONFIG, self.ledger, lambda: NOON, "TEST")

    def play(self, step: tuple[Any, ...]) -> None:
        """Do one step."""
        kind = step[0]
        if kind == "quote":
            if self.restarts and step[4]:
                self.start()
            self.at += timedelta(seconds=1)
            bid, ask = sorted(step[1:3])
            self.venue.on_quote(a_quote(ACME, bid, ask, size=step[3], at=self.at))
        elif kind in ("order", "trail", "stop"):
            self.place(kind, step)
        elif self.placed:
            order = self.placed[step[1] % len(self.placed)]
            if kind == "cancel":
                self.venue.command(Cancel(ACCOUNT.broker_account_id, order.wire_id))
            else:
                limit = step[3] if order.limit_price is not None else None
                terms = NewTerms(Decimal(step[2]), limit_price=limit)
                self.venue.command(Replace(ACCOUNT.broker_account_id, WireId("R"), order.wire_id, terms))

    def place(self, kind: str, step: tuple[Any, ...]) -> None:
        """Send an order."""
        fields: dict[str, Any] = {"order_type": OrderType.MARKET}
        if kind == "trail":
            fields = {"order_type": OrderType.TRAILING_STOP, "trail_amount": step[3] * Decimal("0.01")}
        elif kind == "stop":
            fields = {"order_type": OrderType.STOP, "stop_price": step[3]}
        elif step[3] is not None:
            fields = {"order_type": OrderType.LIMIT, "limit_price": step[3]}
        order = NewOrder(
            broker_order_id=BrokerOrderId(""),
            wire_id=WireId(f"W{len(self.placed)}"),
            broker_account_id=ACCOUNT.broker_account_id,
            instrument_id=ACME.instrument_id,
            side=step[1],
            quantity=Decimal(step[2]),
            time_in_force=TimeInForce(step[4]) if kind == "order" else TimeInForce.GTC,
            **fields,
        )
        self.placed.append(order)
        self.venue.command(Place(order))


def outcome(life: Life) -> dict[str, Any]:
    """What became of every order, and every execution without its id."""
    state = life.venue.state
    return {
        "orders": {
            known.order.wire_id: (known.status, known.filled, known.quantity, known.limit_price, known.stop)
            for known in state.orders.values()
        },
        "fills": [(fill.wire_id, fill.quantity, fill.price, fill.fee, fill.broker_at) for _, fill in state.executions],
        "holdings": (state.holdings.positions, state.holdings.cash),
    }


@given(steps)
@settings(max_examples=400, deadline=None)
def test_a_broker_that_was_restarted_trades_on_as_if_it_had_not_been(history: list[tuple[Any, ...]]) -> None:
    restarted, steady = Life(restarts=True), Life(restarts=False)
    for step in history:
        restarted.play(step)
        steady.play(step)
    assert outcome(restarted) == outcome(steady)


@given(steps)
@settings(max_examples=150, deadline=None)
def test_ledger_and_engine_agree_on_what_lives_and_holdings_are_the_sum_of_executions(
    history: list[tuple[Any, ...]],
) -> None:
    life = Life(restarts=True)
    for step in history:
        life.play(step)
    state = life.venue.state
    fills: list[Filled] = [fill for _, fill in state.executions]
    assert len({fill.exec_id for fill in fills}) == len(fills)
    position = sum((fill.side.sign * fill.quantity for fill in fills), ZERO)
    cash = CASH - sum((fill.side.sign * fill.quantity * fill.price + (fill.fee or ZERO) for fill in fills), ZERO)
    assert state.holdings.positions.get((ACCOUNT.broker_account_id, ACME.instrument_id), ZERO) == position
    assert state.holdings.cash[ACCOUNT.broker_account_id, "USD"] == cash
    for key, known in state.orders.items():
        assert known.is_live == life.venue.engine.is_live(key)
        assert known.filled == sum((fill.quantity for fill in fills if fill.broker_order_id == key), ZERO)


def test_the_line_of_a_price_is_kept_over_a_restart() -> None:
    limit = Decimal("99.99")
    life = Life(restarts=True)
    for _ in range(2):
        life.play(("order", Side.BUY, 10, limit, "GTC"))
    life.play(("replace", 0, 20, limit))
    life.play(("quote", Decimal("99.98"), limit, 15, True))
    fills = [(fill.wire_id, fill.quantity) for _, fill in life.venue.state.executions]
    assert fills == [("W1", Decimal(10)), ("W0", Decimal(5))], "a larger total went to the end of the line"
