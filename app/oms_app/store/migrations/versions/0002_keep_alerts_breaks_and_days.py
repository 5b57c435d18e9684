"""Keep alerts, breaks, reconciliation runs, and every risk day instead of the last one."""

import sqlalchemy as sa
from alembic import op

from oms_app.store import types
from oms_app.store.migrations import roles

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = ("alerts", "reconciliation_breaks", "reconciliation_runs")
_DAYS = (
    "tenant_id, account_id, currency, ledger_id, risk_date, accepted, denied, fills, traded_value, realised_pnl, fees,"
    " updated_at"
)
_HOURS = {
    "postgresql": "EXTRACT(EPOCH FROM (COALESCE(resolved_at, now()) - found_at)) / 3600.0",
    "sqlite": "(julianday(COALESCE(resolved_at, 'now')) - julianday(found_at)) * 24.0",
}


def upgrade() -> None:
    """Create the tables and the view of breaks; widen the key of the day counters."""
    roles.become_owner()
    _create_tables()
    for table in TABLES:
        roles.let_serve(table)
        roles.fence(table)
    dialect = op.get_bind().dialect.name
    invoker = " WITH (security_invoker = true)" if dialect == "postgresql" else ""
    op.execute(
        f"CREATE VIEW v_reconciliation_issues{invoker} AS SELECT b.*, severity = 'CRITICAL' AS is_critical,"  # noqa: S608
        f" resolved_at IS NOT NULL AS is_resolved, {_HOURS[dialect]} AS hours_unresolved FROM reconciliation_breaks b"
    )
    if dialect == "postgresql":
        op.execute("GRANT SELECT ON v_reconciliation_issues TO oms_app")
    _key_days("account_id", "currency", "risk_date")


def downgrade() -> None:
    """Take all of it back; of the day counters only the last day of each account and currency stays."""
    roles.become_owner()
    _keep_last_days()
    _key_days("account_id", "currency")
    op.execute("DROP VIEW v_reconciliation_issues")
    op.drop_index(op.f("ix_reconciliation_runs_tenant_id_connection_id_run_id"), table_name="reconciliation_runs")
    op.drop_index(
        "ix_reconciliation_runs_requested",
        table_name="reconciliation_runs",
        postgresql_where=sa.text("status = 'REQUESTED'"),
        sqlite_where=sa.text("status = 'REQUESTED'"),
    )

    op.drop_table("reconciliation_runs")
    op.drop_index(op.f("ix_reconciliation_breaks_tenant_id_severity_break_id"), table_name="reconciliation_breaks")
    op.drop_index(
        op.f("ix_reconciliation_breaks_tenant_id_broker_account_id_break_id"), table_name="reconciliation_breaks"
    )
    op.drop_index(op.f("ix_reconciliation_breaks_tenant_id_break_type_break_id"), table_name="reconciliation_breaks")
    op.drop_index(op.f("ix_reconciliation_breaks_tenant_id_account_id_break_id"), table_name="reconciliation_breaks")
    op.drop_index(
        "ix_reconciliation_breaks_open",
        table_name="reconciliation_breaks",
        postgresql_where=sa.text("resolved_at IS NULL"),
        sqlite_where=sa.text("resolved_at IS NULL"),
    )

    op.drop_table("reconciliation_breaks")
    op.drop_index(op.f("ix_alerts_tenant_id_source_alert_id"), table_name="alerts")
    op.drop_index(op.f("ix_alerts_tenant_id_severity_alert_id"), table_name="alerts")
    op.drop_index(op.f("ix_alerts_tenant_id_account_id_alert_id"), table_name="alerts")
    op.drop_index(
        "ix_alerts_open",
        table_name="alerts",
        postgresql_where=sa.text("acknowledged_at IS NULL"),
        sqlite_where=sa.text("acknowledged_at IS NULL"),
    )

    op.drop_table("alerts")


def _keep_last_days() -> None:
    on_postgres = op.get_bind().dialect.name == "postgresql"
    if on_postgres:  # the fence binds the owner too, and this is the work of no tenant
        op.execute("ALTER TABLE day_counters NO FORCE ROW LEVEL SECURITY")
    op.execute(
        "DELETE FROM day_counters WHERE EXISTS (SELECT 1 FROM day_counters later WHERE later.tenant_id ="
        " day_counters.tenant_id AND later.account_id = day_counters.account_id AND later.currency ="
        " day_counters.currency AND later.risk_date > day_counters.risk_date)"
    )
    if on_postgres:
        op.execute("ALTER TABLE day_counters FORCE ROW LEVEL SECURITY")


def _key_days(*key: str) -> None:
    """Give the day counters another primary key; SQLite cannot, so there they move to a new table."""
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("pk_day_counters", "day_counters")
        op.create_primary_key("pk_day_counters", "day_counters", ["tenant_id", *key])
        return
    op.rename_table("day_counters", "old_day_counters")
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
        sa.PrimaryKeyConstraint("tenant_id", *key, name=op.f("pk_day_counters")),
    )
    op.execute(f"INSERT INTO day_counters ({_DAYS}) SELECT {_DAYS} FROM old_day_counters")  # noqa: S608
    op.drop_table("old_day_counters")


