"""An order in, DENY out when the position could become larger than the limit if everything open were filled."""

from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.money import ZERO, add, subtract
from oms_kernel.domain.order import Side
from oms_risk_rules.verdicts import exceeded


class PositionLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limit for one instrument's position."""

    max_quantity: Annotated[
        Decimal, described("Largest position in one instrument, long or short", "shares or contracts", gt=0)
    ]


class MaxPosition:
    """Denies an order with which the worst case of its side is larger than `max_quantity`.

    Worst case of a BUY: position + every open BUY, doubtful ones in full, + this order, and no SELL filled; of a SELL
    the mirror image. An order is judged on its own side only: what reduces a position that is already too large
    passes. A modification that adds nothing passes.
    """

    name: ClassVar[str] = "max_position"
    title: ClassVar[str] = "Largest position in one instrument"
    Params: ClassVar[type[msgspec.Struct]] = PositionLimit

    def __init__(self, params: PositionLimit) -> None:
        self.limit = params.max_quantity
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at the limit."""
        if intent.kind is RequestKind.REPLACE and intent.added_quantity <= ZERO:
            return self.passed
        request = intent.request
        position = view.position(request.account_id, request.instrument_id)
        held = position.quantity if position is not None else ZERO
        exposure = view.exposure(request.account_id, request.instrument_id)
        if request.side is Side.BUY:
            worst = add(add(held, exposure.buy_quantity), _open_quantity(intent))
        else:
            worst = add(add(held.copy_negate(), exposure.sell_quantity), _open_quantity(intent))
        if worst <= self.limit:
            return self.passed
        side = "long" if request.side is Side.BUY else "short"
        return exceeded(self.name, self.name, f"the worst case of a {side} position of", worst, self.limit, "units")


def _open_quantity(intent: OrderIntent) -> Decimal:
    """What may trade of the order: of a modified one the larger of old and new total, less what is filled."""
    order = intent.replaces
    if order is None:
        return intent.request.quantity
    total = max(intent.request.quantity, order.quantity)
    return max(ZERO, subtract(total, order.filled_quantity))
