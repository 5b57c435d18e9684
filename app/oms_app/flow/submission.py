"""Accepted requests out to the broker, each at most once: the intent is committed under the lease, then the first byte.

The gate is inside the intent's transaction: it holds the ledger's lock, reads the lease's token afresh, and lets
nothing out that the trading state, the expiry or `send_before` no longer allows. A place or replace whose intent was
committed is never sent again by anybody; a cancel is, until the order is proved terminal or the cancel refused.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from oms_app.flow.desk import Turn
from oms_kernel import engine
from oms_kernel.contracts.broker import BrokerCapabilities, Command, Intent, WireIdentity
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.book import Book
from oms_kernel.domain.events import OrderCanceled, OrderExpired, OrderRejected, ReplaceRefused
from oms_kernel.domain.ids import ConnectionId, OrderId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.lifecycle import Evidence, OrderStatus, RequestKind, RequestStatus
from oms_kernel.domain.market import MarketView
from oms_kernel.domain.money import ZERO, subtract
from oms_kernel.domain.order import Order
from oms_kernel.judging import lets_out
from oms_kernel.settlement import doubt
from oms_kernel.view import LedgerView

CANCEL_AGAIN_AFTER = timedelta(seconds=5)
MAX_INTENTS = 256
HELD_BY_PEOPLE = frozenset({"canceled_before_send", "trading_state", "reduce_only"})
"""Why a committed intent was not sent: because somebody cancelled or stopped it, not because time ran out."""

Prepare = Callable[[Command], WireIdentity]


class LeaseLost(Exception):
    """Another session owns the connection: send nothing more."""

    code = "lease_lost"


class LeaseLapsed(LeaseLost):
    """The lease ended and nobody has it: send nothing until it is taken anew, under a new token."""

    code = "lease_lapsed"


def require_lease(turn: Turn, connection_id: ConnectionId, lease_token: int) -> None:
    """Nothing, while the lease is the caller's; else LeaseLost or LeaseLapsed. Reads it after the ledger's lock."""
    present = turn.unit.lease_token(connection_id)
    if present is None:
        raise LeaseLapsed(f"nobody has the lease of connection {connection_id}")
    if present != lease_token:
        raise LeaseLost(f"connection {connection_id} is owned by another session")


def next_intents(
    turn: Turn,
    connection_id: ConnectionId,
    lease_token: int,
    capabilities: BrokerCapabilities,
    prepare: Prepare,
    *,
    limit: int = MAX_INTENTS,
    may_add: bool = True,
) -> list[Intent]:
    """What may be sent once this turn is committed, oldest first.

    may_add: False while the session is reconciling: only cancels go out. Orders that the gate stops end here.
    """
    require_lease(turn, connection_id, lease_token)
    intents: list[Intent] = []
    for order in _unsettled(turn, connection_id):
        kind = _due(order, turn, capabilities)
        if kind is None or (kind is not RequestKind.CANCEL and not may_add):
            continue
        ended = engine.gate_intent(turn.view, order, kind)
        if ended is not None:
            turn.batch.record(ended)
            continue
        command = command_of(order, kind, turn.catalogue.instruments[order.request.instrument_id])
        identity = _prepared(turn, order, command, prepare)
        if identity is None:
            continue
        turn.batch.record(engine.intent(order, kind, identity.wire_id, identity.fields, lease_token))
        intents.append(Intent(command=command, identity=identity, lease_token=lease_token))
        if len(intents) >= limit:
            break
    return intents


def why_not_now(book: Book, order: Order, kind: RequestKind) -> str | None:
    """Why a committed intent of the order may not begin its way any more, by what the book says now; None: it may.

    Kill switches and trading states may have come after the intent: what still waits in this process is called back.
    """
    state = book.accounts[order.request.account_id].trading_state
    if kind is RequestKind.CANCEL or (state is TradingState.ACTIVE and next(book.switches(), None) is None):
        return None
    view = LedgerView(book, MarketView(now=order.updated_at, quotes={}), {}, {})
    total = order.replace.quantity if kind is RequestKind.REPLACE and order.replace is not None else order.quantity
    still_open = max(ZERO, subtract(total, order.filled_quantity))
    return None if lets_out(view.hiding(order.order_id), order.request, still_open) else "trading_state"


def overdue(turn: Turn, connection_id: ConnectionId, ack_timeout: timedelta) -> list[OrderId]:
    """Put in doubt what was sent and had no word within the connector's `ack_timeout`; returns which."""
    deadline = turn.batch.now - ack_timeout
    late = []
    for order in list(_unsettled(turn, connection_id)):
        for kind, status, sent_at in _sent(order):
            if status is RequestStatus.SENT and sent_at is not None and sent_at < deadline:
                turn.batch.record(*doubt(order, kind, f"no word within {ack_timeout.total_seconds():g} s"))
                late.append(order.order_id)
                break
    return late


