"""A feed in, quotes at their time out: data time runs at the chosen speed of the wall clock and never runs back."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import Quote
from oms_kernel.simulation.csv_feed import CsvFeed
from oms_kernel.simulation.matching import BEGINNING, MatchingEngine
from oms_kernel.simulation.synthetic import DEFAULT_PRICE, SyntheticFeed
from oms_sim_broker.config import CsvFeedConfig, ManualFeedConfig, SimBrokerConfig, SyntheticFeedConfig

_TICK_SECONDS = 0.2
_FINE_TICK_SECONDS = 0.01
_BREATH = 50
"""So many quotes at most without letting the clients be served."""
_TOO_LATE_SECONDS = 5.0


class FeedPump:
    """Plays one feed into two callbacks. fine: move the clock in small steps, for latencies in milliseconds."""

    def __init__(
        self,
        quotes: Iterator[Quote],
        on_quote: Callable[[Quote], None],
        advance: Callable[[datetime], None],
        *,
        speed: float,
        longest_wait: float | None,
        fine: bool,
    ) -> None:
        self._quotes = quotes
        self._on_quote = on_quote
        self._advance = advance
        self._speed = speed
        self._longest_wait = longest_wait
        self._tick = _FINE_TICK_SECONDS if fine else _TICK_SECONDS
        self._data_origin = BEGINNING
        self._wall_origin = 0.0

    async def run(self) -> None:
        """Play until the feed ends; then the clock alone goes on."""
        loop = asyncio.get_running_loop()
        started = False
        breath = 0
        for quote in self._quotes:
            if not started:
                started = True
                self._set_origin(quote.data_at, loop.time())
            due = self._wall_origin + (quote.data_at - self._data_origin).total_seconds() / self._speed
            late = loop.time() - due
            if late < 0:
                breath = 0
                if self._longest_wait is not None and -late > self._longest_wait:
                    due = loop.time() + self._longest_wait
                await self._wait(due)
                self._set_origin(quote.data_at, due)
            elif self._longest_wait is not None and late > _TOO_LATE_SECONDS:
                self._set_origin(quote.data_at, loop.time())
            self._on_quote(quote)
            breath += 1
            if breath % _BREATH == 0:
                await asyncio.sleep(0)
        while started:
            await self._wait(loop.time() + self._tick)

    def _set_origin(self, data_at: datetime, wall: float) -> None:
        self._data_origin, self._wall_origin = data_at, wall

    async def _wait(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        while (left := due - loop.time()) > 0:
            await asyncio.sleep(min(left, self._tick))
            if left > self._tick:
                passed = (loop.time() - self._wall_origin) * self._speed
                self._advance(self._data_origin + timedelta(seconds=passed))


def pump_of(
    config: SimBrokerConfig,
    engine: MatchingEngine,
    instruments: Sequence[Instrument],
    on_quote: Callable[[Quote], None],
    advance: Callable[[datetime], None],
) -> FeedPump | None:
    """The pump of the configured feed, going on where the engine stands; None when quotes come by hand."""
    fine = config.latency.order_ms + config.latency.report_ms > 0
    feed = config.feed
    if isinstance(feed, ManualFeedConfig):
        return None
    if isinstance(feed, SyntheticFeedConfig):
        quotes = _synthetic(feed, engine, instruments)
        return FeedPump(quotes, on_quote, advance, speed=1.0, longest_wait=None, fine=fine)
    return FeedPump(
        _csv(feed, engine.now, instruments),
        on_quote,
        advance,
        speed=float(feed.speed),
        longest_wait=feed.longest_wait_ms / 1000,
        fine=fine,
    )


def _synthetic(feed: SyntheticFeedConfig, engine: MatchingEngine, instruments: Sequence[Instrument]) -> Iterator[Quote]:
    prices = {instrument.instrument_id: feed.prices.get(instrument.symbol, DEFAULT_PRICE) for instrument in instruments}
    for instrument_id in prices:
        quote = engine.quote(instrument_id)
        if quote is not None and quote.bid is not None:
            prices[instrument_id] = quote.bid  # a walk that is begun anew for a new instrument jumps nowhere
    return SyntheticFeed(
        instruments,
        feed.seed,
        datetime.now(UTC),
        timedelta(milliseconds=feed.interval_ms),
        prices=prices,
        size_lots=feed.size_lots,
    ).quotes()


def _csv(feed: CsvFeedConfig, after: datetime, instruments: Sequence[Instrument]) -> Iterator[Quote]:
    return CsvFeed(
        feed.path,
        {instrument.symbol: instrument for instrument in instruments},
        loop=feed.loop,
        after=None if after == BEGINNING else after,
        bar_duration=None if feed.bar_seconds is None else timedelta(seconds=feed.bar_seconds),
        skip_unknown=feed.skip_unknown,
    ).quotes()
