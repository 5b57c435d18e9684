"""Only who has the lease of a connection says how it is."""

from typing import Any

from sqlalchemy import select

from oms_app.sessions.sql_rows import SqlSessionStore
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import BROKER_CONNECTIONS


def session(store: SqlStore, holder: str) -> SqlSessionStore:
    return SqlSessionStore(store, holder=holder, lease_s=60, unseal=lambda *_: {})


def status(store: SqlStore, scribe: Any) -> str:
    with store.read_unit(scribe.tenant_id) as unit:
        query = select(BROKER_CONNECTIONS.c.status).where(
            BROKER_CONNECTIONS.c.tenant_id == scribe.tenant_id,
            BROKER_CONNECTIONS.c.connection_id == scribe.connection_id,
        )
        return str(unit.connection.scalar(query))


def test_the_holder_of_the_lease_says_how_the_connection_is(store: SqlStore, scribe: Any) -> None:
    first = session(store, "first")
    assert first.acquire(scribe.connection_id) is not None
    first.set_status(scribe.tenant_id, scribe.connection_id, "RECONCILING", "", None)
    assert status(store, scribe) == "RECONCILING"


def test_a_session_that_slept_through_a_take_over_does_not_say_that_the_new_one_is_not_ready(
    store: SqlStore, scribe: Any
) -> None:
    first, second = session(store, "first"), session(store, "second")
    token = first.acquire(scribe.connection_id)
    assert token is not None
    first.release(scribe.connection_id, token)
    assert second.acquire(scribe.connection_id) == token + 1
    second.set_status(scribe.tenant_id, scribe.connection_id, "READY", "", None)
    first.set_status(scribe.tenant_id, scribe.connection_id, "CONNECTING", "the connection broke while it slept", None)
    assert status(store, scribe) == "READY"
