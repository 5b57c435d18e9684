"""Liquidations: positions closed through every switch, by orders that only reduce, until nothing is held."""

from decimal import Decimal
from typing import Any, ClassVar

import msgspec
import pytest

from oms_app.flow.liquidation import UnknownLiquidation
from oms_kernel.contracts.rules import OrderIntent
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.decision import Verdict, denied, passed
from oms_kernel.domain.errors import InvalidRequest, OrderConflict
from oms_kernel.domain.ids import EventId, StrategyId
from oms_kernel.domain.lifecycle import OrderState, RequestKind
from oms_kernel.domain.order import MANUAL_BOOK, Order, OrderType, Side
from oms_kernel.domain.scope import Scope
from oms_kernel.settlement import doubt
from oms_kernel.testkit.builders import ACCOUNT_ID, a_uuid
from tests.flow.stopping import OFFICER, STRATEGY, Stopping
from tests.flow.trading import CAPABILITIES

HERE = Scope(account_id=ACCOUNT_ID)


class AtMost:
    """Denies what is larger, as a limit of the quantity of one order does."""

    name: ClassVar[str] = "at_most"

    def __init__(self, quantity: int) -> None:
        self.quantity = quantity

    def assess(self, intent: OrderIntent, view: Any, state: Any) -> Verdict:
        quantity = intent.request.quantity
        if quantity <= self.quantity:
            return passed(self.name)
        return denied(self.name, "too_large", "too large", observed=quantity, limit=self.quantity, unit="units")


class WorthAtMost:
    """Denies by value, a hundred for each unit."""

    name: ClassVar[str] = "worth_at_most"

    def __init__(self, value: int) -> None:
        self.value = value

    def assess(self, intent: OrderIntent, view: Any, state: Any) -> Verdict:
        value = intent.request.quantity * 100
        if value <= self.value:
            return passed(self.name)
        return denied(self.name, "too_dear", "too dear", observed=value, limit=self.value, unit="USD")


class NotNow:
    """Denies everything that closes, while it is told to."""

    name: ClassVar[str] = "not_now"

    def __init__(self) -> None:
        self.denies = False

    def assess(self, intent: OrderIntent, view: Any, state: Any) -> Verdict:
        if intent.request.liquidation_id is None or not self.denies:
            return passed(self.name)
        return denied(self.name, "closed", "the market is closed")


def start(stopping: Stopping, scope: Scope = HERE) -> EventId:
    (started,) = stopping.liquidations.start(OFFICER, scope, "test")
    return started.liquidation.liquidation_id


def only(stopping: Stopping) -> Order:
    (order,) = stopping.closing()
    return order


def outcome(stopping: Stopping, liquidation_id: EventId) -> str:
    found: str = stopping.in_turn(lambda turn: turn.batch.book.liquidations[liquidation_id].outcome)
    return found


@pytest.mark.parametrize("quantity", [10, -10])
def test_a_position_is_closed_by_a_market_order_that_only_reduces(quantity: int) -> None:
    stopping = Stopping()
    stopping.holds(quantity)
    liquidation_id = start(stopping)
    order = only(stopping)
    side = Side.SELL if quantity > 0 else Side.BUY
    request = order.request
    assert (request.side, request.quantity, request.order_type) == (side, Decimal(10), OrderType.MARKET)
    assert (request.reduce_only, request.liquidation_id) == (True, liquidation_id)
    stopping.working(order)
    stopping.fills(order, 10)
    stopping.step()
    assert (stopping.held(), outcome(stopping, liquidation_id)) == (Decimal(0), "flat")


@pytest.mark.parametrize("state", [TradingState.HALTED, TradingState.CANCEL_ONLY, TradingState.REDUCE_ONLY])
def test_it_passes_every_switch_and_goes_out_to_the_broker(state: TradingState) -> None:
    stopping = Stopping()
    stopping.holds(10)
    stopping.throw(state)
    start(stopping)
    (intent,) = stopping.sent_places()
    assert intent.command.side is Side.SELL


def test_a_switch_that_flattens_starts_one_in_its_own_transaction_and_makes_the_first_step() -> None:
    stopping = Stopping()
    stopping.holds(10)
    part = stopping.throw(flatten=True).parts[0]
    assert part.liquidation_id is not None
    assert only(stopping).request.liquidation_id == part.liquidation_id
    kinds = [one.event.kind for one in stopping.log()]
    assert kinds.index("liquidation_started") == kinds.index("kill_switch_activated") + 1


