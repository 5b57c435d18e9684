"""Cancels that went out before they were recorded, orders to cancel and halts that hold already: booked late, once.

A kill switch works with the database gone: the session does from its own memory what it has journalled to a file, and
this records it afterwards. Guarantee: the same entry booked again changes nothing.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from oms_app.flow.desk import Turn
from oms_app.flow.principal import Principal
from oms_app.flow.switching import Asked, throw_switch
from oms_kernel import engine
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.book import Book
from oms_kernel.domain.events import IntentRecorded
from oms_kernel.domain.ids import AccountId, ConnectionId, LedgerId, OrderId, WireId
from oms_kernel.domain.lifecycle import RequestKind, RequestStatus, is_open_request
from oms_kernel.domain.order import Order
from oms_kernel.domain.scope import Scope

PRINCIPAL = "system:control"
ATTEMPTS_APART = 16
"""A cancel from memory takes a number so far ahead that the ordinary path, one step behind, never gives the same."""


class SentCancel(msgspec.Struct, frozen=True, tag="sent", omit_defaults=True):
    """A cancel that is about to be sent under this identity."""

    entry_id: str
    ledger_id: LedgerId
    order_id: OrderId
    attempt: int
    lease_token: int
    wire_id: WireId
    asked_at: datetime
    fields: dict[str, str] = {}


class Sweep(msgspec.Struct, frozen=True, tag="sweep", omit_defaults=True):
    """Every order of the connection, and of one account if given, that was accepted until then is to be cancelled."""

    entry_id: str
    ledger_id: LedgerId
    asked_at: datetime
    account_id: AccountId | None = None


class Halt(msgspec.Struct, frozen=True, tag="halt", omit_defaults=True):
    """The session lets nothing new out, of one account if given, until this is a kill switch of the ledger."""

    entry_id: str
    ledger_id: LedgerId
    asked_at: datetime
    account_id: AccountId | None = None
    reason: str = ""


EarlyCancel = SentCancel | Sweep | Halt


def cancellable(book: Book, connection_id: ConnectionId, account_id: AccountId | None) -> list[Order]:
    """The connection's own orders that may still trade, of one account if given."""
    return [
        order
        for order in book.open_order_list()
        if order.connection_id == connection_id
        and not order.is_external
        and (account_id is None or order.request.account_id == account_id)
    ]


def book_early(turn: Turn, connection_id: ConnectionId, entries: Sequence[EarlyCancel]) -> None:
    """Record what the ledger's entries say and it does not know yet; the caller has made sure of its lease."""
    for entry in entries:
        if entry.ledger_id != turn.unit.ledger_id:
            continue
        if isinstance(entry, SentCancel):
            _book_sent(turn, entry)
        elif isinstance(entry, Halt):
            throw_switch(turn, Principal(PRINCIPAL, turn.unit.tenant_id, frozenset()), _asked(entry))
        else:
            for order in cancellable(turn.batch.book, connection_id, entry.account_id):
                if order.accepted_at <= entry.asked_at and not is_open_request(order.cancel):
                    turn.batch.record(*engine.cancel(order, principal=PRINCIPAL))


def _asked(halt: Halt) -> Asked:
    return Asked(
        scope=Scope(account_id=halt.account_id),
        trading_state=TradingState.HALTED,
        reason_code="halted_at_the_session",
        reason=halt.reason,
    )


def _book_sent(turn: Turn, entry: SentCancel) -> None:
    order = turn.batch.book.orders.get(entry.order_id)
    if order is None or not order.is_active or order.attempt >= entry.attempt:
        return  # a larger attempt is this one, or one that was numbered after it
    if not is_open_request(order.cancel):
        turn.batch.record(*engine.cancel(order, principal=PRINCIPAL))
        order = turn.batch.book.orders[entry.order_id]
    if order.is_active and order.cancel in (RequestStatus.REQUESTED, RequestStatus.SENT):
        turn.batch.record(
            IntentRecorded(
                account_id=order.request.account_id,
                order_id=order.order_id,
                request_kind=RequestKind.CANCEL,
                attempt=entry.attempt,
                lease_token=entry.lease_token,
                wire_id=entry.wire_id,
                wire_fields=entry.fields,
            )
        )
