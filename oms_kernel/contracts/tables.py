"""The contract of a table that a plugin brings into the host's database: whose rows it holds is said at start."""

from enum import StrEnum
from typing import ClassVar, Protocol

import msgspec


class RowsOf(StrEnum):
    """Whose rows a table holds."""

    TENANT = "tenant"
    """Each row belongs to one tenant: `tenant_id` leads the primary key, every unique key and every foreign key."""
    PLATFORM = "platform"
    """No row belongs to a tenant, or every tenant may see all of them."""


class PluginTable(Protocol):
    """A table that a plugin made in the host's database. The host declares nothing for it and creates nothing.

    name: the table's own name, in the schema of the host's tables. Params: NoParams.
    The plugin's migration makes the table. On PostgreSQL a table of RowsOf.TENANT has row-level security enabled and
    forced, and one policy with USING and WITH CHECK on `tenant_id` and the setting `app.tenant_id`; on SQLite the host
    refuses each statement that names it without the tenant's id.
    A process that finds a table which the serving role may use, and which is neither the host's own, nor fenced, nor
    declared RowsOf.PLATFORM, does not start: it names the table and what to do.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    Params: ClassVar[type[msgspec.Struct]]
    rows_of: ClassVar[RowsOf]