def test_steps_made_again_and_again_place_nothing_twice_and_never_go_through_zero() -> None:
    stopping = Stopping()
    stopping.holds(10)
    start(stopping)
    order = only(stopping)
    stopping.working(order)
    for _ in range(3):
        assert stopping.step().placed == 0
    stopping.fills(order, 4)
    assert stopping.step().placed == 0  # six of ten are still open
    stopping.cancelled(order)
    assert stopping.step().placed == 1
    assert only(stopping).request.quantity == Decimal(6)


def test_orders_from_before_are_called_back_first_and_nothing_is_closed_until_they_ended() -> None:
    stopping = Stopping()
    stopping.holds(10)
    buying, selling = stopping.place(limit_price="90.00"), stopping.place(Side.SELL, 3, limit_price="120.00")
    stopping.working(buying, selling)
    start(stopping)
    assert stopping.closing() == []
    assert stopping.order(buying.order_id).state is OrderState.PENDING_CANCEL
    stopping.cancelled(buying)
    assert stopping.step().placed == 0
    stopping.cancelled(selling)
    stopping.step()
    assert only(stopping).request.quantity == Decimal(10)


def test_what_is_in_doubt_is_not_waited_for_and_counts_as_covered() -> None:
    stopping = Stopping()
    stopping.holds(10)
    selling = stopping.place(Side.SELL, 3, limit_price="120.00")
    stopping.send()
    stopping.record(*doubt(stopping.order(selling.order_id), RequestKind.PLACE, "cut"))
    start(stopping)
    stopping.step()
    assert only(stopping).request.quantity == Decimal(7)


def test_an_order_placed_after_the_start_is_left_alone() -> None:
    stopping = Stopping()
    stopping.holds(10)
    start(stopping)
    stopping.wait(seconds=1)
    later = stopping.place(limit_price="90.00")
    stopping.step()
    assert stopping.order(later.order_id).state is OrderState.NEW


def test_a_quantity_above_what_one_order_may_have_is_split() -> None:
    stopping = Stopping(rules=[AtMost(100)])
    for _ in range(3):
        stopping.holds(90)
    start(stopping)
    assert sorted(order.request.quantity for order in stopping.closing()) == [70, 100, 100]
    assert stopping.alerts("liquidation") == []


def test_a_value_above_what_one_order_may_have_is_split_by_lots() -> None:
    stopping = Stopping(rules=[WorthAtMost(3_300)])
    for _ in range(2):
        stopping.holds(33)
    start(stopping)
    assert sorted(order.request.quantity for order in stopping.closing()) == [33, 33]


def test_a_denial_is_told_once_and_tried_again_until_it_passes() -> None:
    rule = NotNow()
    stopping = Stopping(rules=[rule])
    stopping.holds(10)
    rule.denies = True
    start(stopping)
    for _ in range(3):
        assert stopping.step().placed == 0
    (alert,) = stopping.alerts("liquidation")
    assert "the market is closed" in alert.text
    assert stopping.kinds().count("order_denied") == 1
    stopping.restart()
    stopping.step()
    assert len(stopping.alerts("liquidation")) == 1  # another process reads that it was told
    rule.denies = False
    assert stopping.step().placed == 1


def test_after_the_brokers_refusal_it_rests_ever_longer() -> None:
    stopping = Stopping()
    stopping.holds(10)
    start(stopping)
    for pause in (0.5, 1.0, 2.0):
        order = only(stopping)
        stopping.send()
        stopping.rejected(order)
        stopping.elapsed += 0.01
        assert stopping.step().placed == 0
        stopping.elapsed += pause
        assert stopping.step().placed == 1
    assert len(stopping.alerts("liquidation")) == 1


def test_where_the_broker_takes_no_market_orders_a_limit_goes_through_the_market() -> None:
    limited = msgspec.structs.replace(CAPABILITIES, order_types=frozenset({OrderType.LIMIT}))
    stopping = Stopping()
    stopping.holds(10)
    stopping.capabilities_of = limited
    stopping.restart()
    start(stopping)
    request = only(stopping).request
    quote = stopping.store.quotes_by_instrument[stopping.instrument.instrument_id]
    assert request.order_type is OrderType.LIMIT
    assert request.limit_price is not None
    assert quote.bid is not None
    assert Decimal("0.97") * quote.bid < request.limit_price < quote.bid


