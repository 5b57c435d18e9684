"""An order in, DENY out when one instrument, sector or issuer could become too large a share of equity or exposure."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from oms_kernel.contracts.rules import OrderIntent, RuleView, Usage
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.ids import InstrumentId
from oms_kernel.domain.money import ZERO, add, multiply, ratio, subtract
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_risk_rules.grouping import HUNDRED, Concentration, Group, Whole, group_of, shares_used, whole_of
from oms_risk_rules.measuring import book_of, measured, parts
from oms_risk_rules.reach import adds_no_quantity, of_others, on_side, reach_of, with_order
from oms_risk_rules.room import at_most, kept, overstepped
from oms_risk_rules.valuation import MIXED_CURRENCIES, Missing, shown, unit_value, unit_value_of


class ConcentrationLimit:
    """Denies an order with which one instrument, sector or issuer is above `max_percent` of the whole.

    The value of a group is the sum of its holdings' worst cases over the scope (position with every open buy, or every
    open sell, filled, the larger one) at their marks, in the base currency. The whole is the equity of the scope's
    accounts, or the scope's gross exposure with the order. Up to `free_below` nothing is denied: of the gross exposure
    the first holding is always all. An order that does not raise its holding's worst case passes. A sector or issuer
    that is not known denies with `no_facts`, of any holding of the scope, because it could belong to the group;
    `no_quote`, `no_fx_rate`, `no_equity`, `no_base_currency` as for gross_exposure.
    By sector or issuer every holding of the scope is looked at.
    """

    name: ClassVar[str] = "concentration"
    title: ClassVar[str] = "Largest share of one instrument, sector or issuer"
    Params: ClassVar[type[msgspec.Struct]] = Concentration
    rank: ClassVar[int] = 90
    takes_scope: ClassVar[bool] = True
    source: ClassVar[str] = "SEC 15c3-5(c)(1)(i): credit thresholds by sector or security where appropriate"

    def __init__(self, params: Concentration, scope: Scope = EVERYTHING) -> None:
        self.params = params
        self.scope = scope
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at the limit; observed is the group's share in percent with the order."""
        if adds_no_quantity(intent):
            return self.passed
        request, params = intent.request, self.params
        scope = measured(params.per, self.scope, request.account_id)
        own = view.worst_case(request.account_id, request.instrument_id, book_of(scope))
        before, after = reach_of(own), reach_of(with_order(own, intent))
        if after <= before:
            return self.passed
        currency = view.base_currency(scope)
        if currency is None:
            return MIXED_CURRENCIES.denies(self.name)
        unit = unit_value(view, intent.instrument, currency)
        if isinstance(unit, Missing):
            return unit.denies(self.name)
        peers = self._peers(view, scope, request.instrument_id, currency)
        if isinstance(peers, Missing):
            return peers.denies(self.name)
        rest = add(multiply(of_others(view, scope, intent), unit), peers)
        whole = whole_of(view, scope, params.of)
        if isinstance(whole, Missing):
            return whole.denies(self.name)
        holding = multiply(after, unit)
        if params.of is Whole.GROSS:
            whole = add(whole, subtract(holding, multiply(before, unit)))
        return self._verdict(intent, _Share(rest, holding, whole, currency), on_side(own, request.side), unit, before)

    def usage(self, view: RuleView, state: Any) -> Iterator[Usage]:
        """The share of each group that is larger than what is free."""
        for part in parts(self.params.per, self.scope, view):
            yield from shares_used(view, part, self.params)

    def _peers(self, view: RuleView, scope: Scope, instrument_id: InstrumentId, currency: str) -> Decimal | Missing:
        """The worst-case value of the other instruments of the group."""
        by = self.params.by
        if by is Group.INSTRUMENT:
            return ZERO
        group = group_of(view, instrument_id, by)
        if isinstance(group, Missing):
            return group
        total, book = ZERO, book_of(scope)
        for account_id, other_id in view.holdings(scope):
            if other_id == instrument_id:
                continue
            found = group_of(view, other_id, by)
            if isinstance(found, Missing):
                return found
            if found != group:
                continue
            unit = unit_value_of(view, other_id, currency)
            if isinstance(unit, Missing):
                return unit
            total = add(total, multiply(reach_of(view.worst_case(account_id, other_id, book)), unit))
        return total

    def _verdict(self, intent: OrderIntent, share: "_Share", side: Decimal, unit: Decimal, before: Decimal) -> Verdict:
        """side, before: how far the order's holding could go without it, to the order's side and either way."""
        limit, free = self.params.max_percent, self.params.free_below
        group, whole = add(share.rest, share.holding), share.whole
        inputs = shown({"group": group, "whole": whole})
        if group <= free:
            return kept(self.name, group, free, share.currency, inputs)
        if whole <= ZERO:
            return Missing("no_equity", "the equity is not above 0: nothing can be a share of it").denies(self.name)
        observed = ratio(multiply(group, HUNDRED), whole)
        if multiply(group, HUNDRED) <= multiply(limit, whole):
            return kept(self.name, min(observed, limit), limit, "%", inputs)
        text = f"the {self.params.by.value.lower()}'s share of"
        room, scale = self._room(share)
        left = subtract(room, multiply(multiply(side, unit), scale))
        would_pass = at_most(intent, left, multiply(unit, scale), subtract(before, side))
        return overstepped(self.name, text, observed, limit, "%", inputs, would_pass)

    def _room(self, share: "_Share") -> tuple[Decimal, Decimal]:
        """The most that the order's own holding may be worth, times a scale, and that scale."""
        limit, free = self.params.max_percent, subtract(self.params.free_below, share.rest)
        if self.params.of is Whole.EQUITY:
            most, scale = subtract(multiply(limit, share.whole), multiply(share.rest, HUNDRED)), HUNDRED
        else:
            others = subtract(share.whole, share.holding)
            most, scale = subtract(multiply(limit, others), multiply(share.rest, HUNDRED)), subtract(HUNDRED, limit)
        return max(most, multiply(free, scale)), scale


class _Share(msgspec.Struct, frozen=True):
    """The value of the order's holding with it, of the rest of its group, and of the whole."""

    rest: Decimal
    holding: Decimal
    whole: Decimal
    currency: str
