"""An order in, DENY out when the gross or net exposure of the limit's scope could become larger than the limit."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import Exposures, OrderIntent, RuleView, Usage
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.money import ZERO, add, multiply, subtract
from oms_kernel.domain.order import Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_risk_rules.measuring import Per, book_of, measured, parts
from oms_risk_rules.reach import adds_no_quantity, on_side, reach_of, with_order
from oms_risk_rules.room import at_most, kept, overstepped
from oms_risk_rules.used import used
from oms_risk_rules.valuation import (
    MIXED_CURRENCIES,
    NO_EQUITY,
    Missing,
    equity_of,
    shown,
    unit_value,
    unvalued,
)


class ExposureLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits for an exposure; at least one is given, and the tighter one holds."""

    max_exposure: Annotated[Decimal, described("Largest exposure", "base currency", ge=0)] | None = None
    max_leverage: Annotated[Decimal, described("Largest exposure as a multiple of equity", "x", gt=0)] | None = None
    per: Annotated[
        Per, described("Whether each account is measured by itself, or all accounts of the scope together")
    ] = Per.SCOPE

    def __post_init__(self) -> None:
        """Raises ValueError when no limit is given."""
        if self.max_exposure is None and self.max_leverage is None:
            raise ValueError("at least one of max_exposure, max_leverage is needed")


class _Measured(msgspec.Struct, frozen=True):
    """An exposure as an order would leave it. without: less all that the order adds, closing counted as negative."""

    exposure: Decimal
    without: Decimal
    currency: str
    unit: Decimal
    always: Decimal = ZERO
    """The quantity that adds no exposure."""


class _ExposureRule:
    """What gross and net have in common: scope, limits and the words of the verdict."""

    name: ClassVar[str]
    word: ClassVar[str]
    Params: ClassVar[type[msgspec.Struct]] = ExposureLimit
    rank: ClassVar[int] = 80
    takes_scope: ClassVar[bool] = True
    source: ClassVar[str] = "SEC 15c3-5(c)(1)(i); RTS 6 Art. 15(4)"

    def __init__(self, params: ExposureLimit, scope: Scope = EVERYTHING) -> None:
        self.most = params.max_exposure
        self.leverage = params.max_leverage
        self.per = params.per
        self.scope = scope
        self.passed = passed(self.name)

    def limit(self, view: RuleView, scope: Scope, inputs: dict[str, Decimal]) -> Decimal | Missing:
        """The tighter of the two limits in the base currency; a leverage of equity at or below 0 allows nothing."""
        if self.leverage is None:
            return self.most if self.most is not None else ZERO
        equity = equity_of(view, scope)
        if equity is None:
            return NO_EQUITY
        inputs["equity"] = equity
        allowed = multiply(max(equity, ZERO), self.leverage)
        return allowed if self.most is None else min(self.most, allowed)

    def reached(self, found: Exposures) -> Decimal | None:
        """The exposure as it is; None: a price or rate is missing."""
        raise NotImplementedError

    def usage(self, view: RuleView, state: Any) -> Iterator[Usage]:
        """The exposure of the scope, or of each account, as it is."""
        for part in parts(self.per, self.scope, view):
            currency, value = view.base_currency(part), self.reached(view.exposures(part))
            limit = self.limit(view, part, {})
            if currency is not None and value is not None and not isinstance(limit, Missing):
                yield from used(value, limit, currency, part)

    def verdict(self, intent: OrderIntent, found: _Measured, limit: Decimal, inputs: dict[str, Decimal]) -> Verdict:
        """PASS up to and at the limit."""
        if found.exposure <= limit:
            return kept(self.name, found.exposure, limit, found.currency, inputs)
        room = at_most(intent, subtract(limit, found.without), found.unit, found.always)
        text = f"a {self.word} exposure of"
        return overstepped(self.name, text, found.exposure, limit, found.currency, inputs, room)


