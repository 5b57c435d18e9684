"""Broker connections and the broker accounts that they serve: what people want, and how each connection is.

A connection's lease exists from its first row on, so that sessions of all tenants find it in the platform's table.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import select, update

from oms_app.store import leases
from oms_app.store.config_rows import connection_resource
from oms_app.store.rows import add, put, scope_of
from oms_app.store.tables import ACCOUNT_ROUTES, BROKER_ACCOUNTS, BROKER_CONNECTIONS, TRADING_ACCOUNTS
from oms_app.store.tenants import config_changed
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.contracts.broker import BrokerAccount
from oms_kernel.domain.ids import BrokerAccountId, ConnectionId, LedgerId, TenantId

KIND = "connection"


class ConnectionRow(msgspec.Struct, frozen=True):
    """What a session needs to serve a connection. `credentials` are as stored: encrypted."""

    tenant_id: TenantId
    connection_id: ConnectionId
    broker: str
    name: str
    params: dict[str, Any]
    credentials: bytes | None
    desired: str
    accounts: tuple[BrokerAccount, ...]
    ledgers: tuple[LedgerId, ...]
    """Ledgers whose accounts are routed to this connection."""


def create_connection(
    unit: RowsUnit,
    connection_id: ConnectionId,
    *,
    broker: str,
    name: str,
    params: dict[str, Any],
    credentials: bytes | None = None,
    desired: str = "CONNECTED",
) -> None:
    """Store a connection, and its lease, which nobody holds yet."""
    add(
        unit,
        BROKER_CONNECTIONS,
        tenant_id=scope_of(unit),
        connection_id=connection_id,
        broker=broker,
        name=name,
        params=params,
        credentials=credentials,
        desired=desired,
        status="DISCONNECTED",
    )
    _want(unit, connection_id, desired)
    config_changed(unit)


def set_desired(unit: RowsUnit, connection_id: ConnectionId, desired: str) -> bool:
    """Whether the tenant has such an open connection; it is to be CONNECTED or DISCONNECTED from now on."""
    changed = unit.connection.execute(
        update(BROKER_CONNECTIONS)
        .where(
            BROKER_CONNECTIONS.c.tenant_id == scope_of(unit),
            BROKER_CONNECTIONS.c.connection_id == connection_id,
            BROKER_CONNECTIONS.c.closed_at.is_(None),
        )
        .values(desired=desired, updated_at=unit.now)
    )
    if changed.rowcount:
        _want(unit, connection_id, desired)
    return bool(changed.rowcount)


def set_status(
    unit: RowsUnit, connection_id: ConnectionId, status: str, detail: str, heard_at: datetime | None = None
) -> None:
    """Tell how the connection is; `heard_at` None leaves the last one."""
    values: dict[str, Any] = {"status": status, "detail": detail, "updated_at": unit.now}
    if heard_at is not None:
        values["last_heard_at"] = heard_at
    unit.connection.execute(
        update(BROKER_CONNECTIONS)
        .where(BROKER_CONNECTIONS.c.tenant_id == scope_of(unit), BROKER_CONNECTIONS.c.connection_id == connection_id)
        .values(values)
    )


def put_broker_account(
    unit: RowsUnit,
    broker_account_id: BrokerAccountId,
    connection_id: ConnectionId,
    *,
    account_number: str,
    account_type: str,
    base_currency: str,
    is_active: bool = True,
) -> None:
    """Add or change an account at the broker that the connection serves."""
    put(
        unit,
        BROKER_ACCOUNTS,
        {"tenant_id": scope_of(unit), "broker_account_id": broker_account_id},
        connection_id=connection_id,
        account_number=account_number,
        account_type=account_type,
        base_currency=base_currency,
        is_active=is_active,
    )
    config_changed(unit)


def load_connection(unit: RowsUnit, connection_id: ConnectionId) -> ConnectionRow | None:
    """An open connection of the tenant with its broker accounts and ledgers, or None."""
    row = unit.connection.execute(
        select(BROKER_CONNECTIONS).where(
            BROKER_CONNECTIONS.c.tenant_id == scope_of(unit),
            BROKER_CONNECTIONS.c.connection_id == connection_id,
            BROKER_CONNECTIONS.c.closed_at.is_(None),
        )
    ).one_or_none()
    if row is None:
        return None
    return ConnectionRow(
        tenant_id=scope_of(unit),
        connection_id=connection_id,
        broker=row.broker,
        name=row.name,
        params=row.params,
        credentials=bytes(row.credentials) if row.credentials is not None else None,
        desired=row.desired,
        accounts=tuple(_accounts(unit, connection_id)),
        ledgers=tuple(_ledgers(unit, connection_id)),
    )


def _accounts(unit: RowsUnit, connection_id: ConnectionId) -> Sequence[BrokerAccount]:
    rows = unit.connection.execute(
        select(BROKER_ACCOUNTS)
        .where(
            BROKER_ACCOUNTS.c.tenant_id == scope_of(unit),
            BROKER_ACCOUNTS.c.connection_id == connection_id,
            BROKER_ACCOUNTS.c.is_active,
        )
        .order_by(BROKER_ACCOUNTS.c.broker_account_id)
    )
    return [
        BrokerAccount(
            broker_account_id=BrokerAccountId(row.broker_account_id),
            account_number=row.account_number,
            account_type=row.account_type,
            base_currency=row.base_currency,
        )
        for row in rows
    ]


def _ledgers(unit: RowsUnit, connection_id: ConnectionId) -> Sequence[LedgerId]:
    query = (
        select(TRADING_ACCOUNTS.c.ledger_id)
        .distinct()
        .join(
            ACCOUNT_ROUTES,
            (ACCOUNT_ROUTES.c.tenant_id == TRADING_ACCOUNTS.c.tenant_id)
            & (ACCOUNT_ROUTES.c.account_id == TRADING_ACCOUNTS.c.account_id),
        )
        .join(
            BROKER_ACCOUNTS,
            (BROKER_ACCOUNTS.c.tenant_id == ACCOUNT_ROUTES.c.tenant_id)
            & (BROKER_ACCOUNTS.c.broker_account_id == ACCOUNT_ROUTES.c.broker_account_id),
        )
        .where(TRADING_ACCOUNTS.c.tenant_id == scope_of(unit), BROKER_ACCOUNTS.c.connection_id == connection_id)
        .order_by(TRADING_ACCOUNTS.c.ledger_id)
    )
    return [LedgerId(ledger_id) for ledger_id in unit.connection.scalars(query)]


def _want(unit: RowsUnit, connection_id: ConnectionId, desired: str) -> None:
    leases.want(
        unit,
        connection_resource(connection_id),
        kind=KIND,
        tenant_id=scope_of(unit),
        is_wanted=desired == "CONNECTED",
    )