def _create_tables() -> None:
    op.create_table(
        "alerts",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("alert_id", types.Id(), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("account_id", types.Id(), nullable=True),
        sa.Column("order_id", types.Id(), nullable=True),
        sa.Column("severity", sa.String(length=10), nullable=False),
        sa.Column("source", sa.String(length=60), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("what_to_do", sa.Text(), nullable=False),
        sa.Column("raised_at", types.UtcDateTime(), nullable=False),
        sa.Column("acknowledged_at", types.UtcDateTime(), nullable=True),
        sa.Column("acknowledged_by", sa.String(length=100), server_default="", nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint("severity IN ('CRITICAL', 'INFO', 'WARNING')", name=op.f("ck_alerts_severity_known")),
        sa.PrimaryKeyConstraint("tenant_id", "alert_id", name=op.f("pk_alerts")),
    )
    op.create_index(
        "ix_alerts_open",
        "alerts",
        ["tenant_id", "alert_id"],
        unique=False,
        postgresql_where=sa.text("acknowledged_at IS NULL"),
        sqlite_where=sa.text("acknowledged_at IS NULL"),
    )
    op.create_index(
        op.f("ix_alerts_tenant_id_account_id_alert_id"), "alerts", ["tenant_id", "account_id", "alert_id"], unique=False
    )
    op.create_index(
        op.f("ix_alerts_tenant_id_severity_alert_id"), "alerts", ["tenant_id", "severity", "alert_id"], unique=False
    )
    op.create_index(
        op.f("ix_alerts_tenant_id_source_alert_id"), "alerts", ["tenant_id", "source", "alert_id"], unique=False
    )

    op.create_table(
        "reconciliation_breaks",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("break_id", types.Id(), nullable=False),
        sa.Column("ledger_id", types.Id(), nullable=False),
        sa.Column("broker_account_id", types.Id(), nullable=False),
        sa.Column("account_id", types.Id(), nullable=True),
        sa.Column("order_id", types.Id(), nullable=True),
        sa.Column("instrument_id", types.Id(), nullable=True),
        sa.Column("currency", sa.String(length=12), nullable=True),
        sa.Column("symbol", sa.String(length=60), nullable=False),
        sa.Column("break_type", sa.String(length=20), nullable=False),
        sa.Column("severity", sa.String(length=10), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("ours", sa.Text(), nullable=False),
        sa.Column("theirs", sa.Text(), nullable=False),
        sa.Column("proposed_fix", sa.Text(), nullable=False),
        sa.Column("found_at", types.UtcDateTime(), nullable=False),
        sa.Column("as_of", types.UtcDateTime(), nullable=False),
        sa.Column("acknowledged_at", types.UtcDateTime(), nullable=True),
        sa.Column("acknowledged_by", sa.String(length=100), nullable=False),
        sa.Column("resolved_at", types.UtcDateTime(), nullable=True),
        sa.Column("resolved_by", sa.String(length=100), nullable=False),
        sa.Column("resolution", sa.String(length=30), nullable=False),
        sa.Column("auto_fixed", sa.Boolean(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "break_type IN ('CASH', 'DUPLICATE', 'EXTERNAL_ORDER', 'MISSING_FILL', 'PHANTOM_ORDER', 'PRICE',"
            " 'QUANTITY', 'STALE', 'UNKNOWN_ACCOUNT')",
            name=op.f("ck_reconciliation_breaks_break_type_known"),
        ),
        sa.CheckConstraint(
            "severity IN ('CRITICAL', 'INFO', 'WARNING')", name=op.f("ck_reconciliation_breaks_severity_known")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "break_id", name=op.f("pk_reconciliation_breaks")),
    )
    op.create_index(
        "ix_reconciliation_breaks_open",
        "reconciliation_breaks",
        ["tenant_id", "break_id"],
        unique=False,
        postgresql_where=sa.text("resolved_at IS NULL"),
        sqlite_where=sa.text("resolved_at IS NULL"),
    )
    op.create_index(
        op.f("ix_reconciliation_breaks_tenant_id_account_id_break_id"),
        "reconciliation_breaks",
        ["tenant_id", "account_id", "break_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_reconciliation_breaks_tenant_id_break_type_break_id"),
        "reconciliation_breaks",
        ["tenant_id", "break_type", "break_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_reconciliation_breaks_tenant_id_broker_account_id_break_id"),
        "reconciliation_breaks",
        ["tenant_id", "broker_account_id", "break_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_reconciliation_breaks_tenant_id_severity_break_id"),
        "reconciliation_breaks",
        ["tenant_id", "severity", "break_id"],
        unique=False,
    )

    op.create_table(
        "reconciliation_runs",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("run_id", types.Id(), nullable=False),
        sa.Column("connection_id", types.Id(), nullable=False),
        sa.Column("broker_account_id", types.Id(), nullable=True),
        sa.Column("trigger", sa.String(length=12), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("requested_by", sa.String(length=100), nullable=False),
        sa.Column("requested_at", types.UtcDateTime(), nullable=False),
        sa.Column("started_at", types.UtcDateTime(), nullable=True),
        sa.Column("finished_at", types.UtcDateTime(), nullable=True),
        sa.Column("parts", types.Json, server_default="{}", nullable=False),
        sa.Column("opened", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("fixed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("closed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("updated_at", types.UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "status IN ('COMPLETE', 'FAILED', 'REQUESTED')", name=op.f("ck_reconciliation_runs_status_known")
        ),
        sa.CheckConstraint(
            "trigger IN ('PERIODIC', 'REQUESTED', 'START')", name=op.f("ck_reconciliation_runs_trigger_known")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["broker_connections.tenant_id", "broker_connections.connection_id"],
            name="fk_broker_connections_connection_id",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "run_id", name=op.f("pk_reconciliation_runs")),
    )
    op.create_index(
        "ix_reconciliation_runs_requested",
        "reconciliation_runs",
        ["tenant_id", "connection_id"],
        unique=False,
        postgresql_where=sa.text("status = 'REQUESTED'"),
        sqlite_where=sa.text("status = 'REQUESTED'"),
    )
    op.create_index(
        op.f("ix_reconciliation_runs_tenant_id_connection_id_run_id"),
        "reconciliation_runs",
        ["tenant_id", "connection_id", "run_id"],
        unique=False,
    )
