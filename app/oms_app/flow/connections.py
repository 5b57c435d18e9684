"""Connections to brokers as people want them: connected or not; a session process then makes it so."""

from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.principal import Principal
from oms_app.flow.strategies import StateConflict, UnknownThing
from oms_app.store import connections as rows
from oms_app.store import queries
from oms_app.store.sql_store import SqlStore
from oms_kernel.domain.ids import ConnectionId


class Connections:
    """The one door for what people want of connections. actor: who acts, and from where; None: the principal."""

    def __init__(self, store: SqlStore, actor: Actor | None = None) -> None:
        self._store = store
        self._actor = actor

    def want(self, principal: Principal, broker: str, connection_id: str | None, *, connected: bool) -> str:
        """The connection that is to be connected or not from now on; a second call changes nothing.

        Raises UnknownThing when the tenant has none, StateConflict when it has several and names none.
        """
        with self._store.tenant_unit(principal.tenant_id) as unit:
            found = [
                view
                for view in queries.list_connections(unit)
                if view.broker == broker and connection_id in (None, view.connection_id)
            ]
            if not found:
                raise UnknownThing(f"you have no connection to {broker}", field="connection_id")
            if len(found) > 1:
                raise StateConflict(
                    f"you have {len(found)} connections to {broker}: name one by connection_id",
                    field="connection_id",
                )
            wished = "CONNECTED" if connected else "DISCONNECTED"
            rows.set_desired(unit, ConnectionId(found[0].connection_id), wished)
            if found[0].desired != wished:
                action = AdminAction(
                    "connection.wished",
                    "connection",
                    found[0].connection_id,
                    before={"desired": found[0].desired},
                    after={"desired": wished},
                )
                record(unit, self._actor or Actor(principal.principal_id), action)
        return found[0].connection_id
