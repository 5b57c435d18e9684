"""Create every table, the two roles of the database and the fence between tenants.

On PostgreSQL the role oms_migrate owns all tables and the role oms_app serves: it may read, insert and change rows, but
delete none, and each tenant's rows are visible only in transactions that say so by app.tenant_id.
"""

import sqlalchemy as sa
from alembic import op

from oms_app.store import types
from oms_app.store.migrations import roles

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TENANT_TABLES = (
    "account_routes",
    "api_keys",
    "broker_accounts",
    "broker_connections",
    "cash_balances",
    "client_order_ids",
    "connector_storage",
    "day_counters",
    "event_log",
    "execution_ids",
    "executions",
    "idempotency_keys",
    "limits",
    "memberships",
    "order_texts",
    "orders",
    "plugin_quarantines",
    "positions",
    "rule_denials",
    "strategies",
    "strategy_runs",
    "tenants",
    "trading_accounts",
    "unbooked_reports",
    "webhook_deliveries",
    "webhooks",
)
PLATFORM_TABLES = (
    "api_key_hashes",
    "calendars",
    "consumer_cursors",
    "due_work",
    "instrument_aliases",
    "instruments",
    "last_quotes",
    "leases",
    "ledgers",
    "platform_versions",
    "user_sessions",
    "user_tenants",
    "users",
)
APPEND_ONLY_TABLES = (
    "client_order_ids",
    "event_log",
    "execution_ids",
)


def upgrade() -> None:
    """Create roles, tables, grants and policies."""
    roles.create()
    roles.become_owner()
    _create_tables()
    for table in (*TENANT_TABLES, *PLATFORM_TABLES):
        roles.let_serve(table, append_only=table in APPEND_ONLY_TABLES)
    for table in TENANT_TABLES:
        roles.fence(table)


def downgrade() -> None:
    """Drop every table; the roles stay, other databases of the server may use them."""
    op.drop_index(op.f("ix_strategy_runs_tenant_id_strategy_id_run_id"), table_name="strategy_runs")
    op.drop_table("strategy_runs")
    op.drop_index(op.f("ix_executions_tenant_id_order_id"), table_name="executions")
    op.drop_index(op.f("ix_executions_tenant_id_instrument_id_execution_id"), table_name="executions")
    op.drop_index(op.f("ix_executions_tenant_id_executed_at"), table_name="executions")
    op.drop_index(op.f("ix_executions_tenant_id_book_execution_id"), table_name="executions")
    op.drop_index(op.f("ix_executions_tenant_id_account_id_execution_id"), table_name="executions")
    op.drop_table("executions")
    op.drop_index(op.f("ix_account_routes_tenant_id_broker_account_id"), table_name="account_routes")
    op.drop_table("account_routes")
    op.drop_index(op.f("ix_webhook_deliveries_tenant_id_webhook_id_status_due_at"), table_name="webhook_deliveries")
    op.drop_table("webhook_deliveries")
    op.drop_index(op.f("ix_unbooked_reports_tenant_id_status"), table_name="unbooked_reports")
    op.drop_table("unbooked_reports")
    op.drop_index(op.f("ix_strategies_tenant_id_account_id"), table_name="strategies")
    op.drop_table("strategies")
    op.drop_index(op.f("ix_positions_tenant_id_is_open"), table_name="positions")
    op.drop_index(op.f("ix_positions_tenant_id_instrument_id"), table_name="positions")
    op.drop_table("positions")
    op.drop_index(op.f("ix_orders_tenant_id_state_order_id"), table_name="orders")
    op.drop_index(op.f("ix_orders_tenant_id_instrument_id_order_id"), table_name="orders")
    op.drop_index(op.f("ix_orders_tenant_id_account_id_order_id"), table_name="orders")
    op.drop_index(op.f("ix_orders_tenant_id_accepted_at"), table_name="orders")
    op.drop_index(
        "ix_orders_strategy",
        table_name="orders",
        postgresql_where=sa.text("strategy_id IS NOT NULL"),
        sqlite_where=sa.text("strategy_id IS NOT NULL"),
    )
    op.drop_index(
        "ix_orders_client_order_id",
        table_name="orders",
        postgresql_where=sa.text("client_order_id IS NOT NULL"),
        sqlite_where=sa.text("client_order_id IS NOT NULL"),
    )
    op.drop_table("orders")
    op.drop_table("limits")
    op.drop_index(op.f("ix_last_quotes_received_at"), table_name="last_quotes")
    op.drop_table("last_quotes")
    op.drop_index(op.f("ix_instrument_aliases_instrument_id"), table_name="instrument_aliases")
    op.drop_table("instrument_aliases")
    op.drop_table("day_counters")
    op.drop_table("connector_storage")
    op.drop_table("cash_balances")
    op.drop_table("broker_accounts")
    op.drop_table("api_keys")
    op.drop_table("webhooks")
    op.drop_table("user_tenants")
    op.drop_index(op.f("ix_user_sessions_user_id"), table_name="user_sessions")
    op.drop_index(op.f("ix_user_sessions_previous_hash"), table_name="user_sessions")
    op.drop_table("user_sessions")
    op.drop_index(op.f("ix_trading_accounts_tenant_id_ledger_id"), table_name="trading_accounts")
    op.drop_table("trading_accounts")
    op.drop_table("memberships")
    op.drop_index(op.f("ix_instruments_symbol"), table_name="instruments")
    op.drop_table("instruments")
    op.drop_table("consumer_cursors")
    op.drop_table("broker_connections")
    op.drop_table("users")
    op.drop_table("tenants")
    op.drop_index(op.f("ix_rule_denials_tenant_id_rule_recorded_at"), table_name="rule_denials")
    op.drop_index(op.f("ix_rule_denials_tenant_id_order_id"), table_name="rule_denials")
    op.drop_table("rule_denials")
    op.drop_table("plugin_quarantines")
    op.drop_table("platform_versions")
    op.drop_table("order_texts")
    op.drop_table("ledgers")
    op.drop_index(op.f("ix_leases_kind_is_wanted"), table_name="leases")
    op.drop_table("leases")
    op.drop_table("idempotency_keys")
    op.drop_table("execution_ids")
    op.drop_index(
        "ix_event_log_order",
        table_name="event_log",
        postgresql_where=sa.text("order_id IS NOT NULL"),
        sqlite_where=sa.text("order_id IS NOT NULL"),
    )
    op.drop_table("event_log")
    op.drop_index(
        "ix_due_work_open",
        table_name="due_work",
        postgresql_where=sa.text("done_at IS NULL"),
        sqlite_where=sa.text("done_at IS NULL"),
    )
    op.drop_table("due_work")
    op.drop_table("client_order_ids")
    op.drop_table("calendars")
    op.drop_table("api_key_hashes")


