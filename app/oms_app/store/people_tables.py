"""Tables around people: invitations of a tenant, the platform's names of tenants, one-time tokens, mail to be sent."""

from sqlalchemy import Column, Index, Integer, String, Text, UniqueConstraint, text

from oms_app.store.schema import one_of, platform_table, refers_to, stamped, tenant_table
from oms_app.store.types import Id, Json, Octets, UtcDateTime

ROLES = ("ADMIN", "MANAGER", "TRADER", "VIEWER", "COMPLIANCE")
MAIL_STATUSES = ("PENDING", "SENT", "DEAD")
_OPEN = text("accepted_at IS NULL AND revoked_at IS NULL")
_PENDING = text("status = 'PENDING'")

INVITATIONS = tenant_table(
    "invitations",
    Column("invitation_id", Id(), nullable=False),
    Column("email", String(254), nullable=False),
    Column("first_name", String(100), nullable=False, server_default=""),
    Column("last_name", String(100), nullable=False, server_default=""),
    Column("role", String(20), nullable=False),
    Column("scopes", Json, nullable=False),
    Column("invited_by", String(100), nullable=False),
    Column("expires_at", UtcDateTime(), nullable=False),
    Column("accepted_at", UtcDateTime()),
    Column("accepted_by", Id()),
    Column("revoked_at", UtcDateTime()),
    refers_to("tenants"),
    one_of("role", ROLES),
    Index("ix_invitations_open", "tenant_id", "email", unique=True, postgresql_where=_OPEN, sqlite_where=_OPEN),
    key=["invitation_id"],
)
"""One open invitation for each address; an expired one gives way to the next."""
TENANT_DIRECTORY = platform_table(
    "tenant_directory",
    Column("tenant_id", Id(), nullable=False),
    Column("slug", String(63), nullable=False),
    Column("domain", String(253)),
    *stamped(),
    UniqueConstraint("slug"),
    UniqueConstraint("domain"),
    key=["tenant_id"],
)
"""By which names a tenant is found before anybody is known; everything else about it stands in its own row."""
ONE_TIME_TOKENS = platform_table(
    "one_time_tokens",
    Column("token_hash", Octets, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("subject", String(254), nullable=False),
    Column("tenant_id", Id()),
    Column("params", Json, nullable=False),
    Column("expires_at", UtcDateTime(), nullable=False),
    Column("used_at", UtcDateTime()),
    *stamped(),
    Index(None, "kind", "subject"),
    key=["token_hash"],
)
"""SHA-256 of tokens that went out by mail. `subject` is whom or what the token is about: a user, an invitation."""
OUTGOING_MAILS = platform_table(
    "outgoing_mails",
    Column("mail_id", Id(), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("address", String(254), nullable=False),
    Column("subject", String(254), nullable=False),
    Column("tenant_id", Id()),
    Column("params", Json, nullable=False),
    Column("status", String(10), nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("due_at", UtcDateTime(), nullable=False),
    Column("sent_at", UtcDateTime()),
    Column("last_error", Text, nullable=False, server_default=""),
    *stamped(),
    one_of("status", MAIL_STATUSES),
    Index(None, "address", "created_at"),
    Index("ix_outgoing_mails_due", "due_at", postgresql_where=_PENDING, sqlite_where=_PENDING),
    key=["mail_id"],
)
"""Mail that is due, without its text: the token in it is made when it is sent, so that no secret rests here."""
