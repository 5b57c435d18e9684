"""The SessionStore on SQL: wanted connections, their leases on the database's time, status rows, quotes, storage."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import exists, select, update

from oms_app.flow.sealing import CannotOpen
from oms_app.sessions.ports import Connection
from oms_app.store import connector_storage, leases, reconciliation_runs
from oms_app.store import quotes as last_quotes
from oms_app.store.config_rows import connection_resource, load_catalogue
from oms_app.store.platform import PLATFORM_TENANT
from oms_app.store.reconciliation_runs import Run
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import (
    ACCOUNT_ROUTES,
    BROKER_ACCOUNTS,
    BROKER_CONNECTIONS,
    LEASES,
    LEDGERS,
    TRADING_ACCOUNTS,
)
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.contracts.broker import BrokerAccount
from oms_kernel.domain.ids import BrokerAccountId, ConnectionId, LedgerId, TenantId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import Quote

Unseal = Callable[[str, str, bytes], dict[str, Any]]
"""(tenant, connection, sealed credentials) -> the secret parameters in clear. Raises CannotOpen."""
log = structlog.get_logger(__name__)


class SqlSessionStore:
    """A SessionStore on an SqlStore. holder: names this process in leases. build: of the installed software."""

    def __init__(self, store: SqlStore, *, holder: str, lease_s: float, unseal: Unseal, build: str = "") -> None:
        self._store = store
        self._holder = holder
        self._build = build
        self._ttl = timedelta(seconds=lease_s)
        self._unseal = unseal
        self._shut: set[str] = set()
        """Connections whose credentials do not open; each is told once."""

    def wanted(self) -> Sequence[Connection]:
        """Every connection that is to be connected, of all tenants."""
        with self._store.read_unit(None) as unit:
            query = select(LEDGERS.c.tenant_id).where(LEDGERS.c.tenant_id != PLATFORM_TENANT).distinct()
            tenants = unit.connection.scalars(query).all()
        found: list[Connection] = []
        for tenant_id in tenants:
            with self._store.read_unit(TenantId(tenant_id)) as unit:
                found += self._wanted_of(unit, TenantId(tenant_id))
        return found

    def acquire(self, connection_id: ConnectionId) -> int | None:
        """The token of a new lease, or None while another session holds it. Raises OtherBuild."""
        resource = connection_resource(connection_id)
        with self._store.read_unit(None) as unit:
            held = leases.get(unit, resource)
        if held is not None and held.expires_at is not None and held.expires_at > unit.now:
            if held.build != self._build:
                raise leases.OtherBuild(held.build, held.holder, self._build)
            return None
        with self._store.platform_unit() as unit:
            leases.require_sole_build(unit, resource.partition(":")[0], self._build)
            return leases.acquire(unit, resource, self._holder, self._ttl, self._build)

    def renew(self, connection_id: ConnectionId, token: int) -> bool:
        """Whether the lease is still the caller's."""
        with self._store.platform_unit() as unit:
            return leases.heartbeat(unit, connection_resource(connection_id), token, self._ttl)

    def release(self, connection_id: ConnectionId, token: int) -> None:
        """End the lease at once."""
        with self._store.platform_unit() as unit:
            leases.release(unit, connection_resource(connection_id), token)

    def set_status(
        self, tenant_id: TenantId, connection_id: ConnectionId, status: str, detail: str, heard_at: datetime | None
    ) -> None:
        """Write the status row, if this process has the lease: one that slept through a take-over is mute."""
        values: dict[str, Any] = {"status": status, "detail": detail}
        if heard_at is not None:
            values["last_heard_at"] = heard_at
        table = BROKER_CONNECTIONS
        is_ours = exists().where(
            LEASES.c.resource == connection_resource(connection_id), LEASES.c.holder == self._holder
        )
        with self._store.tenant_unit(tenant_id) as unit:
            unit.connection.execute(
                update(table)
                .where(table.c.tenant_id == tenant_id, table.c.connection_id == connection_id, is_ours)
                .values(updated_at=unit.now, **values)
            )

    def instruments(self) -> tuple[Instrument, ...]:
        """What can be traded."""
        with self._store.read_unit(None) as unit:
            return tuple(load_catalogue(unit.connection, unit.now).instruments.values())

    def put_quotes(self, quotes: Iterable[Quote]) -> None:
        """Replace the last quotes of these instruments; an older one never replaces a newer one."""
        with self._store.platform_unit() as unit:
            last_quotes.put_quotes(unit, quotes)

    def requested_runs(self, tenant_id: TenantId, connection_id: ConnectionId) -> Sequence[Run]:
        """The comparisons of broker and book that people asked for and nobody has made."""
        with self._store.read_unit(tenant_id) as unit:
            return reconciliation_runs.requested(unit, connection_id)

    def keep_run(self, tenant_id: TenantId, run: Run) -> None:
        """Store what came of a comparison."""
        with self._store.tenant_unit(tenant_id) as unit:
            reconciliation_runs.keep(unit, run)

    def storage_get(self, tenant_id: TenantId, connection_id: ConnectionId, key: str) -> str | None:
        """A value of the connector's durable store."""
        with self._store.read_unit(tenant_id) as unit:
            return connector_storage.get_value(unit.connection, tenant_id, connection_id, key)

    def storage_put(self, tenant_id: TenantId, connection_id: ConnectionId, key: str, value: str) -> None:
        """Remember a value; durable when it returns."""
        with self._store.tenant_unit(tenant_id) as unit:
            connector_storage.put_value(unit.connection, unit.now, tenant_id, connection_id, key, value)

    def _wanted_of(self, unit: RowsUnit, tenant_id: TenantId) -> list[Connection]:
        table = BROKER_CONNECTIONS
        query = select(table).where(
            table.c.tenant_id == tenant_id, table.c.desired == "CONNECTED", table.c.closed_at.is_(None)
        )
        found: list[Connection] = []
        for row in unit.connection.execute(query).all():
            secrets = self._secrets(tenant_id, row.connection_id, row.credentials)
            if secrets is not None:
                found.append(
                    Connection(
                        tenant_id=tenant_id,
                        connection_id=ConnectionId(row.connection_id),
                        broker=row.broker,
                        params={**row.params, **secrets},
                        accounts=_accounts(unit, tenant_id, row.connection_id),
                        ledgers=_ledgers(unit, tenant_id, row.connection_id),
                    )
                )
        return found

    def _secrets(self, tenant_id: str, connection_id: str, sealed: bytes | None) -> dict[str, Any] | None:
        """The connection's secrets; None when they do not open, which keeps nobody else from connecting."""
        if not sealed:
            return {}
        try:
            secrets = self._unseal(tenant_id, connection_id, sealed)
        except CannotOpen as error:
            if connection_id not in self._shut:
                self._shut.add(connection_id)
                log.error("credentials_do_not_open", connection_id=connection_id, reason=str(error))
            return None
        self._shut.discard(connection_id)
        return secrets