def _create_tables() -> None:
    op.create_table(
        "api_key_hashes",
        sa.Column("key_id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("prefix", sa.String(length=32), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=True),
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_api_key_hashes")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_key_hashes_prefix")),
    )
    op.create_table(
        "calendars",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("definition", types.Json, nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_calendars")),
    )
    op.create_table(
        "client_order_ids",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("account_id", types.Id(), nullable=False),
        sa.Column("client_order_id", sa.String(length=200), nullable=False),
        sa.Column("order_id", types.Id(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "account_id", "client_order_id", name=op.f("pk_client_order_ids")),
    )
    op.create_table(
        "due_work",
        sa.Column("work_id", types.Id(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("due_at", types.UtcDateTime(), nullable=False),
        sa.Column("claimed_by", sa.String(length=200), server_default="", nullable=False),
        sa.Column("claimed_until", types.UtcDateTime(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("done_at", types.UtcDateTime(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("work_id", name=op.f("pk_due_work")),
    )
    op.create_index(
        "ix_due_work_open",
        "due_work",
        ["kind", "due_at"],
        unique=False,
        postgresql_where=sa.text("done_at IS NULL"),
        sqlite_where=sa.text("done_at IS NULL"),
    )
    op.create_table(
        "event_log",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("event_id", types.Id(), nullable=False),
        sa.Column("kind", sa.String(length=60), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("account_id", types.Id(), nullable=True),
        sa.Column("order_id", types.Id(), nullable=True),
        sa.Column("recorded_at", types.UtcDateTime(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.CheckConstraint("seq > 0", name=op.f("ck_event_log_seq_above_zero")),
        sa.PrimaryKeyConstraint("tenant_id", "ledger_id", "seq", name=op.f("pk_event_log")),
        sa.UniqueConstraint("tenant_id", "event_id", name=op.f("uq_event_log_tenant_id_event_id")),
    )
    op.create_index(
        "ix_event_log_order",
        "event_log",
        ["tenant_id", "order_id", "seq"],
        unique=False,
        postgresql_where=sa.text("order_id IS NOT NULL"),
        sqlite_where=sa.text("order_id IS NOT NULL"),
    )
    op.create_table(
        "execution_ids",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("broker_account_id", types.Id(), nullable=False),
        sa.Column("exec_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("restates", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('FILL', 'RESTATEMENT')", name=op.f("ck_execution_ids_kind_known")),
        sa.PrimaryKeyConstraint("tenant_id", "broker_account_id", "exec_id", name=op.f("pk_execution_ids")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("principal", sa.String(length=100), nullable=False),
        sa.Column("operation", sa.String(length=100), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=False),
        sa.Column("order_versions", sa.Text(), nullable=False),
        sa.Column("extra", sa.Text(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "principal", "operation", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "leases",
        sa.Column("resource", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=True),
        sa.Column("is_wanted", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("holder", sa.String(length=200), server_default="", nullable=False),
        sa.Column("build", sa.String(length=100), server_default="", nullable=False),
        sa.Column("token", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=True),
        sa.Column("heartbeat_at", types.UtcDateTime(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("resource", name=op.f("pk_leases")),
    )
    op.create_index(op.f("ix_leases_kind_is_wanted"), "leases", ["kind", "is_wanted"], unique=False)
    op.create_table(
        "ledgers",
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("config_version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("head_recorded_at", types.UtcDateTime(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("CAST(seq AS NUMERIC) >= 0", name=op.f("ck_ledgers_seq_not_below_zero")),
        sa.PrimaryKeyConstraint("ledger_id", name=op.f("pk_ledgers")),
        sa.UniqueConstraint("tenant_id", "ledger_id", name=op.f("uq_ledgers_tenant_id_ledger_id")),
    )
    op.create_table(
        "order_texts",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("order_id", types.Id(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "order_id", "kind", name=op.f("pk_order_texts")),
    )
    op.create_table(
        "platform_versions",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_platform_versions")),
    )
    op.create_table(
        "plugin_quarantines",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "ledger_id", "plugin", name=op.f("pk_plugin_quarantines")),
    )
    op.create_table(
        "rule_denials",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("order_id", types.Id(), nullable=False),
        sa.Column("account_id", types.Id(), nullable=True),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.Column("gate", sa.String(length=12), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("observed", types.ExactDecimal(), nullable=True),
        sa.Column("limit_value", types.ExactDecimal(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("recorded_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "ledger_id", "seq", "position", name=op.f("pk_rule_denials")),
    )
    op.create_index(op.f("ix_rule_denials_tenant_id_order_id"), "rule_denials", ["tenant_id", "order_id"], unique=False)
    op.create_index(
        op.f("ix_rule_denials_tenant_id_rule_recorded_at"),
        "rule_denials",
        ["tenant_id", "rule", "recorded_at"],
        unique=False,
    )
    op.create_table(
        "tenants",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("settings", types.Json, nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_tenants")),
    )
    op.create_table(
        "users",
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(length=200), server_default="", nullable=False),
        sa.Column("password_hash", sa.String(length=300), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("email = lower(email)", name=op.f("ck_users_email_lower")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_table(
        "broker_connections",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("connection_id", types.Id(), nullable=False),
        sa.Column("broker", sa.String(length=60), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("params", types.Json, nullable=False),
        sa.Column("credentials", sa.LargeBinary(), nullable=True),
        sa.Column("desired", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("last_heard_at", types.UtcDateTime(), nullable=True),
        sa.Column("closed_at", types.UtcDateTime(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "desired IN ('CONNECTED', 'DISCONNECTED')", name=op.f("ck_broker_connections_desired_known")
        ),
        sa.CheckConstraint(
            "status IN ('CONNECTING', 'DISCONNECTED', 'ERROR', 'READY', 'RECONCILING')",
            name=op.f("ck_broker_connections_status_known"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name="fk_tenants"),
        sa.PrimaryKeyConstraint("tenant_id", "connection_id", name=op.f("pk_broker_connections")),
    )
    op.create_table(
        "consumer_cursors",
        sa.Column("consumer", sa.String(length=100), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("CAST(seq AS NUMERIC) >= 0", name=op.f("ck_consumer_cursors_seq_not_below_zero")),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledgers.ledger_id"], name=op.f("fk_consumer_cursors_ledgers")),
        sa.PrimaryKeyConstraint("consumer", "ledger_id", name=op.f("pk_consumer_cursors")),
    )
    op.create_table(
        "instruments",
        sa.Column("instrument_id", types.Id(), nullable=False),
        sa.Column("symbol", sa.String(length=60), nullable=False),
        sa.Column("venue", sa.String(length=30), nullable=False),
        sa.Column("name", sa.String(length=200), server_default="", nullable=False),
        sa.Column("asset_class", sa.String(length=10), nullable=False),
        sa.Column("currency", sa.String(length=12), nullable=False),
        sa.Column("tick_size", types.ExactDecimal(), nullable=False),
        sa.Column("lot_size", types.ExactDecimal(), nullable=False),
        sa.Column("multiplier", types.ExactDecimal(), nullable=False),
        sa.Column("calendar", sa.String(length=60), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("underlying_id", types.Id(), nullable=True),
        sa.Column("expiry", types.Day(), nullable=True),
        sa.Column("last_trade_at", types.UtcDateTime(), nullable=True),
        sa.Column("strike", types.ExactDecimal(), nullable=True),
        sa.Column("option_right", sa.String(length=4), nullable=True),
        sa.Column("settlement", sa.String(length=10), nullable=True),
        sa.Column("legs", types.Json, nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "asset_class IN ('BOND', 'COMBO', 'CRYPTO', 'EQUITY', 'ETF', 'FOREX', 'FUND', 'FUTURE', 'INDEX', 'OPTION')",
            name=op.f("ck_instruments_asset_class_known"),
        ),
        sa.CheckConstraint("option_right IN ('CALL', 'PUT')", name=op.f("ck_instruments_option_right_known")),
        sa.CheckConstraint("settlement IN ('CASH', 'PHYSICAL')", name=op.f("ck_instruments_settlement_known")),
        sa.CheckConstraint("CAST(lot_size AS NUMERIC) > 0", name=op.f("ck_instruments_lot_size_above_zero")),
        sa.CheckConstraint("CAST(multiplier AS NUMERIC) > 0", name=op.f("ck_instruments_multiplier_above_zero")),
        sa.CheckConstraint("CAST(tick_size AS NUMERIC) > 0", name=op.f("ck_instruments_tick_size_above_zero")),
        sa.ForeignKeyConstraint(["calendar"], ["calendars.name"], name=op.f("fk_instruments_calendars")),
        sa.PrimaryKeyConstraint("instrument_id", name=op.f("pk_instruments")),
        sa.UniqueConstraint("venue", "symbol", name=op.f("uq_instruments_venue_symbol")),
    )
    op.create_index(op.f("ix_instruments_symbol"), "instruments", ["symbol"], unique=False)
    op.create_table(
        "memberships",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("scopes", types.Json, nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("role IN ('ADMIN', 'TRADER', 'VIEWER')", name=op.f("ck_memberships_role_known")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name="fk_tenants"),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name=op.f("fk_memberships_users")),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", name=op.f("pk_memberships")),
    )
    op.create_table(
        "trading_accounts",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("account_id", types.Id(), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("base_currency", sa.String(length=12), nullable=False),
        sa.Column("time_zone", sa.String(length=60), nullable=False),
        sa.Column("day_roll", sa.String(length=8), nullable=False),
        sa.Column("calendar", sa.String(length=60), server_default="24x7", nullable=False),
        sa.Column("trading_state", sa.String(length=20), nullable=False),
        sa.Column("state_reason", sa.String(length=100), server_default="", nullable=False),
        sa.Column("is_opened", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("settings", types.Json, server_default="{}", nullable=False),
        sa.Column("closed_at", types.UtcDateTime(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "trading_state IN ('ACTIVE', 'CANCEL_ONLY', 'HALTED', 'REDUCE_ONLY')",
            name=op.f("ck_trading_accounts_trading_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "ledger_id"], ["ledgers.tenant_id", "ledgers.ledger_id"], name="fk_ledgers_ledger_id"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "account_id", name=op.f("pk_trading_accounts")),
    )
    op.create_index(
        op.f("ix_trading_accounts_tenant_id_ledger_id"), "trading_accounts", ["tenant_id", "ledger_id"], unique=False
    )
    op.create_table(
        "user_sessions",
        sa.Column("session_id", types.Id(), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("refresh_hash", sa.LargeBinary(), nullable=False),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=True),
        sa.Column("rotated_at", types.UtcDateTime(), nullable=True),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name=op.f("fk_user_sessions_users")),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_user_sessions")),
        sa.UniqueConstraint("refresh_hash", name=op.f("uq_user_sessions_refresh_hash")),
    )
    op.create_index(op.f("ix_user_sessions_previous_hash"), "user_sessions", ["previous_hash"], unique=False)
    op.create_index(op.f("ix_user_sessions_user_id"), "user_sessions", ["user_id"], unique=False)
    op.create_table(
        "user_tenants",
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name=op.f("fk_user_tenants_users")),
        sa.PrimaryKeyConstraint("user_id", "tenant_id", name=op.f("pk_user_tenants")),
    )
    op.create_table(
        "webhooks",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("webhook_id", types.Id(), nullable=False),
        sa.Column("name", sa.String(length=200), server_default="", nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("sink", sa.String(length=100), nullable=False),
        sa.Column("params", types.Json, nullable=False),
        sa.Column("event_kinds", types.Json, nullable=False),
        sa.Column("credentials", sa.LargeBinary(), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("closed_at", types.UtcDateTime(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name="fk_tenants"),
        sa.PrimaryKeyConstraint("tenant_id", "webhook_id", name=op.f("pk_webhooks")),
    )
    op.create_table(
        "api_keys",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("key_id", types.Id(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("prefix", sa.String(length=32), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("scopes", types.Json, nullable=False),
        sa.Column("account_ids", types.Json, nullable=True),
        sa.Column("expires_at", types.UtcDateTime(), nullable=True),
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_used_at", types.UtcDateTime(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_key_hashes.key_id"], name=op.f("fk_api_keys_api_key_hashes")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"], ["memberships.tenant_id", "memberships.user_id"], name="fk_memberships_user_id"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "key_id", name=op.f("pk_api_keys")),
    )
    op.create_table(
        "broker_accounts",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("broker_account_id", types.Id(), nullable=False),
        sa.Column("connection_id", types.Id(), nullable=False),
        sa.Column("account_number", sa.String(length=60), nullable=False),
        sa.Column("account_type", sa.String(length=30), nullable=False),
        sa.Column("base_currency", sa.String(length=12), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["broker_connections.tenant_id", "broker_connections.connection_id"],
            name="fk_broker_connections_connection_id",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "broker_account_id", name=op.f("pk_broker_accounts")),
        sa.UniqueConstraint(
            "tenant_id",
            "connection_id",
            "account_number",
            name=op.f("uq_broker_accounts_tenant_id_connection_id_account_number"),
        ),
    )
    op.create_table(
        "cash_balances",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("account_id", types.Id(), nullable=False),
        sa.Column("currency", sa.String(length=12), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("amount", types.ExactDecimal(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["trading_accounts.tenant_id", "trading_accounts.account_id"],
            name="fk_trading_accounts_account_id",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "account_id", "currency", name=op.f("pk_cash_balances")),
    )
    op.create_table(
        "connector_storage",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("connection_id", types.Id(), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["broker_connections.tenant_id", "broker_connections.connection_id"],
            name="fk_broker_connections_connection_id",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "connection_id", "key", name=op.f("pk_connector_storage")),
    )
    op.create_table(
        "day_counters",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("account_id", types.Id(), nullable=False),
        sa.Column("currency", sa.String(length=12), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("risk_date", types.Day(), nullable=False),
        sa.Column("accepted", sa.Integer(), nullable=False),
        sa.Column("denied", sa.Integer(), nullable=False),
        sa.Column("fills", sa.Integer(), nullable=False),
        sa.Column("traded_value", types.ExactDecimal(), nullable=False),
        sa.Column("realised_pnl", types.ExactDecimal(), nullable=False),
        sa.Column("fees", types.ExactDecimal(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["trading_accounts.tenant_id", "trading_accounts.account_id"],
            name="fk_trading_accounts_account_id",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "account_id", "currency", name=op.f("pk_day_counters")),
    )
    op.create_table(
        "instrument_aliases",
        sa.Column("scheme", sa.String(length=20), nullable=False),
        sa.Column("alias", sa.String(length=100), nullable=False),
        sa.Column("venue", sa.String(length=30), server_default="", nullable=False),
        sa.Column("valid_from", types.UtcDateTime(), nullable=False),
        sa.Column("valid_until", types.UtcDateTime(), nullable=True),
        sa.Column("instrument_id", types.Id(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instrument_id"], ["instruments.instrument_id"], name=op.f("fk_instrument_aliases_instruments")
        ),
        sa.PrimaryKeyConstraint("scheme", "alias", "venue", "valid_from", name=op.f("pk_instrument_aliases")),
    )
    op.create_index(op.f("ix_instrument_aliases_instrument_id"), "instrument_aliases", ["instrument_id"], unique=False)
    op.create_table(
        "last_quotes",
        sa.Column("instrument_id", types.Id(), nullable=False),
        sa.Column("bid", types.ExactDecimal(), nullable=True),
        sa.Column("bid_size", types.ExactDecimal(), nullable=True),
        sa.Column("ask", types.ExactDecimal(), nullable=True),
        sa.Column("ask_size", types.ExactDecimal(), nullable=True),
        sa.Column("last", types.ExactDecimal(), nullable=True),
        sa.Column("data_at", types.UtcDateTime(), nullable=False),
        sa.Column("received_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instrument_id"], ["instruments.instrument_id"], name=op.f("fk_last_quotes_instruments")
        ),
        sa.PrimaryKeyConstraint("instrument_id", name=op.f("pk_last_quotes")),
    )
    op.create_index(op.f("ix_last_quotes_received_at"), "last_quotes", ["received_at"], unique=False)
    op.create_table(
        "limits",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("limit_id", types.Id(), nullable=False),
        sa.Column("rule", sa.String(length=100), nullable=False),
        sa.Column("account_id", types.Id(), nullable=True),
        sa.Column("params", types.Json, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("version > 0", name=op.f("ck_limits_version_above_zero")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["trading_accounts.tenant_id", "trading_accounts.account_id"],
            name="fk_trading_accounts_account_id",
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name="fk_tenants"),
        sa.PrimaryKeyConstraint("tenant_id", "limit_id", name=op.f("pk_limits")),
    )
    op.create_table(
        "orders",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("order_id", types.Id(), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("account_id", types.Id(), nullable=False),
        sa.Column("broker_account_id", types.Id(), nullable=False),
        sa.Column("connection_id", types.Id(), nullable=False),
        sa.Column("instrument_id", types.Id(), nullable=False),
        sa.Column("symbol", sa.String(length=60), nullable=False),
        sa.Column("currency", sa.String(length=12), nullable=False),
        sa.Column("side", sa.String(length=4), nullable=False),
        sa.Column("order_type", sa.String(length=20), nullable=False),
        sa.Column("time_in_force", sa.String(length=3), nullable=False),
        sa.Column("product", sa.String(length=4), nullable=True),
        sa.Column("client_order_id", sa.String(length=200), nullable=True),
        sa.Column("strategy_id", types.Id(), nullable=True),
        sa.Column("strategy_run_id", types.Id(), nullable=True),
        sa.Column("group_id", types.Id(), nullable=True),
        sa.Column("accepted_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("quantity", types.ExactDecimal(), nullable=False),
        sa.Column("filled_quantity", types.ExactDecimal(), nullable=False),
        sa.Column("limit_price", types.ExactDecimal(), nullable=True),
        sa.Column("stop_price", types.ExactDecimal(), nullable=True),
        sa.Column("reason_code", sa.Text(), nullable=True),
        sa.Column("trading_date", types.Day(), nullable=True),
        sa.Column("document", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "order_type IN ('LIMIT', 'LIMIT_IF_TOUCHED', 'LIMIT_ON_CLOSE', 'MARKET',"
            " 'MARKET_IF_TOUCHED', 'MARKET_ON_CLOSE', 'STOP', 'STOP_LIMIT', 'TRAILING_STOP')",
            name=op.f("ck_orders_order_type_known"),
        ),
        sa.CheckConstraint("product IN ('CNC', 'MIS', 'NRML')", name=op.f("ck_orders_product_known")),
        sa.CheckConstraint("side IN ('BUY', 'SELL')", name=op.f("ck_orders_side_known")),
        sa.CheckConstraint(
            "state IN ('CANCELED', 'DENIED', 'EXPIRED', 'FILLED', 'HELD', 'IN_DOUBT',"
            " 'NEW', 'PARTIALLY_FILLED', 'PENDING_CANCEL', 'PENDING_REPLACE', 'REJECTED', 'ROUTED', 'WORKING')",
            name=op.f("ck_orders_state_known"),
        ),
        sa.CheckConstraint(
            "status IN ('CANCELED', 'DENIED', 'EXPIRED', 'FILLED', 'HELD', 'NEW', 'REJECTED', 'WORKING')",
            name=op.f("ck_orders_status_known"),
        ),
        sa.CheckConstraint(
            "time_in_force IN ('CLS', 'DAY', 'FOK', 'GTC', 'GTD', 'IOC', 'OPG')",
            name=op.f("ck_orders_time_in_force_known"),
        ),
        sa.CheckConstraint(
            "CAST(filled_quantity AS NUMERIC) >= 0", name=op.f("ck_orders_filled_quantity_not_below_zero")
        ),
        sa.CheckConstraint("CAST(quantity AS NUMERIC) > 0", name=op.f("ck_orders_quantity_above_zero")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["trading_accounts.tenant_id", "trading_accounts.account_id"],
            name="fk_trading_accounts_account_id",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "order_id", name=op.f("pk_orders")),
    )
    op.create_index(
        "ix_orders_client_order_id",
        "orders",
        ["tenant_id", "client_order_id"],
        unique=False,
        postgresql_where=sa.text("client_order_id IS NOT NULL"),
        sqlite_where=sa.text("client_order_id IS NOT NULL"),
    )
    op.create_index(
        "ix_orders_strategy",
        "orders",
        ["tenant_id", "strategy_id", "order_id"],
        unique=False,
        postgresql_where=sa.text("strategy_id IS NOT NULL"),
        sqlite_where=sa.text("strategy_id IS NOT NULL"),
    )
    op.create_index(op.f("ix_orders_tenant_id_accepted_at"), "orders", ["tenant_id", "accepted_at"], unique=False)
    op.create_index(
        op.f("ix_orders_tenant_id_account_id_order_id"), "orders", ["tenant_id", "account_id", "order_id"], unique=False
    )
    op.create_index(
        op.f("ix_orders_tenant_id_instrument_id_order_id"),
        "orders",
        ["tenant_id", "instrument_id", "order_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_orders_tenant_id_state_order_id"), "orders", ["tenant_id", "state", "order_id"], unique=False
    )
    op.create_table(
        "positions",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("account_id", types.Id(), nullable=False),
        sa.Column("book", sa.String(length=40), nullable=False),
        sa.Column("instrument_id", types.Id(), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("currency", sa.String(length=12), nullable=False),
        sa.Column("multiplier", types.ExactDecimal(), nullable=False),
        sa.Column("quantity", types.ExactDecimal(), nullable=False),
        sa.Column("cost", types.ExactDecimal(), nullable=False),
        sa.Column("realised_pnl", types.ExactDecimal(), nullable=False),
        sa.Column("fees", types.ExactDecimal(), nullable=False),
        sa.Column("bought_quantity", types.ExactDecimal(), nullable=False),
        sa.Column("sold_quantity", types.ExactDecimal(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.Column("closed_at", types.UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "CAST(bought_quantity AS NUMERIC) >= 0", name=op.f("ck_positions_bought_quantity_not_below_zero")
        ),
        sa.CheckConstraint(
            "CAST(sold_quantity AS NUMERIC) >= 0", name=op.f("ck_positions_sold_quantity_not_below_zero")
        ),
        sa.CheckConstraint("is_open = (closed_at IS NULL)", name=op.f("ck_positions_closed_at_when_flat")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["trading_accounts.tenant_id", "trading_accounts.account_id"],
            name="fk_trading_accounts_account_id",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "account_id", "book", "instrument_id", name=op.f("pk_positions")),
    )
    op.create_index(
        op.f("ix_positions_tenant_id_instrument_id"), "positions", ["tenant_id", "instrument_id"], unique=False
    )
    op.create_index(op.f("ix_positions_tenant_id_is_open"), "positions", ["tenant_id", "is_open"], unique=False)
    op.create_table(
        "strategies",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("strategy_id", types.Id(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("strategy", sa.String(length=100), nullable=False),
        sa.Column("account_id", types.Id(), nullable=False),
        sa.Column("params", types.Json, nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("closed_at", types.UtcDateTime(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("status IN ('ERROR', 'RUNNING', 'STOPPED')", name=op.f("ck_strategies_status_known")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["trading_accounts.tenant_id", "trading_accounts.account_id"],
            name="fk_trading_accounts_account_id",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "strategy_id", name=op.f("pk_strategies")),
    )
    op.create_index(op.f("ix_strategies_tenant_id_account_id"), "strategies", ["tenant_id", "account_id"], unique=False)
    op.create_table(
        "unbooked_reports",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("report_id", types.Id(), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("connection_id", types.Id(), nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("settled_by", sa.String(length=100), server_default="", nullable=False),
        sa.Column("settled_at", types.UtcDateTime(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("status IN ('BOOKED', 'DISMISSED', 'OPEN')", name=op.f("ck_unbooked_reports_status_known")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["broker_connections.tenant_id", "broker_connections.connection_id"],
            name="fk_broker_connections_connection_id",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "report_id", name=op.f("pk_unbooked_reports")),
    )
    op.create_index(
        op.f("ix_unbooked_reports_tenant_id_status"), "unbooked_reports", ["tenant_id", "status"], unique=False
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("delivery_id", types.Id(), nullable=False),
        sa.Column("webhook_id", types.Id(), nullable=False),
        sa.Column("message_id", sa.String(length=100), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("event_kind", sa.String(length=60), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", types.UtcDateTime(), nullable=False),
        sa.Column("occurred_at", types.UtcDateTime(), nullable=False),
        sa.Column("delivered_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_status_code", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "status IN ('DEAD', 'DELIVERED', 'PENDING')", name=op.f("ck_webhook_deliveries_status_known")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "webhook_id"], ["webhooks.tenant_id", "webhooks.webhook_id"], name="fk_webhooks_webhook_id"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "delivery_id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint(
            "tenant_id",
            "webhook_id",
            "ledger_id",
            "seq",
            name=op.f("uq_webhook_deliveries_tenant_id_webhook_id_ledger_id_seq"),
        ),
    )
    op.create_index(
        op.f("ix_webhook_deliveries_tenant_id_webhook_id_status_due_at"),
        "webhook_deliveries",
        ["tenant_id", "webhook_id", "status", "due_at"],
        unique=False,
    )
    op.create_table(
        "account_routes",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("account_id", types.Id(), nullable=False),
        sa.Column("broker_account_id", types.Id(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["trading_accounts.tenant_id", "trading_accounts.account_id"],
            name="fk_trading_accounts_account_id",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "broker_account_id"],
            ["broker_accounts.tenant_id", "broker_accounts.broker_account_id"],
            name="fk_broker_accounts_broker_account_id",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "account_id", name=op.f("pk_account_routes")),
    )
    op.create_index(
        op.f("ix_account_routes_tenant_id_broker_account_id"),
        "account_routes",
        ["tenant_id", "broker_account_id"],
        unique=False,
    )
    op.create_table(
        "executions",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("broker_account_id", types.Id(), nullable=False),
        sa.Column("exec_id", sa.Text(), nullable=False),
        sa.Column("execution_id", types.Id(), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("booked_at", types.UtcDateTime(), nullable=False),
        sa.Column("order_id", types.Id(), nullable=True),
        sa.Column("account_id", types.Id(), nullable=False),
        sa.Column("instrument_id", types.Id(), nullable=False),
        sa.Column("book", sa.String(length=40), nullable=False),
        sa.Column("side", sa.String(length=4), nullable=False),
        sa.Column("quantity", types.ExactDecimal(), nullable=False),
        sa.Column("price", types.ExactDecimal(), nullable=False),
        sa.Column("currency", sa.String(length=12), nullable=False),
        sa.Column("multiplier", types.ExactDecimal(), nullable=False),
        sa.Column("executed_at", types.UtcDateTime(), nullable=False),
        sa.Column("trading_date", sa.String(length=10), nullable=False),
        sa.Column("risk_date", sa.String(length=10), nullable=False),
        sa.Column("fee", types.ExactDecimal(), nullable=False),
        sa.Column("liquidity", sa.Text(), nullable=False),
        sa.Column("is_busted", sa.Boolean(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("side IN ('BUY', 'SELL')", name=op.f("ck_executions_side_known")),
        sa.CheckConstraint("CAST(quantity AS NUMERIC) > 0", name=op.f("ck_executions_quantity_above_zero")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["trading_accounts.tenant_id", "trading_accounts.account_id"],
            name="fk_trading_accounts_account_id",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "order_id"], ["orders.tenant_id", "orders.order_id"], name="fk_orders_order_id"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "broker_account_id", "exec_id", name=op.f("pk_executions")),
        sa.UniqueConstraint("tenant_id", "execution_id", name=op.f("uq_executions_tenant_id_execution_id")),
    )
    op.create_index(
        op.f("ix_executions_tenant_id_account_id_execution_id"),
        "executions",
        ["tenant_id", "account_id", "execution_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_executions_tenant_id_book_execution_id"),
        "executions",
        ["tenant_id", "book", "execution_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_executions_tenant_id_executed_at"), "executions", ["tenant_id", "executed_at"], unique=False
    )
    op.create_index(
        op.f("ix_executions_tenant_id_instrument_id_execution_id"),
        "executions",
        ["tenant_id", "instrument_id", "execution_id"],
        unique=False,
    )
    op.create_index(op.f("ix_executions_tenant_id_order_id"), "executions", ["tenant_id", "order_id"], unique=False)
    op.create_table(
        "strategy_runs",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("run_id", types.Id(), nullable=False),
        sa.Column("strategy_id", types.Id(), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("started_at", types.UtcDateTime(), nullable=False),
        sa.Column("stopped_at", types.UtcDateTime(), nullable=True),
        sa.Column("restarts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("cursor_seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("log", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "status IN ('ERROR', 'RUNNING', 'STARTING', 'STOPPED', 'STOPPING')",
            name=op.f("ck_strategy_runs_status_known"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "strategy_id"],
            ["strategies.tenant_id", "strategies.strategy_id"],
            name="fk_strategies_strategy_id",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "run_id", name=op.f("pk_strategy_runs")),
    )
    op.create_index(
        op.f("ix_strategy_runs_tenant_id_strategy_id_run_id"),
        "strategy_runs",
        ["tenant_id", "strategy_id", "run_id"],
        unique=False,
    )
