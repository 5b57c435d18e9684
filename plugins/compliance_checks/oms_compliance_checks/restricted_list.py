"""An order in, DENY out when its instrument, its issuer or what it derives from is on a list that is in force."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import msgspec

from oms_compliance_checks.verdicts import refused
from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.ids import InstrumentId
from oms_kernel.domain.instrument import AssetClass, Instrument
from oms_kernel.domain.order import Side

ISSUED = frozenset({AssetClass.EQUITY, AssetClass.ETF, AssetClass.BOND, AssetClass.FUND})
"""What somebody issued. Others are restricted by what they derive from."""


class RestrictedSide(StrEnum):
    """Which side of trading is restricted."""

    BUY = "BUY"
    SELL = "SELL"
    BOTH = "BOTH"


class Restriction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry: what may not be traded, on which side, and from when to when."""

    symbol: Annotated[str, described("Symbol, whatever the venue")] | None = None
    instrument_id: Annotated[str, described("Instrument; give this, a symbol or an issuer")] | None = None
    issuer: Annotated[str, described("Issuer of shares, bonds or funds, as the instrument's facts name it")] | None = (
        None
    )
    side: Annotated[RestrictedSide, described("Side that may not be traded")] = RestrictedSide.BOTH
    effective_from: Annotated[datetime, msgspec.Meta(tz=True, description="First moment in force")] | None = None
    effective_to: Annotated[datetime, msgspec.Meta(tz=True, description="First moment after it")] | None = None

    def __post_init__(self) -> None:
        if sum(name is not None for name in (self.symbol, self.instrument_id, self.issuer)) != 1:
            raise ValueError("give one of symbol, instrument_id and issuer")

    def names(self, instrument: Instrument, issuer: str) -> bool:
        """Whether the entry names this instrument, or the one who issued it."""
        if self.instrument_id is not None:
            return self.instrument_id == instrument.instrument_id
        if self.issuer is not None:
            return self.issuer.casefold() == issuer.casefold()
        return self.symbol is not None and self.symbol.upper() == instrument.symbol.upper()

    def holds(self, side: Side, now: datetime) -> bool:
        """Whether the entry is in force for this side."""
        return (
            self.side.value in (side.value, RestrictedSide.BOTH.value)
            and (self.effective_from is None or self.effective_from <= now)
            and (self.effective_to is None or now < self.effective_to)
        )


class RestrictedListParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The list."""

    restrictions: Annotated[tuple[Restriction, ...], described("What may not be traded")]


class RestrictedList:
    """Denies orders and modifications in restricted instruments; derivatives of them as well.

    An entry is in force from `effective_from` up to, not including, `effective_to`. An entry for an issuer needs the
    issuer of each share, bond or fund: where the instrument's facts do not name it, the order is denied, `no_issuer`.
    """

    name: ClassVar[str] = "restricted_list"
    title: ClassVar[str] = "Instruments that may not be traded"
    Params: ClassVar[type[msgspec.Struct]] = RestrictedListParams
    rank: ClassVar[int] = 20
    source: ClassVar[str] = "SEC 17 CFR 240.15c3-5(c)(2)(ii)"

    def __init__(self, params: RestrictedListParams) -> None:
        self.restrictions = params.restrictions
        self.issuers = tuple(entry for entry in params.restrictions if entry.issuer is not None)
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS unless an entry in force names the instrument, its issuer or its underlying."""
        side, now = intent.request.side, view.now
        for instrument in _with_underlying(intent.instrument, view):
            issuer = self._issuer(instrument, view)
            for entry in self.restrictions:
                if not entry.holds(side, now):
                    continue
                if entry.issuer is not None and issuer is None:
                    text = f"it is not known who issued {instrument.symbol}, and issuers are restricted"
                    return refused(self.name, "no_issuer", text, "the order once the issuer is known")
                if entry.names(instrument, issuer or ""):
                    return self._denied(entry, instrument, side)
        return self.passed

    def _issuer(self, instrument: Instrument, view: RuleView) -> str | None:
        """Who issued it; empty for what nobody issues, None where it is not known. Asked only for issuers' entries."""
        if not self.issuers or instrument.asset_class not in ISSUED:
            return ""
        facts = view.facts(instrument.instrument_id)
        return facts.issuer or None if facts is not None else None

    def _denied(self, entry: Restriction, instrument: Instrument, side: Side) -> Verdict:
        what = instrument.symbol if entry.issuer is None else f"{instrument.symbol}, of {entry.issuer},"
        only = "" if entry.side is RestrictedSide.BOTH else f" for {entry.side.value}"
        passes = [] if entry.side is RestrictedSide.BOTH else [f"a {side.opposite.value} order"]
        if entry.effective_to is not None:
            passes.append(f"the order from {entry.effective_to.isoformat()} on")
        text = f"{what} is on the restricted list{only}"
        return refused(self.name, self.name, text, would_pass=" or ".join(passes))


def _with_underlying(instrument: Instrument, view: RuleView) -> tuple[Instrument, ...]:
    """The instrument, its underlying and the legs of a combo, as far as they are known."""
    related: list[InstrumentId] = [leg.instrument_id for leg in instrument.legs]
    if instrument.underlying_id is not None:
        related.append(instrument.underlying_id)
    known = (view.instrument(instrument_id) for instrument_id in related)
    return (instrument, *(found for found in known if found is not None))
