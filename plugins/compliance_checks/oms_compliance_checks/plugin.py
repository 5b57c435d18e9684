"""What this distribution registers with the host."""

from oms_compliance_checks.restricted_list import RestrictedList
from oms_compliance_checks.self_trade_prevention import SelfTradePrevention
from oms_compliance_checks.trading_hours import TradingHours
from oms_kernel.hookspecs import RegisterComplianceCheck, hookimpl


@hookimpl
def register_compliance_checks(register: RegisterComplianceCheck) -> None:
    """The three checks."""
    register(RestrictedList)
    register(TradingHours)
    register(SelfTradePrevention)
