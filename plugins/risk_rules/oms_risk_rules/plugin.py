"""What this distribution registers with the host."""

from typing import Any

from oms_kernel.hookspecs import RegisterMonitor, RegisterRiskRule, hookimpl
from oms_risk_rules.adv_participation import AdvParticipation
from oms_risk_rules.basket_notional import BasketNotional
from oms_risk_rules.broker_link_guard import BrokerLinkGuard
from oms_risk_rules.buying_power import BuyingPower
from oms_risk_rules.clock_guard import ClockGuard
from oms_risk_rules.collar_over_time import CollarOverTime
from oms_risk_rules.concentration import ConcentrationLimit
from oms_risk_rules.controlled_rollout import ControlledRollout
from oms_risk_rules.doubt_monitor import DoubtMonitor
from oms_risk_rules.duplicate_order import DuplicateOrder
from oms_risk_rules.exposure_limits import GrossExposure, NetExposure
from oms_risk_rules.exposure_monitors import ConcentrationMonitor, ExposureMonitor
from oms_risk_rules.fat_finger_confirm import FatFingerConfirm
from oms_risk_rules.flow_monitor import FlowMonitor
from oms_risk_rules.loss_limits import MaxDailyLoss, MaxDrawdown
from oms_risk_rules.loss_monitors import DailyLossMonitor, DrawdownMonitor
from oms_risk_rules.market_order_guard import MarketOrderGuard
from oms_risk_rules.max_order_notional import MaxOrderNotional
from oms_risk_rules.max_order_quantity import MaxOrderQuantity
from oms_risk_rules.max_position import MaxPosition
from oms_risk_rules.message_rate import MessageRate
from oms_risk_rules.min_order_notional import MinOrderNotional
from oms_risk_rules.open_breaks_monitor import OpenBreaksMonitor
from oms_risk_rules.open_order_limits import OpenOrderCount, OpenOrderValue
from oms_risk_rules.parent_child_guard import ParentChildGuard
from oms_risk_rules.position_monitor import PositionMonitor
from oms_risk_rules.price_collar import PriceCollar
from oms_risk_rules.reject_storm import RejectStorm
from oms_risk_rules.repeated_execution import RepeatedExecution
from oms_risk_rules.stale_data_monitor import StaleDataMonitor
from oms_risk_rules.stale_market_data import StaleMarketData
from oms_risk_rules.swapped_price_quantity import SwappedPriceQuantity

ORDER_RULES: tuple[type[Any], ...] = (
    MaxOrderQuantity,
    MaxOrderNotional,
    BasketNotional,
    MinOrderNotional,
    PriceCollar,
    SwappedPriceQuantity,
    CollarOverTime,
    MarketOrderGuard,
    AdvParticipation,
    MessageRate,
    DuplicateOrder,
    RejectStorm,
    RepeatedExecution,
    BrokerLinkGuard,
    StaleMarketData,
    ClockGuard,
    ControlledRollout,
    FatFingerConfirm,
    ParentChildGuard,
)
"""Rules over the order itself: its size, price, pace, and what it is sent over."""
POSITION_RULES: tuple[type[Any], ...] = (
    MaxPosition,
    GrossExposure,
    NetExposure,
    BuyingPower,
    OpenOrderCount,
    OpenOrderValue,
    ConcentrationLimit,
    MaxDailyLoss,
    MaxDrawdown,
)
"""Rules over what the order would lead to."""
MONITORS: tuple[type[Any], ...] = (
    PositionMonitor,
    ExposureMonitor,
    ConcentrationMonitor,
    DailyLossMonitor,
    DrawdownMonitor,
    StaleDataMonitor,
    OpenBreaksMonitor,
    FlowMonitor,
    DoubtMonitor,
)
"""What watches the ledger while nobody trades, and after every fill."""


@hookimpl
def register_risk_rules(register: RegisterRiskRule) -> None:
    """Every rule of this distribution."""
    for rule in (*ORDER_RULES, *POSITION_RULES):
        register(rule)


@hookimpl
def register_monitors(register: RegisterMonitor) -> None:
    """Every monitor of this distribution."""
    for monitor in MONITORS:
        register(monitor)
