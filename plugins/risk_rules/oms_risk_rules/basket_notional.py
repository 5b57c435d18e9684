"""An order with all that came in with it in, DENY out when they are worth more together than the limit."""

from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Verdict, denied, passed
from oms_kernel.domain.money import ONE, to_text
from oms_risk_rules.order_value import value_before, value_of
from oms_risk_rules.verdicts import exceeded


class BasketLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limit for what comes in together."""

    max_notional: Annotated[
        Decimal,
        described("Largest value of all orders of one request, bracket legs included", "base currency", gt=0),
    ]


class BasketNotional:
    """Denies every order of a request whose orders are worth more together than `max_notional`.

    The orders of one account that came in with one request count, each at its own value, whichever side it has; they
    are added up before the first of them is sent, so that all of them are denied. An order that came alone, and new
    terms of an order, are a basket of their own. One order without a price or rate: `no_price` for all of them.
    A modification that does not raise the order's value passes.
    """

    name: ClassVar[str] = "basket_notional"
    title: ClassVar[str] = "Largest value of the orders of one request"
    source: ClassVar[str] = "PRA and FCA final notices to Citigroup Global Markets, 2024, on the basket of 2 May 2022"
    rank: ClassVar[int] = 50
    needs_basket: ClassVar[bool] = True
    Params: ClassVar[type[msgspec.Struct]] = BasketLimit

    def __init__(self, params: BasketLimit) -> None:
        self.limit = params.max_notional
        self.would_pass = f"a request worth at most {to_text(self.limit)} in the base currency"

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at the limit."""
        basket = intent.basket
        if basket is None:
            return self._alone(intent, view)
        currency = view.account(intent.request.account_id).base_currency
        if basket.notional is None:
            return denied(
                self.name,
                "no_price",
                "an order of the request has no price or no rate to value it with",
                limit=self.limit,
                unit=currency,
            )
        return self._verdict(basket.notional, currency, {"orders": Decimal(basket.orders)})

    def _alone(self, intent: OrderIntent, view: RuleView) -> Verdict:
        value = value_of(self.name, intent, view)
        if isinstance(value, Verdict):
            return value
        inputs = {"orders": ONE}
        if value.amount <= value_before(intent, value.rate):
            return passed(self.name, observed=value.amount, limit=self.limit, unit=value.currency, inputs=inputs)
        return self._verdict(value.amount, value.currency, inputs)

    def _verdict(self, observed: Decimal, currency: str, inputs: dict[str, Decimal]) -> Verdict:
        if observed <= self.limit:
            return passed(self.name, observed=observed, limit=self.limit, unit=currency, inputs=inputs)
        text = "the value of all orders of the request of"
        return exceeded(
            self.name, self.name, text, observed, self.limit, currency, inputs=inputs, would_pass=self.would_pass
        )
