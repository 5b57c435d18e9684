"""Turn each new event of a ledger into one delivery row for each webhook that wants it, once, with the cursor.

A cursor that was set back lets events be told again, each under the id that it had the first time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from oms_app.flow.consumers import WEBHOOKS as CONSUMER
from oms_app.flow.publishing import LogReader, is_private, public_event
from oms_app.store import cursors
from oms_app.store.sql_store import SqlStore
from oms_app.workers import rows
from oms_kernel.domain.events import Recorded
from oms_kernel.domain.ids import LedgerId, TenantId

PAGE = 200
LOOK_BACK_S = 1.0
"""How often ledgers and cursors are read again: people may set one back, other workers advance them."""


class FanOut:
    """The consumer of all ledgers that feeds webhooks. Several workers may run it: the cursor lets one win."""

    def __init__(self, store: SqlStore, reader: LogReader, new_id: Callable[[], str]) -> None:
        self._store = store
        self._reader = reader
        self._new_id = new_id
        self._ledgers: dict[LedgerId, TenantId] = {}
        self._positions: dict[LedgerId, int] = {}
        self._looked_at = 0.0

    def turn(self) -> bool:
        """Whether there was anything new; one page of each ledger at most."""
        self._look_back()
        heads = self._reader.heads(list(self._ledgers))
        moved = False
        for ledger_id, head in heads.items():
            if self._positions.get(ledger_id, 0) != head:
                moved |= self._advance(self._ledgers[ledger_id], ledger_id, head)
        return moved

    def _look_back(self) -> None:
        if time.monotonic() - self._looked_at < LOOK_BACK_S:
            return
        self._ledgers = {ledger_id: tenant_id for tenant_id, ledger_id in self._reader.ledgers()}
        with self._store.read_unit(None) as unit:
            self._positions = cursors.positions(unit, CONSUMER)
        self._looked_at = time.monotonic()

    def _advance(self, tenant_id: TenantId, ledger_id: LedgerId, head: int) -> bool:
        with self._store.read_unit(tenant_id) as unit:
            position = cursors.cursor(unit, CONSUMER, ledger_id)
        self._positions[ledger_id] = position
        if position >= head:
            return False
        events = self._reader.events(tenant_id, ledger_id, position, PAGE)
        if not events:
            return False
        with self._store.tenant_unit(tenant_id) as unit:
            if not cursors.advance(unit, CONSUMER, ledger_id, position, events[-1].seq):
                return True
            wanted = [one for one in rows.webhooks(unit) if one.is_active]
            rows.add_deliveries(unit, self._deliveries(ledger_id, wanted, events))
        self._positions[ledger_id] = events[-1].seq
        return True

    def _deliveries(self, ledger_id: LedgerId, webhooks: list[rows.Webhook], events: Any) -> list[dict[str, Any]]:
        found = []
        for recorded in events:
            if is_private(recorded.event):
                continue
            wanting = [webhook for webhook in webhooks if webhook.wants(recorded.event.kind)]
            body = body_of(recorded) if wanting else ""
            found += [
                {
                    "delivery_id": self._new_id(),
                    "webhook_id": webhook.webhook_id,
                    "message_id": f"msg_{recorded.event_id.replace('-', '')}",
                    "ledger_id": ledger_id,
                    "seq": recorded.seq,
                    "event_kind": recorded.event.kind,
                    "body": body,
                    "occurred_at": recorded.recorded_at,
                }
                for webhook in wanting
            ]
        return found


def body_of(recorded: Recorded) -> str:
    """What the receiver gets: type, timestamp and data, as Standard Webhooks has it."""
    event = public_event(recorded)
    message = {"type": event["kind"], "timestamp": event["recorded_at"], "data": event}
    return msgspec.json.encode(message, enc_hook=str).decode()
