"""API keys' networks, quotas and rotation. Sealed columns hold their own wrapped keys and need nothing here."""

import sqlalchemy as sa
from alembic import op

from oms_app.store import types
from oms_app.store.migrations import roles

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns to both tables of keys."""
    roles.become_owner()
    for table, columns in _columns().items():
        for column in columns:
            op.add_column(table, column)
    op.create_index(op.f("ix_api_key_hashes_previous_prefix"), "api_key_hashes", ["previous_prefix"], unique=True)


def downgrade() -> None:
    """Take it away; secrets that were rotated keep working without their overlap."""
    roles.become_owner()
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
