"""Trading accounts, broker accounts and connections as people see them, with how each connection is now."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Select, String, cast, select

from oms_app.store.queries.reading import viewer
from oms_app.store.rows import scope_of
from oms_app.store.tables import ACCOUNT_ROUTES, BROKER_ACCOUNTS, BROKER_CONNECTIONS, LEASES, TRADING_ACCOUNTS
from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import RowsUnit


class AccountView(msgspec.Struct, frozen=True):
    """A trading account and where it is routed; the last three are None while it is routed nowhere."""

    account_id: str
    ledger_id: str
    name: str
    base_currency: str
    time_zone: str
    day_roll: str
    calendar: str
    trading_state: str
    state_reason: str
    settings: dict[str, Any]
    created_at: datetime
    closed_at: datetime | None
    broker_account_id: str | None
    connection_id: str | None
    broker: str | None


class BrokerAccountView(msgspec.Struct, frozen=True):
    """A broker account and the trading account that is routed to it, if any."""

    broker_account_id: str
    connection_id: str
    broker: str
    account_number: str
    account_type: str
    base_currency: str
    is_active: bool
    created_at: datetime
    account_id: str | None


class ConnectionView(msgspec.Struct, frozen=True):
    """A broker connection without its credentials. The lease tells which session has it."""

    connection_id: str
    broker: str
    name: str
    params: dict[str, Any]
    desired: str
    status: str
    detail: str
    last_heard_at: datetime | None
    updated_at: datetime
    holder: str
    token: int
    expires_at: datetime | None
    heartbeat_at: datetime | None


def list_accounts(
    unit: RowsUnit, allowed_accounts: Collection[str] | None = None, *, with_closed: bool = False
) -> list[AccountView]:
    """The trading accounts that may be seen, by name."""
    query = _accounts(unit).order_by(TRADING_ACCOUNTS.c.name, TRADING_ACCOUNTS.c.account_id)
    if not with_closed:
        query = query.where(TRADING_ACCOUNTS.c.closed_at.is_(None))
    if allowed_accounts is not None:
        query = query.where(TRADING_ACCOUNTS.c.account_id.in_(sorted(allowed_accounts)))
    return [viewer(AccountView)(row) for row in unit.connection.execute(query)]


def get_account(unit: RowsUnit, account_id: str) -> AccountView | None:
    """A trading account of the tenant, or None."""
    row = unit.connection.execute(_accounts(unit).where(TRADING_ACCOUNTS.c.account_id == account_id)).one_or_none()
    return viewer(AccountView)(row) if row is not None else None


def list_broker_accounts(unit: RowsUnit, connection_id: str | None = None) -> list[BrokerAccountView]:
    """The tenant's broker accounts, of one connection when named."""
    query = (
        select(BROKER_ACCOUNTS, BROKER_CONNECTIONS.c.broker, ACCOUNT_ROUTES.c.account_id)
        .join(
            BROKER_CONNECTIONS,
            (BROKER_CONNECTIONS.c.tenant_id == BROKER_ACCOUNTS.c.tenant_id)
            & (BROKER_CONNECTIONS.c.connection_id == BROKER_ACCOUNTS.c.connection_id),
        )
        .join(
            ACCOUNT_ROUTES,
            (ACCOUNT_ROUTES.c.tenant_id == BROKER_ACCOUNTS.c.tenant_id)
            & (ACCOUNT_ROUTES.c.broker_account_id == BROKER_ACCOUNTS.c.broker_account_id),
            isouter=True,
        )
        .where(BROKER_ACCOUNTS.c.tenant_id == scope_of(unit))
        .order_by(BROKER_ACCOUNTS.c.account_number)
    )
    if connection_id is not None:
        query = query.where(BROKER_ACCOUNTS.c.connection_id == connection_id)
    return [viewer(BrokerAccountView)(row) for row in unit.connection.execute(query)]


def list_connections(unit: RowsUnit) -> list[ConnectionView]:
    """The tenant's open connections, by name."""
    query = _connections(unit).where(BROKER_CONNECTIONS.c.closed_at.is_(None)).order_by(BROKER_CONNECTIONS.c.name)
    return [_connection(row) for row in unit.connection.execute(query)]


def get_connection(unit: RowsUnit, connection_id: str) -> ConnectionView | None:
    """A connection of the tenant, or None."""
    query = _connections(unit).where(BROKER_CONNECTIONS.c.connection_id == connection_id)
    row = unit.connection.execute(query).one_or_none()
    return _connection(row) if row is not None else None


def _accounts(unit: RowsUnit) -> Select[Any]:
    return (
        select(
            TRADING_ACCOUNTS,
            ACCOUNT_ROUTES.c.broker_account_id,
            BROKER_ACCOUNTS.c.connection_id,
            BROKER_CONNECTIONS.c.broker,
        )
        .join(
            ACCOUNT_ROUTES,
            (ACCOUNT_ROUTES.c.tenant_id == TRADING_ACCOUNTS.c.tenant_id)
            & (ACCOUNT_ROUTES.c.account_id == TRADING_ACCOUNTS.c.account_id),
            isouter=True,
        )
        .join(
            BROKER_ACCOUNTS,
            (BROKER_ACCOUNTS.c.tenant_id == ACCOUNT_ROUTES.c.tenant_id)
            & (BROKER_ACCOUNTS.c.broker_account_id == ACCOUNT_ROUTES.c.broker_account_id),
            isouter=True,
        )
        .join(
            BROKER_CONNECTIONS,
            (BROKER_CONNECTIONS.c.tenant_id == BROKER_ACCOUNTS.c.tenant_id)
            & (BROKER_CONNECTIONS.c.connection_id == BROKER_ACCOUNTS.c.connection_id),
            isouter=True,
        )
        .where(TRADING_ACCOUNTS.c.tenant_id == scope_of(unit))
    )


def _connections(unit: RowsUnit) -> Select[Any]:
    columns = [column for column in BROKER_CONNECTIONS.c if column.name != "credentials"]
    return (
        select(*columns, LEASES.c.holder, LEASES.c.token, LEASES.c.expires_at, LEASES.c.heartbeat_at)
        .join(
            LEASES,
            LEASES.c.resource == "connection:" + cast(BROKER_CONNECTIONS.c.connection_id, String),
            isouter=True,
        )
        .where(BROKER_CONNECTIONS.c.tenant_id == scope_of(unit))
    )


def _connection(row: AnyRow) -> ConnectionView:
    return viewer(ConnectionView, holder="", token=0)(row)