def disown(turn: Turn, connection_id: ConnectionId, lease_token: int) -> list[OrderId]:
    """At a take-over: put in doubt every place and replace that was sent under an older lease; returns which.

    Raises LeaseLost when a still newer session took over meanwhile: what that one sent is its own. A session that
    lost its own lease and took it anew is a take-over like any other.
    """
    require_lease(turn, connection_id, lease_token)
    disowned = []
    for order in list(_unsettled(turn, connection_id)):
        tokens = {
            RequestKind.PLACE: order.lease_token,
            RequestKind.REPLACE: order.replace and order.replace.lease_token,
        }
        for kind, status, _ in _sent(order):
            if status is RequestStatus.SENT and tokens[kind] != lease_token:
                turn.batch.record(*doubt(order, kind, "the session that was to send it ended"))
                disowned.append(order.order_id)
                break
    return disowned


def book_unsent(turn: Turn, intent: Intent, reason_code: str) -> None:
    """Record that a committed intent never went out: the session that was to send it says so of itself.

    Only who held the lease it was committed under may know this, and only while no other had the lease since.
    A place ends EXPIRED (CANCELED, when a person held it back), a change is refused; a cancel goes out again.
    """
    order = turn.batch.book.orders[intent.command.order_id]
    if intent.command.kind is RequestKind.PLACE:
        if order.is_active and order.place is RequestStatus.SENT and order.lease_token == intent.lease_token:
            ended = OrderCanceled if reason_code in HELD_BY_PEOPLE else OrderExpired
            turn.batch.record(engine.never_sent(order, ended, reason_code))
    elif intent.command.kind is RequestKind.REPLACE:
        replace = order.replace
        ours = replace is not None and replace.attempt == intent.command.attempt
        if replace is not None and ours and replace.status is RequestStatus.SENT:
            reason = engine.NEVER_SENT_REASONS.get(reason_code, reason_code)
            turn.batch.record(
                ReplaceRefused(
                    account_id=order.request.account_id,
                    order_id=order.order_id,
                    evidence=Evidence.NEVER_SENT,
                    reason=reason,
                )
            )


def _unsettled(turn: Turn, connection_id: ConnectionId) -> Iterator[Order]:
    book = turn.batch.book
    return (book.orders[order_id] for order_id, _ in list(book.unsettled.entries(connection_id)))


def _sent(order: Order) -> list[tuple[RequestKind, RequestStatus, datetime | None]]:
    sent: list[tuple[RequestKind, RequestStatus, datetime | None]] = [(RequestKind.PLACE, order.place, order.sent_at)]
    if order.replace is not None:
        sent.append((RequestKind.REPLACE, order.replace.status, order.replace.sent_at))
    return sent


def _due(order: Order, turn: Turn, capabilities: BrokerCapabilities) -> RequestKind | None:
    """The request of the order that is next to go out, or None while it has to wait.

    A cancel waits for the place to be proved unless the connector can cancel before; it goes before a replace.
    """
    if order.place is RequestStatus.REQUESTED:
        return RequestKind.PLACE if order.status is OrderStatus.NEW else None
    proved = order.place is RequestStatus.DONE
    if order.cancel is not None and (proved or capabilities.cancel_before_ack):
        if order.cancel is RequestStatus.REQUESTED:
            return RequestKind.CANCEL
        sent_at = order.cancel_sent_at
        again = order.cancel is RequestStatus.SENT and sent_at is not None
        if again and sent_at is not None and turn.batch.now - sent_at > CANCEL_AGAIN_AFTER:
            return RequestKind.CANCEL
    if proved and order.replace is not None and order.replace.status is RequestStatus.REQUESTED:
        return RequestKind.REPLACE
    return None


def command_of(order: Order, kind: RequestKind, instrument: Instrument, *, attempt: int | None = None) -> Command:
    """The order's request, complete; `attempt` when it is not the next one."""
    terms = order.replace if kind is RequestKind.REPLACE and order.replace is not None else order
    request = order.request
    return Command(
        kind=kind,
        order_id=order.order_id,
        attempt=engine.next_attempt(order, kind) if attempt is None else attempt,
        broker_account_id=order.broker_account_id,
        instrument=instrument,
        side=request.side,
        quantity=terms.quantity,
        order_type=request.order_type,
        time_in_force=request.time_in_force,
        limit_price=terms.limit_price,
        stop_price=terms.stop_price,
        trail_amount=terms.trail_amount,
        trail_percent=terms.trail_percent,
        expire_at=request.expire_at,
        product=request.product,
        wire_id=order.live_wire_id,
        broker_order_id=order.broker_order_ids[-1] if order.broker_order_ids else None,
        filled_quantity=order.filled_quantity,
    )


def _prepared(turn: Turn, order: Order, command: Command, prepare: Prepare) -> WireIdentity | None:
    """The command's identity; None after a connector that could not prepare it, and then the request is refused."""
    try:
        return prepare(command)
    except Exception as error:
        text = f"the connector could not prepare it ({type(error).__name__})"
        if command.kind is RequestKind.PLACE:
            turn.batch.record(engine.never_sent(order, OrderRejected, "prepare_failed"))
        elif command.kind is RequestKind.REPLACE:
            turn.batch.record(
                ReplaceRefused(
                    account_id=order.request.account_id,
                    order_id=order.order_id,
                    evidence=Evidence.NEVER_SENT,
                    reason=text,
                )
            )
        return None
