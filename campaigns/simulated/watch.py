"""A second pair of eyes on a running world: the log folded beside, held against the broker every few seconds.

It sees what an end cannot show: exposure that was too small for a while, and bytes that went out before their intent.
"""

import asyncio
from typing import Any

from campaigns.checks import Kind, Violation
from oms_kernel.domain.book import Book
from oms_kernel.domain.ids import WireId
from oms_kernel.domain.money import subtract
from tests.engine.book_oracle import check_open_orders

LOOK_EVERY_S = 5.0


class Watch:
    """`seen` collects what did not hold."""

    def __init__(self, events: list[Any], venue: Any) -> None:
        self.seen: list[Violation] = []
        self.book = Book()
        self.doubts: set[str] = set()
        self._events = events
        self._venue = venue

    def catch_up(self) -> bool:
        """Fold what was committed meanwhile; whether there was something."""
        new = self._events[self.book.seq :]
        for recorded in new:
            self.book.apply(recorded)
            if recorded.event.kind == "request_in_doubt":
                self.doubts.add(recorded.event.order_id)
        return bool(new)

    def placed(self, wire_id: str) -> None:
        """A place came to the broker: its intent must be committed."""
        self.catch_up()
        if self.book.wires.get(WireId(wire_id)) is None:
            self.seen.append(Violation(Kind.CONTRADICTION, f"{wire_id} is at the broker before its intent is stored"))

    async def look(self) -> None:
        """Look every few seconds, until cancelled."""
        while True:
            self.check()
            await asyncio.sleep(LOOK_EVERY_S)

    def check(self) -> None:
        """What must hold at every moment."""
        if self.catch_up():
            try:
                check_open_orders(self.book)
            except AssertionError as error:
                self.seen.append(Violation(Kind.VERIFY, f"exposure is not the worst case over all orders: {error}"))
        for known in self._venue.state.live_orders():
            order_id = self.book.wires.get(known.order.wire_id)
            if order_id is None:
                continue
            order = self.book.orders[order_id]
            leaves = subtract(known.quantity, known.filled)
            if order.worst_case_quantity < leaves:
                text = f"order {order_id} counts {order.worst_case_quantity} ({order.state}), the broker works {leaves}"
                self.seen.append(Violation(Kind.CONTRADICTION, text))
