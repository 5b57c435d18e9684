"""An order without a limit price in, DENY out when its market is closed, halted, in an auction or too wide."""

from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Verdict, denied, passed
from oms_kernel.domain.money import ZERO, add, multiply, ratio, subtract
from oms_kernel.domain.order import OrderType, TimeInForce
from oms_risk_rules.verdicts import exceeded

TWENTY_THOUSAND = Decimal(20_000)
AT_ONCE = frozenset({OrderType.MARKET})
AT_ONCE_OR_BY_TRIGGER = frozenset(
    {OrderType.MARKET, OrderType.STOP, OrderType.TRAILING_STOP, OrderType.MARKET_IF_TOUCHED}
)
INSTEAD = "a limit order"
INSTEAD_WHEN_CLOSED = "a limit order, or time_in_force OPG"
FOR_AN_AUCTION = frozenset({TimeInForce.OPG, TimeInForce.CLS})


class MarketConditions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In which market an order may trade at any price."""

    max_spread_bps: Annotated[
        Decimal, described("Largest spread, of the mid price, in which a market order may trade", "bps", gt=0)
    ] = Decimal(100)
    closed_too: Annotated[bool, described("Let market orders in while the venue is closed, to wait for it")] = False
    auction_too: Annotated[bool, described("Let market orders in during an auction")] = False
    triggers_too: Annotated[
        bool, described("Judge orders that become market orders by a trigger (stops, trails) as well")
    ] = False
    needs_facts: Annotated[bool, described("Deny while it is not known whether there is a halt or an auction")] = False


class MarketOrderGuard:
    """Denies an order that may trade at any price unless its market is open, runs and is narrow enough.

    Codes: `market_halted`, `market_closed` (by the venue's calendar), `in_auction`, `no_quote` without a fresh
    two-sided quote, `crossed_quote` where the bid is above the ask, else the rule's name when the spread is above
    `max_spread_bps`. Whether there is a halt or an auction is known from the instrument's facts; unknown passes,
    unless `needs_facts`, then `no_facts`. MARKET orders are judged, with `triggers_too` those behind a trigger as
    well. Orders for an auction (OPG, CLS, MARKET_ON_CLOSE), a liquidation's and those with a limit pass.
    """

    name: ClassVar[str] = "market_order_guard"
    title: ClassVar[str] = "Market orders in an open and narrow market only"
    source: ClassVar[str] = "FIA 2024 1.3; SEC 15c3-5(c)(1)(ii)"
    rank: ClassVar[int] = 50
    Params: ClassVar[type[msgspec.Struct]] = MarketConditions

    def __init__(self, params: MarketConditions) -> None:
        self.params = params
        self.types = AT_ONCE_OR_BY_TRIGGER if params.triggers_too else AT_ONCE
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at the largest spread."""
        request = intent.request
        if (
            request.order_type not in self.types
            or request.time_in_force in FOR_AN_AUCTION
            or request.liquidation_id is not None
        ):
            return self.passed
        return self._session(intent, view) or self._spread(intent, view)

    def _session(self, intent: OrderIntent, view: RuleView) -> Verdict | None:
        """A denial when the market does not trade continuously now."""
        params, instrument = self.params, intent.instrument
        facts = view.facts(instrument.instrument_id)
        halted = facts.is_halted if facts is not None else None
        auction = facts.in_auction if facts is not None else None
        if halted:
            return denied(self.name, "market_halted", f"{instrument.symbol} is halted", would_pass=INSTEAD)
        if not params.closed_too and not view.calendar(instrument).is_open(view.now):
            text = f"{instrument.venue} is closed: a market order would trade at whatever it opens with"
            return denied(self.name, "market_closed", text, would_pass=INSTEAD_WHEN_CLOSED)
        if auction and not params.auction_too:
            return denied(self.name, "in_auction", f"{instrument.symbol} is in an auction", would_pass=INSTEAD)
        if params.needs_facts and (halted is None or (auction is None and not params.auction_too)):
            text = f"it is not known whether {instrument.symbol} is halted or in an auction"
            return denied(self.name, "no_facts", text, would_pass=INSTEAD)
        return None

    def _spread(self, intent: OrderIntent, view: RuleView) -> Verdict:
        quote = view.market.fresh(intent.request.instrument_id)
        bid, ask = (quote.bid, quote.ask) if quote is not None else (None, None)
        if bid is None or ask is None or add(bid, ask) <= ZERO:
            text = f"there is no fresh two-sided quote of {intent.instrument.symbol}"
            return denied(self.name, "no_quote", text, would_pass=INSTEAD)
        inputs = {"bid": bid, "ask": ask}
        if bid > ask:
            text = f"the quote of {intent.instrument.symbol} is crossed"
            return denied(self.name, "crossed_quote", text, inputs=inputs, would_pass=INSTEAD)
        spread = ratio(multiply(subtract(ask, bid), TWENTY_THOUSAND), add(bid, ask))
        if spread <= self.params.max_spread_bps:
            return passed(self.name, observed=spread, limit=self.params.max_spread_bps, unit="bps", inputs=inputs)
        return exceeded(
            self.name,
            self.name,
            "the spread of",
            spread,
            self.params.max_spread_bps,
            "bps",
            inputs=inputs,
            would_pass=INSTEAD,
        )
