"""An order in, DENY out when its total quantity is above the limit; a modification that adds nothing passes."""

from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.instrument import AssetClass
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.money import ONE, ZERO
from oms_risk_rules.verdicts import at_most, exceeded, whole_lots

Most = Annotated[Decimal, described("Largest total quantity of an order in this asset class", "units", gt=0)]


class QuantityLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limit for one order."""

    max_quantity: Annotated[
        Decimal, described("Largest total quantity of one order, modifications included", "shares or contracts", gt=0)
    ]
    by_asset_class: Annotated[
        dict[AssetClass, Most], described("Other limits for some asset classes", "shares or contracts")
    ] = {}


class MaxOrderQuantity:
    """Denies an order, new or modified upwards, whose total quantity is above `max_quantity`.

    `by_asset_class` names the limit of an asset class in place of `max_quantity`.
    """

    name: ClassVar[str] = "max_order_quantity"
    title: ClassVar[str] = "Largest quantity of one order"
    source: ClassVar[str] = "RTS 6 Art. 15(1)(c); SEC 15c3-5(c)(1)(ii); FIA 2024 1.1"
    rank: ClassVar[int] = 10
    Params: ClassVar[type[msgspec.Struct]] = QuantityLimit

    def __init__(self, params: QuantityLimit) -> None:
        self.limit = params.max_quantity
        self.by_class = params.by_asset_class

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at the limit."""
        quantity = intent.request.quantity
        limit = self.by_class.get(intent.instrument.asset_class, self.limit) if self.by_class else self.limit
        inputs = {"added": intent.added_quantity}
        if quantity <= limit or (intent.kind is RequestKind.REPLACE and intent.added_quantity <= ZERO):
            return passed(self.name, observed=quantity, limit=limit, unit="units", inputs=inputs)
        return exceeded(
            self.name,
            self.name,
            "the order's quantity of",
            quantity,
            limit,
            "units",
            inputs=inputs,
            would_pass=at_most(whole_lots(limit, ONE, intent.instrument.lot_size)),
        )
