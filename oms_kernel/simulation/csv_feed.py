"""Rows of a CSV or CSV.gz file in, quotes in file order out; a row that cannot be read stops with file and line.

Three layouts, told apart by the header line (docs/feeds.md):
quotes `ts,symbol,bid,bid_size,ask,ask_size`; trades `ts,symbol,price,size`;
bars `ts,symbol,open,high,low,close,volume`.
"""

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TextIO

from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import Quote
from oms_kernel.domain.money import EXACT, ZERO, add, subtract

QUOTE_COLUMNS = ("ts", "symbol", "bid", "bid_size", "ask", "ask_size")
TRADE_COLUMNS = ("ts", "symbol", "price", "size")
BAR_COLUMNS = ("ts", "symbol", "open", "high", "low", "close", "volume")
LAP = timedelta(days=364)
"""What a loop adds to each further lap: whole weeks, so weekdays stay, and nearly a year, so summer time does."""
_LONGEST_NUMBER = 40

Row = list[str]
Parse = Callable[[Row, Instrument, datetime], Quote]


class CsvFeed:
    """A recorded day, replayed as often as wanted; the caller paces.

    loop: begin anew at the end, each lap 364 days later, so that time never runs back.
    after: leave out what is not later than this instant; when nothing is, play the first lap that reaches beyond it.
    bar_duration: of bars with a time of day; a bar is known at its end.
    daily_at: the UTC time at which a bar that bears only a date is known.
    skip_unknown: pass over symbols that `instruments` lacks, instead of refusing the file.
    `received_at` is `data_at` until a receiver stamps it.
    """

    def __init__(
        self,
        path: str | Path,
        instruments: Mapping[str, Instrument],
        *,
        loop: bool = False,
        after: datetime | None = None,
        bar_duration: timedelta | None = None,
        daily_at: time = time(19, 59, 59),
        skip_unknown: bool = False,
    ) -> None:
        self.path = Path(path)
        self._instruments = instruments
        self._loop = loop
        self._after = after
        self._bar_duration = bar_duration
        self._daily_at = daily_at
        self._skip_unknown = skip_unknown
        self._line = 0

    def quotes(self) -> Iterator[Quote]:
        """The quotes from the start of the file. Raises InvalidRequest with file, line, field and the fix."""
        shift = timedelta(0)
        after = self._after
        while True:
            first: datetime | None = None
            latest: datetime | None = None
            for quote in self._lap():
                first = first or quote.data_at
                latest = quote.data_at
                at = quote.data_at + shift
                if after is not None:
                    if at <= after:
                        continue
                    after = None
                yield quote if not shift else _shifted(quote, at)
            if first is None or latest is None or (not self._loop and after is None):
                return
            shift += LAP * ((latest - first) // LAP + 1)
            if after is not None and latest + shift <= after:
                shift += LAP * ((after - latest - shift) // LAP)

    def _lap(self) -> Iterator[Quote]:
        with self._open() as file:
            rows = self._rows(file)
            columns = tuple(next(rows, []))
            parse = self._layout(columns)
            latest: datetime | None = None
            for row in rows:
                if len(row) != len(columns):
                    raise self._bad("row", f"{len(row)} fields where the header has {len(columns)}")
                instrument = self._instruments.get(row[1])
                if instrument is None:
                    if self._skip_unknown:
                        continue
                    raise self._bad("symbol", f"{row[1]!r} is no known instrument; add it or skip unknown symbols")
                quote = parse(row, instrument, self._instant(row[0]))
                if latest is not None and quote.data_at < latest:
                    raise self._bad("ts", f"{row[0]} lies before the row above; sort the file by ts")
                latest = quote.data_at
                yield quote

    def _rows(self, file: TextIO) -> Iterator[Row]:
        self._line = 1
        rows = csv.reader(file)
        try:
            for row in rows:
                self._line = rows.line_num
                yield row
        except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
            raise self._bad("row", f"cannot be read ({error}); give UTF-8 text, gzipped if it ends in .gz") from None

    def _open(self) -> TextIO:
        try:
            if self.path.suffix == ".gz":
                return gzip.open(self.path, "rt", encoding="utf-8", newline="")
            return self.path.open(encoding="utf-8", newline="")
        except OSError as error:
            raise InvalidRequest(f"{self.path}: {error.strerror}; name a readable CSV file", field="path") from None

    def _layout(self, columns: tuple[str, ...]) -> Parse:
        layouts: dict[tuple[str, ...], Parse] = {
            QUOTE_COLUMNS: self._quote,
            TRADE_COLUMNS: self._trade,
            BAR_COLUMNS: self._bar,
        }
        if columns in layouts:
            return layouts[columns]
        known = "; ".join(",".join(layout) for layout in layouts)
        raise self._bad("header", f"{','.join(columns)!r} is none of the known layouts: {known}")

    def _quote(self, row: Row, instrument: Instrument, at: datetime) -> Quote:
        bid, ask = self._price("bid", row[2]), self._price("ask", row[4])
        return Quote(
            instrument.instrument_id,
            bid,
            None if bid is None else self._number("bid_size", row[3]),
            ask,
            None if ask is None else self._number("ask_size", row[5]),
            at,
            at,
        )

    def _trade(self, row: Row, instrument: Instrument, at: datetime) -> Quote:
        price = self._price("price", row[2])
        self._number("size", row[3])
        return Quote(instrument.instrument_id, None, None, None, None, at, at, last=price)

    def _bar(self, row: Row, instrument: Instrument, at: datetime) -> Quote:
        for place, field in enumerate(BAR_COLUMNS[2:6], start=2):
            if self._price(field, row[place]) is None:
                raise self._bad(field, "a price greater than 0 is needed")
        close, volume = self._number("close", row[5]), self._number("volume", row[6])
        if len(row[0]) == len("2013-10-07"):
            at = datetime.combine(at.date(), self._daily_at, UTC)
        elif self._bar_duration is None:
            raise self._bad("ts", "bars with a time of day need the feed's bar_duration")
        else:
            at += self._bar_duration
        bid = subtract(close, EXACT.remainder(close, instrument.tick_size))
        ask = add(bid, instrument.tick_size)
        return Quote(instrument.instrument_id, bid, volume, ask, volume, at, at, last=close)

    def _price(self, field: str, text: str) -> Decimal | None:
        """The price, or None where the side is absent: an empty field or 0."""
        return (self._number(field, text) or None) if text else None

    def _number(self, field: str, text: str) -> Decimal:
        try:
            number = Decimal(text)
        except InvalidOperation:
            raise self._bad(field, f"{text[:_LONGEST_NUMBER]!r} is no number") from None
        if not number.is_finite() or number < ZERO or len(text) > _LONGEST_NUMBER:
            raise self._bad(field, f"{text[:_LONGEST_NUMBER]!r} is no plain number of 0 or more")
        return number

    def _instant(self, text: str) -> datetime:
        try:
            if len(text) == len("2013-10-07"):
                day = date.fromisoformat(text)
                return datetime(day.year, day.month, day.day, tzinfo=UTC)
            at = datetime.fromisoformat(text)
        except ValueError:
            raise self._bad("ts", f"{text!r} is no ISO 8601 time such as 2013-10-07T13:30:00.000Z") from None
        if at.tzinfo is None:
            raise self._bad("ts", f"{text!r} has no time zone; end it with Z")
        return at if at.tzinfo is UTC else at.astimezone(UTC)

    def _bad(self, field: str, problem: str) -> InvalidRequest:
        return InvalidRequest(f"{self.path}, line {self._line}, field {field}: {problem}", field=field)


def _shifted(quote: Quote, at: datetime) -> Quote:
    return Quote(quote.instrument_id, quote.bid, quote.bid_size, quote.ask, quote.ask_size, at, at, last=quote.last)