def test_each_strategys_part_is_closed_in_its_own_book() -> None:
    stopping = Stopping()
    stopping.holds(6, STRATEGY)
    stopping.holds(4)
    start(stopping)
    for order in stopping.closing():
        stopping.working(order)
        stopping.fills(order, str(order.request.quantity))
    stopping.step()
    assert {stopping.held(), stopping.held(STRATEGY), stopping.held(MANUAL_BOOK)} == {Decimal(0)}


def test_the_liquidation_of_a_strategy_closes_its_book_and_no_other() -> None:
    stopping = Stopping()
    stopping.holds(6, STRATEGY)
    stopping.holds(4)
    liquidation_id = start(stopping, Scope(strategy_id=STRATEGY))
    order = only(stopping)
    assert (order.request.quantity, order.request.strategy_id) == (Decimal(6), STRATEGY)
    stopping.working(order)
    stopping.fills(order, 6)
    stopping.step()
    assert (stopping.held(), outcome(stopping, liquidation_id)) == (Decimal(4), "flat")


def test_books_that_cancel_each_other_out_need_no_order() -> None:
    stopping = Stopping()
    stopping.holds(5, STRATEGY)
    stopping.holds(-5, StrategyId(a_uuid("another strategy")))
    liquidation_id = start(stopping)
    assert stopping.closing() == []
    assert outcome(stopping, liquidation_id) == "flat"


def test_a_person_stops_it_and_what_was_placed_meets_the_switches_again() -> None:
    stopping = Stopping()
    stopping.holds(10)
    stopping.throw()
    liquidation_id = start(stopping)
    order = only(stopping)
    assert stopping.liquidations.stop(OFFICER, liquidation_id).outcome == "stopped"
    assert stopping.sent_places() == []
    assert stopping.order(order.order_id).reason_code == "trading_state"
    with pytest.raises(OrderConflict):
        stopping.liquidations.stop(OFFICER, liquidation_id)
    with pytest.raises(UnknownLiquidation):
        stopping.liquidations.stop(OFFICER, EventId(a_uuid("none")))


def test_an_equal_one_that_runs_is_kept_and_a_process_that_starts_goes_on_with_it() -> None:
    stopping = Stopping()
    stopping.holds(10)
    first = start(stopping)
    assert start(stopping) == first
    order = only(stopping)
    stopping.working(order)
    stopping.restart()
    stopping.fills(order, 10)
    stopping.step()
    assert outcome(stopping, first) == "flat"


def test_one_instrument_is_closed_alone() -> None:
    stopping = Stopping()
    stopping.holds(10)
    other = Scope(account_id=ACCOUNT_ID, instrument_id=stopping.instrument.instrument_id)
    liquidation_id = start(stopping, other)
    assert only(stopping).request.liquidation_id == liquidation_id


@pytest.mark.parametrize(
    ("largest", "slices"), [("300", [300, 300, 300, 100]), ("1000", [1000]), ("333.5", [333, 333, 333, 1])]
)
def test_what_the_venue_takes_at_most_splits_what_closes(largest: str, slices: list[int]) -> None:
    stopping = Stopping()
    stopping.holds(1000)
    stopping.store.put_instrument(msgspec.structs.replace(stopping.instrument, max_order_quantity=Decimal(largest)))
    liquidation_id = start(stopping)
    closing = stopping.closing()
    assert [int(order.request.quantity) for order in closing] == slices
    assert all(order.request.reduce_only for order in closing)
    assert len(stopping.sent_places()) == len(slices)
    stopping.working(*closing)
    for order in closing:
        stopping.fills(order, int(order.request.quantity))
    stopping.step()
    assert (stopping.held(), outcome(stopping, liquidation_id)) == (Decimal(0), "flat")
    assert stopping.alerts("liquidation") == []


def test_a_person_who_closes_by_hand_is_told_the_largest_order() -> None:
    stopping = Stopping()
    stopping.holds(1000)
    stopping.store.put_instrument(msgspec.structs.replace(stopping.instrument, max_order_quantity=Decimal(300)))
    (item,) = stopping.submit(stopping.draft(Side.SELL, 1000)).items
    assert item.order is None
    assert isinstance(item.error, InvalidRequest)
    assert item.error.field == "quantity"
