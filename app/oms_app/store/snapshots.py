"""Snapshots of ledgers: bytes in, the newest of the same fold out; caches, which may be thrown away at any time."""

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from oms_app.store.rows import scope_of
from oms_app.store.tables import LEDGER_SNAPSHOTS
from oms_app.store.unit_of_work import RowsUnit, Snapshot
from oms_kernel.domain.ids import LedgerId, TenantId


def get_snapshot(connection: Connection, tenant_id: TenantId, ledger_id: LedgerId, version: str) -> Snapshot | None:
    """The ledger's snapshot, or None when there is none of this version of the fold."""
    columns = LEDGER_SNAPSHOTS.c
    row = connection.execute(
        select(columns.seq, columns.book).where(
            columns.tenant_id == tenant_id, columns.ledger_id == ledger_id, columns.fold_version == version
        )
    ).one_or_none()
    return Snapshot(seq=row.seq, version=version, book=bytes(row.book)) if row is not None else None


def snapshot_seq(connection: Connection, tenant_id: TenantId, ledger_id: LedgerId, version: str) -> int:
    """Where the ledger's snapshot of this version stands; 0 without one."""
    columns = LEDGER_SNAPSHOTS.c
    found: int | None = connection.scalar(
        select(columns.seq).where(
            columns.tenant_id == tenant_id, columns.ledger_id == ledger_id, columns.fold_version == version
        )
    )
    return found or 0


def put_snapshot(unit: RowsUnit, ledger_id: LedgerId, snapshot: Snapshot) -> None:
    """Replace the ledger's snapshot, unless a later one of the same version stands there already."""
    insert = postgres_insert if unit.connection.dialect.name == "postgresql" else sqlite_insert
    values = {"seq": snapshot.seq, "fold_version": snapshot.version, "book": snapshot.book, "updated_at": unit.now}
    key = {"tenant_id": scope_of(unit), "ledger_id": ledger_id}
    columns = LEDGER_SNAPSHOTS.c
    is_newer = (columns.fold_version != snapshot.version) | (columns.seq < snapshot.seq)
    statement = insert(LEDGER_SNAPSHOTS).values(**key, **values)
    unit.connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values, where=is_newer))
