"""Keep snapshots of ledgers: caches from which a process starts, instead of from the first event."""

import sqlalchemy as sa
from alembic import op

from oms_app.store import types
from oms_app.store.migrations import roles

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; what stands in it may be thrown away at any time."""
    roles.become_owner()
    op.create_table(
        "ledger_snapshots",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("fold_version", sa.String(length=40), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("book", types.Octets(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "ledger_id", name=op.f("pk_ledger_snapshots")),
    )
    roles.let_serve("ledger_snapshots")
    roles.fence("ledger_snapshots")


def downgrade() -> None:
    """Drop it."""
    roles.become_owner()
    op.drop_table("ledger_snapshots")
