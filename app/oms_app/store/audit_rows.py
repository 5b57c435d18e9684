"""Rows of a ledger's log as an auditor wants them: as stored, with their hashes, in order and in bounded pages."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select

from oms_app.store import chain
from oms_app.store.audit_verifier import Row
from oms_app.store.tables import EVENT_LOG, LEDGERS
from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import LedgerId, TenantId

PAGE = 1_000


class Head(NamedTuple):
    """Where a log ends: the last seq and its hash; (0, the hash that the first row follows) for an empty one."""

    seq: int
    hash: bytes


def head(unit: RowsUnit, tenant_id: TenantId, ledger_id: LedgerId) -> Head | None:
    """Where the ledger's row says that its log ends; None for a ledger that the tenant does not have."""
    query = select(LEDGERS.c.seq, LEDGERS.c.head_hash).where(
        LEDGERS.c.tenant_id == tenant_id, LEDGERS.c.ledger_id == ledger_id
    )
    found = unit.connection.execute(query).one_or_none()
    if found is None:
        return None
    return Head(found.seq, found.head_hash or chain.genesis(tenant_id, ledger_id))


def hash_at(unit: RowsUnit, tenant_id: TenantId, ledger_id: LedgerId, seq: int) -> bytes | None:
    """The stored hash of a row; what the first row follows for seq 0; None when there is no such row."""
    if seq == 0:
        return chain.genesis(tenant_id, ledger_id)
    found: bytes | None = unit.connection.scalar(
        select(EVENT_LOG.c.hash).where(
            EVENT_LOG.c.tenant_id == tenant_id, EVENT_LOG.c.ledger_id == ledger_id, EVENT_LOG.c.seq == seq
        )
    )
    return found


def rows_after(
    unit: RowsUnit, tenant_id: TenantId, ledger_id: LedgerId, after_seq: int, limit: int = PAGE
) -> list[AnyRow]:
    """The next rows of the log, oldest first."""
    query = (
        select(EVENT_LOG)
        .where(EVENT_LOG.c.tenant_id == tenant_id, EVENT_LOG.c.ledger_id == ledger_id, EVENT_LOG.c.seq > after_seq)
        .order_by(EVENT_LOG.c.seq)
        .limit(limit)
    )
    return list(unit.connection.execute(query))


def seq_at(unit: RowsUnit, tenant_id: TenantId, ledger_id: LedgerId, at: datetime) -> int:
    """The last seq recorded before a moment; time never goes back in a log, so that the key is enough to find it."""
    low, high = 0, (head(unit, tenant_id, ledger_id) or Head(0, b"")).seq
    while low < high:
        middle = (low + high + 1) // 2
        recorded_at = unit.connection.scalar(
            select(EVENT_LOG.c.recorded_at)
            .where(EVENT_LOG.c.tenant_id == tenant_id, EVENT_LOG.c.ledger_id == ledger_id, EVENT_LOG.c.seq >= middle)
            .order_by(EVENT_LOG.c.seq)
            .limit(1)
        )
        if recorded_at is not None and recorded_at < at:
            low = middle
        else:
            high = middle - 1
    return low


def exported(row: AnyRow) -> Row:
    """The row as exports show it and the verifier reads it."""
    return Row(
        tenant_id=row.tenant_id,
        ledger_id=row.ledger_id,
        seq=row.seq,
        event_id=row.event_id,
        kind=row.kind,
        version=row.version,
        account_id=row.account_id or "",
        order_id=row.order_id or "",
        recorded_at=chain.instant_text(row.recorded_at),
        payload=row.payload,
        hash=bytes(row.hash).hex(),
    )
