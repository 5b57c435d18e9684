"""Orders that others placed at the broker: its snapshot in, the events that take them into the book, read-only, out."""

from datetime import datetime
from decimal import Decimal

from oms_kernel.contracts import broker as br
from oms_kernel.domain import events as ev
from oms_kernel.domain.breaks import BreakType, Difference
from oms_kernel.domain.ids import ConnectionId, OrderId
from oms_kernel.domain.money import ZERO, bounded, subtract, to_text
from oms_kernel.domain.order import OrderRequest, OrderType, TimeInForce
from oms_kernel.executions import BrokerAccountOwner, Unbookable
from oms_kernel.judging import reserve
from oms_kernel.view import LedgerView


def adopt(
    view: LedgerView,
    owner: BrokerAccountOwner,
    item: br.OrderSnapshot,
    *,
    order_id: OrderId,
    connection_id: ConnectionId,
    unbooked_quantity: Decimal,
    as_of: datetime,
) -> ev.OrderAdopted:
    """The event that takes a foreign working order into the book. Raises Unbookable, InvalidNumber.

    unbooked_quantity: of its executions that are still to be booked, and will be booked with the order.
    """
    instrument = view.instrument(item.instrument_id) if item.instrument_id is not None else None
    if instrument is None:
        name = item.symbol or item.instrument_id
        raise Unbookable(f"order {item.broker_order_id} is of {name}, which the platform does not know")
    for number in (item.quantity, item.filled_quantity, item.limit_price, item.stop_price):
        if number is not None:
            bounded(number)
    if item.quantity <= 0:
        raise Unbookable(f"order {item.broker_order_id} has the quantity {to_text(item.quantity)}")
    request = OrderRequest(
        account_id=owner.account_id,
        instrument_id=instrument.instrument_id,
        side=item.side,
        quantity=item.quantity,
        order_type=item.order_type or (OrderType.LIMIT if item.limit_price is not None else OrderType.MARKET),
        limit_price=item.limit_price,
        stop_price=item.stop_price,
        time_in_force=item.time_in_force or TimeInForce.GTC,
    )
    return ev.OrderAdopted(
        account_id=owner.account_id,
        order_id=order_id,
        request=request,
        broker_account_id=item.broker_account_id,
        connection_id=connection_id,
        symbol=instrument.symbol,
        currency=instrument.currency,
        multiplier=instrument.multiplier,
        reservation=reserve(request, view.market),
        trading_date=view.trading_date(instrument),
        broker_order_id=item.broker_order_id,
        wire_id=item.wire_id,
        filled_quantity=max(ZERO, subtract(item.filled_quantity, unbooked_quantity)),
        broker_at=as_of,
    )


def external_difference(owner: BrokerAccountOwner, event: ev.OrderAdopted) -> Difference:
    """The difference that the adoption puts right."""
    request = event.request
    return Difference(
        break_type=BreakType.EXTERNAL_ORDER,
        broker_account_id=event.broker_account_id,
        subject=event.broker_order_id,
        account_id=owner.account_id,
        order_id=event.order_id,
        instrument_id=request.instrument_id,
        symbol=event.symbol,
        ours="no order",
        theirs=f"{request.side} {to_text(request.quantity)} {request.order_type}",
    )
