"""An order that nobody placed in, what would become of it out: the submit's own verdicts, its costs and its position.

Guarantee: the verdicts are those that the same request would get now, by the same code under the ledger's lock, and
nothing is recorded: no event, no text, no idempotency key, no rule's memory.
"""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from oms_app.flow.amendment import find_own, judge_terms
from oms_app.flow.costs import Cost, CostOf
from oms_app.flow.desk import Desk, Turn
from oms_app.flow.lane import Lanes
from oms_app.flow.pretrade import OrderDraft, approval_deadline, judge
from oms_app.flow.principal import Principal
from oms_app.flow.routing import Directory
from oms_app.store.unit_of_work import Route
from oms_kernel.domain.decision import Verdict
from oms_kernel.domain.errors import InvalidNumber
from oms_kernel.domain.ids import AccountId, InstrumentId, OrderId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.lifecycle import OrderStatus
from oms_kernel.domain.money import ONE, ZERO, add, multiply, notional, quantise, subtract
from oms_kernel.domain.order import Order, OrderRequest, Reservation, Side
from oms_kernel.engine import NewTerms
from oms_kernel.judging import reserve
from oms_kernel.view import LedgerView


class WouldBe(StrEnum):
    """What would become of the request."""

    ACCEPTED = "ACCEPTED"
    HELD = "HELD"
    DENIED = "DENIED"


class PositionAfter(msgspec.Struct, frozen=True):
    """The account's signed quantity of the instrument, now and when the whole order were executed.

    worst_case_long, worst_case_short: with the order, and every open order of one side executed and none of the other.
    """

    quantity: Decimal
    quantity_after: Decimal
    worst_case_long: Decimal
    worst_case_short: Decimal


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of a request; figures that need a price or a rate are None without it.

    value: of what the order would have open, in `currency`, the instrument's. base_value: the same in the account's.
    fee, margin: the broker's estimate in `cost_currency`; `cost_source` says where it comes from, or why there is none.
    cash_needed: in `currency`: the margin, or the value of a buy where no margin is known, and the fee where it is.
    hold_until: until when it would wait for an approval.
    """

    would_be: WouldBe
    verdicts: tuple[Verdict, ...]
    order_id: OrderId | None
    account_id: AccountId
    instrument_id: InstrumentId
    symbol: str
    side: Side
    quantity: Decimal
    open_quantity: Decimal
    currency: str
    base_currency: str
    reservation: Reservation
    value: Decimal | None
    base_value: Decimal | None
    fx_rate: Decimal | None
    fee: Decimal | None
    margin: Decimal | None
    cost_currency: str
    cost_source: str
    cash_needed: Decimal | None
    position: PositionAfter
    hold_until: datetime | None
    limits_version: int


class _Judged(msgspec.Struct, frozen=True):
    """What the ledger's turn found out; the costs are asked for after it."""

    would_be: WouldBe
    verdicts: tuple[Verdict, ...]
    order_id: OrderId | None
    request: OrderRequest
    instrument: Instrument
    reservation: Reservation
    open_quantity: Decimal
    position: PositionAfter
    base_currency: str
    fx_rate: Decimal | None
    route: Route
    hold_until: datetime | None
    limits_version: int


class Previews:
    """The one door for requests that are tried and not made."""

    def __init__(self, desk: Desk, lanes: Lanes, directory: Directory, cost_of: CostOf) -> None:
        self._desk = desk
        self._lanes = lanes
        self._directory = directory
        self._cost_of = cost_of

    def order(self, principal: Principal, draft: OrderDraft) -> Preview:
        """What would become of the order. Raises what placing it would raise, in its place."""
        account_id, ledger_id = self._directory.account(principal, draft.account_id, draft.broker_account_id)
        job = _OrderJob(principal, account_id, draft, OrderId(self._desk.new_id()))
        judged = self._lanes.of(principal.tenant_id, ledger_id).submit(job)
        return self._with_costs(principal, judged)

    def replace(self, principal: Principal, order_id: OrderId, terms: NewTerms) -> Preview:
        """What would become of new terms of an order. Raises what changing it would raise, in its place."""
        job = _ReplaceJob(principal, order_id, terms)
        judged = self._lanes.of(principal.tenant_id, self._directory.order(principal, order_id)).submit(job)
        return self._with_costs(principal, judged)

    def _with_costs(self, principal: Principal, judged: _Judged) -> Preview:
        request, instrument, price = judged.request, judged.instrument, judged.reservation.price
        cost = self._cost_of(principal.tenant_id, judged.route, instrument, request, price)
        value = _value(judged.open_quantity, price, instrument)
        return Preview(
            would_be=judged.would_be,
            verdicts=judged.verdicts,
            order_id=judged.order_id,
            account_id=request.account_id,
            instrument_id=instrument.instrument_id,
            symbol=instrument.symbol,
            side=request.side,
            quantity=request.quantity,
            open_quantity=judged.open_quantity,
            currency=instrument.currency,
            base_currency=judged.base_currency,
            reservation=judged.reservation,
            value=value,
            base_value=_converted(value, judged.fx_rate),
            fx_rate=judged.fx_rate,
            fee=cost.fee,
            margin=cost.margin,
            cost_currency=cost.currency,
            cost_source=cost.source,
            cash_needed=_cash_needed(request.side, value, cost, instrument),
            position=judged.position,
            hold_until=judged.hold_until,
            limits_version=judged.limits_version,
        )


