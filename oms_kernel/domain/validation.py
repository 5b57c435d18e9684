"""Shape of an order request: which prices, quantities and times go together; a bad one raises and stores nothing."""

from datetime import datetime
from decimal import Decimal

from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.order import REQUIRED_PRICES, OrderRequest, OrderType, PriceField, TimeInForce

_RESTING = frozenset({TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD})
_AT_CLOSE = frozenset({TimeInForce.DAY, TimeInForce.CLS})

ALLOWED_TIMES: dict[OrderType, frozenset[TimeInForce]] = {
    OrderType.MARKET: frozenset(TimeInForce),
    OrderType.LIMIT: frozenset(TimeInForce),
    OrderType.STOP: _RESTING,
    OrderType.STOP_LIMIT: _RESTING,
    OrderType.TRAILING_STOP: _RESTING,
    OrderType.MARKET_ON_CLOSE: _AT_CLOSE,
    OrderType.LIMIT_ON_CLOSE: _AT_CLOSE,
    OrderType.LIMIT_IF_TOUCHED: _RESTING,
    OrderType.MARKET_IF_TOUCHED: _RESTING,
}
"""Which times in force make sense with which type; a broker may allow fewer."""


def check_request(request: OrderRequest, instrument: Instrument, now: datetime) -> None:
    """Nothing, when the request can be valid; else InvalidRequest that names the field and the fix."""
    if not instrument.is_active:
        raise InvalidRequest(f"{instrument.symbol} is not traded any more", field="symbol")
    instrument.check_quantity("quantity", request.quantity)
    check_terms(
        request.order_type,
        instrument,
        limit_price=request.limit_price,
        stop_price=request.stop_price,
        trail_amount=request.trail_amount,
        trail_percent=request.trail_percent,
    )
    _check_times(request, now)


def check_terms(
    order_type: OrderType,
    instrument: Instrument,
    *,
    limit_price: Decimal | None,
    stop_price: Decimal | None,
    trail_amount: Decimal | None,
    trail_percent: Decimal | None,
) -> None:
    """Nothing, when exactly the prices that the type needs are given and lie on the tick grid; else InvalidRequest."""
    required = REQUIRED_PRICES[order_type]
    _check_price(order_type, instrument, PriceField.LIMIT_PRICE, limit_price, PriceField.LIMIT_PRICE in required)
    if order_type is OrderType.TRAILING_STOP:
        if stop_price is not None:
            instrument.check_price("stop_price", stop_price)
    else:
        _check_price(order_type, instrument, PriceField.STOP_PRICE, stop_price, PriceField.STOP_PRICE in required)
    trails = [name for name, value in (("trail_amount", trail_amount), ("trail_percent", trail_percent)) if value]
    given = [value for value in (trail_amount, trail_percent) if value is not None]
    if PriceField.TRAIL not in required:
        if given:
            raise InvalidRequest(
                f"{order_type} takes no trail; leave it out or use TRAILING_STOP", field="trail_amount"
            )
        return
    if len(given) != 1 or len(trails) != 1 or given[0] <= 0:
        raise InvalidRequest("TRAILING_STOP needs one of trail_amount and trail_percent, above 0", field="trail_amount")
    if trail_amount is not None:
        instrument.check_price("trail_amount", trail_amount)
    if trail_percent is not None and trail_percent >= 100:
        raise InvalidRequest("trail_percent must be below 100", field="trail_percent")


def _check_price(
    order_type: OrderType, instrument: Instrument, field: PriceField, price: Decimal | None, needed: bool
) -> None:
    if needed and price is None:
        raise InvalidRequest(f"{order_type} needs {field}", field=field)
    if not needed and price is not None:
        raise InvalidRequest(f"{order_type} takes no {field}; leave it out or choose another type", field=field)
    if price is not None:
        instrument.check_price(field, price)


def _check_times(request: OrderRequest, now: datetime) -> None:
    if request.time_in_force not in ALLOWED_TIMES[request.order_type]:
        allowed = ", ".join(sorted(ALLOWED_TIMES[request.order_type]))
        raise InvalidRequest(
            f"{request.order_type} cannot be {request.time_in_force}; choose one of {allowed}", field="time_in_force"
        )
    for field, at in (("expire_at", request.expire_at), ("queue_until", request.queue_until)):
        if at is not None and at.tzinfo is None:
            raise InvalidRequest(f"{field} needs a time zone, such as a trailing Z", field=field)
        if at is not None and at <= now:
            raise InvalidRequest(f"{field} lies in the past", field=field)
    if request.time_in_force is TimeInForce.GTD and request.expire_at is None:
        raise InvalidRequest("GTD needs expire_at", field="expire_at")
    if request.time_in_force is not TimeInForce.GTD and request.expire_at is not None:
        raise InvalidRequest("expire_at goes with GTD only", field="expire_at")
