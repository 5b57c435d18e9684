"""Tables of a tenant that people configure: members, keys, accounts, connections, limits, strategies, webhooks."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    text,
)

from oms_app.store.people_tables import ROLES
from oms_app.store.schema import one_of, refers_to, tenant_table
from oms_app.store.types import Id, Json, Octets, UtcDateTime
from oms_kernel.domain.account import TradingState

CONNECTION_STATUSES = ("DISCONNECTED", "CONNECTING", "RECONCILING", "READY", "ERROR")
CONNECTION_WISHES = ("CONNECTED", "DISCONNECTED")
RUN_STATUSES = ("STARTING", "RUNNING", "STOPPING", "STOPPED", "ERROR")
STRATEGY_STATUSES = ("STOPPED", "RUNNING", "ERROR")
CHANGE_STATUSES = ("PENDING", "APPROVED", "REJECTED", "WITHDRAWN", "EXPIRED")
DELIVERY_STATUSES = ("PENDING", "DELIVERED", "DEAD")

TENANTS = tenant_table(
    "tenants",
    Column("name", String(200), nullable=False),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    Column("settings", Json, nullable=False),
    Column("time_zone", String(60), nullable=False, server_default="UTC"),
    Column("base_currency", String(12), nullable=False, server_default="USD"),
    key=[],
)
MEMBERSHIPS = tenant_table(
    "memberships",
    Column("user_id", Id(), ForeignKey("users.user_id"), nullable=False),
    Column("role", String(20), nullable=False),
    Column("scopes", Json, nullable=False),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    Column("removed_at", UtcDateTime()),
    refers_to("tenants"),
    one_of("role", ROLES),
    key=["user_id"],
)
API_KEYS = tenant_table(
    "api_keys",
    Column("key_id", Id(), ForeignKey("api_key_hashes.key_id"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("prefix", String(32), nullable=False),
    Column("user_id", Id(), nullable=False),
    Column("scopes", Json, nullable=False),
    Column("account_ids", Json),
    Column("expires_at", UtcDateTime()),
    Column("revoked_at", UtcDateTime()),
    Column("last_used_at", UtcDateTime()),
    Column("last_used_address", String(45), nullable=False, server_default=""),
    Column("is_test", Boolean, nullable=False, server_default=text("false")),
    Column("networks", Json, nullable=False, server_default="[]"),
    Column("quota_per_s", Integer),
    Column("quota_burst", Integer),
    refers_to("memberships", "user_id"),
    key=["key_id"],
)
TRADING_ACCOUNTS = tenant_table(
    "trading_accounts",
    Column("account_id", Id(), nullable=False),
    Column("ledger_id", Id(), nullable=False),
    Column("name", String(200), nullable=False),
    Column("base_currency", String(12), nullable=False),
    Column("time_zone", String(60), nullable=False),
    Column("day_roll", String(8), nullable=False),
    Column("calendar", String(60), nullable=False, server_default="24x7"),
    Column("trading_state", String(20), nullable=False),
    Column("state_reason", String(100), nullable=False, server_default=""),
    Column("is_opened", Boolean, nullable=False, server_default=text("false")),
    Column("settings", Json, nullable=False, server_default="{}"),
    Column("closed_at", UtcDateTime()),
    refers_to("ledgers", "ledger_id"),
    one_of("trading_state", TradingState),
    Index(None, "tenant_id", "ledger_id"),
    key=["account_id"],
)
"""`is_opened`, base currency, zone, day roll and trading state are projections of the log; people set the rest."""
BROKER_CONNECTIONS = tenant_table(
    "broker_connections",
    Column("connection_id", Id(), nullable=False),
    Column("broker", String(60), nullable=False),
    Column("name", String(200), nullable=False),
    Column("params", Json, nullable=False),
    Column("credentials", Octets),
    Column("desired", String(20), nullable=False),
    Column("status", String(20), nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
    Column("last_heard_at", UtcDateTime()),
    Column("closed_at", UtcDateTime()),
    refers_to("tenants"),
    one_of("desired", CONNECTION_WISHES),
    one_of("status", CONNECTION_STATUSES),
    key=["connection_id"],
)
BROKER_ACCOUNTS = tenant_table(
    "broker_accounts",
    Column("broker_account_id", Id(), nullable=False),
    Column("connection_id", Id(), nullable=False),
    Column("account_number", String(60), nullable=False),
    Column("account_type", String(30), nullable=False),
    Column("base_currency", String(12), nullable=False),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    refers_to("broker_connections", "connection_id"),
    UniqueConstraint("tenant_id", "connection_id", "account_number"),
    key=["broker_account_id"],
)
ACCOUNT_ROUTES = tenant_table(
    "account_routes",
    Column("account_id", Id(), nullable=False),
    Column("broker_account_id", Id(), nullable=False),
    refers_to("trading_accounts", "account_id"),
    refers_to("broker_accounts", "broker_account_id"),
    Index(None, "tenant_id", "broker_account_id"),
    key=["account_id"],
)
LIMITS = tenant_table(
    "limits",
    Column("limit_id", Id(), nullable=False),
    Column("rule", String(100), nullable=False),
    Column("account_id", Id()),
    Column("params", Json, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    Column("name", String(200), nullable=False, server_default=""),
    Column("strategy_id", Id()),
    Column("instrument_id", Id()),
    Column("severity", String(10), nullable=False, server_default="HARD"),
    Column("action", String(20)),
    Column("effective_from", UtcDateTime()),
    Column("effective_until", UtcDateTime()),
    Column("updated_by", String(100), nullable=False, server_default=""),
    refers_to("tenants"),
    refers_to("trading_accounts", "account_id"),
    CheckConstraint("version > 0", name="version_above_zero"),
    key=["limit_id"],
)
"""`action` is absent where the rule's own default holds. A strategy that never was one covers no order."""
LIMIT_CHANGES = tenant_table(
    "limit_changes",
    Column("change_id", Id(), nullable=False),
    Column("changes", Json, nullable=False),
    Column("asked_by", String(100), nullable=False),
    Column("reason", Text, nullable=False),
    Column("status", String(20), nullable=False),
    Column("expires_at", UtcDateTime(), nullable=False),
    Column("decided_by", String(100), nullable=False, server_default=""),
    Column("decided_at", UtcDateTime()),
    Column("decision_reason", Text, nullable=False, server_default=""),
    refers_to("tenants"),
    one_of("status", CHANGE_STATUSES),
    Index(None, "tenant_id", "status", "change_id"),
    key=["change_id"],
)
"""Changes of limits that wait for a second person, and what became of those that did."""
STRATEGIES = tenant_table(
    "strategies",
    Column("strategy_id", Id(), nullable=False),
    Column("name", String(200), nullable=False),
    Column("strategy", String(100), nullable=False),
    Column("account_id", Id(), nullable=False),
    Column("params", Json, nullable=False),
    Column("status", String(20), nullable=False),
    Column("error", Text, nullable=False, server_default=""),
    Column("closed_at", UtcDateTime()),
    refers_to("trading_accounts", "account_id"),
    one_of("status", STRATEGY_STATUSES),
    Index(None, "tenant_id", "account_id"),
    key=["strategy_id"],
)
"""`strategy` is the registered name of the plugin's class, `name` what people call this one."""
STRATEGY_RUNS = tenant_table(
    "strategy_runs",
    Column("run_id", Id(), nullable=False),
    Column("strategy_id", Id(), nullable=False),
    Column("ledger_id", Id(), nullable=False),
    Column("status", String(20), nullable=False),
    Column("started_at", UtcDateTime(), nullable=False),
    Column("stopped_at", UtcDateTime()),
    Column("restarts", Integer, nullable=False, server_default=text("0")),
    Column("cursor_seq", BigInteger, nullable=False, server_default=text("0")),
    Column("error", Text, nullable=False, server_default=""),
    Column("log", Text, nullable=False, server_default=""),
    refers_to("strategies", "strategy_id"),
    one_of("status", RUN_STATUSES),
    Index(None, "tenant_id", "strategy_id", "run_id"),
    key=["run_id"],
)
WEBHOOKS = tenant_table(
    "webhooks",
    Column("webhook_id", Id(), nullable=False),
    Column("name", String(200), nullable=False, server_default=""),
    Column("url", Text, nullable=False),
    Column("sink", String(100), nullable=False),
    Column("params", Json, nullable=False),
    Column("event_kinds", Json, nullable=False),
    Column("credentials", Octets),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    Column("closed_at", UtcDateTime()),
    refers_to("tenants"),
    key=["webhook_id"],
)
WEBHOOK_DELIVERIES = tenant_table(
    "webhook_deliveries",
    Column("delivery_id", Id(), nullable=False),
    Column("webhook_id", Id(), nullable=False),
    Column("message_id", String(100), nullable=False),
    Column("ledger_id", Id(), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("event_kind", String(60), nullable=False),
    Column("body", Text, nullable=False),
    Column("status", String(20), nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("due_at", UtcDateTime(), nullable=False),
    Column("occurred_at", UtcDateTime(), nullable=False),
    Column("delivered_at", UtcDateTime()),
    Column("last_status_code", Integer),
    Column("last_error", Text, nullable=False, server_default=""),
    refers_to("webhooks", "webhook_id"),
    one_of("status", DELIVERY_STATUSES),
    UniqueConstraint("tenant_id", "webhook_id", "ledger_id", "seq"),
    Index(None, "tenant_id", "webhook_id", "status", "due_at"),
    key=["delivery_id"],
)
CONNECTOR_STORAGE = tenant_table(
    "connector_storage",
    Column("connection_id", Id(), nullable=False),
    Column("key", String(200), nullable=False),
    Column("value", Text, nullable=False),
    refers_to("broker_connections", "connection_id"),
    key=["connection_id", "key"],
)
IDEMPOTENCY_KEYS = tenant_table(
    "idempotency_keys",
    Column("principal", String(100), nullable=False),
    Column("operation", String(100), nullable=False),
    Column("key", String(255), nullable=False),
    Column("fingerprint", Octets, nullable=False),
    Column("status_code", Integer, nullable=False),
    Column("order_versions", Text, nullable=False),
    Column("extra", Text, nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    # Only for deleting old answers: a block range costs the insert nothing.
    Index(None, "tenant_id", "created_at", postgresql_using="brin"),
    key=["principal", "operation", "key"],
    audited=False,
)
