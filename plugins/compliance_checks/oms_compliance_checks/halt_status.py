"""An order in, DENY out when its instrument is halted, in an auction or outside its band, or when nobody knows."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_compliance_checks.verdicts import refused, seconds
from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import InstrumentFacts, OrderIntent, RuleView
from oms_kernel.domain.decision import Verdict, denied, passed
from oms_kernel.domain.money import to_text
from oms_kernel.domain.order import Side


class HaltStatusParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How old the word of a halt may be, and what an auction does."""

    max_age_s: Annotated[int, described("How old the facts of the instrument may be", "s", ge=1, le=604_800)] = 60
    allow_auction: Annotated[bool, described("Let orders pass while the instrument is in an auction")] = False


class HaltStatus:
    """Denies orders and modifications while the instrument is halted, in an auction or beyond its price band.

    It reads the instrument's facts. None, older ones than `max_age_s`, or such as do not say whether it is halted (and,
    without `allow_auction`, whether it is in an auction) deny: `no_facts`, `stale_facts`. A band is kept where one is
    known: no BUY above `limit_up` and no SELL below `limit_down`; an order without a price counts at the quote.
    """

    name: ClassVar[str] = "halt_status"
    title: ClassVar[str] = "Nothing while an instrument is halted"
    Params: ClassVar[type[msgspec.Struct]] = HaltStatusParams
    rank: ClassVar[int] = 20
    source: ClassVar[str] = "Rules of the venues on halts, limit up-limit down bands and auctions"

    def __init__(self, params: HaltStatusParams) -> None:
        self.max_age = timedelta(seconds=params.max_age_s)
        self.limit = Decimal(params.max_age_s)
        self.allow_auction = params.allow_auction
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS while the instrument is known to trade and the price lies within its band."""
        symbol = intent.instrument.symbol
        facts = view.facts(intent.instrument.instrument_id)
        if facts is None or facts.is_halted is None:
            return refused(self.name, "no_facts", f"it is not known whether {symbol} is halted")
        age = view.now - facts.as_of
        if age > self.max_age:
            text = f"what is known of {symbol} is {to_text(seconds(age))} s old"
            return denied(self.name, "stale_facts", text, observed=seconds(age), limit=self.limit, unit="s")
        if facts.is_halted:
            return refused(self.name, "halted", f"{symbol} is halted", "the order when the halt is over")
        if not self.allow_auction and facts.in_auction is not False:
            if facts.in_auction is None:
                return refused(self.name, "no_facts", f"it is not known whether {symbol} is in an auction")
            return refused(self.name, "auction", f"{symbol} is in an auction", "the order after the auction")
        return self._banded(intent, facts)

    def _banded(self, intent: OrderIntent, facts: InstrumentFacts) -> Verdict:
        is_buy = intent.request.side is Side.BUY
        limit = facts.limit_up if is_buy else facts.limit_down
        if limit is None:
            return self.passed
        symbol, unit = intent.instrument.symbol, intent.instrument.currency
        price = intent.price
        if price is None:
            return refused(self.name, "no_quote", f"{symbol} has a price band and no fresh quote to compare with it")
        if price <= limit if is_buy else price >= limit:
            return self.passed
        beyond = "above" if is_buy else "below"
        text = f"{to_text(price)} {unit} is {beyond} the band's {to_text(limit)} {unit} for {symbol}"
        passes = f"a price of {to_text(limit)} or {'less' if is_buy else 'more'}"
        verdict = denied(self.name, "outside_band", text, observed=price, limit=limit, unit=unit, would_pass=passes)
        return verdict if is_buy else msgspec.structs.replace(verdict, is_floor=True)
