"""An order with a price in, DENY out when that price lies too far on the losing side of a fresh quote."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Outcome, Verdict, denied, passed
from oms_kernel.domain.market import Quote
from oms_kernel.domain.money import ZERO, multiply, ratio, subtract
from oms_kernel.domain.order import Side
from oms_risk_rules.verdicts import compared

HUNDRED = Decimal(100)


class Reference(StrEnum):
    """The price of the quote that deviations are measured from."""

    OPPOSITE = "OPPOSITE"
    """Where the order would trade: the ask for BUY, the bid for SELL."""
    MID = "MID"


class Collar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a price may lie from the market."""

    max_deviation_percent: Annotated[
        Decimal, described("Largest deviation of a limit price to the losing side", "%", gt=0, le=1000)
    ]
    reference: Annotated[Reference, described("What deviations are measured from")] = Reference.OPPOSITE
    passive_too: Annotated[bool, described("Deny prices too far on the winning side as well")] = False
    max_stop_deviation_percent: (
        Annotated[Decimal, described("Largest deviation of a trigger price to either side", "%", gt=0, le=1000)] | None
    ) = None


class PriceCollar:
    """Denies prices outside a band around the market.

    Limit price: a BUY above, a SELL below the reference by more than `max_deviation_percent`; with `passive_too` the
    other side as well. An order with a trigger trades only when the market is there, so that its limit is measured
    from its own trigger price, and the trigger itself is bounded only where `max_stop_deviation_percent` is set.
    An order without any price (MARKET, a trail) passes: it has nothing to collar. The reference is a fresh quote:
    a stale, missing or one-sided one denies with `no_quote`.
    """

    name: ClassVar[str] = "price_collar"
    title: ClassVar[str] = "Band around the market for limit prices"
    Params: ClassVar[type[msgspec.Struct]] = Collar

    def __init__(self, params: Collar) -> None:
        self.params = params
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at the limit, with the quote that was used."""
        request, params = intent.request, self.params
        limit, stop = request.limit_price, request.stop_price
        measured_stop = stop is not None and params.max_stop_deviation_percent is not None
        if limit is None and not measured_stop:
            return self.passed
        quote = view.market.fresh(request.instrument_id)
        reference = _reference(quote, params.reference, request.side)
        if quote is None or reference is None or reference <= 0:
            return denied(
                self.name, "no_quote", f"there is no fresh quote of {intent.instrument.symbol} to compare with"
            )
        verdict = self.passed
        if stop is not None and params.max_stop_deviation_percent is not None:
            deviation = abs(_deviation(stop, reference, request.side))
            verdict = self._verdict(deviation, params.max_stop_deviation_percent, quote, reference)
        if limit is not None and verdict.outcome is not Outcome.DENY:
            origin = reference if stop is None else stop
            deviation = _deviation(limit, origin, request.side)
            if params.passive_too:
                deviation = abs(deviation)
            verdict = self._verdict(deviation, params.max_deviation_percent, quote, origin)
        return verdict

    def _verdict(self, deviation: Decimal, limit: Decimal, quote: Quote, reference: Decimal) -> Verdict:
        outcome = Outcome.DENY if deviation > limit else Outcome.PASS
        return compared(self.name, outcome, max(deviation, ZERO), limit, quote, reference)


def _reference(quote: Quote | None, reference: Reference, side: Side) -> Decimal | None:
    if quote is None:
        return None
    return quote.mid() if reference is Reference.MID else quote.opposite(side)


def _deviation(price: Decimal, reference: Decimal, side: Side) -> Decimal:
    """How far the price lies to the losing side in percent of the reference; negative on the winning side."""
    distance = subtract(price, reference) if side is Side.BUY else subtract(reference, price)
    return ratio(multiply(distance, HUNDRED), abs(reference))
