"""The hash chain of each log, the platform's own log, and what audit needs beside the log.

Rows that are there already are chained here, in their order and in batches; a log of ten million rows takes some
minutes. The canonical form of a row is written out below, because a released migration must not change with the code.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from alembic import op

from oms_app.store import types
from oms_app.store.migrations import roles

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

AT_ONCE = 5_000
_NOBODY = "00000000-0000-0000-0000-000000000000"
_ROWS = sa.text(
    "SELECT seq, event_id, kind, version, account_id, order_id, recorded_at, payload FROM event_log"
    " WHERE tenant_id = :tenant AND ledger_id = :ledger AND seq > :after ORDER BY seq LIMIT :most"
).columns(event_id=types.Id(), account_id=types.Id(), order_id=types.Id(), recorded_at=types.UtcDateTime())
_FILTERS = ("kind", "actor", "action", "object_type", "object_id", "account_id", "order_id", "request_id")


def upgrade() -> None:
    """Add columns and tables, chain every log, and begin that of the platform."""
    roles.become_owner()
    empty = sa.text("''::bytea" if _on_postgres() else "x''")
    op.add_column("event_log", sa.Column("hash", types.Octets(), server_default=empty, nullable=False))
    op.add_column("ledgers", sa.Column("head_hash", types.Octets(), nullable=True))
    ledgers = op.get_bind().execute(sa.text("SELECT tenant_id, ledger_id FROM ledgers ORDER BY ledger_id")).all()
    for tenant_id, ledger_id in ledgers:
        _chain(str(tenant_id), str(ledger_id))
    if _on_postgres():
        _scope("")
        op.execute("ALTER TABLE event_log ALTER COLUMN hash DROP DEFAULT")
    _create_tables()
    for table in ("person_keys", "audit_texts"):
        roles.let_serve(table, append_only=table == "audit_texts")
        roles.let_delete(table)
    roles.let_serve("audit_entries", append_only=True)
    for table in ("audit_texts", "audit_entries"):
        roles.fence(table)
    _begin_platform()


def downgrade() -> None:
    """Take it away, with what was recorded for the platform."""
    roles.become_owner()
    op.drop_table("audit_entries")
    op.drop_table("audit_texts")
    op.drop_table("person_keys")
    _scope(_NOBODY)
    for table in ("event_log", "tenants"):
        op.execute(f"DELETE FROM {table} WHERE tenant_id = '{_NOBODY}'")  # noqa: S608
    _scope("")
    op.execute(f"DELETE FROM consumer_cursors WHERE ledger_id = '{_NOBODY}'")  # noqa: S608
    op.execute(f"DELETE FROM ledgers WHERE ledger_id = '{_NOBODY}'")  # noqa: S608
    op.drop_column("ledgers", "head_hash")
    op.drop_column("event_log", "hash")


def _chain(tenant_id: str, ledger_id: str) -> None:
    """Write the hash of each row of one log, and that of its last row beside the ledger's seq."""
    bind = op.get_bind()
    _scope(tenant_id)
    present = sha256(f"oms-log-1\ngenesis\n{tenant_id}\n{ledger_id}".lower().encode()).digest()
    after = 0
    while True:
        asked = {"tenant": tenant_id, "ledger": ledger_id, "after": after, "most": AT_ONCE}
        rows = bind.execute(_ROWS, asked).all()
        if not rows:
            break
        hashes = []
        for row in rows:
            present = sha256(present + _row_bytes(tenant_id, ledger_id, row)).digest()
            hashes.append(present)
        _write(tenant_id, ledger_id, [row.seq for row in rows], hashes)
        after = rows[-1].seq
    if after:
        moved = sa.text("UPDATE ledgers SET head_hash = :hash WHERE ledger_id = :ledger")
        bind.execute(moved, {"hash": present, "ledger": ledger_id})


def _row_bytes(tenant_id: str, ledger_id: str, row: Any) -> bytes:
    at: datetime = row.recorded_at
    ids = f"{tenant_id}\n{ledger_id}\n{row.seq}\n{row.event_id}".lower()
    concerned = f"{row.account_id or ''}\n{row.order_id or ''}".lower()
    recorded_at = at.astimezone(UTC).isoformat(timespec="microseconds")
    return f"oms-log-1\n{ids}\n{row.kind}\n{row.version}\n{concerned}\n{recorded_at}\n{row.payload}".encode()


