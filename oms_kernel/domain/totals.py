"""One order in, what it adds to the sums of what is open out; a book keeps those sums exact, so that no rule counts.

Sums are of exact products: nothing here rounds, so that what an order added is what it takes away again.
"""

from decimal import Decimal

import msgspec

from oms_kernel.domain.lifecycle import TERMINAL, is_open_request
from oms_kernel.domain.money import ONE, ZERO, add, multiply, subtract
from oms_kernel.domain.order import REQUIRED_PRICES, Order, PriceField, Side


class OpenQuantity(msgspec.Struct, frozen=True):
    """Worst-case open quantity of one side, how many orders make it up, and what they are worth.

    value: in the instrument's currency, of the orders whose price is known. unpriced: how many have none.
    """

    quantity: Decimal = ZERO
    orders: int = 0
    value: Decimal = ZERO
    unpriced: int = 0

    def less(self, other: "OpenQuantity") -> "OpenQuantity":
        """The difference, which `plus` takes."""
        return OpenQuantity(
            subtract(self.quantity, other.quantity),
            self.orders - other.orders,
            subtract(self.value, other.value),
            self.unpriced - other.unpriced,
        )

    def plus(self, change: "OpenQuantity") -> "OpenQuantity":
        """These sums after a change."""
        return OpenQuantity(
            add(self.quantity, change.quantity),
            self.orders + change.orders,
            add(self.value, change.value),
            self.unpriced + change.unpriced,
        )


class OpenValue(msgspec.Struct, frozen=True):
    """The open orders of a book in one currency: how many, what those with a price are worth, how many have none."""

    orders: int = 0
    value: Decimal = ZERO
    unpriced: int = 0

    def plus(self, change: OpenQuantity) -> "OpenValue":
        """These sums after a change."""
        return OpenValue(self.orders + change.orders, add(self.value, change.value), self.unpriced + change.unpriced)


class Reach(msgspec.Struct, frozen=True):
    """What a book holds of an instrument, and how far its open orders of each side could take it."""

    held: Decimal = ZERO
    buy: Decimal = ZERO
    sell: Decimal = ZERO
    orders: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held and no order is open."""
        return not self.held and not self.orders

    def plus(self, side: Side, change: OpenQuantity) -> "Reach":
        """The same after a change of what is open on a side."""
        orders = self.orders + change.orders
        if side is Side.BUY:
            return Reach(self.held, add(self.buy, change.quantity), self.sell, orders)
        return Reach(self.held, self.buy, add(self.sell, change.quantity), orders)

    def holding(self, quantity: Decimal) -> "Reach":
        """The same with another position."""
        return Reach(quantity, self.buy, self.sell, self.orders)


class MovedCash(msgspec.Struct, frozen=True):
    """Cash of one currency that moved without a trade: since the account's risk day was marked, and since any mark."""

    in_day: Decimal = ZERO
    since_mark: Decimal = ZERO


NOTHING_OPEN = OpenQuantity()
NO_VALUE = OpenValue()
NO_REACH = Reach()
NOTHING_MOVED = MovedCash()


def standing(order: Order | None) -> OpenQuantity:
    """What one order counts as: nothing once it ended, and the worst of old and new terms while a replace is open."""
    if order is None or order.status in TERMINAL:
        return NOTHING_OPEN
    quantity = order.worst_case_quantity
    if not quantity:
        return _OPEN_AND_FILLED
    value = _value(order.quantity, order.reservation.price, order)
    replace = order.replace
    if value is not None and replace is not None and is_open_request(replace.status):
        changed = _value(replace.quantity, replace.reservation.price, order)
        value = max(value, changed) if changed is not None else None
    if value is None:
        return OpenQuantity(quantity, 1, ZERO, 1)
    return OpenQuantity(quantity, 1, value, 0)


AT_ONCE = frozenset(
    order_type
    for order_type, prices in REQUIRED_PRICES.items()
    if not prices & {PriceField.STOP_PRICE, PriceField.TRAIL}
)
"""Order types that may trade without waiting for a trigger."""
ANY_PRICE = {Side.BUY: Decimal("Infinity"), Side.SELL: Decimal("-Infinity")}
"""The limit of an order that has none: better than every other of its side."""


def limits_of(order: Order | None) -> tuple[Decimal, ...]:
    """The limits at which an order may trade now, of a replace that is under way both; none while it waits or ended."""
    if order is None or order.status in TERMINAL or order.request.order_type not in AT_ONCE:
        return ()
    any_price = ANY_PRICE[order.request.side]
    present = order.limit_price if order.limit_price is not None else any_price
    replace = order.replace
    if replace is None or not is_open_request(replace.status):
        return (present,)
    asked = replace.limit_price if replace.limit_price is not None else any_price
    return (present,) if asked == present else (present, asked)


_OPEN_AND_FILLED = OpenQuantity(ZERO, 1, ZERO, 0)


def _value(total: Decimal, price: Decimal | None, order: Order) -> Decimal | None:
    """What is left of a total at this price, unsigned."""
    if price is None:
        return None
    left = subtract(total, order.filled_quantity)
    if left <= 0:
        return ZERO
    value = multiply(left, price.copy_abs())
    return value if order.multiplier == ONE else multiply(value, order.multiplier)
