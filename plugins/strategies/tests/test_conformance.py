"""The strategies keep the contract."""

from oms_kernel.testkit.strategy_suite import StrategyConformanceSuite
from oms_strategies.echo import Echo
from oms_strategies.moving_average_cross import MovingAverageCross


class TestEcho(StrategyConformanceSuite):
    contributed = Echo
    params = {"symbol": "ACME", "every": 5}


class TestMovingAverageCross(StrategyConformanceSuite):
    contributed = MovingAverageCross
    params = {"symbol": "ACME", "quantity": "10", "fast": 5, "slow": 20}
