"""An order in, DENY out when what it trades is not among what the limit's trader, account or strategy may trade."""

from typing import Annotated, Any, ClassVar

import msgspec

from oms_compliance_checks.verdicts import only_reduces, refused
from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.instrument import AssetClass, Instrument


class AllowedInstrumentsParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be traded; an empty list allows everything of its kind."""

    asset_classes: Annotated[tuple[AssetClass, ...], described("Asset classes that may be traded")] = ()
    venues: Annotated[tuple[str, ...], described("Venues at which may be traded")] = ()
    currencies: Annotated[tuple[str, ...], described("Currencies in which may be traded")] = ()
    instruments: Annotated[tuple[str, ...], described("Symbols, VENUE:SYMBOL or ids that may be traded")] = ()
    allow_closing: Annotated[bool, described("Let orders pass that only reduce a position")] = False

    def __post_init__(self) -> None:
        if not (self.asset_classes or self.venues or self.currencies or self.instruments):
            raise ValueError("give at least one of asset_classes, venues, currencies, instruments")


class AllowedInstruments:
    """Denies orders and modifications in anything that is not on every list that the limit gives.

    A limit for an account or a strategy makes it that account's or strategy's permission, or a portfolio's mandate.
    With `allow_closing` what only reduces a position passes all the same.
    """

    name: ClassVar[str] = "allowed_instruments"
    title: ClassVar[str] = "Only instruments that are permitted"
    Params: ClassVar[type[msgspec.Struct]] = AllowedInstrumentsParams
    rank: ClassVar[int] = 10
    source: ClassVar[str] = "RTS 6 (Regulation (EU) 2017/589) Article 15(5)"

    def __init__(self, params: AllowedInstrumentsParams) -> None:
        self.params = params
        self.asset_classes = frozenset(params.asset_classes)
        self.venues = frozenset(venue.upper() for venue in params.venues)
        self.currencies = frozenset(currency.upper() for currency in params.currencies)
        self.instruments = frozenset(name.upper() for name in params.instruments)
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS when asset class, venue, currency and instrument are all permitted."""
        instrument = intent.instrument
        missed = self._missed(instrument)
        if missed is None:
            return self.passed
        if intent.request.liquidation_id is not None or (self.params.allow_closing and only_reduces(intent, view)):
            return self.passed
        what, allowed = missed
        permitted = ", ".join(sorted(allowed)[:10]) + (" and others" if len(allowed) > 10 else "")
        text = f"{instrument.symbol} may not be traded here: {what} is not permitted"
        return refused(self.name, self.name, text, would_pass=f"one of {permitted}")

    def _missed(self, instrument: Instrument) -> tuple[str, frozenset[str]] | None:
        """The first list that the instrument is not on, in words, and the list."""
        if self.asset_classes and instrument.asset_class not in self.asset_classes:
            return f"asset class {instrument.asset_class}", frozenset(self.asset_classes)
        if self.venues and instrument.venue.upper() not in self.venues:
            return f"venue {instrument.venue}", self.venues
        if self.currencies and instrument.currency.upper() not in self.currencies:
            return f"currency {instrument.currency}", self.currencies
        if self.instruments and self.instruments.isdisjoint(_names(instrument)):
            return "the instrument", self.instruments
        return None


def _names(instrument: Instrument) -> tuple[str, str, str]:
    symbol, venue = instrument.symbol.upper(), instrument.venue.upper()
    return symbol, f"{venue}:{symbol}", instrument.instrument_id.upper()
