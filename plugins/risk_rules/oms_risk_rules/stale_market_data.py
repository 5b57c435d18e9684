"""An order in, DENY out when the quote of its instrument is older than the limit, or there is none."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Verdict, denied, passed
from oms_kernel.domain.instrument import AssetClass
from oms_kernel.domain.money import ZERO, ratio
from oms_risk_rules.verdicts import exceeded

MICROSECOND = timedelta(microseconds=1)
MILLION = Decimal(1_000_000)
LATER = "the same order on a newer quote"

Age = Annotated[Decimal, described("Largest age of a quote in this asset class", "s", gt=0)]


class QuoteAge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How old a quote may be."""

    max_age_s: Annotated[Decimal, described("Largest age of the instrument's quote", "s", gt=0)] = Decimal(5)
    by_asset_class: Annotated[dict[AssetClass, Age], described("Other ages for some asset classes", "s")] = {}
    feed_time_too: Annotated[
        bool, described("Measure from the feed's own time where that is earlier than our receipt")
    ] = False


class StaleMarketData:
    """Denies an order, new or modified, while the quote of its instrument is too old: `no_quote` when there is none.

    A limit for one instrument is a limit of that scope. The platform's own freshness holds as well: what it does not
    take for fresh counts as absent, so that only shorter ages tighten anything. A liquidation passes.
    """

    name: ClassVar[str] = "stale_market_data"
    title: ClassVar[str] = "No order on old market data"
    source: ClassVar[str] = "FIA 2024, market data reasonability; RTS 6 Art. 15(1)(a)"
    rank: ClassVar[int] = 50
    Params: ClassVar[type[msgspec.Struct]] = QuoteAge

    def __init__(self, params: QuoteAge) -> None:
        self.params = params
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at the largest age."""
        if intent.request.liquidation_id is not None:
            return self.passed
        params = self.params
        quote = view.market.fresh(intent.request.instrument_id)
        if quote is None:
            return denied(self.name, "no_quote", f"there is no fresh quote of {intent.instrument.symbol}")
        limit = params.by_asset_class.get(intent.instrument.asset_class, params.max_age_s)
        since = min(quote.received_at, quote.data_at) if params.feed_time_too else quote.received_at
        age = ratio(Decimal(max(view.now - since, timedelta(0)) // MICROSECOND), MILLION)
        if age <= limit:
            return passed(self.name, observed=max(age, ZERO), limit=limit, unit="s")
        text = f"the age of the quote of {intent.instrument.symbol} of"
        return exceeded(self.name, self.name, text, age, limit, "s", would_pass=LATER)
