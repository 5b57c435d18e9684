"""Tables of the platform about restraints: kill switches of the whole firm, and dead-man switches."""

from sqlalchemy import Boolean, Column, Index, Integer, String, Text, text

from oms_app.store.schema import one_of, platform_table, stamped
from oms_app.store.types import Id, UtcDateTime
from oms_kernel.domain.account import TradingState

FIRM_SWITCHES = platform_table(
    "firm_switches",
    Column("firm_switch_id", Id(), nullable=False),
    Column("trading_state", String(20), nullable=False),
    Column("instrument_id", Id()),
    Column("reason_code", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("cancel_working", Boolean, nullable=False),
    Column("flatten", Boolean, nullable=False),
    Column("activated_at", UtcDateTime(), nullable=False),
    Column("activated_by", Text, nullable=False),
    Column("release_asked_by", Text, nullable=False, server_default=""),
    Column("release_reason", Text, nullable=False, server_default=""),
    Column("released_at", UtcDateTime()),
    Column("released_by", Text, nullable=False, server_default=""),
    Column("settled_at", UtcDateTime()),
    *stamped(),
    one_of("trading_state", TradingState),
    Index(
        "ix_firm_switches_unsettled",
        "activated_at",
        postgresql_where=text("settled_at IS NULL"),
        sqlite_where=text("settled_at IS NULL"),
    ),
    key=["firm_switch_id"],
)
"""Each has an event in every ledger; this row is what ledgers and tenants that come later start by."""
DEAD_MAN_SWITCHES = platform_table(
    "dead_man_switches",
    Column("tenant_id", Id(), nullable=False),
    Column("principal", String(100), nullable=False),
    Column("strategy_id", String(36), nullable=False),
    Column("action", String(10), nullable=False),
    Column("timeout_s", Integer, nullable=False),
    Column("spare_gtc", Boolean, nullable=False, server_default=text("false")),
    Column("account_id", Id()),
    Column("armed_at", UtcDateTime(), nullable=False),
    Column("heard_at", UtcDateTime(), nullable=False),
    Column("due_at", UtcDateTime()),
    Column("struck_at", UtcDateTime()),
    *stamped(),
    one_of("action", ("CANCEL", "HALT")),
    Index(
        "ix_dead_man_switches_armed",
        "due_at",
        postgresql_where=text("due_at IS NOT NULL"),
        sqlite_where=text("due_at IS NOT NULL"),
    ),
    key=["tenant_id", "principal", "strategy_id"],
)
"""Opaque ids only: workers look through the switches of all tenants at once."""