class _OrderJob:
    size = 1
    alone = False

    def __init__(self, principal: Principal, account_id: AccountId, draft: OrderDraft, order_id: OrderId) -> None:
        self.principal = principal
        self._account_id = account_id
        self._draft = draft
        self._order_id = order_id

    def decide(self, turn: Turn) -> _Judged:
        until = approval_deadline(turn)
        found = judge(turn, self.principal, self._account_id, self._draft, self._order_id, hold_until=until)
        request = found.event.request
        is_held = getattr(found.event, "held", False)
        return _judged(
            turn,
            turn.view,
            request,
            found.instrument,
            would_be=_would_be(found.decision.accepted, is_held),
            verdicts=found.event.verdicts,
            open_quantity=request.quantity,
            hold_until=until if is_held else None,
        )


class _ReplaceJob:
    size = 1
    alone = False

    def __init__(self, principal: Principal, order_id: OrderId, terms: NewTerms) -> None:
        self.principal = principal
        self._order_id = order_id
        self._terms = terms

    def decide(self, turn: Turn) -> _Judged:
        order = find_own(turn, self.principal, self._order_id)
        decision, events = judge_terms(turn, self.principal, order, self._terms)
        asked = events[0]
        names = [name for name in _TERMS if getattr(asked, name, None) is not None]
        request = msgspec.structs.replace(order.request, **{name: getattr(asked, name) for name in names})
        open_quantity = max(ZERO, subtract(max(request.quantity, order.quantity), order.filled_quantity))
        return _judged(
            turn,
            turn.view.hiding(order.order_id),
            request,
            turn.catalogue.instruments[request.instrument_id],
            would_be=_would_be(decision.accepted, order.status is OrderStatus.HELD),
            verdicts=asked.verdicts,  # type: ignore[attr-defined]
            open_quantity=open_quantity,
            order=order,
            hold_until=order.hold_until,
        )


_TERMS = ("quantity", "limit_price", "stop_price", "trail_amount", "trail_percent")


def _would_be(accepted: bool, held: bool) -> WouldBe:
    if not accepted:
        return WouldBe.DENIED
    return WouldBe.HELD if held else WouldBe.ACCEPTED


def _judged(
    turn: Turn,
    view: LedgerView,
    request: OrderRequest,
    instrument: Instrument,
    *,
    would_be: WouldBe,
    verdicts: tuple[Verdict, ...],
    open_quantity: Decimal,
    hold_until: datetime | None,
    order: Order | None = None,
) -> _Judged:
    base = view.account(request.account_id).base_currency
    same = instrument.currency == base
    filled = order.filled_quantity if order is not None else ZERO
    left = max(ZERO, subtract(request.quantity, filled))
    return _Judged(
        would_be=would_be,
        verdicts=verdicts,
        order_id=order.order_id if order is not None else None,
        request=request,
        instrument=instrument,
        reservation=reserve(request, view.market),
        open_quantity=open_quantity,
        position=_position(view, request, left, open_quantity),
        base_currency=base,
        fx_rate=ONE if same else view.fx_rate(instrument.currency, base),
        route=turn.config.routes[request.account_id],
        hold_until=hold_until,
        limits_version=turn.config.limits_version,
    )


def _position(view: LedgerView, request: OrderRequest, left: Decimal, open_quantity: Decimal) -> PositionAfter:
    """left: what would be executed of it. open_quantity: what would count as exposure; the order itself is hidden."""
    held = view.held(request.account_id, request.instrument_id)
    exposure = view.exposure(request.account_id, request.instrument_id)
    is_buy = request.side is Side.BUY
    bought = add(exposure.buy_quantity, open_quantity if is_buy else ZERO)
    sold = add(exposure.sell_quantity, ZERO if is_buy else open_quantity)
    return PositionAfter(
        quantity=held,
        quantity_after=add(held, left) if is_buy else subtract(held, left),
        worst_case_long=add(held, bought),
        worst_case_short=subtract(held, sold),
    )


def _value(quantity: Decimal, price: Decimal | None, instrument: Instrument) -> Decimal | None:
    return None if price is None else notional(quantity, price, instrument.multiplier)


def _converted(value: Decimal | None, rate: Decimal | None) -> Decimal | None:
    if value is None or rate is None:
        return None
    try:
        return quantise(multiply(value, rate))
    except InvalidNumber:
        return None


def _cash_needed(side: Side, value: Decimal | None, cost: Cost, instrument: Instrument) -> Decimal | None:
    is_own = cost.currency == instrument.currency
    margin = cost.margin if is_own else None
    bound = margin if margin is not None else (value if side is Side.BUY else ZERO)
    if bound is None:
        return None
    fee = cost.fee if is_own and cost.fee is not None else ZERO
    return add(bound, fee)
