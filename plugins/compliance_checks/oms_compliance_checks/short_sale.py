"""A sale in, DENY out when it would sell short without a located loan, or under a price test at or below the bid."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec

from oms_compliance_checks.locates import FOLDED, Locates, folded, in_use
from oms_compliance_checks.verdicts import refused, seconds
from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import InstrumentFacts, OrderIntent, RuleView, Trigger
from oms_kernel.domain.decision import Verdict, denied, passed
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.events import Event, Recorded
from oms_kernel.domain.instrument import AssetClass, Instrument
from oms_kernel.domain.money import ZERO, add, subtract, to_text
from oms_kernel.domain.order import Side
from oms_kernel.recent import Recent

LENDABLE = frozenset({AssetClass.EQUITY, AssetClass.ETF, AssetClass.FUND})
"""What is sold short by borrowing it."""


class Locate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A broker's promise: so much of one instrument can be borrowed on one day."""

    locate_id: Annotated[str, described("What the broker calls the promise")]
    symbol: Annotated[str, described("Symbol, VENUE:SYMBOL or id of the instrument")]
    quantity: Annotated[Decimal, described("How much can be borrowed", "quantity", gt=0)]
    valid_on: Annotated[date, described("Trading date for which it was given")]


class ShortSaleParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a short sale needs."""

    locates: Annotated[tuple[Locate, ...], described("Promises of loans that may be used")] = ()
    easy_to_borrow: Annotated[tuple[str, ...], described("Symbols or ids that need no locate today")] = ()
    threshold_list: Annotated[tuple[str, ...], described("Symbols or ids that may not be sold short")] = ()
    deny_hard_to_borrow: Annotated[bool, described("Deny short sales of what is hard to borrow, locate or not")] = False
    price_test: Annotated[bool, described("Under a short-sale restriction, sell short above the best bid only")] = True
    max_facts_age_s: Annotated[int, described("How old the word of a restriction may be", "s", ge=1, le=604_800)] = (
        86_400
    )

    def __post_init__(self) -> None:
        ids = [locate.locate_id for locate in self.locates]
        if len(set(ids)) != len(ids):
            raise ValueError("two locates have the same locate_id")


class ShortSale:
    """Denies sales that open or enlarge a short position in shares, ETFs and funds, unless all of this holds.

    A sale is short as far as it goes beyond what is held less what other open orders sell already. Then: the instrument
    is not on the `threshold_list`; it is easy to borrow, or the order names a locate of this instrument and trading
    date that has enough left; under a short-sale restriction its limit lies above the best bid. An order uses its
    locate with its whole quantity, from its acceptance on, in doubt too, until the rest of it is proved to have ended.
    `price_test` needs facts that say whether a restriction is in force: `no_facts` and `stale_facts` deny.
    State: what is used of each locate.
    """

    name: ClassVar[str] = "short_sale"
    title: ClassVar[str] = "Short sales only with a locate, and above the bid when restricted"
    Params: ClassVar[type[msgspec.Struct]] = ShortSaleParams
    rank: ClassVar[int] = 50
    source: ClassVar[str] = "Regulation SHO Rules 201 and 203(b)"
    observes: ClassVar[frozenset[type[Event]]] = FOLDED

    def __init__(self, params: ShortSaleParams) -> None:
        self.params = params
        self.locates = {locate.locate_id: locate for locate in params.locates}
        self.easy = frozenset(name.upper() for name in params.easy_to_borrow)
        self.threshold = frozenset(name.upper() for name in params.threshold_list)
        self.max_age = timedelta(seconds=params.max_facts_age_s)
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Locates) -> Verdict:
        """PASS for purchases, for sales of what is held, and for short sales that keep the rules."""
        request, instrument = intent.request, intent.instrument
        if request.side is not Side.SELL or instrument.asset_class not in LENDABLE:
            return self.passed
        position = view.position(request.account_id, request.instrument_id)
        held = position.quantity if position is not None else ZERO
        selling = view.exposure(request.account_id, request.instrument_id).sell_quantity
        free = max(ZERO, subtract(max(held, ZERO), selling))
        if intent.open_quantity <= free or request.liquidation_id is not None:
            return self.passed
        facts = view.facts(request.instrument_id)
        passes = f"a quantity of at most {to_text(free)}" if free else ""
        names = _names(instrument)
        if not self.threshold.isdisjoint(names):
            text = f"{instrument.symbol} is on the threshold list and may not be sold short"
            return refused(self.name, "threshold_list", text, passes)
        is_hard = facts.is_hard_to_borrow if facts is not None else None
        if self.params.deny_hard_to_borrow and is_hard is not False:
            known = "is hard to borrow" if is_hard else "may be hard to borrow: its facts do not say"
            code = "hard_to_borrow" if is_hard else "no_facts"
            return refused(self.name, code, f"{instrument.symbol} {known}", passes)
        located = self.passed
        if is_hard or self.easy.isdisjoint(names):
            located = self._located(intent, view, state, passes)
        if located.code or not self.params.price_test:
            return located
        return self._priced(intent, view, facts, located)

    def initial_state(self) -> Locates:
        """No locate is used."""
        return Recent(timedelta(days=5))

    def fold(self, state: Locates, event: Recorded) -> tuple[Locates, tuple[Trigger, ...]]:
        """What is used of the locates after the event."""
        return folded(state, event), ()

    def _located(self, intent: OrderIntent, view: RuleView, state: Locates, passes: str) -> Verdict:
        """The verdict on the order's locate; its code is empty when it passes."""
        request, instrument = intent.request, intent.instrument
        locate = self.locates.get(request.locate_id or "")
        if request.locate_id is None or locate is None:
            which = "names no locate" if request.locate_id is None else f"names the unknown locate {request.locate_id}"
            text = f"the order sells {instrument.symbol} short and {which}"
            return refused(self.name, "no_locate", text, passes or "the order with a locate_id")
        if locate.symbol.upper() not in _names(instrument):
            text = f"locate {locate.locate_id} is for {locate.symbol}, not for {instrument.symbol}"
            return refused(self.name, "no_locate", text, passes)
        try:
            today = view.calendar(instrument).trading_date(view.now)
        except InvalidRequest:
            return refused(self.name, "no_calendar", f"the calendar of {instrument.symbol} is unknown")
        if locate.valid_on != today:
            text = f"locate {locate.locate_id} was given for {locate.valid_on}, today is {today}"
            return refused(self.name, "no_locate", text, passes)
        used = in_use(state, locate.locate_id, but=intent.order_id)
        wanted = max(request.quantity, intent.replaces.quantity) if intent.replaces is not None else request.quantity
        observed = add(used, wanted)
        inputs = {"used": used, "quantity": wanted}
        if observed <= locate.quantity:
            return passed(self.name, observed=observed, limit=locate.quantity, unit="quantity", inputs=inputs)
        left = max(ZERO, subtract(locate.quantity, used))
        return denied(
            self.name,
            "locate_used_up",
            f"locate {locate.locate_id} has {to_text(left)} of {to_text(locate.quantity)} left",
            observed=observed,
            limit=locate.quantity,
            unit="quantity",
            inputs=inputs,
            would_pass=f"a quantity of at most {to_text(left)}" if left else "the order with another locate",
        )

    def _priced(self, intent: OrderIntent, view: RuleView, facts: InstrumentFacts | None, located: Verdict) -> Verdict:
        """The verdict of the price test for an order whose locate passes."""
        symbol, unit = intent.instrument.symbol, intent.instrument.currency
        if facts is None or facts.is_short_restricted is None:
            return refused(self.name, "no_facts", f"it is not known whether short sales of {symbol} are restricted")
        age = view.now - facts.as_of
        if age > self.max_age:
            text = f"what is known of {symbol} is {to_text(seconds(age))} s old"
            return denied(self.name, "stale_facts", text, observed=seconds(age), limit=seconds(self.max_age), unit="s")
        if not facts.is_short_restricted:
            return located
        quote = view.market.fresh(intent.request.instrument_id)
        if quote is None or quote.bid is None:
            return refused(self.name, "no_quote", f"{symbol} is restricted and has no fresh bid to compare with")
        price = intent.request.limit_price
        passes = f"a limit above {to_text(quote.bid)}"
        if price is None:
            return refused(self.name, "price_test", f"{symbol} may be sold short with a limit only", passes)
        if price > quote.bid:
            return located
        text = (
            f"a short sale of {symbol} at {to_text(price)} {unit} is not above the bid of {to_text(quote.bid)} {unit}"
        )
        verdict = denied(self.name, "price_test", text, observed=price, limit=quote.bid, unit=unit, would_pass=passes)
        return msgspec.structs.replace(verdict, is_floor=True, quote_price=quote.bid, quote_at=quote.data_at)


def _names(instrument: Instrument) -> frozenset[str]:
    symbol = instrument.symbol.upper()
    return frozenset({symbol, f"{instrument.venue.upper()}:{symbol}", instrument.instrument_id.upper()})
