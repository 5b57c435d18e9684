"""The few words that all row modules share: whose rows, when stamped, insert or change, the one row of a query."""

from datetime import datetime
from typing import Any

from sqlalchemy import Select, Table, insert
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import TenantId


def scope_of(unit: RowsUnit) -> TenantId:
    """The unit's tenant. Raises ValueError in a unit of the platform."""
    if unit.tenant_id is None:
        raise ValueError("rows of a tenant need a unit of that tenant")
    return unit.tenant_id


def stamps(unit: RowsUnit) -> dict[str, datetime]:
    """created_at and updated_at of a new row."""
    return {"created_at": unit.now, "updated_at": unit.now}


def one(unit: RowsUnit, query: Select[Any]) -> AnyRow | None:
    """The query's row, or None."""
    return unit.connection.execute(query).one_or_none()


def put(unit: RowsUnit, table: Table, key: dict[str, Any], **values: Any) -> None:
    """Insert the row, or change these values of the one that has the key; updated_at is kept, created_at stays."""
    stamped = {**stamps(unit)} if "created_at" in table.c else {}
    changed = {**values, **({"updated_at": unit.now} if stamped else {})}
    row = {**key, **values, **stamped}
    if unit.connection.dialect.name == "postgresql":
        statement: Any = postgres_insert(table).values(row)
    else:
        statement = sqlite_insert(table).values(row)
    if changed:
        statement = statement.on_conflict_do_update(index_elements=list(key), set_=changed)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=list(key))
    unit.connection.execute(statement)


def add(unit: RowsUnit, table: Table, **values: Any) -> None:
    """Insert a new row with its stamps. Raises Conflict, when the unit ends, if the key exists."""
    unit.connection.execute(insert(table).values(**values, **(stamps(unit) if "created_at" in table.c else {})))
