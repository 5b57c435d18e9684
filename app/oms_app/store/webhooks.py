"""Webhooks and what became of their deliveries, as people see and change them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import func, insert, select, update

from oms_app.store.queries.paging import Page, Paging, page
from oms_app.store.queries.reading import viewer
from oms_app.store.rows import add, scope_of, stamps
from oms_app.store.tables import DUE_WORK, WEBHOOK_DELIVERIES, WEBHOOKS
from oms_app.store.unit_of_work import RowsUnit

DUE_KIND = "webhook"
"""What a webhook's work is called among all work that falls due."""


class WebhookRow(msgspec.Struct, frozen=True):
    """An endpoint. `credentials` are as stored: encrypted. No event kinds means all."""

    webhook_id: str
    name: str
    url: str
    sink: str
    params: dict[str, Any]
    event_kinds: list[str]
    credentials: bytes | None
    is_active: bool
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None


class DeliveryRow(msgspec.Struct, frozen=True):
    """One event on its way to one endpoint: PENDING, DELIVERED or DEAD."""

    delivery_id: str
    webhook_id: str
    message_id: str
    ledger_id: str
    seq: int
    event_kind: str
    status: str
    attempts: int
    due_at: datetime
    occurred_at: datetime
    delivered_at: datetime | None
    last_status_code: int | None
    last_error: str


def create_webhook(
    unit: RowsUnit,
    webhook_id: str,
    *,
    url: str,
    sink: str,
    params: dict[str, Any],
    event_kinds: Sequence[str],
    credentials: bytes | None = None,
    name: str = "",
) -> None:
    """Store an endpoint; events from now on go there."""
    add(
        unit,
        WEBHOOKS,
        tenant_id=scope_of(unit),
        webhook_id=webhook_id,
        name=name,
        url=url,
        sink=sink,
        params=params,
        event_kinds=list(event_kinds),
        credentials=credentials,
        is_active=True,
    )


def update_webhook(unit: RowsUnit, webhook_id: str, **values: Any) -> bool:
    """Whether the tenant has such an open webhook; these columns are changed."""
    changed = unit.connection.execute(
        update(WEBHOOKS)
        .where(
            WEBHOOKS.c.tenant_id == scope_of(unit), WEBHOOKS.c.webhook_id == webhook_id, WEBHOOKS.c.closed_at.is_(None)
        )
        .values(**values, updated_at=unit.now)
    )
    return bool(changed.rowcount)


def close_webhook(unit: RowsUnit, webhook_id: str) -> bool:
    """Whether the tenant had such an open webhook; nothing goes there any more, its rows stay."""
    return update_webhook(unit, webhook_id, closed_at=unit.now, is_active=False)


def get_webhook(unit: RowsUnit, webhook_id: str) -> WebhookRow | None:
    """An open webhook of the tenant, or None."""
    row = unit.connection.execute(
        select(WEBHOOKS).where(
            WEBHOOKS.c.tenant_id == scope_of(unit), WEBHOOKS.c.webhook_id == webhook_id, WEBHOOKS.c.closed_at.is_(None)
        )
    ).one_or_none()
    return viewer(WebhookRow)(row) if row is not None else None


def list_webhooks(unit: RowsUnit, paging: Paging) -> Page[WebhookRow]:
    """The open webhooks, newest first."""
    query = select(WEBHOOKS).where(WEBHOOKS.c.tenant_id == scope_of(unit), WEBHOOKS.c.closed_at.is_(None))
    return page(unit, query, WEBHOOKS.c.webhook_id, paging, viewer(WebhookRow))


def list_deliveries(
    unit: RowsUnit, paging: Paging, *, webhook_id: str | None = None, status: str | None = None
) -> Page[DeliveryRow]:
    """Deliveries, of one webhook or status when named, newest first."""
    query = select(WEBHOOK_DELIVERIES).where(WEBHOOK_DELIVERIES.c.tenant_id == scope_of(unit))
    if webhook_id is not None:
        query = query.where(WEBHOOK_DELIVERIES.c.webhook_id == webhook_id)
    if status is not None:
        query = query.where(WEBHOOK_DELIVERIES.c.status == status)
    return page(unit, query, WEBHOOK_DELIVERIES.c.delivery_id, paging, viewer(DeliveryRow))


