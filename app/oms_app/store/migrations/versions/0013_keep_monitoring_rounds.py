"""Keep how the last round of monitoring of each ledger went; find breaches by time."""

import sqlalchemy as sa
from alembic import op

from oms_app.store import types
from oms_app.store.migrations import roles

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    roles.become_owner()
    op.create_table(
        "monitoring_rounds",
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("holder", sa.String(length=200), nullable=False),
        sa.Column("ended_at", types.UtcDateTime(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("lag_ms", sa.BigInteger(), nullable=False),
        sa.Column("monitors", sa.Integer(), nullable=False),
        sa.Column("failures", types.Json, nullable=False),
        sa.Column("rounds", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledgers.ledger_id"], name=op.f("fk_monitoring_rounds_ledgers")),
        sa.PrimaryKeyConstraint("ledger_id", name=op.f("pk_monitoring_rounds")),
    )
    roles.let_serve("monitoring_rounds")
    op.create_index(op.f("ix_breaches_tenant_id_breached_at"), "breaches", ["tenant_id", "breached_at"])


def downgrade() -> None:
    """Take it back."""
    roles.become_owner()
    op.drop_index(op.f("ix_breaches_tenant_id_breached_at"), table_name="breaches")
    op.drop_table("monitoring_rounds")
