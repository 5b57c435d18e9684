"""The exposures of a scope in, a trigger out where they are too large, or too much of them is in one thing."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import RuleView, Trigger, Usage
from oms_kernel.domain.controls import Action
from oms_kernel.domain.ids import InstrumentId
from oms_kernel.domain.money import ZERO, multiply, ratio
from oms_kernel.domain.scope import Scope
from oms_risk_rules.alarms import above
from oms_risk_rules.exposure_limits import net_of
from oms_risk_rules.grouping import HUNDRED, Concentration, Group, shares_of, shares_used
from oms_risk_rules.measuring import Per, parts
from oms_risk_rules.used import used
from oms_risk_rules.valuation import equity_of


class ExposureBounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits for what a scope has at risk; at least one is given."""

    max_gross: Annotated[Decimal, described("Largest gross exposure", "base currency", ge=0)] | None = None
    max_net: Annotated[Decimal, described("Largest net exposure, long or short", "base currency", ge=0)] | None = None
    max_leverage: Annotated[Decimal, described("Largest gross exposure as a multiple of equity", "x", gt=0)] | None = (
        None
    )
    per: Annotated[
        Per, described("Whether each account is measured by itself, or all accounts of the scope together")
    ] = Per.ACCOUNT

    def __post_init__(self) -> None:
        """Raises ValueError when no limit is given."""
        if self.max_gross is None and self.max_net is None and self.max_leverage is None:
            raise ValueError("at least one of max_gross, max_net, max_leverage is needed")


class WatchedConcentration(Concentration, frozen=True, forbid_unknown_fields=True):
    """How much of one thing may be held, by each account unless `per` says otherwise."""

    per: Annotated[
        Per, described("Whether each account is measured by itself, or all accounts of the scope together")
    ] = Per.ACCOUNT


class ExposureMonitor:
    """Finds accounts, or a whole scope, whose exposure is above a limit in money: post-trade credit after every fill.

    Gross and net exposure are those of the rules gross_exposure and net_exposure: what is held and what is open, at
    present marks, in the base currency; net is the larger of the long and the short worst case. Leverage is gross
    exposure by equity; equity at or below 0 allows none. A trigger is for the account alone unless `per` is SCOPE:
    then it is for the limit's scope. While a price or rate is missing nothing is found: the rules deny then, and
    stale_data_monitor tells.
    """

    name: ClassVar[str] = "exposure_monitor"
    title: ClassVar[str] = "Exposure above the limit"
    Params: ClassVar[type[msgspec.Struct]] = ExposureBounds
    default_action: ClassVar[Action] = Action.REDUCE_ONLY
    source: ClassVar[str] = "FIA 2024 post-trade credit; RTS 6 Art. 17(2)"

    def __init__(self, params: ExposureBounds, scope: Scope) -> None:
        self.params = params
        self.scope = scope

    def watch(self, view: RuleView, state: Any) -> tuple[Trigger, ...]:
        """A trigger for each limit that is overstepped, account by account or for the scope as a whole."""
        return tuple(trigger for part in parts(self.params.per, self.scope, view) for trigger in self._of(view, part))

    def usage(self, view: RuleView, state: Any) -> Iterator[Usage]:
        """Each exposure that has a limit, as it is."""
        for part in parts(self.params.per, self.scope, view):
            currency = view.base_currency(part)
            for word, value, limit in self._measured(view, part) if currency is not None else ():
                yield from used(value, limit, currency or "", part, word)

    def _of(self, view: RuleView, part: Scope) -> list[Trigger]:
        currency = view.base_currency(part)
        if currency is None:
            return []
        return [
            above(self.name, f"a {word} exposure of", value, limit, currency, f"{part.account_id or ''}:{word}", part)
            for word, value, limit in self._measured(view, part)
            if value > limit
        ]

    def _measured(self, view: RuleView, part: Scope) -> Iterator[tuple[str, Decimal, Decimal]]:
        """(what, how much, the limit) of each limit that can be measured."""
        params, found = self.params, view.exposures(part)
        gross, net = found.gross, net_of(found)
        if gross is None or net is None:
            return
        if params.max_gross is not None:
            yield "gross", gross, params.max_gross
        if params.max_net is not None:
            yield "net", net, params.max_net
        if params.max_leverage is not None and gross:
            equity = equity_of(view, part)
            if equity is not None:
                yield "leveraged", gross, multiply(max(equity, ZERO), params.max_leverage)


class ConcentrationMonitor:
    """Finds instruments, sectors and issuers that are too large a share of equity or of gross exposure.

    The figures are those of the rule concentration: what is held and what is open, at present marks. A share grows
    without any order when prices move or the rest is sold. An instrument's trigger is for the instrument in its
    account, a sector's or an issuer's for the account; with `per` SCOPE for the whole scope in place of the account.
    While a price, a rate or a sector is missing nothing is found: the rule denies then.
    """

    name: ClassVar[str] = "concentration_monitor"
    title: ClassVar[str] = "Too much in one instrument, sector or issuer"
    Params: ClassVar[type[msgspec.Struct]] = WatchedConcentration
    default_action: ClassVar[Action] = Action.REDUCE_ONLY
    source: ClassVar[str] = "SEC 15c3-5(c)(1)(i) by sector or security; RTS 6 Art. 17(2)"

    def __init__(self, params: WatchedConcentration, scope: Scope) -> None:
        self.params = params
        self.scope = scope

    def watch(self, view: RuleView, state: Any) -> tuple[Trigger, ...]:
        """A trigger for each group that is above the limit."""
        return tuple(trigger for part in parts(self.params.per, self.scope, view) for trigger in self._of(view, part))

    def usage(self, view: RuleView, state: Any) -> Iterator[Usage]:
        """The share of each group that is larger than what is free."""
        for part in parts(self.params.per, self.scope, view):
            yield from shares_used(view, part, self.params)

    def _of(self, view: RuleView, part: Scope) -> list[Trigger]:
        params = self.params
        found = shares_of(view, part, params)
        return (
            []
            if found is None
            else [
                self._trigger(view, part, group, ratio(multiply(value, HUNDRED), found.whole))
                for group, value in found.values.items()
                if value > params.free_below and multiply(value, HUNDRED) > multiply(params.max_percent, found.whole)
            ]
        )

    def _trigger(self, view: RuleView, part: Scope, group: str, share: Decimal) -> Trigger:
        name, scope = group, part
        if self.params.by is Group.INSTRUMENT:
            instrument_id = InstrumentId(group)
            instrument = view.instrument(instrument_id)
            name = instrument.symbol if instrument is not None else group
            scope = Scope(account_id=part.account_id, strategy_id=part.strategy_id, instrument_id=instrument_id)
        text = f"a share of {name} of"
        return above(self.name, text, share, self.params.max_percent, "%", f"{part.account_id or ''}:{group}", scope)
