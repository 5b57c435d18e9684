"""What the engine is asked and what it keeps of one order; what no venue takes is refused with its reason."""

from datetime import datetime
from decimal import Decimal

import msgspec

from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import BrokerAccountId, BrokerOrderId, InstrumentId, WireId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.money import ZERO, subtract
from oms_kernel.domain.order import REQUIRED_PRICES, OrderType, PriceField, Side, TimeInForce

_RESTING = frozenset({TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD})

SUPPORTED: dict[OrderType, frozenset[TimeInForce]] = {
    OrderType.MARKET: frozenset(TimeInForce),
    OrderType.LIMIT: frozenset(TimeInForce),
    OrderType.STOP: _RESTING,  # a trigger that may not rest has nothing to wait for
    OrderType.STOP_LIMIT: _RESTING,
    OrderType.TRAILING_STOP: _RESTING,
}
"""The order types that the engine knows, each with the times in force that make sense for it."""

ORDER_TYPES = frozenset(SUPPORTED)
TIMES_IN_FORCE = frozenset(TimeInForce)
STOP_TYPES = frozenset({OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP})
_HUNDRED = Decimal(100)


class NewOrder(msgspec.Struct, frozen=True, omit_defaults=True):
    """An order as the venue receives it. `broker_order_id` is the venue's own and must be new."""

    broker_order_id: BrokerOrderId
    wire_id: WireId
    broker_account_id: BrokerAccountId
    instrument_id: InstrumentId
    side: Side
    quantity: Decimal
    order_type: OrderType
    time_in_force: TimeInForce
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None
    expire_at: datetime | None = None


class NewTerms(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a replace asks for: the new total, and the prices that change; an absent price stays as it is."""

    quantity: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far an order has come that is taken up again after a restart. `stop_price` is where its stop stands."""

    filled_quantity: Decimal = ZERO
    triggered: bool = False
    stop_price: Decimal | None = None


class SimOrder:
    """One order at the venue: its present terms, what was filled, where its stop stands. Belongs to the engine."""

    __slots__ = (
        "best",
        "ends_at",
        "filled",
        "live",
        "quantity",
        "queued_at",
        "rank",
        "sequence",
        "stop",
        "terms",
        "triggered",
    )

    def __init__(self, terms: NewOrder, sequence: int, progress: Progress | None = None) -> None:
        self.terms = terms
        self.quantity = terms.quantity
        self.filled = progress.filled_quantity if progress else ZERO
        self.triggered = terms.order_type not in STOP_TYPES or bool(progress and progress.triggered)
        self.stop = progress.stop_price if progress and progress.stop_price is not None else terms.stop_price
        self.best: Decimal | None = None
        """The best price that a trailing stop has followed."""
        self.live = False
        self.sequence = sequence
        self.queued_at = 0
        self.ends_at: datetime | None = None
        """The close at which a CLS order trades."""
        self.rank = rank_of(terms)

    @property
    def leaves(self) -> Decimal:
        """What may still trade."""
        return subtract(self.quantity, self.filled)


_FIRST = Decimal("-Infinity")


def rank_of(terms: NewOrder) -> Decimal:
    """The place of an order among those of its side, the lowest first: no limit, then the keenest limit."""
    if terms.limit_price is None:
        return _FIRST
    return terms.limit_price.copy_negate() if terms.side is Side.BUY else terms.limit_price


def check_terms(order: NewOrder, instrument: Instrument | None, now: datetime) -> str:
    """Why a venue refuses this order, in words that name the field and the fix; '' when it takes it."""
    if instrument is None:
        return f"unknown instrument {order.instrument_id}: add it to the simulated broker's configuration"
    if not instrument.is_active:
        return f"{instrument.symbol} is not traded any more"
    allowed = SUPPORTED.get(order.order_type)
    if allowed is None:
        return f"order type {order.order_type} is not supported: use one of {', '.join(sorted(ORDER_TYPES))}"
    if order.time_in_force not in allowed:
        return f"{order.order_type} with {order.time_in_force} is not supported: use {', '.join(sorted(allowed))}"
    try:
        instrument.check_quantity("quantity", order.quantity)
        _check_prices(order, instrument)
    except InvalidRequest as error:
        return error.detail
    if order.time_in_force is TimeInForce.GTD:
        if order.expire_at is None:
            return "GTD needs expire_at"
        if order.expire_at <= now:
            return f"expire_at {order.expire_at.isoformat()} has passed: the venue's clock says {now.isoformat()}"
    return ""


def _check_prices(order: NewOrder, instrument: Instrument) -> None:
    required = REQUIRED_PRICES[order.order_type]
    if (order.limit_price is not None) != (PriceField.LIMIT_PRICE in required):
        raise InvalidRequest(_wrong_price("limit_price", order.order_type, given=order.limit_price is not None))
    if order.order_type is not OrderType.TRAILING_STOP and (
        (order.stop_price is not None) != (PriceField.STOP_PRICE in required)
    ):
        raise InvalidRequest(_wrong_price("stop_price", order.order_type, given=order.stop_price is not None))
    trails = [trail for trail in (order.trail_amount, order.trail_percent) if trail is not None]
    if len(trails) != (1 if PriceField.TRAIL in required else 0):
        raise InvalidRequest(f"{order.order_type} takes {PriceField.TRAIL if required else 'no trail'}, exactly one")
    if any(trail <= 0 for trail in trails) or (order.trail_percent or ZERO) >= _HUNDRED:
        raise InvalidRequest("a trail must be greater than 0, and a trail_percent less than 100")
    if order.limit_price is not None:
        instrument.check_price("limit_price", order.limit_price)
    if order.stop_price is not None:
        instrument.check_price("stop_price", order.stop_price)


def _wrong_price(field: str, order_type: OrderType, *, given: bool) -> str:
    return f"{order_type} takes no {field}" if given else f"{order_type} needs a {field}"
