"""A draft in, the gates' decision out: resolve what it names, judge it by every rule, record acceptance or denial."""

import hashlib
import json
import secrets
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from oms_app.flow.desk import Turn
from oms_app.flow.errors import DuplicateClientOrderId
from oms_app.flow.making_way import make_way, shrink_own
from oms_app.flow.principal import Principal
from oms_app.flow.routing import find_instrument, route
from oms_app.flow.tenant_settings import settings_of
from oms_kernel import engine
from oms_kernel.contracts.rules import Basket
from oms_kernel.domain.decision import Decision
from oms_kernel.domain.events import OrderAccepted, OrderDenied
from oms_kernel.domain.ids import (
    AccountId,
    BrokerAccountId,
    ClientOrderId,
    EventId,
    InstrumentId,
    OrderId,
    StrategyId,
    StrategyRunId,
)
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.order import Order, OrderRequest, OrderType, Product, Side, TimeInForce


class OrderDraft(msgspec.Struct, frozen=True):
    """An order as a caller words it; symbol and account are not resolved yet."""

    side: Side
    quantity: Decimal
    order_type: OrderType
    account_id: AccountId | None = None
    broker_account_id: BrokerAccountId | None = None
    symbol: str | None = None
    exchange: str | None = None
    instrument_id: InstrumentId | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    expire_at: datetime | None = None
    queue_until: datetime | None = None
    client_order_id: ClientOrderId | None = None
    strategy_id: StrategyId | None = None
    strategy_run_id: StrategyRunId | None = None
    product: Product | None = None
    tags: dict[str, Any] | None = None
    reduce_only: bool = False
    allow_duplicate: bool = False
    parent_order_id: OrderId | None = None
    confirmed_quantity: Decimal | None = None
    locate_id: str | None = None
    algo_version: str | None = None
    desk: str | None = None
    client_ref: str | None = None
    liquidation_id: EventId | None = None
    """Of the liquidation that places the order; no caller may say it."""


class Judged(msgspec.Struct, frozen=True):
    """What the gates say of one draft, and the event that would tell it; nothing is recorded yet.

    tags: the draft's tags as text, and the salt of the hash that the event holds in their place.
    """

    decision: Decision
    event: OrderAccepted | OrderDenied
    instrument: Instrument
    tags: str | None = None
    salt: bytes = b""


def assess(
    turn: Turn,
    principal: Principal,
    account_id: AccountId,
    draft: OrderDraft,
    order_id: OrderId,
    *,
    hold_until: datetime | None = None,
    basket: Basket | None = None,
) -> tuple[Decision, Order]:
    """Decide over one draft and record the decision on the turn's batch.

    Raises InvalidRequest, UnknownSymbol, NoSession, DuplicateClientOrderId: then nothing was recorded.
    """
    judged = judge(turn, principal, account_id, draft, order_id, hold_until=hold_until, basket=basket)
    held = isinstance(judged.event, OrderAccepted) and judged.event.held
    instrument_id, request_id = judged.instrument.instrument_id, principal.request_id
    make_way(turn, judged.decision, instrument_id, held=held, request_id=request_id)
    turn.batch.record(judged.event)
    shrink_own(turn, judged.decision, held=held, request_id=request_id)
    if judged.tags is not None:
        turn.unit.put_text(order_id, "tags", judged.tags, judged.salt)
    return judged.decision, turn.batch.book.orders[order_id]


def judge(
    turn: Turn,
    principal: Principal,
    account_id: AccountId,
    draft: OrderDraft,
    order_id: OrderId,
    *,
    hold_until: datetime | None = None,
    basket: Basket | None = None,
) -> Judged:
    """Decide over one draft and record nothing. Raises as `assess`.

    hold_until: until when it would wait for an approval. basket: what came in together with it.
    """
    instrument = find_instrument(turn.catalogue, draft.instrument_id, draft.symbol, draft.exchange)
    _refuse_duplicate(turn, account_id, draft.client_order_id)
    destination = route(turn, account_id, may_wait=draft.queue_until is not None)
    tags = json.dumps(draft.tags, sort_keys=True, default=str) if draft.tags else None
    salt = secrets.token_bytes(16) if tags is not None else b""
    request = OrderRequest(
        account_id=account_id,
        instrument_id=instrument.instrument_id,
        side=draft.side,
        quantity=draft.quantity,
        order_type=draft.order_type,
        limit_price=draft.limit_price,
        stop_price=draft.stop_price,
        trail_amount=draft.trail_amount,
        trail_percent=draft.trail_percent,
        time_in_force=draft.time_in_force,
        expire_at=draft.expire_at,
        queue_until=draft.queue_until,
        client_order_id=draft.client_order_id,
        strategy_id=draft.strategy_id,
        strategy_run_id=draft.strategy_run_id,
        product=draft.product,
        reduce_only=draft.reduce_only,
        allow_duplicate=draft.allow_duplicate,
        parent_order_id=draft.parent_order_id,
        confirmed_quantity=draft.confirmed_quantity,
        locate_id=draft.locate_id,
        algo_version=draft.algo_version,
        desk=draft.desk,
        client_ref=draft.client_ref,
        liquidation_id=draft.liquidation_id,
        tags_hash=salted_hash(tags, salt) if tags is not None else None,
    )
    decision, event = engine.place(
        turn.view,
        request,
        order_id=order_id,
        instrument=instrument,
        destination=destination,
        rules=turn.batch.rules,
        states=turn.batch.memories,
        send_before=draft.queue_until or turn.batch.now + turn.desk.send_window,
        hold_until=hold_until,
        basket=basket,
        limits_version=turn.config.limits_version,
        principal=principal.principal_id,
        request_id=principal.request_id,
    )
    return Judged(decision=decision, event=event, instrument=instrument, tags=tags, salt=salt)


def approval_deadline(turn: Turn) -> datetime:
    """Until when an order that is held now waits for its approval, as the tenant's settings say."""
    return turn.batch.now + timedelta(seconds=settings_of(turn.config.settings).approval_window_s)


def salted_hash(text: str, salt: bytes) -> str:
    """What an event holds in place of people's free text."""
    return hashlib.sha256(salt + text.encode("utf-8")).hexdigest()


def _refuse_duplicate(turn: Turn, account_id: AccountId, client_order_id: ClientOrderId | None) -> None:
    if client_order_id is None:
        return
    existing = turn.batch.book.client_orders.get((account_id, client_order_id))
    if existing is not None:
        order = turn.batch.book.orders[existing]
        raise DuplicateClientOrderId(
            f"the account has an order with client_order_id {client_order_id} already",
            field="client_order_id",
            fix="read that order; a new order needs a new client_order_id",
            extra={"order_id": existing, "state": order.state.value},
        )
