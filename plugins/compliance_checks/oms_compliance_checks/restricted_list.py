"""An order in, DENY out when its instrument, or what it derives from, is on a list that is in force."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Outcome, Verdict, passed
from oms_kernel.domain.ids import InstrumentId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.order import Side


class RestrictedSide(StrEnum):
    """Which side of trading is restricted."""

    BUY = "BUY"
    SELL = "SELL"
    BOTH = "BOTH"


class Restriction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry: what may not be traded, on which side, and from when to when."""

    symbol: Annotated[str, described("Symbol, whatever the venue")] | None = None
    instrument_id: Annotated[str, described("Instrument; give this or a symbol")] | None = None
    side: Annotated[RestrictedSide, described("Side that may not be traded")] = RestrictedSide.BOTH
    effective_from: Annotated[datetime, msgspec.Meta(tz=True, description="First moment in force")] | None = None
    effective_to: Annotated[datetime, msgspec.Meta(tz=True, description="First moment after it")] | None = None

    def __post_init__(self) -> None:
        if (self.symbol is None) == (self.instrument_id is None):
            raise ValueError("give either symbol or instrument_id")

    def names(self, instrument: Instrument) -> bool:
        """Whether the entry names this instrument."""
        if self.instrument_id is not None:
            return self.instrument_id == instrument.instrument_id
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

    An entry is in force from `effective_from` up to, not including, `effective_to`.
    """

    name: ClassVar[str] = "restricted_list"
    title: ClassVar[str] = "Instruments that may not be traded"
    Params: ClassVar[type[msgspec.Struct]] = RestrictedListParams

    def __init__(self, params: RestrictedListParams) -> None:
        self.restrictions = params.restrictions
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS unless an entry in force names the instrument or its underlying."""
        for instrument in _with_underlying(intent.instrument, view):
            for entry in self.restrictions:
                if entry.names(instrument) and entry.holds(intent.request.side, view.now):
                    side = "" if entry.side is RestrictedSide.BOTH else f" for {entry.side.value}"
                    return Verdict(
                        rule=self.name,
                        outcome=Outcome.DENY,
                        code=self.name,
                        message=f"{instrument.symbol} is on the restricted list{side}",
                    )
        return self.passed


def _with_underlying(instrument: Instrument, view: RuleView) -> tuple[Instrument, ...]:
    """The instrument, its underlying and the legs of a combo, as far as they are known."""
    related: list[InstrumentId] = [leg.instrument_id for leg in instrument.legs]
    if instrument.underlying_id is not None:
        related.append(instrument.underlying_id)
    known = (view.instrument(instrument_id) for instrument_id in related)
    return (instrument, *(found for found in known if found is not None))
