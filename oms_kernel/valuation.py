"""One market view in, marks and exchange rates out, each looked up once: what is not quoted freshly has no value."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from oms_kernel.domain.ids import InstrumentId
from oms_kernel.domain.instrument import AssetClass, Instrument
from oms_kernel.domain.market import MarketView
from oms_kernel.domain.money import ONE, multiply, quantise, ratio

CODE_LENGTH = 3
"""Letters of a currency's code (ISO 4217)."""


class CurrencyPairs(msgspec.Struct, frozen=True):
    """The FOREX instruments of a catalogue by what they are a price of: (currency, currency it is quoted in)."""

    pairs: dict[tuple[str, str], tuple[InstrumentId, ...]]
    neighbours: dict[str, tuple[str, ...]]
    """Currency -> those that it has a price in, or is the price of."""

    @classmethod
    def of(cls, instruments: Iterable[Instrument]) -> "CurrencyPairs":
        """The pairs of these instruments; symbols such as EURUSD, EUR/USD or EUR.USD begin with what is bought."""
        pairs: dict[tuple[str, str], tuple[InstrumentId, ...]] = {}
        neighbours: dict[str, set[str]] = {}
        for instrument in instruments:
            if instrument.asset_class is not AssetClass.FOREX:
                continue
            bought, paid = instrument.symbol[:CODE_LENGTH].upper(), instrument.currency
            pairs[bought, paid] = (*pairs.get((bought, paid), ()), instrument.instrument_id)
            neighbours.setdefault(bought, set()).add(paid)
            neighbours.setdefault(paid, set()).add(bought)
        return cls(pairs, {currency: tuple(sorted(others)) for currency, others in neighbours.items()})


class Valuation:
    """Marks and rates of one moment. pairs: of the same catalogue; None: they are made at the first rate asked for."""

    def __init__(
        self,
        market: MarketView,
        instruments: Mapping[InstrumentId, Instrument],
        pairs: CurrencyPairs | None = None,
    ) -> None:
        self._market = market
        self._instruments = instruments
        self._pairs = pairs
        self._marks: dict[InstrumentId, Decimal | None] = {}
        self._rates: dict[tuple[str, str], Decimal | None] = {}
        self._units: dict[tuple[InstrumentId, str], Decimal | str] = {}

    def mark(self, instrument_id: InstrumentId) -> Decimal | None:
        """The mid, else the last price, of a fresh quote; None: there is none."""
        marks = self._marks
        if instrument_id in marks:
            return marks[instrument_id]
        quote = self._market.fresh(instrument_id)
        found = None if quote is None else quote.mid()
        if found is None and quote is not None:
            found = quote.last
        marks[instrument_id] = found
        return found

    def rate(self, currency: str, into: str) -> Decimal | None:
        """Units of `into` for one unit of `currency`: direct, inverse, else by way of one third currency; else None."""
        if currency == into:
            return ONE
        rates = self._rates
        key = (currency, into)
        if key not in rates:
            rates[key] = self._quoted(currency, into) or self._by_way_of_a_third(currency, into) or None
        return rates[key]

    def unit(self, instrument_id: InstrumentId, into: str) -> Decimal | str:
        """What one unit of an instrument is worth in a currency, at its mark; a text: what has no price."""
        units = self._units
        found = units.get((instrument_id, into))
        if found is None:
            found = units[instrument_id, into] = self._unit(instrument_id, into)
        return found

    def currency(self, instrument_id: InstrumentId) -> str:
        """The currency that an instrument is priced in; empty for one that the batch does not know."""
        instrument = self._instruments.get(instrument_id)
        return instrument.currency if instrument is not None else ""

    def _unit(self, instrument_id: InstrumentId, into: str) -> Decimal | str:
        instrument = self._instruments.get(instrument_id)
        if instrument is None:
            return instrument_id
        mark = self.mark(instrument_id)
        if mark is None:
            return instrument.symbol
        rate = self.rate(instrument.currency, into)
        return instrument.currency if rate is None else multiply(multiply(mark, instrument.multiplier), rate)

    def _by_way_of_a_third(self, currency: str, into: str) -> Decimal | None:
        for third in self._known().neighbours.get(currency, ()):
            first = self._quoted(currency, third)
            second = self._quoted(third, into) if first is not None else None
            if first is not None and second is not None:
                return quantise(multiply(first, second))
        return None

    def _quoted(self, currency: str, into: str) -> Decimal | None:
        pairs = self._known().pairs
        direct = self._first_mark(pairs.get((currency, into), ()))
        if direct is not None:
            return direct
        inverse = self._first_mark(pairs.get((into, currency), ()))
        return ratio(ONE, inverse) if inverse is not None else None

    def _first_mark(self, instrument_ids: Iterable[InstrumentId]) -> Decimal | None:
        for instrument_id in instrument_ids:
            found = self.mark(instrument_id)
            if found is not None and found > 0:
                return found
        return None

    def _known(self) -> CurrencyPairs:
        if self._pairs is None:
            self._pairs = CurrencyPairs.of(self._instruments.values())
        return self._pairs
