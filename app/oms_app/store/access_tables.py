"""Tables of the platform for signing in: auth epochs, second factors, known devices, throttles, signing keys."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, String, text

from oms_app.store.schema import not_below_zero, platform_table, stamped
from oms_app.store.types import Id, Octets, UtcDateTime

AUTH_EPOCHS = platform_table(
    "auth_epochs",
    Column("tenant_id", Id(), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    not_below_zero("epoch"),
    key=["tenant_id"],
)
"""Counts what was taken from anybody of a tenant. Whoever was recognised at an older epoch is recognised anew."""
SECOND_FACTORS = platform_table(
    "second_factors",
    Column("user_id", Id(), ForeignKey("users.user_id"), nullable=False),
    Column("secret", Octets, nullable=False),
    Column("confirmed_at", UtcDateTime()),
    Column("last_step", BigInteger, nullable=False, server_default=text("0")),
    *stamped(),
    key=["user_id"],
)
"""A person's TOTP secret, sealed; it counts once confirmed. `last_step`: the time step of the last code used."""
RECOVERY_CODES = platform_table(
    "recovery_codes",
    Column("user_id", Id(), ForeignKey("users.user_id"), nullable=False),
    Column("code_hash", Octets, nullable=False),
    Column("used_at", UtcDateTime()),
    *stamped(),
    key=["user_id", "code_hash"],
)
KNOWN_DEVICES = platform_table(
    "known_devices",
    Column("user_id", Id(), ForeignKey("users.user_id"), nullable=False),
    Column("device_hash", Octets, nullable=False),
    *stamped(),
    Index(None, "updated_at"),
    key=["user_id", "device_hash"],
)
"""Devices from which a person signed in: strangers who guess that person's password do not hold these up."""
THROTTLES = platform_table(
    "throttles",
    Column("bucket", String(200), nullable=False),
    Column("busy_until_us", BigInteger, nullable=False),
    Index(None, "busy_until_us"),
    key=["bucket"],
)
"""One leaky bucket for each thing that is slowed down; microseconds since 1970 at which it will be empty again."""
SIGNING_KEYS = platform_table(
    "signing_keys",
    Column("key_id", String(40), nullable=False),
    Column("secret", Octets),
    Column("retired_at", UtcDateTime()),
    *stamped(),
    key=["key_id"],
)
"""What tokens are signed with, sealed; NULL: made from the application's own secret.

The newest signs; a retired one verifies until its last token is dead.
"""
