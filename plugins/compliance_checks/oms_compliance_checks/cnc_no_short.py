"""A delivery sale in, DENY out when the account does not hold what it sells."""

from typing import Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import NoParams
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Verdict, denied, passed
from oms_kernel.domain.money import ZERO, subtract, to_text
from oms_kernel.domain.order import Product, Side


class CncNoShort:
    """Denies a SELL with product CNC above what is held less what other open orders sell already.

    CNC is delivery: what is sold has to be there. Open sales of any product count, in full while they are in doubt.
    """

    name: ClassVar[str] = "cnc_no_short"
    title: ClassVar[str] = "No delivery sale of what is not held"
    Params: ClassVar[type[msgspec.Struct]] = NoParams
    rank: ClassVar[int] = 20
    source: ClassVar[str] = "Product rules of Indian brokers: CNC is delivery"

    def __init__(self, params: NoParams) -> None:
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at what may be delivered; observed is what the order may still sell."""
        request = intent.request
        if request.product is not Product.CNC or request.side is not Side.SELL:
            return self.passed
        position = view.position(request.account_id, request.instrument_id)
        held = position.quantity if position is not None else ZERO
        selling = view.exposure(request.account_id, request.instrument_id).sell_quantity
        free = max(ZERO, subtract(max(held, ZERO), selling))
        quantity = intent.open_quantity
        inputs = {"held": held, "open_sales": selling}
        if quantity <= free:
            return passed(self.name, observed=quantity, limit=free, unit="quantity", inputs=inputs)
        symbol = intent.instrument.symbol
        return denied(
            self.name,
            self.name,
            f"a delivery sale of {to_text(quantity)} {symbol}: {to_text(held)} are held, {to_text(selling)} on sale",
            observed=quantity,
            limit=free,
            unit="quantity",
            inputs=inputs,
            would_pass=f"a quantity of at most {to_text(free)}" if free else "product MIS, or a purchase first",
        )
