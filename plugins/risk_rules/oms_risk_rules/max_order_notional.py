"""An order in, DENY out when its value in the account's base currency is above the limit or cannot be computed."""

from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.money import ZERO
from oms_risk_rules.order_value import value_before, value_of
from oms_risk_rules.verdicts import at_most, exceeded, whole_lots

Rate = Annotated[Decimal, described("Units of the account's base currency for one unit of this currency", gt=0)]


class NotionalLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limit for one order's value."""

    max_notional: Annotated[
        Decimal, described("Largest value of one order: quantity x price x multiplier", "base currency", gt=0)
    ]
    fx_rates: Annotated[
        dict[str, Rate], described("Fixed rates of other currencies, used in place of a quote", "rate")
    ] = {}
    market_collar_percent: Annotated[
        Decimal, described("How much higher than its price an order counts that has no limit price", "%", ge=0, le=100)
    ] = ZERO


class MaxOrderNotional:
    """Denies an order, new or modified, whose value is above `max_notional`.

    The price is the limit, else the trigger, else the opposite quote; a SELL is valued at the bid when that is higher
    than its limit, because that is where it would trade. An order without a limit price may trade at any price: it is
    valued `market_collar_percent` higher. No price: `no_price`. An instrument in another currency than the account's
    is valued by `fx_rates`, else by a fresh quote of the currencies; neither: `no_fx_rate`. A modification that does
    not raise the order's value passes.
    """

    name: ClassVar[str] = "max_order_notional"
    title: ClassVar[str] = "Largest value of one order"
    source: ClassVar[str] = "RTS 6 Art. 15(1)(b); SEC 15c3-5(c)(1)(ii)"
    rank: ClassVar[int] = 50
    Params: ClassVar[type[msgspec.Struct]] = NotionalLimit

    def __init__(self, params: NotionalLimit) -> None:
        self.limit = params.max_notional
        self.rates = params.fx_rates
        self.collar = params.market_collar_percent

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at the limit."""
        value = value_of(self.name, intent, view, self.rates, self.collar)
        if isinstance(value, Verdict):
            return value
        amount, inputs = value.amount, value.inputs(intent)
        if amount <= self.limit or amount <= value_before(intent, value.rate):
            return passed(self.name, observed=amount, limit=self.limit, unit=value.currency, inputs=inputs)
        instrument = intent.instrument
        return exceeded(
            self.name,
            self.name,
            "the order's value of",
            amount,
            self.limit,
            value.currency,
            inputs=inputs,
            would_pass=at_most(whole_lots(self.limit, value.of_one(instrument.multiplier), instrument.lot_size)),
        )
