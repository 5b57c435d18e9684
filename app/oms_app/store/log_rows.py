"""The log read without its lock: events after a seq, events of an order, heads of ledgers."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from oms_app.store.tables import EVENT_LOG, LEDGERS
from oms_app.store.types import AnyRow
from oms_kernel.domain.events import Recorded, decode_event
from oms_kernel.domain.ids import EventId, LedgerId, OrderId, TenantId

_COLUMNS = (
    EVENT_LOG.c.seq,
    EVENT_LOG.c.event_id,
    EVENT_LOG.c.kind,
    EVENT_LOG.c.version,
    EVENT_LOG.c.recorded_at,
    EVENT_LOG.c.payload,
)


def events_after(
    connection: Connection,
    tenant_id: TenantId,
    ledger_id: LedgerId,
    after_seq: int,
    limit: int | None = None,
    account_ids: frozenset[str] | None = None,
) -> list[Recorded]:
    """Events after a seq, in order, at most `limit`; of some accounts only, when named."""
    query = (
        select(*_COLUMNS)
        .where(EVENT_LOG.c.tenant_id == tenant_id, EVENT_LOG.c.ledger_id == ledger_id, EVENT_LOG.c.seq > after_seq)
        .order_by(EVENT_LOG.c.seq)
    )
    if account_ids is not None:
        query = query.where(EVENT_LOG.c.account_id.in_(sorted(account_ids)))
    return [recorded_of(row) for row in connection.execute(query.limit(limit) if limit is not None else query)]


def events_at(connection: Connection, tenant_id: TenantId, ledger_id: LedgerId, seqs: Sequence[int]) -> list[Recorded]:
    """The events with these seqs, in order; a seq that the log does not have is left out."""
    query = (
        select(*_COLUMNS)
        .where(
            EVENT_LOG.c.tenant_id == tenant_id,
            EVENT_LOG.c.ledger_id == ledger_id,
            EVENT_LOG.c.seq.in_(sorted(set(seqs))),
        )
        .order_by(EVENT_LOG.c.seq)
    )
    return [recorded_of(row) for row in connection.execute(query)]


def events_of_order(connection: Connection, tenant_id: TenantId, order_id: OrderId) -> list[Recorded]:
    """An order's events in the order in which they were recorded."""
    return events_of_orders(connection, tenant_id, [order_id])


def events_of_orders(connection: Connection, tenant_id: TenantId, order_ids: Sequence[OrderId]) -> list[Recorded]:
    """The events of orders of one ledger, in the order in which they were recorded."""
    query = (
        select(*_COLUMNS)
        .where(EVENT_LOG.c.tenant_id == tenant_id, EVENT_LOG.c.order_id.in_(order_ids))
        .order_by(EVENT_LOG.c.seq)
    )
    return [recorded_of(row) for row in connection.execute(query)]


def heads(connection: Connection, ledger_ids: Sequence[LedgerId]) -> dict[LedgerId, int]:
    """The last seq of each known ledger of these."""
    rows = connection.execute(select(LEDGERS.c.ledger_id, LEDGERS.c.seq).where(LEDGERS.c.ledger_id.in_(ledger_ids)))
    return {LedgerId(row.ledger_id): row.seq for row in rows}


def recorded_of(row: AnyRow) -> Recorded:
    """The event of a row of event_log."""
    return Recorded(
        seq=row.seq,
        event_id=EventId(row.event_id),
        recorded_at=row.recorded_at,
        event=decode_event(row.kind, row.version, row.payload),
    )
