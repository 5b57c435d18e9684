"""Remember when schedules ran, and let old answers, sign-ins and deliveries be deleted."""

import sqlalchemy as sa
from alembic import op

from oms_app.store import types
from oms_app.store.migrations import roles

revision = "0004"
down_revision = "0002"
branch_labels = None
depends_on = None

PERISHABLE_TABLES = ("idempotency_keys", "user_sessions", "webhook_deliveries")


def upgrade() -> None:
    """Create the table of schedules; grant what the purges need."""
    roles.become_owner()
    op.create_table(
        "schedules",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("fired_at", types.UtcDateTime(), nullable=False),
        sa.Column("fired_by", sa.String(length=200), server_default="", nullable=False),
        sa.Column("finished_at", types.UtcDateTime(), nullable=True),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("handled", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_schedules")),
    )
    roles.let_serve("schedules")
    op.create_index(
        op.f("ix_idempotency_keys_tenant_id_created_at"),
        "idempotency_keys",
        ["tenant_id", "created_at"],
        postgresql_using="brin",
    )
    for table in PERISHABLE_TABLES:
        roles.let_delete(table)


def downgrade() -> None:
    """Take both back."""
    roles.become_owner()
    for table in PERISHABLE_TABLES:
        roles.forbid_delete(table)
    op.drop_index(
        op.f("ix_idempotency_keys_tenant_id_created_at"), table_name="idempotency_keys", postgresql_using="brin"
    )
    op.drop_table("schedules")
