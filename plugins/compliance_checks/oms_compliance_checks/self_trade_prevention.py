"""An order in, DENY out when it could trade with an open order of the same owner; or that order makes way for it."""

from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import msgspec

from oms_compliance_checks.owners import OwnerGroup, owners_of
from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Outcome, Verdict, denied, passed
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.lifecycle import RequestKind, is_open_request
from oms_kernel.domain.money import ZERO, add, share, subtract, to_text
from oms_kernel.domain.order import Order, OrderType, Side

AT_ONCE = frozenset({OrderType.MARKET, OrderType.LIMIT, OrderType.MARKET_ON_CLOSE, OrderType.LIMIT_ON_CLOSE})
"""Types that can trade without a trigger. The others sleep: a protective stop beside a bid is no self-trade."""
MOST = 50
"""So many orders make way for one at most."""


class Scope(StrEnum):
    """Whose orders may not meet."""

    ACCOUNT = "ACCOUNT"
    """Those of an account, and of all accounts of its owner where `owners` names one."""


class Mode(StrEnum):
    """What becomes of the two orders."""

    NEWEST = "NEWEST"
    """The new order is denied."""
    OLDEST = "OLDEST"
    """The open order is cancelled and the new one goes on."""
    BOTH = "BOTH"
    """The open order is cancelled and the new one is denied."""
    DECREMENT = "DECREMENT"
    """Both lose the smaller quantity of the two; what has nothing left is cancelled or denied."""


class SelfTradeParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose orders may not meet, and which of them gives way."""

    scope: Annotated[Scope, described("Whose orders may not meet each other")] = Scope.ACCOUNT
    reach: Annotated[
        Decimal,
        described(
            "How far beyond the touch an order without a limit is taken to trade", "%", ge=Decimal(0), le=Decimal(100)
        ),
    ] = Decimal(2)
    mode: Annotated[Mode, described("Which order gives way")] = Mode.NEWEST
    owners: Annotated[tuple[OwnerGroup, ...], described("Accounts that belong to one owner")] = ()

    def __post_init__(self) -> None:
        owners_of(self.owners)


class SelfTradePrevention:
    """Denies an order, new or modified, that crosses an open opposite order of its owner; or lets that one make way.

    A price crosses when BUY >= SELL. An order without a limit counts as one `reach` percent beyond the opposite quote;
    without a fresh quote, and as an open order, it crosses every opposite one. Open orders count until it is proved
    that they ended: doubtful ones, ones being cancelled, and with both prices while a replace is open.
    Orders that wait for a trigger count neither as new nor as open ones. Whether the venue is open makes no difference:
    orders that would be matched at the opening count as well.

    In the modes other than NEWEST the open orders are cancelled, or reduced, in the transaction that decides over the
    new one, and their cancels go out before it. The cancel may still come too late at the broker; NEWEST leaves no such
    gap. Where an open order cannot make way (in doubt, placed at the broker and not here, or more than 50 of them), and
    for a modification in mode DECREMENT, the new order is denied as in NEWEST.
    """

    name: ClassVar[str] = "self_trade_prevention"
    title: ClassVar[str] = "No trade of an owner with itself"
    Params: ClassVar[type[msgspec.Struct]] = SelfTradeParams
    rank: ClassVar[int] = 50
    source: ClassVar[str] = "CME Rule 534; FIA July 2024 3.5; FINRA 5210.02"

    def __init__(self, params: SelfTradeParams) -> None:
        self.mode = params.mode
        self.reach = params.reach
        self.owners = owners_of(params.owners)
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS below the crossing; limit is the price of the order that it would meet."""
        request = intent.request
        if request.order_type not in AT_ONCE:
            return self.passed
        price = self._price(intent)
        met: list[tuple[Order, Decimal | None]] = []
        missed: Decimal | None = None
        for account_id in self.owners.accounts(request.account_id):
            best = view.best_limit(account_id, request.instrument_id, request.side.opposite)
            if best is None:
                continue
            if not _crosses(request.side, price, best):
                missed = _nearer(request.side, missed, best)
                continue
            for order in view.open_orders(account_id, request.instrument_id, request.side.opposite):
                for resting in _prices(order):
                    if _crosses(request.side, price, resting):
                        if self.mode is Mode.NEWEST:
                            return self._denied(intent, order, resting)
                        met.append((order, resting))
                        break
                    missed = _nearer(request.side, missed, resting)
        return self._making_way(intent, met) if met else self._missed(intent, price, missed)

    def _missed(self, intent: OrderIntent, price: Decimal | None, nearest: Decimal | None) -> Verdict:
        """PASS, with the price of the nearest order that it does not meet."""
        if nearest is None:
            return self.passed
        verdict = passed(self.name, observed=price, limit=nearest, unit=intent.instrument.currency)
        return verdict if intent.request.side is Side.BUY else msgspec.structs.replace(verdict, is_floor=True)

    def _making_way(self, intent: OrderIntent, met: list[tuple[Order, Decimal | None]]) -> Verdict:
        """The verdict where open orders give way to the new one."""
        first, resting = met[0]
        stuck = next(((order, at) for order, at in met if order.is_external or order.in_doubt), None)
        if stuck is not None:
            return self._denied(intent, *stuck)
        if len(met) > MOST or (self.mode is Mode.DECREMENT and intent.kind is not RequestKind.PLACE):
            return self._denied(intent, first, resting)
        if self.mode is Mode.DECREMENT:
            return self._decremented(intent, met)
        cancelled = {order.order_id: ZERO for order, _ in met}
        verdict = self.passed if self.mode is Mode.OLDEST else self._denied(intent, first, resting)
        return msgspec.structs.replace(verdict, makes_way=cancelled)

    def _decremented(self, intent: OrderIntent, met: list[tuple[Order, Decimal | None]]) -> Verdict:
        left = intent.open_quantity
        remaining: dict[OrderId, Decimal] = {}
        for order, _ in met:
            if not left:
                break
            resting = order.worst_case_quantity
            lost = min(left, resting)
            left = subtract(left, lost)
            remaining[order.order_id] = ZERO if lost == resting else subtract(order.quantity, lost)
        if not left:
            return msgspec.structs.replace(self._denied(intent, *met[0]), makes_way=remaining)
        return Verdict(
            rule=self.name,
            outcome=Outcome.PASS,
            makes_way={**remaining, intent.order_id: left},
            inputs={"asked": intent.open_quantity, "remaining": left},
        )

    def _price(self, intent: OrderIntent) -> Decimal | None:
        """The worst price at which the order is taken to trade; None for any."""
        if intent.request.limit_price is not None or intent.price is None:
            return intent.request.limit_price
        away = share(intent.price, self.reach, Decimal(100))
        return add(intent.price, away) if intent.request.side is Side.BUY else subtract(intent.price, away)

    def _denied(self, intent: OrderIntent, order: Order, resting: Decimal | None) -> Verdict:
        at = f"at {to_text(resting)}" if resting is not None else "at any price"
        whose = "account" if order.request.account_id == intent.request.account_id else "owner"
        text = f"the order would meet the {whose}'s own {order.request.side.value} order {order.order_id} {at}"
        price, unit = self._price(intent), intent.instrument.currency
        beyond = "below" if intent.request.side is Side.BUY else "above"
        passes = f"a limit {beyond} {to_text(resting)}" if resting is not None else "the order once that one has ended"
        verdict = denied(self.name, self.name, text, observed=price, limit=resting, unit=unit, would_pass=passes)
        return verdict if intent.request.side is Side.BUY else msgspec.structs.replace(verdict, is_floor=True)


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


def _nearer(side: Side, known: Decimal | None, resting: Decimal | None) -> Decimal | None:
    if known is None or resting is None:
        return resting if known is None else known
    return min(known, resting) if side is Side.BUY else max(known, resting)
