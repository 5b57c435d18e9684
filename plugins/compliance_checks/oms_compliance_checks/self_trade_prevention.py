"""An order in, DENY out when it could trade with an open order of the same account."""

from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Verdict, denied, passed
from oms_kernel.domain.lifecycle import is_open_request
from oms_kernel.domain.money import add, share, subtract, to_text
from oms_kernel.domain.order import Order, OrderType, Side

AT_ONCE = frozenset({OrderType.MARKET, OrderType.LIMIT, OrderType.MARKET_ON_CLOSE, OrderType.LIMIT_ON_CLOSE})
"""Types that can trade without a trigger. The others sleep: a protective stop beside a bid is no self-trade."""


class Scope(StrEnum):
    """Whose orders may not meet."""

    ACCOUNT = "ACCOUNT"


class SelfTradeParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose orders may not meet."""

    scope: Annotated[Scope, described("Whose orders may not meet each other")] = Scope.ACCOUNT
    reach: Annotated[
        Decimal,
        described(
            "How far beyond the touch an order without a limit is taken to trade", "%", ge=Decimal(0), le=Decimal(100)
        ),
    ] = Decimal(2)


class SelfTradePrevention:
    """Denies an order, new or modified, that crosses an open opposite order of its own account.

    A price crosses when BUY >= SELL. An order without a limit counts as one `reach` percent beyond the opposite quote;
    without a fresh quote, and as an open order, it crosses every opposite one. Open orders count until it is proved
    that they ended: doubtful ones, ones being cancelled, and with both prices while a replace is open.
    Orders that wait for a trigger count neither as new nor as open ones.
    """

    name: ClassVar[str] = "self_trade_prevention"
    title: ClassVar[str] = "No trade of an account with itself"
    Params: ClassVar[type[msgspec.Struct]] = SelfTradeParams

    def __init__(self, params: SelfTradeParams) -> None:
        self.scope = params.scope
        self.reach = params.reach
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS below the crossing; limit is the price of the order that it would meet."""
        request = intent.request
        if request.order_type not in AT_ONCE:
            return self.passed
        price = self._price(intent)
        for order in view.open_orders(request.account_id, request.instrument_id, request.side.opposite):
            for resting in _prices(order):
                if _crosses(request.side, price, resting):
                    return self._denied(intent, order, resting)
        return self.passed

    def _price(self, intent: OrderIntent) -> Decimal | None:
        """The worst price at which the order is taken to trade; None for any."""
        if intent.request.limit_price is not None or intent.price is None:
            return intent.request.limit_price
        away = share(intent.price, self.reach, Decimal(100))
        return add(intent.price, away) if intent.request.side is Side.BUY else subtract(intent.price, away)

    def _denied(self, intent: OrderIntent, order: Order, resting: Decimal | None) -> Verdict:
        at = f"at {to_text(resting)}" if resting is not None else "at any price"
        text = f"the order would meet the account's own {order.request.side.value} order {order.order_id} {at}"
        price, unit = self._price(intent), intent.instrument.currency
        return denied(self.name, self.name, text, observed=price, limit=resting, unit=unit)


def _prices(order: Order) -> Iterator[Decimal | None]:
    """The prices at which an open order may trade; None for any. Nothing while it waits for its trigger."""
    if order.request.order_type not in AT_ONCE:
        return
    yield order.limit_price
    if order.replace is not None and is_open_request(order.replace.status):
        yield order.replace.limit_price


def _crosses(side: Side, price: Decimal | None, resting: Decimal | None) -> bool:
    if price is None or resting is None:
        return True
    return price >= resting if side is Side.BUY else price <= resting
