"""A stored answer in, what it said out: each order as it was right after the event that the answer names.

Orders are folded from their own events, so that an answer repeats its first words whatever became of the order since.
"""

from collections.abc import Sequence

from oms_app.flow.desk import Turn
from oms_app.flow.errors import FlowError, IdempotencyMismatch
from oms_app.store.unit_of_work import StoredAnswer
from oms_kernel.domain.book import Book
from oms_kernel.domain.events import Recorded
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.order import Order


class StoredError(FlowError):
    """An error of an item, as it was answered the first time."""

    def __init__(self, code: str, detail: str, field: str | None) -> None:
        super().__init__(detail, field=field)
        self.code = code


def require_same_request(answer: StoredAnswer, fingerprint: bytes) -> None:
    """Nothing, when the stored answer is of the same request; else IdempotencyMismatch."""
    if answer.fingerprint != fingerprint:
        raise IdempotencyMismatch(
            "the Idempotency-Key was used for another request", field="Idempotency-Key", fix="use a new key"
        )


def events_at(turn: Turn, seqs: Sequence[int]) -> list[Recorded]:
    """The events with these seqs, in order; those that this transaction recorded itself included."""
    stored = [seq for seq in seqs if seq <= turn.unit.head]
    wanted = set(seqs)
    found = list(turn.unit.events_at(stored)) if stored else []
    return found + [recorded for recorded in turn.batch.events if recorded.seq in wanted]


def orders_at(turn: Turn, versions: Sequence[tuple[OrderId, int]]) -> list[Order]:
    """The orders as they were at these versions, in the order given."""
    if not versions:
        return []
    events: dict[OrderId, list[Recorded]] = {order_id: [] for order_id, _ in versions}
    for recorded in [*turn.unit.events_of(list(events)), *turn.batch.events]:
        if recorded.order_id in events:
            events[recorded.order_id].append(recorded)
    return [order_after(order_id, events[order_id], version) for order_id, version in versions]


def order_after(order_id: OrderId, events: Sequence[Recorded], version: int) -> Order:
    """An order folded from its own events up to one of its versions."""
    book = Book()
    for recorded in events:
        if recorded.seq <= version:
            book.seq = recorded.seq - 1
            book.apply(recorded)
    return book.orders[order_id]
