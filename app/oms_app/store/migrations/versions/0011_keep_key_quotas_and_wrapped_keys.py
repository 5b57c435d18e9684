"""API keys' networks, quotas and rotation; wrapped keys of sealed columns."""

import sqlalchemy as sa
from alembic import op

from oms_app.store import types
from oms_app.store.migrations import roles

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns of both tables of keys, and the table of wrapped keys."""
    roles.become_owner()
    for table, columns in _columns().items():
        for column in columns:
            op.add_column(table, column)
    op.create_index(op.f("ix_api_key_hashes_previous_prefix"), "api_key_hashes", ["previous_prefix"], unique=True)
    op.create_table(
        "data_keys",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("master_id", sa.String(length=16), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "version", name=op.f("pk_data_keys")),
    )
    op.create_index(op.f("ix_data_keys_master_id"), "data_keys", ["master_id"])
    roles.let_serve("data_keys")


def downgrade() -> None:
    """Take it away: secrets that were sealed since cannot be opened any more, and must be entered again."""
    roles.become_owner()
    op.drop_index(op.f("ix_data_keys_master_id"), table_name="data_keys")
    op.drop_table("data_keys")
    op.drop_index(op.f("ix_api_key_hashes_previous_prefix"), table_name="api_key_hashes")
    for table, columns in _columns().items():
        for column in reversed(columns):
            op.drop_column(table, column.name)


def _columns() -> dict[str, tuple[sa.Column, ...]]:  # type: ignore[type-arg]
    return {
        "api_key_hashes": (
            sa.Column("previous_prefix", sa.String(length=32), nullable=True),
            sa.Column("previous_hash", sa.LargeBinary(), nullable=True),
            sa.Column("previous_until", types.UtcDateTime(), nullable=True),
            sa.Column("rotated_at", types.UtcDateTime(), nullable=True),
        ),
        "api_keys": (
            sa.Column("is_test", sa.Boolean(), server_default=sa.text("false"), nullable=False),
            sa.Column("networks", types.Json, server_default="[]", nullable=False),
            sa.Column("quota_per_s", sa.Integer(), nullable=True),
            sa.Column("quota_burst", sa.Integer(), nullable=True),
            sa.Column("last_used_address", sa.String(length=45), server_default="", nullable=False),
        ),
    }
