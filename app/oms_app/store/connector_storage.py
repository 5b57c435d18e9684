"""A connector's small durable store: text under a key of one connection, read and written in any transaction."""

from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from oms_app.store.tables import CONNECTOR_STORAGE
from oms_kernel.domain.ids import ConnectionId, TenantId


def get_value(connection: Connection, tenant_id: TenantId, connection_id: ConnectionId, key: str) -> str | None:
    """The value, or None."""
    value: str | None = connection.scalar(
        select(CONNECTOR_STORAGE.c.value).where(
            CONNECTOR_STORAGE.c.tenant_id == tenant_id,
            CONNECTOR_STORAGE.c.connection_id == connection_id,
            CONNECTOR_STORAGE.c.key == key,
        )
    )
    return value


def put_value(
    connection: Connection, now: datetime, tenant_id: TenantId, connection_id: ConnectionId, key: str, value: str
) -> None:
    """Remember the value with the transaction."""
    insert = postgres_insert if connection.dialect.name == "postgresql" else sqlite_insert
    row = {
        "tenant_id": tenant_id,
        "connection_id": connection_id,
        "key": key,
        "value": value,
        "created_at": now,
        "updated_at": now,
    }
    connection.execute(
        insert(CONNECTOR_STORAGE)
        .values(row)
        .on_conflict_do_update(
            index_elements=["tenant_id", "connection_id", "key"], set_={"value": value, "updated_at": now}
        )
    )
