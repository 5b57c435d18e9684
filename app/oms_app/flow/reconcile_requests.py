"""A person's wish to compare broker and book in, a run that the broker's session does out; nothing else changes."""

from collections.abc import Callable

from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.errors import NoSession, UnknownAccount
from oms_app.flow.principal import Principal
from oms_app.store import queries, reconciliation_runs
from oms_app.store.reconciliation_runs import Run
from oms_app.store.sql_store import SqlStore
from oms_kernel.domain.ids import BrokerAccountId, ConnectionId


class ReconcileRequests:
    """The one door for people who want a comparison now. new_id: names a run."""

    def __init__(self, store: SqlStore, new_id: Callable[[], str]) -> None:
        self._store = store
        self._new_id = new_id

    def request(self, principal: Principal, broker_account_id: str) -> Run:
        """The run that the connection's session begins within a second; it compares all accounts of the connection.

        Raises UnknownAccount for a broker account that the principal may not use, NoSession when no session is ready.
        """
        with self._store.tenant_unit(principal.tenant_id) as unit:
            served = [
                one
                for one in queries.list_broker_accounts(unit)
                if one.broker_account_id == broker_account_id
                and (principal.account_ids is None or one.account_id in principal.account_ids)
            ]
            if not served:
                fix = "GET /api/v1/broker-accounts lists them"
                raise UnknownAccount("there is no such broker account", field="broker_account_id", fix=fix)
            connection = queries.get_connection(unit, served[0].connection_id)
            held = connection is not None and connection.expires_at is not None and connection.expires_at > unit.now
            if connection is None or not held or connection.status != "READY":
                detail = connection.detail if connection is not None and held and connection.detail else "not connected"
                fix = "connect the broker, or try again when its session is ready"
                raise NoSession(f"no broker session is ready for the account ({detail}); nothing was stored", fix=fix)
            run = reconciliation_runs.request(
                unit,
                self._new_id(),
                ConnectionId(served[0].connection_id),
                BrokerAccountId(broker_account_id),
                principal.principal_id,
            )
            told = AdminAction(
                "reconciliation.requested", "broker_account", broker_account_id, after={"run_id": run.run_id}
            )
            record(unit, Actor(principal.principal_id), told)
            return run
