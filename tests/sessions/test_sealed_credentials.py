"""Credentials that do not open keep their own connection away, and no other."""

from pathlib import Path

import structlog
from sqlalchemy import update

from oms_app.flow.sealing import Sealer
from oms_app.sessions.sql_rows import SqlSessionStore
from oms_app.store import tables
from oms_app.store.connections import create_connection
from oms_kernel.domain.ids import ConnectionId, TenantId
from tests.app_kit import demo_services, demo_settings

OTHER = ConnectionId("0190f3a1-0000-7000-8000-0000000000cc")


def test_a_connection_whose_credentials_do_not_open_is_told_once_and_left_out(tmp_path: Path) -> None:
    services, facts = demo_services(demo_settings(tmp_path))
    tenant_id = TenantId(facts.tenant_id)

    def unseal(tenant: str, connection_id: str, sealed: bytes) -> dict[str, str]:
        return services.sealer.open(tenant, "broker_connections", connection_id, sealed)

    try:
        rows = SqlSessionStore(services.store, holder="test", lease_s=20, unseal=unseal)
        demo = {one.connection_id for one in rows.wanted()}
        sealed = services.sealer.seal(tenant_id, "broker_connections", OTHER, {"token": "t"})
        with services.store.tenant_unit(tenant_id) as unit:
            create_connection(unit, OTHER, broker="sim_broker", name="Other", params={}, credentials=sealed)
        opened = {one.connection_id: one.params for one in rows.wanted()}
        assert opened[OTHER] == {"token": "t"}
        foreign = Sealer("another master key of the tests, long").seal(
            tenant_id, "broker_connections", OTHER, {"token": "t"}
        )
        with services.store.tenant_unit(tenant_id) as unit:
            where = (tables.BROKER_CONNECTIONS.c.tenant_id == tenant_id) & (
                tables.BROKER_CONNECTIONS.c.connection_id == OTHER
            )
            unit.connection.execute(update(tables.BROKER_CONNECTIONS).where(where).values(credentials=foreign))
        with structlog.testing.capture_logs() as lines:
            for _ in range(3):
                assert {one.connection_id for one in rows.wanted()} == demo
        told = [line for line in lines if line["event"] == "credentials_do_not_open"]
        assert [line["connection_id"] for line in told] == [OTHER]
    finally:
        services.close()
