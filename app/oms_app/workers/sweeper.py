"""End the orders that were not sent in time; each ledger is looked at without its lock before it is locked."""

from __future__ import annotations

from datetime import datetime

import msgspec
import structlog
from sqlalchemy import select

from oms_app.flow.control import Control
from oms_app.flow.errors import FlowError
from oms_app.flow.publishing import LogReader
from oms_app.store.queries.orders import in_states
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import ORDERS
from oms_kernel.domain.ids import LedgerId, TenantId
from oms_kernel.domain.lifecycle import OrderState, RequestStatus

UNSENT_STATES = (OrderState.NEW, OrderState.HELD, OrderState.PENDING_CANCEL)
log = structlog.get_logger(__name__)


class Unsent(msgspec.Struct, frozen=True):
    """The part of an order's document that says whether it is late."""

    place: RequestStatus
    send_before: datetime | None = None


class Sweeper:
    """Looks for late orders of all ledgers."""

    def __init__(self, store: SqlStore, reader: LogReader, control: Control) -> None:
        self._store = store
        self._reader = reader
        self._control = control

    def turn(self) -> int:
        """How many orders were ended."""
        ended = 0
        for tenant_id, ledger_id in self._reader.ledgers():
            if not self._has_late(tenant_id, ledger_id):
                continue
            try:
                swept = self._control.sweep(tenant_id, ledger_id)
            except FlowError as error:
                log.warning("a ledger was not swept", ledger_id=ledger_id, error=error.detail)
                continue
            ended += len(swept)
            log.info("orders were not sent in time", ledger_id=ledger_id, order_ids=list(swept))
        return ended

    def _has_late(self, tenant_id: TenantId, ledger_id: LedgerId) -> bool:
        query = select(ORDERS.c.document).where(
            ORDERS.c.tenant_id == tenant_id, ORDERS.c.ledger_id == ledger_id, in_states(UNSENT_STATES)
        )
        with self._store.read_unit(tenant_id) as unit:
            documents = unit.connection.scalars(query).all()
            now = unit.now
        return any(_is_late(msgspec.json.decode(text, type=Unsent), now) for text in documents)


def _is_late(order: Unsent, now: datetime) -> bool:
    return order.place is RequestStatus.REQUESTED and order.send_before is not None and order.send_before < now
