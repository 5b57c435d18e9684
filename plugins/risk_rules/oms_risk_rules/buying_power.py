"""An order in, DENY out when it needs more funds than the account has free, or when those cannot be computed."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView, Usage, WorstCase
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.money import ZERO, add, multiply, subtract
from oms_kernel.domain.order import Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_risk_rules.reach import with_order
from oms_risk_rules.room import at_most, kept, overstepped
from oms_risk_rules.used import used
from oms_risk_rules.valuation import NO_EQUITY, Missing, rate_of, shown, unit_value, unvalued

PERCENT = Decimal("0.01")


class Margins(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of a holding's value has to be covered by the account's own money."""

    long_margin_percent: Annotated[
        Decimal,
        described("Own money for what is bought: 100 for a cash account, 50 for half on credit", "%", ge=0, le=1000),
    ] = Decimal(100)
    short_margin_percent: Annotated[
        Decimal, described("Own money for what is sold short, beside the proceeds of the sale", "%", ge=0, le=1000)
    ] = Decimal(50)
    reserve: Annotated[Decimal, described("Money that no order may use", "base currency", ge=0)] = ZERO


class OwnMoney(msgspec.Struct, frozen=True):
    """The shares of a long and of a short value that have to be covered by the account's own money."""

    long: Decimal
    short: Decimal

    def needed(self, worst: WorstCase, unit: Decimal) -> Decimal:
        """Own money for the long and for the short worst case of a holding; `unit` is the worth of one unit."""
        return self.of(multiply(max(worst.long, ZERO), unit), multiply(max(worst.short.copy_negate(), ZERO), unit))

    def of(self, long: Decimal, short: Decimal) -> Decimal:
        """Own money for these values."""
        return add(multiply(long, self.long), multiply(short, self.short))


class BuyingPower:
    """Denies an order that needs more own money than the account has free.

    Free = equity - `reserve` - `long_margin_percent` of every long worst case - `short_margin_percent` of every short
    one. Equity is cash in all currencies plus positions at their marks; a worst case is the position with every open
    buy, or every open sell, filled, held and doubtful orders in full, at the mark. At 100 % that is: cash less the
    value of open buys, so that what is held counts at nothing; at 50 % half of what is held counts as funds.
    The order needs the margin that it adds, and a BUY above the mark the difference to its price as well. What closes
    a position needs nothing. There is no broker's figure in it: it is our own reckoning, without fees. An order that
    needs nothing passes, so that what reduces always passes. Measured for the order's account, whatever the scope.
    Missing data denies: `no_equity`, `no_quote`, `no_fx_rate`.
    """

    name: ClassVar[str] = "buying_power"
    title: ClassVar[str] = "No order without free funds"
    Params: ClassVar[type[msgspec.Struct]] = Margins
    rank: ClassVar[int] = 80
    takes_scope: ClassVar[bool] = True
    source: ClassVar[str] = "SEC 15c3-5(c)(1)(i) pre-set credit or capital thresholds"

    def __init__(self, params: Margins, scope: Scope = EVERYTHING) -> None:
        self.scope = scope
        self.margins = OwnMoney(
            long=multiply(params.long_margin_percent, PERCENT), short=multiply(params.short_margin_percent, PERCENT)
        )
        self.reserve = params.reserve
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at what is free; observed is what the order needs, limit what is free without it."""
        request = intent.request
        own = view.worst_case(request.account_id, request.instrument_id)
        if (intent.kind is RequestKind.REPLACE and _needs_no_more(intent)) or closes(own, intent):
            return self.passed
        currency = view.account(request.account_id).base_currency
        unit = unit_value(view, intent.instrument, currency)
        if isinstance(unit, Missing):
            return unit.denies(self.name)
        extra = _above_mark(intent, view, currency)
        if isinstance(extra, Missing):
            return extra.denies(self.name)
        added = subtract(self.margins.needed(with_order(own, intent), unit), self.margins.needed(own, unit))
        needed = add(added, multiply(intent.open_quantity, extra)) if extra else added
        if needed <= ZERO:
            return self.passed
        equity = view.equity(request.account_id)
        found = view.exposures(Scope(account_id=request.account_id))
        if found.long is None or found.short is None:
            return unvalued(view, found).denies(self.name)
        if equity is None:
            return NO_EQUITY.denies(self.name)
        bound = self.margins.of(found.long, found.short)
        free = subtract(subtract(equity, self.reserve), bound)
        inputs = shown({"equity": equity, "bound": bound, "reserve": self.reserve})
        if needed <= free:
            return kept(self.name, needed, free, currency, inputs)
        room = self._would_pass(intent, own, free, unit, extra)
        text = "the order's need for money of"
        return overstepped(self.name, text, needed, free, currency, inputs, room, bound_by="the free money")

    def usage(self, view: RuleView, state: Any) -> Iterator[Usage]:
        """How much of each account's own money is bound."""
        for account_id in view.accounts(self.scope):
            part = Scope(account_id=account_id)
            found, equity = view.exposures(part), view.equity(account_id)
            if found.long is not None and found.short is not None and equity is not None:
                bound = self.margins.of(found.long, found.short)
                limit = max(subtract(equity, self.reserve), ZERO)
                yield from used(bound, limit, view.account(account_id).base_currency, part)

    def _would_pass(self, intent: OrderIntent, own: WorstCase, free: Decimal, unit: Decimal, extra: Decimal) -> str:
        is_buy = intent.request.side is Side.BUY
        closing = max(own.long.copy_negate() if is_buy else own.short, ZERO)
        cost = add(multiply(unit, self.margins.long if is_buy else self.margins.short), extra)
        room = subtract(free, multiply(closing, extra))
        return at_most(intent, add(multiply(closing, cost), room) if room > ZERO else ZERO, cost, closing)


def closes(own: WorstCase, intent: OrderIntent) -> bool:
    """Whether the order only closes what is held, open orders counted."""
    quantity = intent.open_quantity
    if intent.request.side is Side.BUY:
        return add(own.long, quantity) <= ZERO
    return subtract(own.short, quantity) >= ZERO


def _needs_no_more(intent: OrderIntent) -> bool:
    """Whether new terms raise neither the quantity nor, of a BUY, the price."""
    if intent.added_quantity > ZERO:
        return False
    old = intent.replaces.reservation.price if intent.replaces is not None else None
    return intent.request.side is Side.SELL or intent.price is None or (old is not None and intent.price <= old)


def _above_mark(intent: OrderIntent, view: RuleView, currency: str) -> Decimal | Missing:
    """By how much a unit of a BUY costs more than it is worth; 0 at or below the mark, and for a SELL."""
    mark = view.mark(intent.instrument.instrument_id)
    if intent.request.side is Side.SELL or intent.price is None or mark is None or intent.price <= mark:
        return ZERO
    rate = rate_of(view, intent.instrument, currency)
    if isinstance(rate, Missing):
        return rate
    return multiply(multiply(subtract(intent.price, mark), intent.instrument.multiplier), rate)
