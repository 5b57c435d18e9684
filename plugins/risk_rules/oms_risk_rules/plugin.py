"""What this distribution registers with the host."""

from oms_kernel.hookspecs import RegisterRiskRule, hookimpl
from oms_risk_rules.duplicate_order import DuplicateOrder
from oms_risk_rules.max_order_notional import MaxOrderNotional
from oms_risk_rules.max_order_quantity import MaxOrderQuantity
from oms_risk_rules.max_position import MaxPosition
from oms_risk_rules.message_rate import MessageRate
from oms_risk_rules.price_collar import PriceCollar


@hookimpl
def register_risk_rules(register: RegisterRiskRule) -> None:
    """The six rules."""
    register(MaxOrderQuantity)
    register(MaxOrderNotional)
    register(PriceCollar)
    register(MaxPosition)
    register(MessageRate)
    register(DuplicateOrder)
