"""What can be traded: identity, currency and the grid on which prices and quantities must lie."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import InstrumentId
from oms_kernel.domain.money import ONE, is_multiple, to_text


class AssetClass(StrEnum):
    """What kind of thing is traded (FIX 460 Product, coarser)."""

    EQUITY = "EQUITY"
    ETF = "ETF"
    FUTURE = "FUTURE"
    OPTION = "OPTION"
    FOREX = "FOREX"
    CRYPTO = "CRYPTO"
    BOND = "BOND"
    FUND = "FUND"
    INDEX = "INDEX"
    COMBO = "COMBO"


class OptionRight(StrEnum):
    """What an option gives the right to do."""

    CALL = "CALL"
    PUT = "PUT"


class ComboLeg(msgspec.Struct, frozen=True):
    """One leg of a combo: `ratio` units of an instrument, negative when the combo sells it."""

    instrument_id: InstrumentId
    ratio: int


class Instrument(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tradable thing, platform-wide. Prices are in `currency` for one unit; value = quantity x price x multiplier."""

    instrument_id: InstrumentId
    symbol: str
    venue: str
    asset_class: AssetClass
    currency: str
    tick_size: Decimal
    lot_size: Decimal = ONE
    multiplier: Decimal = ONE
    calendar: str = "24x7"
    name: str = ""
    is_active: bool = True
    underlying_id: InstrumentId | None = None
    expiry: date | None = None
    last_trade_at: datetime | None = None
    strike: Decimal | None = None
    right: OptionRight | None = None
    settlement: str | None = None
    """CASH or PHYSICAL, for futures and options."""
    legs: tuple[ComboLeg, ...] = ()
    max_order_quantity: Decimal | None = None
    """The largest order that the venue takes; None: it names none."""

    def check_price(self, field: str, price: Decimal) -> None:
        """Nothing, when the price lies on the tick grid; else InvalidRequest that names the field.

        Combos may trade at zero or below; everything else needs a price above zero.
        """
        if price <= 0 and self.asset_class is not AssetClass.COMBO:
            raise InvalidRequest(f"{field} must be greater than 0", field=field)
        if not is_multiple(price, self.tick_size):
            raise InvalidRequest(
                f"{field} {to_text(price)} is not a multiple of {self.symbol}'s tick size {to_text(self.tick_size)}",
                field=field,
            )

    def check_quantity(self, field: str, quantity: Decimal) -> None:
        """Nothing, when the quantity is a positive multiple of the lot and not above the venue's largest order.

        Else InvalidRequest that names the field and the fix.
        """
        if quantity <= 0:
            raise InvalidRequest(f"{field} must be greater than 0", field=field)
        if not is_multiple(quantity, self.lot_size):
            raise InvalidRequest(
                f"{field} {to_text(quantity)} is not a multiple of {self.symbol}'s lot size {to_text(self.lot_size)}",
                field=field,
            )
        largest = self.max_order_quantity
        if largest is not None and quantity > largest:
            raise InvalidRequest(
                f"{field} {to_text(quantity)} is above the largest order that {self.venue} takes of {self.symbol},"
                f" {to_text(largest)}: send several orders of at most that",
                field=field,
            )
