"""Positions at average cost: fills in, quantity, cost and realised P&L out; an average is never stored."""

from decimal import Decimal

import msgspec

from oms_kernel.domain.fill import Fill
from oms_kernel.domain.ids import AccountId, InstrumentId
from oms_kernel.domain.money import ZERO, add, multiply, notional, quantise, ratio, share, subtract


class Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """One book's holding of one instrument. `quantity` is signed, `cost` is signed the same way.

    cost: what the open quantity was bought for (positive) or sold for (negative), without fees, in `currency`.
    realised_pnl: of closed quantity, before fees; `fees` are summed beside it.
    """

    account_id: AccountId
    book: str
    instrument_id: InstrumentId
    currency: str
    multiplier: Decimal
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realised_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    bought_quantity: Decimal = ZERO
    sold_quantity: Decimal = ZERO

    @property
    def average_price(self) -> Decimal | None:
        """Cost of one unit, for display; None when flat."""
        if not self.quantity:
            return None
        return ratio(self.cost, multiply(self.quantity, self.multiplier))

    @property
    def is_open(self) -> bool:
        """Whether anything is held."""
        return bool(self.quantity)

    def apply(self, fill: Fill) -> "Position":
        """The position after one fill.

        A fill against the position closes at average cost; one that goes beyond is split at zero, and the
        rest opens at the fill's price. Value is conserved to the last digit: what closing takes off `cost`
        and what it adds to `realised_pnl` sum to the fill's value.
        """
        change = fill.signed_quantity
        value = fill.value
        signed_value = value if change > 0 else value.copy_negate()
        sums = {
            "fees": add(self.fees, fill.fee),
            "bought_quantity": add(self.bought_quantity, fill.quantity) if change > 0 else self.bought_quantity,
            "sold_quantity": add(self.sold_quantity, fill.quantity) if change < 0 else self.sold_quantity,
        }
        quantity = add(self.quantity, change)
        if not self.quantity or (self.quantity > 0) == (change > 0):
            return msgspec.structs.replace(self, quantity=quantity, cost=add(self.cost, signed_value), **sums)
        held, closing = self.quantity.copy_abs(), min(self.quantity.copy_abs(), change.copy_abs())
        closed_value = share(signed_value, closing, fill.quantity)
        closed_cost = share(self.cost, closing, held)
        opened_value = subtract(signed_value, closed_value)
        return msgspec.structs.replace(
            self,
            quantity=quantity,
            cost=add(subtract(self.cost, closed_cost), opened_value),
            realised_pnl=add(self.realised_pnl, subtract(closed_value.copy_negate(), closed_cost)),
            **sums,
        )

    def unrealised_pnl(self, price: Decimal) -> Decimal:
        """What closing everything at this price would realise, before fees, in `currency`."""
        value = notional(self.quantity.copy_abs(), price, self.multiplier)
        return quantise(subtract(value if self.quantity > 0 else value.copy_negate(), self.cost))
