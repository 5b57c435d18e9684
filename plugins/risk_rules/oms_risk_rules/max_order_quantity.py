"""An order in, DENY out when its total quantity is above the limit; a modification that adds nothing passes."""

from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.money import ZERO
from oms_risk_rules.verdicts import exceeded


class QuantityLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limit for one order."""

    max_quantity: Annotated[
        Decimal, described("Largest total quantity of one order, modifications included", "shares or contracts", gt=0)
    ]


class MaxOrderQuantity:
    """Denies an order, new or modified upwards, whose total quantity is above `max_quantity`."""

    name: ClassVar[str] = "max_order_quantity"
    title: ClassVar[str] = "Largest quantity of one order"
    Params: ClassVar[type[msgspec.Struct]] = QuantityLimit

    def __init__(self, params: QuantityLimit) -> None:
        self.limit = params.max_quantity
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at the limit."""
        quantity = intent.request.quantity
        if quantity <= self.limit or (intent.kind is RequestKind.REPLACE and intent.added_quantity <= ZERO):
            return self.passed
        return exceeded(self.name, self.name, "the order's quantity of", quantity, self.limit, "units")
