"""An order with a price in, DENY out when that price lies too far on the losing side of a fresh quote."""

from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Outcome, Verdict, denied, passed
from oms_kernel.domain.market import Quote
from oms_kernel.domain.money import EXACT, ZERO, add, multiply, ratio, subtract, to_text
from oms_kernel.domain.order import Side
from oms_risk_rules.verdicts import HUNDRED, compared, percent, times

MICROSECOND = timedelta(microseconds=1)
MILLION = Decimal(1_000_000)


class Reference(StrEnum):
    """The price of the quote that deviations are measured from."""

    OPPOSITE = "OPPOSITE"
    """Where the order would trade: the ask for BUY, the bid for SELL."""
    MID = "MID"
    LAST = "LAST"
    """The last trade."""


class Collar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a price may lie from the market: in percent, in ticks, or both, then the narrower one holds."""

    max_deviation_percent: (
        Annotated[Decimal, described("Largest deviation of a limit price to the losing side", "%", gt=0, le=1000)]
        | None
    ) = None
    reference: Annotated[Reference, described("What deviations are measured from")] = Reference.OPPOSITE
    passive_too: Annotated[bool, described("Deny prices too far on the winning side as well")] = False
    max_stop_deviation_percent: (
        Annotated[Decimal, described("Largest deviation of a trigger price to either side", "%", gt=0, le=1000)] | None
    ) = None
    max_deviation_ticks: (
        Annotated[int, described("Largest deviation of a limit price to the losing side", "ticks", ge=1)] | None
    ) = None
    max_age_s: (
        Annotated[Decimal, described("Largest age of the quote, where it is to be less than the platform's", "s", gt=0)]
        | None
    ) = None

    def __post_init__(self) -> None:
        if self.max_deviation_percent is None and self.max_deviation_ticks is None:
            raise ValueError("max_deviation_percent or max_deviation_ticks is needed")


class PriceCollar:
    """Denies prices outside a band around the market.

    Limit price: a BUY above, a SELL below the reference by more than `max_deviation_percent` or `max_deviation_ticks`;
    with `passive_too` the other side as well. An order with a trigger trades only when the market is there, so that its
    limit is measured from its own trigger price, and the trigger itself is bounded only where
    `max_stop_deviation_percent` is set. An order without any price (MARKET, a trail) passes: it has nothing to collar.
    The reference is a fresh quote: a stale, missing or one-sided one, or one that is no number above zero, denies with
    `no_quote`; one older than `max_age_s` with `stale_quote`.
    """

    name: ClassVar[str] = "price_collar"
    title: ClassVar[str] = "Band around the market for limit prices"
    source: ClassVar[str] = "RTS 6 Art. 15(1)(a); SEC 15c3-5(c)(1)(ii); FIA 2024 1.3"
    rank: ClassVar[int] = 50
    Params: ClassVar[type[msgspec.Struct]] = Collar

    def __init__(self, params: Collar) -> None:
        self.params = params
        self.passed = passed(self.name)
        self.ticks = None if params.max_deviation_ticks is None else Decimal(params.max_deviation_ticks)
        self.max_age = (
            None if params.max_age_s is None else timedelta(microseconds=int(multiply(params.max_age_s, MILLION)))
        )

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at the limit, with the quote that was used."""
        request, params = intent.request, self.params
        limit, stop = request.limit_price, request.stop_price
        measured_stop = stop is not None and params.max_stop_deviation_percent is not None
        if limit is None and not measured_stop:
            return self.passed
        quote = view.market.fresh(request.instrument_id)
        reference = _reference(quote, params.reference, request.side)
        if quote is None or reference is None or not reference.is_finite() or reference <= ZERO:
            return denied(
                self.name, "no_quote", f"there is no fresh quote of {intent.instrument.symbol} to compare with"
            )
        if self.max_age is not None and view.now - quote.received_at > self.max_age:
            return self._stale(view.now - quote.received_at, intent)
        verdict = self.passed
        if stop is not None and params.max_stop_deviation_percent is not None:
            deviation = percent(abs(_distance(stop, reference, request.side)), reference)
            verdict = self._verdict(deviation, params.max_stop_deviation_percent, "%", quote, reference)
        if limit is not None and verdict.outcome is not Outcome.DENY:
            verdict = self._limit(intent, limit, quote, reference if stop is None else stop)
        return verdict

    def _limit(self, intent: OrderIntent, price: Decimal, quote: Quote, origin: Decimal) -> Verdict:
        """The band around `origin`: percent first, then ticks; the figures are those of the one that denies."""
        distance = _distance(price, origin, intent.request.side)
        measured = abs(distance) if self.params.passive_too else distance
        verdict = self.passed
        if self.params.max_deviation_percent is not None:
            observed = percent(measured, abs(origin))
            hint = self._hint(intent, origin, distance) if observed > self.params.max_deviation_percent else ""
            verdict = self._verdict(observed, self.params.max_deviation_percent, "%", quote, origin, hint)
        if self.ticks is None or verdict.outcome is Outcome.DENY:
            return verdict
        observed = times(measured, intent.instrument.tick_size)
        if observed > self.ticks or verdict is self.passed:
            hint = self._hint(intent, origin, distance) if observed > self.ticks else ""
            verdict = self._verdict(observed, self.ticks, "ticks", quote, origin, hint)
        return verdict

    def _hint(self, intent: OrderIntent, origin: Decimal, distance: Decimal) -> str:
        """The outermost price that both limits let pass, on the side on which the order lies."""
        tick = intent.instrument.tick_size
        bands = []
        if self.params.max_deviation_percent is not None:
            bands.append(times(multiply(abs(origin), self.params.max_deviation_percent), HUNDRED))
        if self.ticks is not None:
            bands.append(multiply(tick, self.ticks))
        above = (intent.request.side is Side.BUY) is (distance > ZERO)
        band = min(bands)
        edge = add(origin, band) if above else subtract(origin, band)
        steps = EXACT.divide_int(edge, tick)
        if not above and multiply(steps, tick) < edge:
            steps += 1
        return f"a limit price of at {'most' if above else 'least'} {to_text(multiply(steps, tick))}"

    def _stale(self, age: timedelta, intent: OrderIntent) -> Verdict:
        observed, limit = ratio(Decimal(age // MICROSECOND), MILLION), self.params.max_age_s or ZERO
        text = f"the quote of {intent.instrument.symbol} is {to_text(observed)} s old; at most {to_text(limit)} s is"
        return denied(self.name, "stale_quote", f"{text} let in", observed=observed, limit=limit, unit="s")

    def _verdict(
        self, observed: Decimal, limit: Decimal, unit: str, quote: Quote, origin: Decimal, hint: str = ""
    ) -> Verdict:
        outcome = Outcome.DENY if observed > limit else Outcome.PASS
        return compared(self.name, outcome, max(observed, ZERO), limit, unit, origin, quote.data_at, hint)


def _reference(quote: Quote | None, reference: Reference, side: Side) -> Decimal | None:
    if quote is None:
        return None
    if reference is Reference.LAST:
        return quote.last
    return quote.mid() if reference is Reference.MID else quote.opposite(side)


def _distance(price: Decimal, origin: Decimal, side: Side) -> Decimal:
    """How far the price lies to the losing side; negative on the winning side."""
    return subtract(price, origin) if side is Side.BUY else subtract(origin, price)
