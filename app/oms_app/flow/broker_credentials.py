"""Secrets for a broker in, sealed credentials of the tenant's connection out; nobody is shown them again.

A session uses them when it connects the next time.
"""

from collections.abc import Mapping

from sqlalchemy import update

from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.parameters import check_params, secret_fields
from oms_app.flow.principal import Principal
from oms_app.flow.sealing import Sealer
from oms_app.flow.strategies import StateConflict, UnknownThing
from oms_app.store import connections as rows
from oms_app.store import queries
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import BROKER_CONNECTIONS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import ConnectionId
from oms_kernel.registry import Registries

TABLE = "broker_connections"


class BrokerCredentials:
    """The one door for what a connection's login needs to be kept secret."""

    def __init__(self, store: SqlStore, registries: Registries, sealer: Sealer) -> None:
        self._store = store
        self._registries = registries
        self._sealer = sealer

    def change(
        self,
        principal: Principal,
        broker: str,
        connection_id: str | None,
        credentials: Mapping[str, str | None],
        actor: Actor,
    ) -> tuple[str, list[str]]:
        """(the connection, the names of the credentials that it has now); None takes one away, others stay.

        Raises UnknownThing, StateConflict when several connections are meant, InvalidRequest.
        """
        contributed = self._registries.brokers[broker].contributed
        known = secret_fields(contributed)
        if strange := sorted(set(credentials) - known):
            told = ", ".join(sorted(known)) or "it takes none"
            raise InvalidRequest(
                f"{broker} has no credential {strange[0]}; known: {told}", field=f"credentials.{strange[0]}"
            )
        tenant_id = principal.tenant_id
        with self._store.tenant_unit(tenant_id) as unit:
            chosen = _connection(unit, broker, connection_id)
            row = rows.load_connection(unit, chosen)
            if row is None:
                raise UnknownThing(f"you have no connection to {broker}", field="connection_id")
            before = self._sealer.open(tenant_id, TABLE, chosen, row.credentials) if row.credentials else {}
            after = {name: text for name, text in {**before, **credentials}.items() if text is not None}
            check_params(contributed, {**row.params, **after})
            sealed = self._sealer.seal(tenant_id, TABLE, chosen, after) if after else None
            unit.connection.execute(
                update(BROKER_CONNECTIONS)
                .where(BROKER_CONNECTIONS.c.tenant_id == tenant_id, BROKER_CONNECTIONS.c.connection_id == chosen)
                .values(credentials=sealed, updated_at=unit.now)
            )
            # Names only: a hash of a short password can be guessed.
            told_before, told_after = {"names": sorted(before)}, {"names": sorted(after), "given": sorted(credentials)}
            act = AdminAction("broker.credentials_changed", "connection", chosen, before=told_before, after=told_after)
            record(unit, actor, act)
        return chosen, sorted(after)


def _connection(unit: RowsUnit, broker: str, connection_id: str | None) -> ConnectionId:
    found = [
        view.connection_id
        for view in queries.list_connections(unit)
        if view.broker == broker and connection_id in (None, view.connection_id)
    ]
    if not found:
        raise UnknownThing(f"you have no connection to {broker}", field="connection_id")
    if len(found) > 1:
        raise StateConflict(f"you have {len(found)} connections to {broker}: name one by connection_id")
    return ConnectionId(found[0])