def _accounts(unit: RowsUnit, tenant_id: TenantId, connection_id: str) -> tuple[BrokerAccount, ...]:
    table = BROKER_ACCOUNTS
    query = select(table).where(
        table.c.tenant_id == tenant_id, table.c.connection_id == connection_id, table.c.is_active
    )
    query = query.order_by(table.c.broker_account_id)
    return tuple(
        BrokerAccount(
            broker_account_id=BrokerAccountId(row.broker_account_id),
            account_number=row.account_number,
            account_type=row.account_type,
            base_currency=row.base_currency,
        )
        for row in unit.connection.execute(query)
    )


def _ledgers(unit: RowsUnit, tenant_id: TenantId, connection_id: str) -> tuple[LedgerId, ...]:
    """The ledgers of the trading accounts that are routed to the connection's accounts."""
    accounts, routes, brokers = TRADING_ACCOUNTS, ACCOUNT_ROUTES, BROKER_ACCOUNTS
    query = (
        select(accounts.c.ledger_id)
        .distinct()
        .join(routes, (routes.c.tenant_id == accounts.c.tenant_id) & (routes.c.account_id == accounts.c.account_id))
        .join(
            brokers,
            (brokers.c.tenant_id == routes.c.tenant_id) & (brokers.c.broker_account_id == routes.c.broker_account_id),
        )
        .where(accounts.c.tenant_id == tenant_id, brokers.c.connection_id == connection_id)
        .order_by(accounts.c.ledger_id)
    )
    return tuple(LedgerId(one) for one in unit.connection.scalars(query))
