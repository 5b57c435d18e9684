"""Holdings of a scope in, the worst-case value of one instrument, sector or issuer out, or what is missing for it."""

from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import RuleView, Usage
from oms_kernel.domain.ids import InstrumentId
from oms_kernel.domain.money import ZERO, add, multiply, ratio
from oms_kernel.domain.scope import Scope
from oms_risk_rules.measuring import Per, book_of
from oms_risk_rules.reach import reach_of
from oms_risk_rules.used import used
from oms_risk_rules.valuation import NO_EQUITY, Missing, equity_of, unit_value_of, unvalued

HUNDRED = Decimal(100)


class Group(StrEnum):
    """What counts together."""

    INSTRUMENT = "INSTRUMENT"
    SECTOR = "SECTOR"
    ISSUER = "ISSUER"


class Whole(StrEnum):
    """Of what a share is measured."""

    EQUITY = "EQUITY"
    GROSS = "GROSS"
    """The gross exposure of the scope."""


class Concentration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of one thing may be held."""

    max_percent: Annotated[Decimal, described("Largest share of the whole", "%", gt=0, le=10_000)]
    of: Annotated[Whole, described("Of what the share is measured")] = Whole.EQUITY
    by: Annotated[Group, described("What counts together; sector and issuer come from the instrument's facts")] = (
        Group.INSTRUMENT
    )
    free_below: Annotated[
        Decimal, described("Value of the group up to which its share does not matter", "base currency", ge=0)
    ] = ZERO
    per: Annotated[
        Per, described("Whether each account is measured by itself, or all accounts of the scope together")
    ] = Per.SCOPE


def group_of(view: RuleView, instrument_id: InstrumentId, by: Group) -> str | Missing:
    """The name of the group that an instrument belongs to."""
    if by is Group.INSTRUMENT:
        return instrument_id
    facts = view.facts(instrument_id)
    found = "" if facts is None else facts.sector if by is Group.SECTOR else facts.issuer
    if found:
        return found
    instrument = view.instrument(instrument_id)
    symbol = instrument.symbol if instrument is not None else instrument_id
    return Missing("no_facts", f"the {by.value.lower()} of {symbol} is not known")


def values_by_group(view: RuleView, scope: Scope, by: Group, currency: str) -> "dict[str, Decimal] | Missing":
    """The worst-case value of every group that the scope holds, in the base currency."""
    totals: dict[str, Decimal] = {}
    for account_id, instrument_id in view.holdings(scope):
        group = group_of(view, instrument_id, by)
        if isinstance(group, Missing):
            return group
        unit = unit_value_of(view, instrument_id, currency)
        if isinstance(unit, Missing):
            return unit
        value = multiply(reach_of(view.worst_case(account_id, instrument_id, book_of(scope))), unit)
        totals[group] = add(totals.get(group, ZERO), value)
    return totals


def whole_of(view: RuleView, scope: Scope, of: Whole) -> Decimal | Missing:
    """The scope's equity, or its gross exposure without the order that is judged."""
    if of is Whole.EQUITY:
        equity = equity_of(view, scope)
        return NO_EQUITY if equity is None else equity
    exposures = view.exposures(scope)
    return unvalued(view, exposures) if exposures.gross is None else exposures.gross


class Shares(msgspec.Struct, frozen=True):
    """What a scope holds, in groups, and of what the shares are: all in the base currency."""

    values: dict[str, Decimal]
    whole: Decimal


def shares_of(view: RuleView, scope: Scope, params: Concentration) -> Shares | None:
    """Every group of a scope; None where a price, rate or fact is missing, or the whole is not above 0."""
    currency = view.base_currency(scope)
    whole = whole_of(view, scope, params.of)
    if currency is None or isinstance(whole, Missing) or whole <= ZERO:
        return None
    values = values_by_group(view, scope, params.by, currency)
    return None if isinstance(values, Missing) else Shares(values, whole)


def shares_used(view: RuleView, part: Scope, params: Concentration) -> Iterator[Usage]:
    """The share of every group whose value is larger than what is free."""
    found = shares_of(view, part, params)
    for group, value in found.values.items() if found is not None else ():
        if found is None or value <= params.free_below:
            continue
        share = ratio(multiply(value, HUNDRED), found.whole)
        is_instrument = params.by is Group.INSTRUMENT
        instrument_id = InstrumentId(group) if is_instrument else None
        yield from used(share, params.max_percent, "%", part, "" if is_instrument else group, instrument_id)
