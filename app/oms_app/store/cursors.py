"""How far each consumer has read each ledger: moved by compare-and-set, so that two readers cannot both advance.

A ledger's seq is assigned under its lock and has no gap, so a cursor never passes an event that commits later.
"""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, insert, select, update

from oms_app.store.tables import CONSUMER_CURSORS, LEDGERS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import LedgerId, TenantId


def cursor(unit: RowsUnit, consumer: str, ledger_id: LedgerId) -> int:
    """The seq up to which the consumer has read; 0 before its first advance."""
    seq = unit.connection.scalar(
        select(CONSUMER_CURSORS.c.seq).where(
            CONSUMER_CURSORS.c.consumer == consumer, CONSUMER_CURSORS.c.ledger_id == ledger_id
        )
    )
    return seq or 0


class CursorRow(msgspec.Struct, frozen=True):
    """Where a consumer stands in a ledger, and where the ledger's log ends."""

    consumer: str
    ledger_id: LedgerId
    tenant_id: TenantId
    seq: int
    head: int
    moved_at: datetime


def positions(unit: RowsUnit, consumer: str) -> dict[LedgerId, int]:
    """The seq up to which the consumer has read each ledger that it has read at all."""
    rows = unit.connection.execute(
        select(CONSUMER_CURSORS.c.ledger_id, CONSUMER_CURSORS.c.seq).where(CONSUMER_CURSORS.c.consumer == consumer)
    )
    return {LedgerId(row.ledger_id): row.seq for row in rows}


def list_cursors(unit: RowsUnit, tenant_id: TenantId | None = None) -> list[CursorRow]:
    """Every cursor in ledgers of the tenant, or of the platform, by consumer and ledger."""
    query = (
        select(CONSUMER_CURSORS, LEDGERS.c.tenant_id, LEDGERS.c.seq.label("head"))
        .join(LEDGERS, LEDGERS.c.ledger_id == CONSUMER_CURSORS.c.ledger_id)
        .order_by(CONSUMER_CURSORS.c.consumer, CONSUMER_CURSORS.c.ledger_id)
    )
    if tenant_id is not None:
        query = query.where(LEDGERS.c.tenant_id == tenant_id)
    return [
        CursorRow(
            consumer=row.consumer,
            ledger_id=LedgerId(row.ledger_id),
            tenant_id=TenantId(row.tenant_id),
            seq=row.seq,
            head=row.head,
            moved_at=row.updated_at,
        )
        for row in unit.connection.execute(query)
    ]


def set_back(unit: RowsUnit, consumer: str, ledger_id: LedgerId, seq: int) -> bool:
    """Whether the cursor stood at this seq or later and stands there now: the consumer reads on from there."""
    moved = unit.connection.execute(
        update(CONSUMER_CURSORS)
        .where(
            CONSUMER_CURSORS.c.consumer == consumer,
            CONSUMER_CURSORS.c.ledger_id == ledger_id,
            CONSUMER_CURSORS.c.seq >= seq,
        )
        .values(seq=seq, updated_at=unit.now)
    )
    return bool(moved.rowcount)


def advance(unit: RowsUnit, consumer: str, ledger_id: LedgerId, expected_seq: int, seq: int) -> bool:
    """Whether the cursor stood at `expected_seq` and now stands at `seq`; False when somebody else moved it."""
    return advance_on(unit.connection, unit.now, consumer, ledger_id, expected_seq, seq)


def advance_on(
    connection: Connection, now: datetime, consumer: str, ledger_id: LedgerId, expected_seq: int, seq: int
) -> bool:
    """`advance` within any transaction."""
    moved = connection.execute(
        update(CONSUMER_CURSORS)
        .where(
            CONSUMER_CURSORS.c.consumer == consumer,
            CONSUMER_CURSORS.c.ledger_id == ledger_id,
            CONSUMER_CURSORS.c.seq == expected_seq,
        )
        .values(seq=seq, updated_at=now)
    )
    if moved.rowcount:
        return True
    if expected_seq:
        return False
    known = connection.scalar(
        select(CONSUMER_CURSORS.c.seq).where(
            CONSUMER_CURSORS.c.consumer == consumer, CONSUMER_CURSORS.c.ledger_id == ledger_id
        )
    )
    if known is not None:
        return False
    # Two first readers at once: the second meets the primary key, which is a Conflict.
    connection.execute(
        insert(CONSUMER_CURSORS).values(consumer=consumer, ledger_id=ledger_id, seq=seq, created_at=now, updated_at=now)
    )
    return True
