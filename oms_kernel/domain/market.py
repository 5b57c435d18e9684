"""Quotes, and the one frozen view of the market that a batch of orders is judged against."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from oms_kernel.domain.ids import InstrumentId
from oms_kernel.domain.money import add, multiply, quantise
from oms_kernel.domain.order import Side

_HALF = Decimal("0.5")


class Quote(msgspec.Struct, frozen=True, omit_defaults=True):
    """Top of book. `data_at` is the feed's own time, `received_at` ours; an absent side is None."""

    instrument_id: InstrumentId
    bid: Decimal | None
    bid_size: Decimal | None
    ask: Decimal | None
    ask_size: Decimal | None
    data_at: datetime
    received_at: datetime
    last: Decimal | None = None

    def opposite(self, side: Side) -> Decimal | None:
        """The price at which an order of this side would trade now: ask for BUY, bid for SELL."""
        return self.ask if side is Side.BUY else self.bid

    def mid(self) -> Decimal | None:
        """Half-way between bid and ask, or None while one side is absent."""
        if self.bid is None or self.ask is None:
            return None
        return quantise(multiply(add(self.bid, self.ask), _HALF))


class MarketView(msgspec.Struct, frozen=True):
    """The quotes of one moment. A quote older than `max_age` by `received_at` counts as absent.

    clock_offset: by how much the process's clock is at least ahead of the one that `now` is from, negative when it is
    behind; None: nobody measured it.
    """

    now: datetime
    quotes: Mapping[InstrumentId, Quote]
    max_age: timedelta = timedelta(seconds=5)
    clock_offset: timedelta | None = None

    def fresh(self, instrument_id: InstrumentId) -> Quote | None:
        """The instrument's quote, or None when there is none or it is stale."""
        quote = self.quotes.get(instrument_id)
        if quote is None or self.now - quote.received_at > self.max_age:
            return None
        return quote

    def last_known(self, instrument_id: InstrumentId) -> Quote | None:
        """The instrument's quote however old, for display and for valuing positions."""
        return self.quotes.get(instrument_id)