def _write(tenant_id: str, ledger_id: str, seqs: Sequence[int], hashes: Sequence[bytes]) -> None:
    bind = op.get_bind()
    if _on_postgres():
        bind.exec_driver_sql(
            "UPDATE event_log t SET hash = v.hash"
            " FROM unnest(%(seqs)s::bigint[], %(hashes)s::bytea[]) AS v (seq, hash)"
            " WHERE t.tenant_id = %(tenant)s::uuid AND t.ledger_id = %(ledger)s::uuid AND t.seq = v.seq",
            {"seqs": list(seqs), "hashes": list(hashes), "tenant": tenant_id, "ledger": ledger_id},
        )
        return
    bind.exec_driver_sql(
        "UPDATE event_log SET hash = ? WHERE tenant_id = ? AND ledger_id = ? AND seq = ?",
        [(hashed, tenant_id, ledger_id, seq) for seq, hashed in zip(seqs, hashes, strict=True)],
    )


def _create_tables() -> None:
    op.create_table(
        "person_keys",
        sa.Column("person", sa.String(length=100), nullable=False),
        sa.Column("sealed_key", types.Octets(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("person", name=op.f("pk_person_keys")),
    )
    op.create_table(
        "audit_texts",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("event_id", types.Id(), nullable=False),
        sa.Column("part", sa.String(length=10), nullable=False),
        sa.Column("person", sa.String(length=100), nullable=False),
        sa.Column("sealed", types.Octets(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("part IN ('ACTOR', 'SUBJECT')", name=op.f("ck_audit_texts_part_known")),
        sa.PrimaryKeyConstraint("tenant_id", "event_id", "part", name=op.f("pk_audit_texts")),
    )
    op.create_index(op.f("ix_audit_texts_tenant_id_person"), "audit_texts", ["tenant_id", "person"])
    op.create_index(op.f("ix_audit_texts_tenant_id_created_at"), "audit_texts", ["tenant_id", "created_at"])
    op.create_table(
        "audit_entries",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", types.UtcDateTime(), nullable=False),
        sa.Column("kind", sa.String(length=60), nullable=False),
        sa.Column("action", sa.String(length=100), nullable=True),
        sa.Column("actor", sa.String(length=100), nullable=True),
        sa.Column("object_type", sa.String(length=40), nullable=True),
        sa.Column("object_id", sa.String(length=200), nullable=True),
        sa.Column("account_id", types.Id(), nullable=True),
        sa.Column("order_id", types.Id(), nullable=True),
        sa.Column("request_id", sa.String(length=128), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "ledger_id", "seq", name=op.f("pk_audit_entries")),
    )
    behind = ["recorded_at", "ledger_id", "seq"]
    op.create_index("ix_audit_entries_recorded_at", "audit_entries", ["tenant_id", *behind])
    for column in _FILTERS:
        present = sa.text(f"{column} IS NOT NULL") if column != "kind" else None
        op.create_index(
            f"ix_audit_entries_{column}",
            "audit_entries",
            ["tenant_id", column, *behind],
            postgresql_where=present,
            sqlite_where=present,
        )


def _begin_platform() -> None:
    """The reserved tenant, to which nobody belongs, and its ledger."""
    now = "now()" if _on_postgres() else "strftime('%Y-%m-%dT%H:%M:%S.000000+00:00', 'now')"
    _scope(_NOBODY)
    op.execute(
        "INSERT INTO tenants (tenant_id, name, is_active, settings, created_at, updated_at)"  # noqa: S608
        f" VALUES ('{_NOBODY}', 'Platform', true, '{{}}', {now}, {now})"
    )
    op.execute(
        "INSERT INTO ledgers (ledger_id, tenant_id, seq, config_version, created_at, updated_at)"  # noqa: S608
        f" VALUES ('{_NOBODY}', '{_NOBODY}', 0, 1, {now}, {now})"
    )
    _scope("")


def _scope(tenant_id: str) -> None:
    """See and write the rows of this tenant; the fence binds the owner too."""
    if _on_postgres():
        op.get_bind().execute(sa.text("SELECT set_config('app.tenant_id', :tenant, true)"), {"tenant": tenant_id})


def _on_postgres() -> bool:
    return op.get_bind().dialect.name == "postgresql"
