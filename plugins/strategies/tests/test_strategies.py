"""What the two strategies do with a stream of quotes."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.lifecycle import OrderState
from oms_kernel.domain.order import OrderType, Side
from oms_kernel.testkit.strategy_bench import StrategyBench
from oms_strategies.echo import Echo
from oms_strategies.moving_average_cross import MovingAverageCross


def on_bench(cls: Any, fate: OrderState = OrderState.FILLED, **params: Any) -> StrategyBench:
    return StrategyBench(cls(parse_params(cls, {"symbol": "ACME", **params})), fate=fate).start()


def test_echo_sends_one_market_order_for_every_so_many_quotes() -> None:
    bench = on_bench(Echo, every=3, quantity=2)
    bench.prices(*[100] * 2)
    assert bench.orders == []
    bench.prices(*[100] * 7)
    assert [(order.side, order.quantity, order.order_type) for order in bench.orders] == [
        (Side.BUY, Decimal(2), OrderType.MARKET),
        (Side.SELL, Decimal(2), OrderType.MARKET),
        (Side.BUY, Decimal(2), OrderType.MARKET),
    ]


def test_echo_stops_at_the_number_of_orders_it_was_given() -> None:
    assert len(on_bench(Echo, every=1, max_orders=2).prices(*[100] * 10).orders) == 2


def test_echo_logs_its_orders_and_what_became_of_them() -> None:
    bench = on_bench(Echo, every=1).prices(100)
    assert bench.log == [
        "echo of ACME: one order for 1 quotes",
        "quote 1: BUY 1 ACME",
        "BUY 1 ACME: ROUTED",
        "BUY 1 ACME: FILLED",
    ]


def test_the_cross_waits_until_its_slow_average_is_filled() -> None:
    bench = on_bench(MovingAverageCross, quantity=10, fast=2, slow=4)
    assert bench.prices(1, 2, 3).orders == []
    assert len(bench.prices(4).orders) == 1


def test_the_cross_goes_long_above_flips_below_and_keeps_its_target_between() -> None:
    bench = on_bench(MovingAverageCross, quantity=10, fast=2, slow=4)
    bench.prices(100, 101, 102, 103, 104, 105)
    assert bench.positions == {"ACME": Decimal(10)}
    bench.prices(90, 80, 70)
    assert bench.positions == {"ACME": Decimal(-10)}
    assert [(order.side, order.quantity) for order in bench.orders] == [
        (Side.BUY, Decimal(10)),
        (Side.SELL, Decimal(20)),
    ]


def test_the_cross_is_flat_instead_of_short_where_asked_for() -> None:
    bench = on_bench(MovingAverageCross, quantity=10, fast=2, slow=4, long_only=True)
    assert bench.prices(100, 99, 98, 97).orders == []
    bench.prices(110, 120).prices(50, 40)
    assert bench.positions == {"ACME": Decimal(0)}


def test_the_cross_sends_one_order_at_a_time() -> None:
    bench = on_bench(MovingAverageCross, OrderState.WORKING, quantity=10, fast=2, slow=4)
    bench.prices(100, 101, 102, 103, 104, 50, 40, 30)
    assert len(bench.orders) == 1


@pytest.mark.parametrize("fate", [OrderState.DENIED, OrderState.REJECTED])
def test_the_cross_does_not_repeat_a_refused_order_before_the_next_crossing(fate: OrderState) -> None:
    bench = on_bench(MovingAverageCross, fate, quantity=10, fast=2, slow=4)
    bench.prices(100, 101, 102, 103, 104, 105)
    assert len(bench.orders) == 1
    assert f"{fate.value}: so it was" in bench.log
    bench.prices(90, 80)
    assert [order.side for order in bench.orders] == [Side.BUY, Side.SELL]


@given(st.lists(st.integers(1, 10_000), min_size=30, max_size=60))
def test_the_running_sums_are_the_sums_of_the_latest_prices(ticks: list[int]) -> None:
    bench = on_bench(MovingAverageCross, quantity=1, fast=5, slow=20)
    mids = [Decimal(tick) / 100 + 1 for tick in ticks]
    bench.prices(*mids)
    assert bench.strategy.fast_sum == sum(mids[-5:])
    assert bench.strategy.slow_sum == sum(mids[-20:])


@pytest.mark.parametrize("params", [{"fast": 5, "slow": 5}, {"quantity": "0"}, {"fast": 0}, {"quantity": 1.5}])
def test_parameters_that_make_no_sense_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        parse_params(MovingAverageCross, {"symbol": "ACME", "quantity": "1", **params})
