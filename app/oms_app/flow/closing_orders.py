"""What is to be closed in, an order that the gates let pass out: kind and price by the broker, size by the rules.

Guarantee: an order is never made larger than what was asked, and only smaller to the venue's largest order or to a
size that a denial itself names.
"""

from decimal import Decimal

import msgspec

from oms_app.flow.closing import Closing
from oms_app.flow.desk import Turn
from oms_app.flow.pretrade import Judged, OrderDraft, judge
from oms_app.flow.principal import Principal
from oms_app.flow.routing import route
from oms_kernel.contracts.broker import BrokerCapabilities
from oms_kernel.domain.controls import Liquidation
from oms_kernel.domain.decision import Verdict
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.money import EXACT, multiply, ratio
from oms_kernel.domain.order import OrderType, Side, TimeInForce

MOST_CUTS = 4
"""How often an order is made smaller to what a rule would let pass."""
COLLAR = Decimal("0.02")
"""How far through the market a LIMIT order goes, where the broker takes no MARKET orders."""


def closing_draft(turn: Turn, liquidation: Liquidation, closing: Closing) -> OrderDraft:
    """An order that closes: MARKET, or LIMIT through the market where the broker takes no MARKET orders."""
    capabilities = route(turn, closing.account_id, may_wait=False).capabilities
    takes_market = OrderType.MARKET in capabilities.order_types
    return OrderDraft(
        side=closing.side,
        quantity=closing.quantity,
        order_type=OrderType.MARKET if takes_market else OrderType.LIMIT,
        account_id=closing.account_id,
        instrument_id=closing.instrument_id,
        limit_price=None if takes_market else _through_the_market(turn, closing),
        time_in_force=_time_in_force(capabilities),
        strategy_id=closing.strategy_id,
        reduce_only=True,
        allow_duplicate=True,
        liquidation_id=liquidation.liquidation_id,
    )


def _time_in_force(capabilities: BrokerCapabilities) -> TimeInForce:
    wanted = (TimeInForce.DAY, TimeInForce.IOC, TimeInForce.GTC)
    return next((one for one in wanted if one in capabilities.time_in_force), TimeInForce.DAY)


def _through_the_market(turn: Turn, closing: Closing) -> Decimal:
    """The price of a LIMIT order that trades at once. Raises InvalidRequest without a fresh quote."""
    instrument = turn.catalogue.instruments[closing.instrument_id]
    quote = turn.view.market.fresh(closing.instrument_id)
    price = quote.opposite(closing.side) if quote is not None else None
    if price is None:
        raise InvalidRequest(f"there is no fresh quote of {instrument.symbol} to make a price from")
    beyond = multiply(price, 1 + COLLAR if closing.side is Side.BUY else 1 - COLLAR)
    return _floored(beyond, instrument.tick_size)


def largest(instrument: Instrument, quantity: Decimal) -> Decimal:
    """The quantity, or as much of it as the venue takes in one order, in whole lots."""
    most = instrument.max_order_quantity
    return quantity if most is None or quantity <= most else _floored(most, instrument.lot_size)


def fitted(
    turn: Turn, principal: Principal, draft: OrderDraft, quantity: Decimal, lot: Decimal
) -> tuple[Judged, Decimal]:
    """(what the gates say, the quantity): made smaller while a rule denies it for its size alone."""
    account_id = draft.account_id
    assert account_id is not None
    for _ in range(MOST_CUTS):
        sized = msgspec.structs.replace(draft, quantity=quantity)
        judged = judge(turn, principal, account_id, sized, OrderId(turn.desk.new_id()))
        smaller = _smaller(quantity, judged, lot)
        if judged.decision.accepted or smaller is None:
            break
        quantity = smaller
    return judged, quantity


def _smaller(quantity: Decimal, judged: Judged, lot: Decimal) -> Decimal | None:
    """The largest quantity that every denial would let pass, if each is about a size that grows with the quantity."""
    sizes = [_what_passes(quantity, verdict) for verdict in judged.decision.denials]
    if not sizes or any(size is None for size in sizes):
        return None
    found = _floored(min(size for size in sizes if size is not None), lot)
    return found if 0 < found < quantity else None


def _what_passes(quantity: Decimal, verdict: Verdict) -> Decimal | None:
    observed, limit = verdict.observed, verdict.limit
    if verdict.is_floor or observed is None or limit is None or not 0 < limit < observed:
        return None
    return limit if observed == quantity else multiply(quantity, ratio(limit, observed))


def _floored(value: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of the step that is not above the value."""
    return EXACT.subtract(value, EXACT.remainder(value, step))