def get_delivery(unit: RowsUnit, webhook_id: str, delivery_id: str) -> DeliveryRow | None:
    """A delivery of the webhook, or None."""
    table = WEBHOOK_DELIVERIES
    row = unit.connection.execute(
        select(table).where(
            table.c.tenant_id == scope_of(unit), table.c.webhook_id == webhook_id, table.c.delivery_id == delivery_id
        )
    ).one_or_none()
    return viewer(DeliveryRow)(row) if row is not None else None


def replay(unit: RowsUnit, webhook_id: str, delivery_id: str | None = None) -> int:
    """How many deliveries will be made again, each under its old message id: the one named, or all dead ones.

    One that is still pending is left as it is.
    """
    table = WEBHOOK_DELIVERIES
    which = table.c.status != "PENDING" if delivery_id is not None else table.c.status == "DEAD"
    query = (
        update(table)
        .where(table.c.tenant_id == scope_of(unit), table.c.webhook_id == webhook_id, which)
        .values(status="PENDING", attempts=0, due_at=unit.now, delivered_at=None, updated_at=unit.now)
    )
    if delivery_id is not None:
        query = query.where(table.c.delivery_id == delivery_id)
    changed = unit.connection.execute(query).rowcount
    if changed:
        make_due(unit, webhook_id)
    return changed


def make_due(unit: RowsUnit, webhook_id: str) -> None:
    """Let the webhook be looked at now, unless it waits for a retry."""
    work = DUE_WORK
    found = unit.connection.execute(
        select(work.c.done_at, work.c.due_at).where(work.c.work_id == webhook_id)
    ).one_or_none()
    if found is None:
        values = {"work_id": webhook_id, "kind": DUE_KIND, "tenant_id": scope_of(unit), "due_at": unit.now}
        unit.connection.execute(insert(work).values(**values, **stamps(unit)))
    else:
        # A new due_at also tells the worker that is just finishing that there is more.
        due_at = unit.now if found.done_at is not None or found.due_at <= unit.now else found.due_at
        unit.connection.execute(
            update(work).where(work.c.work_id == webhook_id).values(done_at=None, due_at=due_at, updated_at=unit.now)
        )


class DeliveryCount(msgspec.Struct, frozen=True):
    """How a webhook stands: what is still to be delivered, since when, and what was given up."""

    webhook_id: str
    name: str
    url: str
    is_active: bool
    pending: int
    dead: int
    oldest_pending_at: datetime | None


def count_deliveries(unit: RowsUnit) -> list[DeliveryCount]:
    """The open webhooks of the tenant with what they have to deliver, by name."""
    table, tenant_id = WEBHOOK_DELIVERIES, scope_of(unit)
    counts = {
        (row.webhook_id, row.status): (row.number, row.oldest)
        for row in unit.connection.execute(
            select(
                table.c.webhook_id,
                table.c.status,
                func.count().label("number"),
                func.min(table.c.occurred_at).label("oldest"),
            )
            .where(table.c.tenant_id == tenant_id, table.c.status.in_(("PENDING", "DEAD")))
            .group_by(table.c.webhook_id, table.c.status)
        )
    }
    webhooks = unit.connection.execute(
        select(WEBHOOKS)
        .where(WEBHOOKS.c.tenant_id == tenant_id, WEBHOOKS.c.closed_at.is_(None))
        .order_by(WEBHOOKS.c.name, WEBHOOKS.c.webhook_id)
    )
    return [
        DeliveryCount(
            webhook_id=row.webhook_id,
            name=row.name,
            url=row.url,
            is_active=row.is_active,
            pending=counts.get((row.webhook_id, "PENDING"), (0, None))[0],
            dead=counts.get((row.webhook_id, "DEAD"), (0, None))[0],
            oldest_pending_at=counts.get((row.webhook_id, "PENDING"), (0, None))[1],
        )
        for row in webhooks
    ]
