"""Tables of the platform: people, key hashes, leases, ledger heads, due work, instruments, quotes, cursors."""

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

from oms_app.store.schema import above_zero, not_below_zero, one_of, platform_table, stamped
from oms_app.store.types import Day, ExactDecimal, Id, Json, Octets, UtcDateTime
from oms_kernel.domain.instrument import AssetClass, OptionRight

USERS = platform_table(
    "users",
    Column("user_id", Id(), nullable=False),
    Column("email", String(254), nullable=False),
    Column("name", String(200), nullable=False, server_default=""),
    Column("password_hash", String(300), nullable=False),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    *stamped(),
    Column("first_name", String(100), nullable=False, server_default=""),
    Column("last_name", String(100), nullable=False, server_default=""),
    Column("phone_number", String(32), nullable=False, server_default=""),
    Column("date_of_birth", Day()),
    Column("locale", String(35), nullable=False, server_default=""),
    Column("time_zone", String(60), nullable=False, server_default=""),
    Column("preferences", Json, nullable=False, server_default="{}"),
    Column("email_verified_at", UtcDateTime()),
    Column("is_superuser", Boolean, nullable=False, server_default=text("false")),
    UniqueConstraint("email"),
    CheckConstraint("email = lower(email)", name="email_lower"),
    key=["user_id"],
)
USER_TENANTS = platform_table(
    "user_tenants",
    Column("user_id", Id(), ForeignKey("users.user_id"), nullable=False),
    Column("tenant_id", Id(), nullable=False),
    key=["user_id", "tenant_id"],
)
"""Only the ids: to which tenants a person may sign in. What they may do there stands in memberships."""
USER_SESSIONS = platform_table(
    "user_sessions",
    Column("session_id", Id(), nullable=False),
    Column("user_id", Id(), ForeignKey("users.user_id"), nullable=False),
    Column("tenant_id", Id(), nullable=False),
    Column("refresh_hash", Octets, nullable=False),
    Column("previous_hash", Octets),
    Column("rotated_at", UtcDateTime()),
    Column("expires_at", UtcDateTime(), nullable=False),
    Column("revoked_at", UtcDateTime()),
    Column("address", String(45), nullable=False, server_default=""),
    Column("agent", String(300), nullable=False, server_default=""),
    Column("last_used_at", UtcDateTime()),
    Column("second_factor_at", UtcDateTime()),
    Column("stepped_up_at", UtcDateTime()),
    *stamped(),
    UniqueConstraint("refresh_hash"),
    Index(None, "user_id"),
    Index(None, "tenant_id"),
    Index(None, "previous_hash"),
    key=["session_id"],
)
"""A session is a family of refresh tokens: one present, one previous for a short grace."""
API_KEY_HASHES = platform_table(
    "api_key_hashes",
    Column("key_id", Id(), nullable=False),
    Column("tenant_id", Id(), nullable=False),
    Column("prefix", String(32), nullable=False),
    Column("key_hash", Octets, nullable=False),
    Column("expires_at", UtcDateTime()),
    Column("revoked_at", UtcDateTime()),
    Column("previous_prefix", String(32)),
    Column("previous_hash", Octets),
    Column("previous_until", UtcDateTime()),
    Column("rotated_at", UtcDateTime()),
    *stamped(),
    UniqueConstraint("prefix"),
    Index(None, "previous_prefix", unique=True),
    key=["key_id"],
)
"""A key's present secret and, for the overlap of a rotation, the one before."""
LEDGERS = platform_table(
    "ledgers",
    Column("ledger_id", Id(), nullable=False),
    Column("tenant_id", Id(), nullable=False),
    Column("seq", BigInteger, nullable=False, server_default=text("0")),
    Column("config_version", BigInteger, nullable=False, server_default=text("1")),
    Column("head_recorded_at", UtcDateTime()),
    Column("head_hash", Octets),
    *stamped(),
    UniqueConstraint("tenant_id", "ledger_id"),
    not_below_zero("seq"),
    key=["ledger_id"],
)
LEASES = platform_table(
    "leases",
    Column("resource", String(100), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("tenant_id", Id()),
    Column("is_wanted", Boolean, nullable=False, server_default=text("true")),
    Column("holder", String(200), nullable=False, server_default=""),
    Column("build", String(100), nullable=False, server_default=""),
    Column("token", BigInteger, nullable=False, server_default=text("0")),
    Column("expires_at", UtcDateTime()),
    Column("heartbeat_at", UtcDateTime()),
    *stamped(),
    Index(None, "kind", "is_wanted"),
    key=["resource"],
)
"""Who may act for a resource (`connection:<id>`, `run:<id>`). The token only grows: an older one is worthless."""
DUE_WORK = platform_table(
    "due_work",
    Column("work_id", Id(), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("tenant_id", Id(), nullable=False),
    Column("due_at", UtcDateTime(), nullable=False),
    Column("claimed_by", String(200), nullable=False, server_default=""),
    Column("claimed_until", UtcDateTime()),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("done_at", UtcDateTime()),
    *stamped(),
    Index(
        "ix_due_work_open",
        "kind",
        "due_at",
        postgresql_where=text("done_at IS NULL"),
        sqlite_where=text("done_at IS NULL"),
    ),
    key=["work_id"],
)
"""Ids of work that falls due; what the work is stands in a table of the tenant under the same id."""
PLATFORM_VERSIONS = platform_table(
    "platform_versions",
    Column("name", String(40), nullable=False),
    Column("version", BigInteger, nullable=False),
    key=["name"],
)
CALENDARS = platform_table(
    "calendars",
    Column("name", String(60), nullable=False),
    Column("definition", Json, nullable=False),
    *stamped(),
    key=["name"],
)
INSTRUMENTS = platform_table(
    "instruments",
    Column("instrument_id", Id(), nullable=False),
    Column("symbol", String(60), nullable=False),
    Column("venue", String(30), nullable=False),
    Column("name", String(200), nullable=False, server_default=""),
    Column("asset_class", String(10), nullable=False),
    Column("currency", String(12), nullable=False),
    Column("tick_size", ExactDecimal(), nullable=False),
    Column("lot_size", ExactDecimal(), nullable=False),
    Column("multiplier", ExactDecimal(), nullable=False),
    Column("calendar", String(60), ForeignKey("calendars.name"), nullable=False),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    Column("underlying_id", Id()),
    Column("expiry", Day()),
    Column("last_trade_at", UtcDateTime()),
    Column("strike", ExactDecimal()),
    Column("option_right", String(4)),
    Column("settlement", String(10)),
    Column("legs", Json),
    *stamped(),
    UniqueConstraint("venue", "symbol"),
    Index(None, "symbol"),
    one_of("asset_class", AssetClass),
    one_of("option_right", OptionRight),
    one_of("settlement", ("CASH", "PHYSICAL")),
    above_zero("tick_size"),
    above_zero("lot_size"),
    above_zero("multiplier"),
    key=["instrument_id"],
)
INSTRUMENT_ALIASES = platform_table(
    "instrument_aliases",
    Column("scheme", String(20), nullable=False),
    Column("alias", String(100), nullable=False),
    Column("venue", String(30), nullable=False, server_default=""),
    Column("valid_from", UtcDateTime(), nullable=False),
    Column("valid_until", UtcDateTime()),
    Column("instrument_id", Id(), ForeignKey("instruments.instrument_id"), nullable=False),
    *stamped(),
    Index(None, "instrument_id"),
    key=["scheme", "alias", "venue", "valid_from"],
)
"""Other names of an instrument with their time of validity: SYMBOL, ISIN, CONID, a former ticker."""
INSTRUMENT_FACTS = platform_table(
    "instrument_facts",
    Column("instrument_id", Id(), ForeignKey("instruments.instrument_id"), nullable=False),
    Column("facts", Json, nullable=False),
    Column("as_of", UtcDateTime(), nullable=False),
    *stamped(),
    Index(None, "updated_at"),
    key=["instrument_id"],
)
"""What is known of an instrument today beside its quote: volume, halts, price bands, short-sale restrictions."""
FIRM_LIMITS = platform_table(
    "firm_limits",
    Column("limit_id", Id(), nullable=False),
    Column("rule", String(100), nullable=False),
    Column("name", String(200), nullable=False, server_default=""),
    Column("instrument_id", Id()),
    Column("params", Json, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    Column("severity", String(10), nullable=False, server_default="HARD"),
    Column("action", String(20)),
    Column("effective_from", UtcDateTime()),
    Column("effective_until", UtcDateTime()),
    Column("updated_by", String(100), nullable=False, server_default=""),
    *stamped(),
    CheckConstraint("version > 0", name="version_above_zero"),
    key=["limit_id"],
)
"""Limits that cover every tenant of the installation."""
LAST_QUOTES = platform_table(
    "last_quotes",
    Column("instrument_id", Id(), ForeignKey("instruments.instrument_id"), nullable=False),
    Column("bid", ExactDecimal()),
    Column("bid_size", ExactDecimal()),
    Column("ask", ExactDecimal()),
    Column("ask_size", ExactDecimal()),
    Column("last", ExactDecimal()),
    Column("data_at", UtcDateTime(), nullable=False),
    Column("received_at", UtcDateTime(), nullable=False),
    Index(None, "received_at"),
    key=["instrument_id"],
)
CONSUMER_CURSORS = platform_table(
    "consumer_cursors",
    Column("consumer", String(100), nullable=False),
    Column("ledger_id", Id(), ForeignKey("ledgers.ledger_id"), nullable=False),
    Column("seq", BigInteger, nullable=False, server_default=text("0")),
    *stamped(),
    not_below_zero("seq"),
    key=["consumer", "ledger_id"],
)
SCHEDULES = platform_table(
    "schedules",
    Column("name", String(60), nullable=False),
    Column("fired_at", UtcDateTime(), nullable=False),
    Column("fired_by", String(200), nullable=False, server_default=""),
    Column("finished_at", UtcDateTime()),
    Column("error", Text, nullable=False, server_default=""),
    Column("handled", BigInteger, nullable=False, server_default=text("0")),
    *stamped(),
    key=["name"],
)
"""When each schedule was due last, who minded it, and what came of it."""
