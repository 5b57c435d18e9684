"""The log out to consumers: committed events after a cursor, in order, and the form in which the outside sees them."""

from collections.abc import Sequence
from typing import Any

import msgspec

from oms_app.store.unit_of_work import Store
from oms_kernel.domain.controls import Category
from oms_kernel.domain.events import (
    EVENT_CLASSES,
    AdminActed,
    BreachAssigned,
    BreachClosed,
    Event,
    LimitBreached,
    Recorded,
)
from oms_kernel.domain.ids import LedgerId, TenantId

PRIVATE_KINDS = frozenset({AdminActed.kind, BreachAssigned.kind, BreachClosed.kind})
"""Kinds of events that streams, webhooks and strategies are not told: who may audit reads them in the audit trail."""
PUBLIC_KINDS = tuple(cls.kind for cls in EVENT_CLASSES if cls.kind not in PRIVATE_KINDS)
"""Every other kind."""


def is_private(event: Event) -> bool:
    """Whether the event is not told to streams, webhooks and strategies; surveillance does not warn whom it watches."""
    return event.kind in PRIVATE_KINDS or (isinstance(event, LimitBreached) and event.category is Category.SURVEILLANCE)


class LogReader:
    """Reads ledgers without their locks. Polling `heads` is the truth; a signal may only shorten the wait."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def heads(self, ledger_ids: Sequence[LedgerId]) -> dict[LedgerId, int]:
        """The last seq of each ledger."""
        return self._store.heads(ledger_ids)

    def ledgers(self) -> Sequence[tuple[TenantId, LedgerId]]:
        """All ledgers."""
        return self._store.ledgers()

    def events(
        self,
        tenant_id: TenantId,
        ledger_id: LedgerId,
        after_seq: int,
        limit: int = 500,
        *,
        account_ids: frozenset[str] | None = None,
    ) -> Sequence[Recorded]:
        """At most `limit` events after a seq, gap-free; with `account_ids` those of these accounts only."""
        if account_ids is None:
            return self._store.events(tenant_id, ledger_id, after_seq, limit)
        return self._store.events(tenant_id, ledger_id, after_seq, limit, account_ids=account_ids)


def public_event(recorded: Recorded) -> dict[str, Any]:
    """The event as SSE and webhooks show it, in JSON values; the event's own fields are under `data`."""
    event = recorded.event
    data = msgspec.to_builtins(event)
    return {
        "seq": recorded.seq,
        "event_id": recorded.event_id,
        "kind": event.kind,
        "version": event.version,
        "recorded_at": msgspec.to_builtins(recorded.recorded_at),
        "account_id": event.account_id,
        "order_id": recorded.order_id,
        "data": {name: value for name, value in data.items() if name not in ("account_id", "order_id")},
    }