class GrossExposure(_ExposureRule):
    """Denies an order with which the gross exposure of the scope is above the limit and larger than without it.

    Gross exposure: over all holdings of the scope the larger of long and short worst case (position with every open
    buy, or every open sell, filled; held and doubtful orders in full), at the mark, in the base currency, added up
    without netting, each account's holding by itself. An order that does not raise its own holding's worst case
    passes. A strategy's limit measures its own book, its leverage the equity of the account. Missing data denies:
    `no_quote`, `no_fx_rate`, `no_equity`, and `no_base_currency` for accounts in different currencies.
    """

    name: ClassVar[str] = "gross_exposure"
    title: ClassVar[str] = "Largest gross exposure"
    word: ClassVar[str] = "gross"

    def reached(self, found: Exposures) -> Decimal | None:
        """The gross exposure."""
        return found.gross

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at the limit; observed is the exposure with the order."""
        if adds_no_quantity(intent):
            return self.passed
        request = intent.request
        scope = measured(self.per, self.scope, request.account_id)
        book = book_of(scope)
        own = view.worst_case(request.account_id, request.instrument_id, book)
        before = reach_of(own)
        added = subtract(reach_of(with_order(own, intent)), before)
        if added <= ZERO:
            return self.passed
        currency = view.base_currency(scope)
        if currency is None:
            return MIXED_CURRENCIES.denies(self.name)
        unit = unit_value(view, intent.instrument, currency)
        if isinstance(unit, Missing):
            return unit.denies(self.name)
        found = view.exposures(scope)
        if found.gross is None:
            return unvalued(view, found).denies(self.name)
        inputs = shown({"without_the_order": found.gross, "order": multiply(added, unit)})
        limit = self.limit(view, scope, inputs)
        if isinstance(limit, Missing):
            return limit.denies(self.name)
        # A part of the order that closes the other side costs no exposure.
        always = subtract(before, on_side(own, request.side))
        without = subtract(found.gross, multiply(always, unit))
        measured_now = _Measured(add(found.gross, multiply(added, unit)), without, currency, unit, always)
        return self.verdict(intent, measured_now, limit, inputs)


class NetExposure(_ExposureRule):
    """Denies an order with which the net exposure of the scope, on the order's side, is above the limit.

    Net exposure: long holdings less short ones at their marks, in the base currency. A BUY is judged on the value with
    every open buy filled, a SELL on the short value with every open sell filled: what brings the scope nearer to zero
    passes. Missing data denies as it does for gross_exposure.
    """

    name: ClassVar[str] = "net_exposure"
    title: ClassVar[str] = "Largest net exposure, long or short"
    word: ClassVar[str] = "net"

    def reached(self, found: Exposures) -> Decimal | None:
        """The larger of the long and the short net exposure."""
        return net_of(found)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at the limit; observed is the exposure on the order's side with the order."""
        if adds_no_quantity(intent):
            return self.passed
        request = intent.request
        scope = measured(self.per, self.scope, request.account_id)
        currency = view.base_currency(scope)
        if currency is None:
            return MIXED_CURRENCIES.denies(self.name)
        unit = unit_value(view, intent.instrument, currency)
        if isinstance(unit, Missing):
            return unit.denies(self.name)
        found = view.exposures(scope)
        reached = found.net_high if request.side is Side.BUY else found.net_low
        if reached is None:
            return unvalued(view, found).denies(self.name)
        without = reached if request.side is Side.BUY else reached.copy_negate()
        added = multiply(intent.open_quantity, unit)
        inputs = shown({"without_the_order": without, "order": added})
        limit = self.limit(view, scope, inputs)
        if isinstance(limit, Missing):
            return limit.denies(self.name)
        return self.verdict(intent, _Measured(add(without, added), without, currency, unit), limit, inputs)


def net_of(found: Exposures) -> Decimal | None:
    """How far a scope could be from zero net, either way; None: a price or rate is missing."""
    if found.net_high is None or found.net_low is None:
        return None
    return max(found.net_high, found.net_low.copy_negate(), ZERO)
