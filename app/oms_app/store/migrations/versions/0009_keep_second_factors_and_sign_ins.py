"""Second factors, sessions with address and agent, throttles of sign-ins, signing keys, the tenants' auth epochs."""

import sqlalchemy as sa
from alembic import op

from oms_app.store import types
from oms_app.store.migrations import roles

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

PERISHABLE_TABLES = ("known_devices", "recovery_codes", "second_factors", "signing_keys", "throttles")
TABLES = ("auth_epochs", *PERISHABLE_TABLES)
SESSION_COLUMNS = ("address", "agent", "last_used_at", "second_factor_at", "stepped_up_at")


def upgrade() -> None:
    """Create the tables and what sessions say besides."""
    roles.become_owner()
    op.create_table(
        "auth_epochs",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("CAST(epoch AS NUMERIC) >= 0", name=op.f("ck_auth_epochs_epoch_not_below_zero")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_auth_epochs")),
    )
    op.create_table(
        "second_factors",
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("confirmed_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_step", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        *_stamped(),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name=op.f("fk_second_factors_users")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_second_factors")),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("used_at", types.UtcDateTime(), nullable=True),
        *_stamped(),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name=op.f("fk_recovery_codes_users")),
        sa.PrimaryKeyConstraint("user_id", "code_hash", name=op.f("pk_recovery_codes")),
    )
    op.create_table(
        "known_devices",
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("device_hash", sa.LargeBinary(), nullable=False),
        *_stamped(),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name=op.f("fk_known_devices_users")),
        sa.PrimaryKeyConstraint("user_id", "device_hash", name=op.f("pk_known_devices")),
    )
    op.create_table(
        "throttles",
        sa.Column("bucket", sa.String(length=200), nullable=False),
        sa.Column("busy_until_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("bucket", name=op.f("pk_throttles")),
    )
    op.create_table(
        "signing_keys",
        sa.Column("key_id", sa.String(length=40), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=True),
        sa.Column("retired_at", types.UtcDateTime(), nullable=True),
        *_stamped(),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_signing_keys")),
    )
    for table, column in (
        ("known_devices", "updated_at"),
        ("throttles", "busy_until_us"),
    ):
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
    for table in TABLES:
        roles.let_serve(table)
    for table in PERISHABLE_TABLES:
        roles.let_delete(table)
    op.add_column("user_sessions", sa.Column("address", sa.String(length=45), server_default="", nullable=False))
    op.add_column("user_sessions", sa.Column("agent", sa.String(length=300), server_default="", nullable=False))
    for name in ("last_used_at", "second_factor_at", "stepped_up_at"):
        op.add_column("user_sessions", sa.Column(name, types.UtcDateTime(), nullable=True))
    op.create_index(op.f("ix_user_sessions_tenant_id"), "user_sessions", ["tenant_id"])


def downgrade() -> None:
    """Drop all of it again."""
    roles.become_owner()
    op.drop_index(op.f("ix_user_sessions_tenant_id"), table_name="user_sessions")
    for name in reversed(SESSION_COLUMNS):
        op.drop_column("user_sessions", name)
    for table in reversed(TABLES):
        op.drop_table(table)


def _stamped() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
    )
