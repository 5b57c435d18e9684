"""A ledger's log in, what the checks of a history need of it out: orders after each event, and executions."""

from collections.abc import Iterator

from campaigns.history_checks import Booked, Step
from campaigns.tenants import Trading
from oms_app.store.sql_store import SqlStore
from oms_kernel.domain.book import Book
from oms_kernel.domain.events import FeeAttached, OrderFilled, Recorded
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.lifecycle import is_open_request
from oms_kernel.domain.money import ZERO
from oms_kernel.domain.order import Order, Side

PAGE = 5_000


def read_log(store: SqlStore, tenant: Trading) -> tuple[list[Step], list[Booked]]:
    """(each order after each event that concerns it, each execution), in the order of the log."""
    steps: list[Step] = []
    booked: list[Booked] = []
    book = Book()
    for recorded in _events(store, tenant):
        book.apply(recorded)
        event = recorded.event
        if isinstance(event, OrderFilled):
            fill = event.fill
            quantity = fill.quantity if fill.side is Side.BUY else -fill.quantity
            booked.append(
                Booked(
                    recorded.seq, fill.account_id, fill.instrument_id, quantity, fill.price * fill.multiplier, fill.fee
                )
            )
        elif isinstance(event, FeeAttached):
            booked.append(Booked(recorded.seq, event.account_id or "", "", ZERO, ZERO, event.fee))
        if recorded.order_id is not None and recorded.order_id in book.orders:
            steps.append(_step(recorded.seq, recorded.order_id, book.orders[recorded.order_id]))
    return steps, booked


def _events(store: SqlStore, tenant: Trading) -> Iterator[Recorded]:
    after = 0
    while page := store.events(tenant.tenant_id, tenant.ledger_id, after, PAGE):
        yield from page
        after = page[-1].seq


def _step(seq: int, order_id: OrderId, order: Order) -> Step:
    most = order.quantity
    if order.replace is not None and is_open_request(order.replace.status):
        most = max(most, order.replace.quantity)
    return Step(
        seq=seq, order_id=order_id, account_id=order.request.account_id, instrument_id=order.request.instrument_id,
        is_buy=order.request.side is Side.BUY, status=order.status.value, is_active=order.is_active,
        quantity=order.quantity, most=most, filled=order.filled_quantity,
    )  # fmt: skip
