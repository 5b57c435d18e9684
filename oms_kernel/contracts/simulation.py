"""The contracts of what a simulation is given: how it charges and where its quotes come from."""

from collections.abc import Iterator
from decimal import Decimal
from typing import ClassVar, Protocol

from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import Quote
from oms_kernel.domain.order import Side


class FeeModel(Protocol):
    """What an execution costs."""

    name: ClassVar[str]

    def fee(self, instrument: Instrument, side: Side, quantity: Decimal, price: Decimal, liquidity: str) -> Decimal:
        """The fee in the instrument's currency, positive when paid, at most 12 fraction digits. Pure."""


class MarketDataFeed(Protocol):
    """A source of quotes in the order of their `data_at`, finite or endless; the caller paces."""

    def quotes(self) -> Iterator[Quote]:
        """The quotes; each call begins anew. Raises InvalidRequest with file and line on a row it cannot read."""
