"""Connections to brokers as people want them: connected or not; a session process then makes it so."""

from sqlalchemy import select, update

from oms_app.flow.principal import Principal
from oms_app.flow.strategies import StateConflict, UnknownThing
from oms_app.store import leases
from oms_app.store.config_rows import connection_resource
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import BROKER_CONNECTIONS


class Connections:
    """The one door for what people want of connections."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    def want(self, principal: Principal, broker: str, connection_id: str | None, *, connected: bool) -> str:
        """The connection that is to be connected or not from now on; a second call changes nothing.

        Raises UnknownThing when the tenant has none, StateConflict when it has several and names none.
        """
        table = BROKER_CONNECTIONS
        with self._store.tenant_unit(principal.tenant_id) as unit:
            query = select(table.c.connection_id).where(
                table.c.tenant_id == principal.tenant_id,
                table.c.broker == broker,
                table.c.closed_at.is_(None),
            )
            if connection_id is not None:
                query = query.where(table.c.connection_id == connection_id)
            found = [str(one) for one in unit.connection.scalars(query)]
            if not found:
                raise UnknownThing(f"you have no connection to {broker}", field="connection_id")
            if len(found) > 1:
                raise StateConflict(
                    f"you have {len(found)} connections to {broker}: name one by connection_id",
                    field="connection_id",
                )
            unit.connection.execute(
                update(table)
                .where(table.c.tenant_id == principal.tenant_id, table.c.connection_id == found[0])
                .values(desired="CONNECTED" if connected else "DISCONNECTED", updated_at=unit.now)
            )
            resource = connection_resource(found[0])
            leases.want(unit, resource, kind="connection", tenant_id=principal.tenant_id, is_wanted=connected)
        return found[0]
