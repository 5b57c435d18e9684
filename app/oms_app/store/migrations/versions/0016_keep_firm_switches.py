"""Keep kill switches of the whole firm, dead-man switches, and find switches and liquidations by account."""

import sqlalchemy as sa
from alembic import op

from oms_app.store import types
from oms_app.store.migrations import roles

revision = "0016"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLES = ("dead_man_switches", "firm_switches")
BY_ACCOUNT = {"kill_switch_events": "event_id", "kill_switches": "switch_id", "liquidations": "liquidation_id"}


def upgrade() -> None:
    """Make both tables of the platform, and the indexes."""
    roles.become_owner()
    op.create_table(
        "firm_switches",
        sa.Column("firm_switch_id", types.Id(), nullable=False),
        sa.Column("trading_state", sa.String(length=20), nullable=False),
        sa.Column("instrument_id", types.Id(), nullable=True),
        sa.Column("reason_code", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("cancel_working", sa.Boolean(), nullable=False),
        sa.Column("flatten", sa.Boolean(), nullable=False),
        sa.Column("activated_at", types.UtcDateTime(), nullable=False),
        sa.Column("activated_by", sa.Text(), nullable=False),
        sa.Column("release_asked_by", sa.Text(), server_default="", nullable=False),
        sa.Column("release_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("released_at", types.UtcDateTime(), nullable=True),
        sa.Column("released_by", sa.Text(), server_default="", nullable=False),
        sa.Column("settled_at", types.UtcDateTime(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "trading_state IN ('ACTIVE', 'CANCEL_ONLY', 'HALTED', 'REDUCE_ONLY')",
            name=op.f("ck_firm_switches_trading_state_known"),
        ),
        sa.PrimaryKeyConstraint("firm_switch_id", name=op.f("pk_firm_switches")),
    )
    op.create_index(
        "ix_firm_switches_unsettled",
        "firm_switches",
        ["activated_at"],
        postgresql_where=sa.text("settled_at IS NULL"),
        sqlite_where=sa.text("settled_at IS NULL"),
    )
    op.create_table(
        "dead_man_switches",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("principal", sa.String(length=100), nullable=False),
        sa.Column("strategy_id", sa.String(length=36), nullable=False),
        sa.Column("action", sa.String(length=10), nullable=False),
        sa.Column("timeout_s", sa.Integer(), nullable=False),
        sa.Column("spare_gtc", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("account_id", types.Id(), nullable=True),
        sa.Column("armed_at", types.UtcDateTime(), nullable=False),
        sa.Column("heard_at", types.UtcDateTime(), nullable=False),
        sa.Column("due_at", types.UtcDateTime(), nullable=True),
        sa.Column("struck_at", types.UtcDateTime(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("action IN ('CANCEL', 'HALT')", name=op.f("ck_dead_man_switches_action_known")),
        sa.PrimaryKeyConstraint("tenant_id", "principal", "strategy_id", name=op.f("pk_dead_man_switches")),
    )
    op.create_index(
        "ix_dead_man_switches_armed",
        "dead_man_switches",
        ["due_at"],
        postgresql_where=sa.text("due_at IS NOT NULL"),
        sqlite_where=sa.text("due_at IS NOT NULL"),
    )
    for table, key in BY_ACCOUNT.items():
        op.create_index(op.f(f"ix_{table}_tenant_id_account_id_{key}"), table, ["tenant_id", "account_id", key])
    for table in TABLES:
        roles.let_serve(table)


def downgrade() -> None:
    """Take all of it back."""
    roles.become_owner()
    for table, key in BY_ACCOUNT.items():
        op.drop_index(op.f(f"ix_{table}_tenant_id_account_id_{key}"), table_name=table)
    op.drop_index("ix_dead_man_switches_armed", table_name="dead_man_switches")
    op.drop_table("dead_man_switches")
    op.drop_index("ix_firm_switches_unsettled", table_name="firm_switches")
    op.drop_table("firm_switches")
