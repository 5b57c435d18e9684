"""How far each consumer has read each ledger: moved by compare-and-set, so that two readers cannot both advance."""

from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from oms_app.store.tables import CONSUMER_CURSORS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import LedgerId


def cursor(unit: RowsUnit, consumer: str, ledger_id: LedgerId) -> int:
    """The seq up to which the consumer has read; 0 before its first advance."""
    seq = unit.connection.scalar(
        select(CONSUMER_CURSORS.c.seq).where(
            CONSUMER_CURSORS.c.consumer == consumer, CONSUMER_CURSORS.c.ledger_id == ledger_id
        )
    )
    return seq or 0


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
