"""Keep limits with scopes, severities and dates; breaches, kill switches, liquidations, facts of instruments."""

import sqlalchemy as sa
from alembic import op

from oms_app.store import types
from oms_app.store.migrations import roles

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TENANT_TABLES = ("breaches", "kill_switch_events", "kill_switches", "limit_changes", "liquidations")
PLATFORM_TABLES = ("firm_limits", "instrument_facts")


def upgrade() -> None:
    """Add the columns, make the tables; tenants see their own rows only."""
    roles.become_owner()
    op.create_table(
        "breaches",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("breach_id", types.Id(), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("limit_id", sa.String(length=60), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("account_id", types.Id(), nullable=True),
        sa.Column("strategy_id", types.Id(), nullable=True),
        sa.Column("instrument_id", types.Id(), nullable=True),
        sa.Column("category", sa.String(length=20), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("observed", types.ExactDecimal(), nullable=True),
        sa.Column("limit_value", types.ExactDecimal(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("breached_at", types.UtcDateTime(), nullable=False),
        sa.Column("assigned_to", sa.Text(), nullable=False),
        sa.Column("closed_at", types.UtcDateTime(), nullable=True),
        sa.Column("closed_by", sa.Text(), nullable=False),
        sa.Column("finding", sa.Text(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "action IN ('ALERT', 'CANCEL_WORKING', 'FLATTEN', 'HALT', 'REDUCE_ONLY')",
            name=op.f("ck_breaches_action_known"),
        ),
        sa.CheckConstraint("category IN ('RISK', 'SURVEILLANCE')", name=op.f("ck_breaches_category_known")),
        sa.PrimaryKeyConstraint("tenant_id", "breach_id", name=op.f("pk_breaches")),
    )
    op.create_index(
        "ix_breaches_open",
        "breaches",
        ["tenant_id", "category", "breach_id"],
        postgresql_where=sa.text("closed_at IS NULL"),
        sqlite_where=sa.text("closed_at IS NULL"),
    )
    op.create_index(
        op.f("ix_breaches_tenant_id_account_id_breach_id"), "breaches", ["tenant_id", "account_id", "breach_id"]
    )
    op.create_index(
        op.f("ix_breaches_tenant_id_category_breach_id"), "breaches", ["tenant_id", "category", "breach_id"]
    )
    op.create_index(op.f("ix_breaches_tenant_id_rule_breach_id"), "breaches", ["tenant_id", "rule", "breach_id"])

    op.create_table(
        "firm_limits",
        sa.Column("limit_id", types.Id(), nullable=False),
        sa.Column("rule", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=200), server_default="", nullable=False),
        sa.Column("instrument_id", types.Id(), nullable=True),
        sa.Column("params", types.Json, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("severity", sa.String(length=10), server_default="HARD", nullable=False),
        sa.Column("action", sa.String(length=20), nullable=True),
        sa.Column("effective_from", types.UtcDateTime(), nullable=True),
        sa.Column("effective_until", types.UtcDateTime(), nullable=True),
        sa.Column("updated_by", sa.String(length=100), server_default="", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("version > 0", name=op.f("ck_firm_limits_version_above_zero")),
        sa.PrimaryKeyConstraint("limit_id", name=op.f("pk_firm_limits")),
    )
    op.create_table(
        "kill_switch_events",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("event_id", types.Id(), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("switch_id", types.Id(), nullable=True),
        sa.Column("account_id", types.Id(), nullable=True),
        sa.Column("strategy_id", types.Id(), nullable=True),
        sa.Column("instrument_id", types.Id(), nullable=True),
        sa.Column("trading_state", sa.String(length=20), nullable=True),
        sa.Column("reason_code", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("order_count", sa.Integer(), nullable=True),
        sa.Column("position_count", sa.Integer(), nullable=True),
        sa.Column("elapsed_ms", sa.Integer(), nullable=True),
        sa.Column("recorded_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('ACTIVATED', 'DRILLED', 'RELEASED', 'RELEASE_ASKED')",
            name=op.f("ck_kill_switch_events_kind_known"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "event_id", name=op.f("pk_kill_switch_events")),
    )
    op.create_table(
        "kill_switches",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("switch_id", types.Id(), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("account_id", types.Id(), nullable=True),
        sa.Column("strategy_id", types.Id(), nullable=True),
        sa.Column("instrument_id", types.Id(), nullable=True),
        sa.Column("level", sa.String(length=12), nullable=False),
        sa.Column("trading_state", sa.String(length=20), nullable=False),
        sa.Column("cause", sa.String(length=12), nullable=False),
        sa.Column("reason_code", sa.Text(), nullable=False),
        sa.Column("cancel_working", sa.Boolean(), nullable=False),
        sa.Column("flatten", sa.Boolean(), nullable=False),
        sa.Column("breach_id", types.Id(), nullable=True),
        sa.Column("firm_switch_id", sa.String(length=60), nullable=False),
        sa.Column("activated_at", types.UtcDateTime(), nullable=False),
        sa.Column("activated_by", sa.Text(), nullable=False),
        sa.Column("release_asked_by", sa.Text(), nullable=False),
        sa.Column("released_at", types.UtcDateTime(), nullable=True),
        sa.Column("released_by", sa.Text(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("cause IN ('DEAD_MAN', 'PERSON', 'TRIGGER')", name=op.f("ck_kill_switches_cause_known")),
        sa.CheckConstraint(
            "trading_state IN ('ACTIVE', 'CANCEL_ONLY', 'HALTED', 'REDUCE_ONLY')",
            name=op.f("ck_kill_switches_trading_state_known"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "switch_id", name=op.f("pk_kill_switches")),
    )
    op.create_index(
        "ix_kill_switches_active",
        "kill_switches",
        ["tenant_id", "switch_id"],
        postgresql_where=sa.text("released_at IS NULL"),
        sqlite_where=sa.text("released_at IS NULL"),
    )

    op.create_table(
        "liquidations",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("liquidation_id", types.Id(), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("account_id", types.Id(), nullable=True),
        sa.Column("strategy_id", types.Id(), nullable=True),
        sa.Column("instrument_id", types.Id(), nullable=True),
        sa.Column("reason_code", sa.Text(), nullable=False),
        sa.Column("switch_id", types.Id(), nullable=True),
        sa.Column("started_at", types.UtcDateTime(), nullable=False),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("ended_at", types.UtcDateTime(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "liquidation_id", name=op.f("pk_liquidations")),
    )
    op.create_index(
        "ix_liquidations_running",
        "liquidations",
        ["tenant_id", "liquidation_id"],
        postgresql_where=sa.text("ended_at IS NULL"),
        sqlite_where=sa.text("ended_at IS NULL"),
    )

    op.create_table(
        "limit_changes",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("change_id", types.Id(), nullable=False),
        sa.Column("changes", types.Json, nullable=False),
        sa.Column("asked_by", sa.String(length=100), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("decided_by", sa.String(length=100), server_default="", nullable=False),
        sa.Column("decided_at", types.UtcDateTime(), nullable=True),
        sa.Column("decision_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "status IN ('APPROVED', 'EXPIRED', 'PENDING', 'REJECTED', 'WITHDRAWN')",
            name=op.f("ck_limit_changes_status_known"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name="fk_tenants"),
        sa.PrimaryKeyConstraint("tenant_id", "change_id", name=op.f("pk_limit_changes")),
    )
    op.create_index(
        op.f("ix_limit_changes_tenant_id_status_change_id"), "limit_changes", ["tenant_id", "status", "change_id"]
    )

    op.create_table(
        "instrument_facts",
        sa.Column("instrument_id", types.Id(), nullable=False),
        sa.Column("facts", types.Json, nullable=False),
        sa.Column("as_of", types.UtcDateTime(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instrument_id"], ["instruments.instrument_id"], name=op.f("fk_instrument_facts_instruments")
        ),
        sa.PrimaryKeyConstraint("instrument_id", name=op.f("pk_instrument_facts")),
    )
    op.create_index(op.f("ix_instrument_facts_updated_at"), "instrument_facts", ["updated_at"])

    op.add_column("limits", sa.Column("name", sa.String(length=200), server_default="", nullable=False))
    op.add_column("limits", sa.Column("strategy_id", types.Id(), nullable=True))
    op.add_column("limits", sa.Column("instrument_id", types.Id(), nullable=True))
    op.add_column("limits", sa.Column("severity", sa.String(length=10), server_default="HARD", nullable=False))
    op.add_column("limits", sa.Column("action", sa.String(length=20), nullable=True))
    op.add_column("limits", sa.Column("effective_from", types.UtcDateTime(), nullable=True))
    op.add_column("limits", sa.Column("effective_until", types.UtcDateTime(), nullable=True))
    op.add_column("limits", sa.Column("updated_by", sa.String(length=100), server_default="", nullable=False))

    op.add_column("rule_denials", sa.Column("severity", sa.String(length=10), server_default="HARD", nullable=False))
    op.add_column("rule_denials", sa.Column("limit_id", sa.String(length=60), server_default="", nullable=False))
    op.add_column("rule_denials", sa.Column("would_pass", sa.Text(), server_default="", nullable=False))
    op.create_index(
        op.f("ix_rule_denials_tenant_id_account_id_recorded_at"),
        "rule_denials",
        ["tenant_id", "account_id", "recorded_at"],
    )
    op.create_index(op.f("ix_rule_denials_tenant_id_recorded_at"), "rule_denials", ["tenant_id", "recorded_at"])
    for table in (*TENANT_TABLES, *PLATFORM_TABLES):
        roles.let_serve(table, append_only=table == "kill_switch_events")
    for table in TENANT_TABLES:
        roles.fence(table)


def downgrade() -> None:
    """Take all of it back."""
    roles.become_owner()
    op.drop_index(op.f("ix_rule_denials_tenant_id_recorded_at"), table_name="rule_denials")
    op.drop_index(op.f("ix_rule_denials_tenant_id_account_id_recorded_at"), table_name="rule_denials")
    op.drop_column("rule_denials", "would_pass")
    op.drop_column("rule_denials", "limit_id")
    op.drop_column("rule_denials", "severity")

    op.drop_column("limits", "updated_by")
    op.drop_column("limits", "effective_until")
    op.drop_column("limits", "effective_from")
    op.drop_column("limits", "action")
    op.drop_column("limits", "severity")
    op.drop_column("limits", "instrument_id")
    op.drop_column("limits", "strategy_id")
    op.drop_column("limits", "name")

    op.drop_index(op.f("ix_instrument_facts_updated_at"), table_name="instrument_facts")

    op.drop_table("instrument_facts")
    op.drop_index(op.f("ix_limit_changes_tenant_id_status_change_id"), table_name="limit_changes")

    op.drop_table("limit_changes")
    op.drop_index("ix_liquidations_running", table_name="liquidations")

    op.drop_table("liquidations")
    op.drop_index("ix_kill_switches_active", table_name="kill_switches")

    op.drop_table("kill_switches")
    op.drop_table("kill_switch_events")
    op.drop_table("firm_limits")
    op.drop_index(op.f("ix_breaches_tenant_id_rule_breach_id"), table_name="breaches")
    op.drop_index(op.f("ix_breaches_tenant_id_category_breach_id"), table_name="breaches")
    op.drop_index(op.f("ix_breaches_tenant_id_account_id_breach_id"), table_name="breaches")
    op.drop_index("ix_breaches_open", table_name="breaches")

    op.drop_table("breaches")
