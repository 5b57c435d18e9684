"""A world at rest in, every broken promise out: our book, the broker's ledger, clients and consumer compared."""

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

from campaigns.checks import Books, BrokerOrder, Execution, Kind, OurOrder, Violation, violations
from campaigns.history import Told
from campaigns.simulated.processes import LEDGER
from campaigns.simulated.world import World
from oms_kernel.contracts.broker import Filled
from oms_kernel.domain import events as ev
from oms_kernel.domain.book import Book
from oms_kernel.domain.lifecycle import TERMINAL, Evidence, OrderStatus
from oms_kernel.domain.order import NET_BOOK, Order
from tests.engine.book_oracle import check_open_orders, contents, refold

NEVER_HAD = frozenset({Evidence.NEVER_SENT, Evidence.OWN_CHECK})


def broken_promises(world: World) -> list[Violation]:
    """Everything that does not hold at the end."""
    ledger = world.database.store._ledgers[LEDGER]
    folded = Book()
    for recorded in ledger.events:
        folded.apply(recorded)
    return [
        *violations(world.history.all(), _books(world, folded)),
        *_verified(ledger, folded),
        *_consumed(world, len(ledger.events)),
        *_rest(world, folded),
        *world.watch.seen[:10],
    ]


def log_hash(world: World) -> str:
    """SHA-256 of every event of the log with its seq, id and time."""
    digest = hashlib.sha256()
    for recorded in world.database.store._ledgers[LEDGER].events:
        head = f"{recorded.seq} {recorded.event_id} {recorded.recorded_at.isoformat()} {recorded.event.kind} "
        digest.update(head.encode())
        digest.update(ev.encode_event(recorded.event))
    return digest.hexdigest()


def _books(world: World, book: Book) -> Books:
    state = world.network.venue.state
    return Books(
        orders=[_our_order(order) for _, order in book.orders.items()],
        executions=[
            Execution(key[1], fill.instrument_id, fill.signed_quantity, fill.price)
            for key, fill in book.executions.items()
        ],
        positions={
            instrument_id: position.quantity
            for (_, name, instrument_id), position in book.positions.items()
            if name == NET_BOOK and position.quantity
        },
        broker_orders=[
            BrokerOrder(known.order.wire_id, known.order.broker_order_id) for known in state.orders.values()
        ],
        broker_executions=[_execution(fill) for _, fill in state.executions],
    )


def _execution(fill: Filled) -> Execution:
    return Execution(fill.exec_id, fill.instrument_id, fill.quantity * fill.side.sign, fill.price)


def _our_order(order: Order) -> OurOrder:
    at_broker: bool | None = None
    if order.evidence in NEVER_HAD or order.reason_code == "NOT_AT_BROKER":
        at_broker = False
    elif order.filled_quantity or order.status in (OrderStatus.WORKING, OrderStatus.FILLED, OrderStatus.CANCELED):
        at_broker = True
    return OurOrder(
        order.order_id, order.request.client_order_id, order.state.value, tuple(order.wire_ids), at_broker=at_broker
    )


def _verified(ledger: Any, folded: Book) -> Iterator[Violation]:
    """The stored log folds to the stored rows, read back from its bytes as well as from memory."""
    if contents(refold(ledger.events)) != contents(folded):
        yield Violation(Kind.VERIFY, "the log read back folds to another book")
    if dict(folded.orders.items()) != ledger.orders:
        yield Violation(Kind.VERIFY, "the stored orders are not what the log says")
    try:
        check_open_orders(folded)
    except AssertionError as error:
        yield Violation(Kind.VERIFY, f"exposure is not the worst case over all orders: {error}")
    times = [recorded.recorded_at for recorded in ledger.events]
    if times != sorted(times):
        yield Violation(Kind.VERIFY, "the ledger's time went back")


def _consumed(world: World, head: int) -> Iterator[Violation]:
    """Every event once or more, in order from each beginning."""
    handled = world.consumer.handled
    missing = sorted(set(range(1, head + 1)) - set(handled))
    if missing:
        yield Violation(Kind.SKIPPED, f"the consumer never saw events {missing[:5]} of {head}")
    gaps = [(one, two) for one, two in itertools.pairwise(handled) if two > one + 1]
    if gaps:
        yield Violation(Kind.SKIPPED, f"the consumer jumped from event {gaps[0][0]} to {gaps[0][1]}")


def _rest(world: World, folded: Book) -> Iterator[Violation]:
    for _, order in folded.orders.items():
        if order.status not in TERMINAL:
            yield Violation(Kind.UNSETTLED, f"order {order.order_id} is {order.state} at the end")
    for _, break_id in [entry for key in folded.open_breaks.keys() for entry in folded.open_breaks.entries(key)]:
        yield Violation(Kind.STUCK, f"a break is open at the end: {break_id}")
    last = {posted.client_order_id: posted for posted in world.history.all()}[world.last_client_order_id]
    if not any(answer.told in (Told.STORED, Told.KNOWN) for answer in last.answers):
        yield Violation(Kind.STUCK, f"with everything well again an order was not taken: {last.answers}")
    for failure in world.loop.failures:
        yield Violation(Kind.STUCK, f"a task died unheard: {failure}")
