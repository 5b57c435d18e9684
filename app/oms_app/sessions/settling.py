"""The broker's state asked for and booked: before the session is ready, and again while an order is in doubt.

Guarantee: nothing here closes an order without the broker's word or two complete queries that do not show it, asked
after what carried it was closed and the maximum pause was over.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from oms_app.flow import reconciliation, submission
from oms_app.flow.desk import Turn
from oms_app.sessions.host import ConnectionLost
from oms_app.sessions.ledgers import SessionLedgers
from oms_app.sessions.timing import Timing
from oms_kernel.contracts.broker import BrokerConnector, SnapshotPart
from oms_kernel.domain.ids import ConnectionId, LedgerId, OrderId
from oms_kernel.domain.lifecycle import RequestStatus
from oms_kernel.domain.order import Order

MOST_DOUBLINGS = 6


class Connected(msgspec.Struct, frozen=True):
    """When the present connection began: in each ledger's own time, and by a clock that nobody sets."""

    at: dict[LedgerId, datetime]
    monotonic_s: float


class Settling:
    """Reconciliation of one connection under one lease."""

    def __init__(
        self, connection_id: ConnectionId, capabilities: Any, ledgers: SessionLedgers, lease_token: int, timing: Timing
    ) -> None:
        self._connection_id = connection_id
        self._capabilities = capabilities
        self._ledgers = ledgers
        self._lease_token = lease_token
        self._timing = timing
        self._asked_at = float("-inf")
        self._doubts: frozenset[OrderId] = frozenset()
        self._asked = 0
        self._ask_at = 0.0

    async def settle(self, connector: BrokerConnector, connected: Connected) -> None:
        """Ask about doubtful orders, once their time has come.

        Raises ConnectionLost when the present connection carried one: it has to be closed before an answer counts.
        """
        if time.monotonic() - self._asked_at < self._timing.settle_every_s:
            return
        self._asked_at = time.monotonic()
        doubts: dict[OrderId, bool] = {}
        for of_ledger in await self._ledgers.each(lambda turn: self._carried(turn, connected)):
            doubts.update(of_ledger)
        if not doubts:
            return
        if any(doubts.values()):
            raise ConnectionLost("reopening the connection to settle an order in doubt")
        if time.monotonic() - connected.monotonic_s < self._timing.maximum_pause_s:
            return
        if not self._may_ask_about(frozenset(doubts)):
            return
        parts = await asyncio.wait_for(connector.snapshot(None), self._timing.snapshot_s)
        orders = parts.get(SnapshotPart.ORDERS)
        if orders is None or not orders.complete:
            return

        def work(turn: Turn) -> None:
            reconciliation.book_snapshot(turn, self._connection_id, parts)
            reconciliation.settle_doubts(
                turn,
                self._connection_id,
                orders,
                self._capabilities,
                carried_before=connected.at[turn.unit.ledger_id],
            )

        await self._each(work)

    def _may_ask_about(self, doubts: frozenset[OrderId]) -> bool:
        """Whether it is time to ask; about the same doubts ever more seldom, for some only a person can settle."""
        now = time.monotonic()
        if doubts != self._doubts:
            self._doubts, self._asked, self._ask_at = doubts, 0, now
        if now < self._ask_at:
            return False
        self._ask_at = now + self._timing.settle_every_s * 2 ** min(self._asked, MOST_DOUBLINGS)
        self._asked += 1
        return True

    def _carried(self, turn: Turn, connected: Connected) -> dict[OrderId, bool]:
        """The doubtful orders, and whether the present connection carried the request."""
        began = connected.at[turn.unit.ledger_id]
        doubtful = reconciliation.doubtful(turn, self._connection_id)
        return {order.order_id: sent_at >= began for order in doubtful if (sent_at := _sent_at(order)) is not None}

    async def _each(self, work: Callable[[Turn], Any]) -> list[Any]:
        def owned(turn: Turn) -> Any:
            submission.require_lease(turn, self._connection_id, self._lease_token)
            return work(turn)

        return await self._ledgers.each(owned)


def _sent_at(order: Order) -> datetime | None:
    """When the doubtful request was sent."""
    if order.place is RequestStatus.IN_DOUBT:
        return order.sent_at
    return order.replace.sent_at if order.replace is not None else None
