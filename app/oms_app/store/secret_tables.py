"""The keys that seal secrets, each wrapped by a master key that the database never sees."""

from sqlalchemy import Column, Index, Integer, String

from oms_app.store.schema import platform_table, stamped
from oms_app.store.types import Id, Octets

DATA_KEYS = platform_table(
    "data_keys",
    Column("tenant_id", Id(), nullable=False),
    Column("version", Integer, nullable=False),
    Column("master_id", String(16), nullable=False),
    Column("wrapped", Octets, nullable=False),
    *stamped(),
    Index(None, "master_id"),
    key=["tenant_id", "version"],
)
"""A table of the platform, because rotation walks all tenants; without the master key a row of it opens nothing."""
