"""Webhooks and what became of their deliveries, as people see and change them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import select, update

from oms_app.store.queries.paging import Page, Paging, page
from oms_app.store.queries.reading import viewer
from oms_app.store.rows import add, scope_of
from oms_app.store.tables import WEBHOOK_DELIVERIES, WEBHOOKS
from oms_app.store.unit_of_work import RowsUnit


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
