"""What this distribution registers with the host."""

from oms_compliance_checks.access_control import AccessControl
from oms_compliance_checks.algo_tag import AlgoTag
from oms_compliance_checks.allowed_instruments import AllowedInstruments
from oms_compliance_checks.cnc_no_short import CncNoShort
from oms_compliance_checks.cooldown import Cooldown
from oms_compliance_checks.day_trade_counter import DayTradeCounter
from oms_compliance_checks.halt_status import HaltStatus
from oms_compliance_checks.min_resting_time import MinRestingTime
from oms_compliance_checks.mis_square_off import MisSquareOff, MisSquareOffMonitor
from oms_compliance_checks.order_to_trade_ratio import OrderToTradeRatio
from oms_compliance_checks.restricted_list import RestrictedList
from oms_compliance_checks.self_trade_prevention import SelfTradePrevention
from oms_compliance_checks.short_sale import ShortSale
from oms_compliance_checks.spoof_layer_alert import SpoofLayerAlert
from oms_compliance_checks.trading_hours import TradingHours
from oms_compliance_checks.wash_trade_pattern import WashTradePattern
from oms_kernel.hookspecs import RegisterComplianceCheck, RegisterMonitor, hookimpl


@hookimpl
def register_compliance_checks(register: RegisterComplianceCheck) -> None:
    """What is asked before every order."""
    register(RestrictedList)
    register(AllowedInstruments)
    register(AccessControl)
    register(AlgoTag)
    register(TradingHours)
    register(HaltStatus)
    register(CncNoShort)
    register(MisSquareOff)
    register(OrderToTradeRatio)
    register(Cooldown)
    register(WashTradePattern)
    register(ShortSale)
    register(SelfTradePrevention)
    register(DayTradeCounter)


@hookimpl
def register_monitors(register: RegisterMonitor) -> None:
    """What watches afterwards, or by the clock."""
    register(SpoofLayerAlert)
    register(MinRestingTime)
    register(MisSquareOffMonitor)
