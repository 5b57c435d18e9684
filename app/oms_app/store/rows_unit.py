"""The value that a block over rows works with: whose rows, on which connection, and the time when it began."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection

from oms_app.store.unit_of_work import KeySealer
from oms_kernel.domain.ids import LedgerId, TenantId


class SqlRowsUnit(msgspec.Struct):
    """A RowsUnit on a SQLAlchemy connection."""

    tenant_id: TenantId | None
    connection: Connection
    now: datetime
    appended: list[LedgerId] = []
    sealer: KeySealer | None = None
    bumped: set[str] = set()
    """Tenants whose auth epoch moves when the unit is stored."""
