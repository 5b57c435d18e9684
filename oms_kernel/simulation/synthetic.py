"""A seed in, an endless or a written day of quotes out: a random walk on the tick grid that repeats itself exactly."""

import csv
import gzip
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from random import Random

from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import InstrumentId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import Quote
from oms_kernel.domain.money import multiply, to_text
from oms_kernel.simulation.csv_feed import QUOTE_COLUMNS

_LOWEST_TICKS = 20
_STEPS = (-2, -1, -1, 0, 0, 0, 1, 1, 2)
_SPREADS = (1, 1, 1, 2, 2, 3)
_LOTS = (1, 2, 3, 5, 8, 10, 20, 50)
DEFAULT_PRICE = Decimal(100)


class SyntheticFeed:
    """One quote of each instrument in turn at every interval of data time, for ever; the caller paces.

    start: of data time, an aware instant. prices: where instruments begin, 100 where nothing is said, put on the tick
    grid. size_lots: one displayed size is up to 50 times so many lots. A walk never falls under 20 ticks.
    `received_at` is `data_at` until a receiver stamps it.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        seed: int,
        start: datetime,
        interval: timedelta,
        *,
        prices: Mapping[InstrumentId, Decimal] | None = None,
        size_lots: int = 100,
    ) -> None:
        if interval <= timedelta(0):
            raise InvalidRequest("interval must be greater than 0", field="interval")
        self._instruments = tuple(instruments)
        self._seed = seed
        self._start = start
        self._interval = interval
        self._prices = prices or {}
        self._size_lots = size_lots

    def quotes(self) -> Iterator[Quote]:
        """The same quotes at each call."""
        walks = [
            _walk(
                instrument,
                Random(f"{self._seed}/{instrument.instrument_id}"),
                self._prices.get(instrument.instrument_id, DEFAULT_PRICE),
                self._size_lots,
            )
            for instrument in self._instruments
        ]
        at = self._start
        while walks:
            for walk in walks:
                instrument_id, bid, bid_size, ask, ask_size = next(walk)
                yield Quote(instrument_id, bid, bid_size, ask, ask_size, at, at)
            at += self._interval


def write_quotes_csv(
    path: str | Path,
    instruments: Sequence[Instrument],
    *,
    seed: int,
    start: datetime,
    interval: timedelta,
    rows: int,
    prices: Mapping[InstrumentId, Decimal] | None = None,
    gaps: bool = True,
) -> Path:
    """Write a seeded day in the quotes layout, gzipped when the name ends in .gz; the path.

    gaps: leave rows out and leave sides empty here and there, as real data does (seeded too).
    """
    path = Path(path)
    symbols = {instrument.instrument_id: instrument.symbol for instrument in instruments}
    random = Random(f"gaps/{seed}")
    feed = SyntheticFeed(instruments, seed, start, interval, prices=prices)
    file = gzip.open(path, "wt", encoding="utf-8", newline="") if path.suffix == ".gz" else path.open("w", newline="")
    with file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(QUOTE_COLUMNS)
        for quote in islice(feed.quotes(), rows):
            luck = random.randrange(100) if gaps else 99
            if luck < 3:
                continue
            at = quote.data_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            bid = ("", "") if luck == 3 else (_text(quote.bid), _text(quote.bid_size))
            ask = ("", "") if luck == 4 else (_text(quote.ask), _text(quote.ask_size))
            writer.writerow((at, symbols[quote.instrument_id], *bid, *ask))
    return path


def _walk(
    instrument: Instrument, random: Random, price: Decimal, size_lots: int
) -> Iterator[tuple[InstrumentId, Decimal, Decimal, Decimal, Decimal]]:
    tick, lot = instrument.tick_size, instrument.lot_size
    unit = multiply(lot, Decimal(size_lots))
    ticks = max(_LOWEST_TICKS, int(price // tick))
    while True:
        ticks = max(_LOWEST_TICKS, ticks + random.choice(_STEPS))
        yield (
            instrument.instrument_id,
            multiply(tick, Decimal(ticks)),
            multiply(unit, Decimal(random.choice(_LOTS))),
            multiply(tick, Decimal(ticks + random.choice(_SPREADS))),
            multiply(unit, Decimal(random.choice(_LOTS))),
        )


def _text(number: Decimal | None) -> str:
    return "" if number is None else to_text(number)
