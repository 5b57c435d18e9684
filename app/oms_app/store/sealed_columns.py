"""Where sealed secrets stand: columns in, pages of their rows out, and back; each change only of what was read."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Table, select, update

from oms_app.store.platform import PLATFORM_TENANT
from oms_app.store.tables import BROKER_CONNECTIONS, PERSON_KEYS, SECOND_FACTORS, SIGNING_KEYS, WEBHOOKS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import TenantId


class SealedColumn(NamedTuple):
    """A column of sealed secrets, and the column that names its rows."""

    table: Table
    row_id: str
    column: str

    @property
    def is_of_platform(self) -> bool:
        """Whether its rows belong to no tenant: they are sealed for the platform."""
        return "tenant_id" not in self.table.c


SEALED_COLUMNS = (
    SealedColumn(BROKER_CONNECTIONS, "connection_id", "credentials"),
    SealedColumn(WEBHOOKS, "webhook_id", "credentials"),
    SealedColumn(SECOND_FACTORS, "user_id", "secret"),
    SealedColumn(SIGNING_KEYS, "key_id", "secret"),
    SealedColumn(PERSON_KEYS, "person", "sealed_key"),
)
"""Every column that holds sealed secrets: what is not named here is not rotated."""


def sealed_for(column: SealedColumn, unit: RowsUnit) -> TenantId:
    """For whom the column's rows in this unit are sealed."""
    return PLATFORM_TENANT if column.is_of_platform or unit.tenant_id is None else unit.tenant_id


def sealed_rows(unit: RowsUnit, column: SealedColumn, after: str, limit: int) -> Sequence[tuple[str, bytes]]:
    """(row id, sealed secrets) of the rows after an id, in the order of their ids; "" begins."""
    row_id, sealed = column.table.c[column.row_id], column.table.c[column.column]
    query = select(row_id, sealed).where(sealed.is_not(None)).order_by(row_id).limit(limit)
    if after:
        query = query.where(row_id > after)
    if not column.is_of_platform:
        query = query.where(column.table.c.tenant_id == unit.tenant_id)
    return [(str(row[0]), bytes(row[1])) for row in unit.connection.execute(query)]


def replace_sealed(unit: RowsUnit, column: SealedColumn, row_id: str, expected: bytes, sealed: bytes) -> bool:
    """Whether the row held these bytes still; it holds the new ones then. Nothing else of the row changes."""
    held = column.table.c[column.column]
    change = update(column.table).where(column.table.c[column.row_id] == row_id, held == expected)
    if not column.is_of_platform:
        change = change.where(column.table.c.tenant_id == unit.tenant_id)
    return unit.connection.execute(change.values({column.column: sealed})).rowcount == 1
