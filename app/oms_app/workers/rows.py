"""Webhooks and their deliveries as rows: what is due, claimed by compare-and-set, and what became of each attempt."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from oms_app.store.rows import scope_of, stamps
from oms_app.store.tables import DUE_WORK, TENANTS, WEBHOOK_DELIVERIES, WEBHOOKS
from oms_app.store.unit_of_work import RowsUnit
from oms_app.store.webhooks import DUE_KIND, make_due
from oms_kernel.domain.ids import LedgerId, TenantId


class Webhook(msgspec.Struct, frozen=True):
    """One endpoint. `credentials` are encrypted; `version` changes with every change of the row."""

    webhook_id: str
    url: str
    sink: str
    params: dict[str, Any]
    credentials: bytes | None
    event_kinds: tuple[str, ...]
    is_active: bool
    version: datetime

    def wants(self, kind: str) -> bool:
        """Whether events of this kind go there; no kinds, or '*', means all."""
        return not self.event_kinds or "*" in self.event_kinds or kind in self.event_kinds


class Delivery(msgspec.Struct, frozen=True):
    """One event on its way to one endpoint; `attempts` were begun so far."""

    delivery_id: str
    webhook_id: str
    message_id: str
    ledger_id: LedgerId
    event_kind: str
    body: str
    attempts: int
    due_at: datetime
    occurred_at: datetime


class DueWebhook(msgspec.Struct, frozen=True):
    """A webhook with something to deliver; `due_at` as read, which whoever finishes it must still find.

    claims: how often somebody took it so far.
    """

    tenant_id: TenantId
    webhook_id: str
    due_at: datetime
    claims: int


def webhooks(unit: RowsUnit) -> list[Webhook]:
    """The open webhooks of the unit's tenant."""
    query = select(WEBHOOKS).where(WEBHOOKS.c.tenant_id == scope_of(unit), WEBHOOKS.c.closed_at.is_(None))
    return [
        Webhook(
            webhook_id=row.webhook_id,
            url=row.url,
            sink=row.sink,
            params=row.params,
            credentials=row.credentials,
            event_kinds=tuple(row.event_kinds),
            is_active=row.is_active,
            version=row.updated_at,
        )
        for row in unit.connection.execute(query)
    ]


def allows_private_addresses(unit: RowsUnit) -> bool:
    """Whether the tenant's webhooks may go to private addresses."""
    settings = unit.connection.scalar(select(TENANTS.c.settings).where(TENANTS.c.tenant_id == scope_of(unit)))
    return bool((settings or {}).get("allow_private_webhooks"))


def add_deliveries(unit: RowsUnit, rows: Sequence[dict[str, Any]]) -> None:
    """Store deliveries, and make their webhooks due now; one that is known is made again, under its old message id."""
    if not rows:
        return
    table = WEBHOOK_DELIVERIES
    common = {"tenant_id": scope_of(unit), "status": "PENDING", "due_at": unit.now, **stamps(unit)}
    dialect_insert: Any = postgres_insert if unit.connection.dialect.name == "postgresql" else sqlite_insert
    statement = dialect_insert(table).on_conflict_do_update(
        index_elements=["tenant_id", "webhook_id", "ledger_id", "seq"],
        set_={"status": "PENDING", "attempts": 0, "due_at": unit.now, "updated_at": unit.now},
        where=table.c.status != "PENDING",
    )
    unit.connection.execute(statement, [{**common, **row} for row in rows])
    for webhook_id in sorted({str(row["webhook_id"]) for row in rows}):
        make_due(unit, webhook_id)


def due_webhooks(unit: RowsUnit, limit: int) -> list[DueWebhook]:
    """What is due on the whole platform and claimed by nobody."""
    work = DUE_WORK
    query = (
        select(work.c.work_id, work.c.tenant_id, work.c.due_at, work.c.attempts)
        .where(work.c.kind == DUE_KIND, work.c.done_at.is_(None), work.c.due_at <= unit.now)
        .where(or_(work.c.claimed_until.is_(None), work.c.claimed_until < unit.now))
        .order_by(work.c.due_at)
        .limit(limit)
    )
    return [
        DueWebhook(TenantId(row.tenant_id), row.work_id, row.due_at, row.attempts)
        for row in unit.connection.execute(query)
    ]


def claim(unit: RowsUnit, webhook_id: str, holder: str, lasts: timedelta) -> DueWebhook | None:
    """The webhook for this holder alone, for a while; None when it is not due or another was quicker."""
    work = DUE_WORK
    claimed = unit.connection.execute(
        update(work)
        .where(work.c.work_id == webhook_id, work.c.done_at.is_(None), work.c.due_at <= unit.now)
        .where(or_(work.c.claimed_until.is_(None), work.c.claimed_until < unit.now))
        .values(claimed_by=holder, claimed_until=unit.now + lasts, attempts=work.c.attempts + 1, updated_at=unit.now)
        .returning(work.c.tenant_id, work.c.due_at, work.c.attempts)
    ).one_or_none()
    if claimed is None:
        return None
    return DueWebhook(TenantId(claimed.tenant_id), webhook_id, claimed.due_at, claimed.attempts)


def finish(unit: RowsUnit, due: DueWebhook, holder: str) -> None:
    """Give the claim back: due again when its next delivery is, done when there is none and no new one came."""
    work = DUE_WORK
    following = next_delivery(unit, due.webhook_id)
    mine = (work.c.work_id == due.webhook_id, work.c.claimed_by == holder)
    free = {"claimed_by": "", "claimed_until": None, "updated_at": unit.now}
    unchanged = (*mine, work.c.due_at == due.due_at)
    if following is None:
        unit.connection.execute(update(work).where(*unchanged).values(done_at=unit.now, **free))
    else:
        unit.connection.execute(update(work).where(*unchanged).values(due_at=following.due_at, **free))
    unit.connection.execute(update(work).where(*mine).values(**free))


def next_delivery(unit: RowsUnit, webhook_id: str) -> Delivery | None:
    """The oldest delivery that is still to be made: later ones wait for it, so that their order is kept."""
    table = WEBHOOK_DELIVERIES
    row = unit.connection.execute(
        select(table)
        .where(table.c.tenant_id == scope_of(unit), table.c.webhook_id == webhook_id, table.c.status == "PENDING")
        .order_by(table.c.ledger_id, table.c.seq)
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    return Delivery(
        delivery_id=row.delivery_id,
        webhook_id=row.webhook_id,
        message_id=row.message_id,
        ledger_id=LedgerId(row.ledger_id),
        event_kind=row.event_kind,
        body=row.body,
        attempts=row.attempts,
        due_at=row.due_at,
        occurred_at=row.occurred_at,
    )


def change_delivery(unit: RowsUnit, delivery: Delivery, **values: Any) -> bool:
    """Whether the delivery was still pending at the attempt that the caller knows; then it has the new values."""
    table = WEBHOOK_DELIVERIES
    changed = unit.connection.execute(
        update(table)
        .where(
            table.c.tenant_id == scope_of(unit),
            table.c.delivery_id == delivery.delivery_id,
            table.c.status == "PENDING",
            table.c.attempts == delivery.attempts,
        )
        .values(updated_at=unit.now, **values)
    )
    return changed.rowcount == 1


def disable(unit: RowsUnit, webhook_id: str) -> None:
    """Deliver nothing there any more, until a person enables it."""
    unit.connection.execute(
        update(WEBHOOKS)
        .where(WEBHOOKS.c.tenant_id == scope_of(unit), WEBHOOKS.c.webhook_id == webhook_id)
        .values(is_active=False, updated_at=unit.now)
    )
