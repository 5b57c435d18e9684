"""Find alerts and breaks by when they were raised or found."""

from alembic import op

from oms_app.store.migrations import roles

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the two indexes that the lists' filters by time use."""
    roles.become_owner()
    op.create_index("ix_alerts_raised_at", "alerts", ["tenant_id", "raised_at"])
    op.create_index("ix_reconciliation_breaks_found_at", "reconciliation_breaks", ["tenant_id", "found_at"])


def downgrade() -> None:
    """Drop them again."""
    roles.become_owner()
    op.drop_index("ix_reconciliation_breaks_found_at", table_name="reconciliation_breaks")
    op.drop_index("ix_alerts_raised_at", table_name="alerts")
