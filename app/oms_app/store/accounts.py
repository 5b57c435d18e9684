"""Trading accounts and their routes as people configure them; what the log tells of an account is not written here."""

from datetime import time
from typing import Any

from sqlalchemy import select, update

from oms_app.store.rows import add, put, scope_of
from oms_app.store.tables import ACCOUNT_ROUTES, TRADING_ACCOUNTS
from oms_app.store.tenants import config_changed
from oms_app.store.types import time_to_text
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.ids import AccountId, BrokerAccountId, LedgerId


def create_account(
    unit: RowsUnit,
    account_id: AccountId,
    ledger_id: LedgerId,
    *,
    name: str,
    base_currency: str,
    time_zone: str = "UTC",
    day_roll: time = time(0),
    calendar: str = "24x7",
    settings: dict[str, Any] | None = None,
) -> None:
    """Store a trading account; it trades once the event account_opened is in its ledger."""
    add(
        unit,
        TRADING_ACCOUNTS,
        tenant_id=scope_of(unit),
        account_id=account_id,
        ledger_id=ledger_id,
        name=name,
        base_currency=base_currency,
        time_zone=time_zone,
        day_roll=time_to_text(day_roll),
        calendar=calendar,
        trading_state=TradingState.ACTIVE.value,
        settings=settings or {},
    )
    config_changed(unit)


def describe_account(unit: RowsUnit, account_id: AccountId, *, name: str, settings: dict[str, Any]) -> bool:
    """Whether the tenant has such an open account; it has this name and these settings now."""
    changed = unit.connection.execute(
        update(TRADING_ACCOUNTS)
        .where(
            TRADING_ACCOUNTS.c.tenant_id == scope_of(unit),
            TRADING_ACCOUNTS.c.account_id == account_id,
            TRADING_ACCOUNTS.c.closed_at.is_(None),
        )
        .values(name=name, settings=settings, updated_at=unit.now)
    )
    config_changed(unit)
    return bool(changed.rowcount)


def close_account(unit: RowsUnit, account_id: AccountId) -> bool:
    """Whether the tenant had such an open account; it takes no orders any more. Its rows stay."""
    closed = unit.connection.execute(
        update(TRADING_ACCOUNTS)
        .where(
            TRADING_ACCOUNTS.c.tenant_id == scope_of(unit),
            TRADING_ACCOUNTS.c.account_id == account_id,
            TRADING_ACCOUNTS.c.closed_at.is_(None),
        )
        .values(closed_at=unit.now, updated_at=unit.now)
    )
    config_changed(unit)
    return bool(closed.rowcount)


def put_route(unit: RowsUnit, account_id: AccountId, broker_account_id: BrokerAccountId) -> None:
    """Send the account's orders to this broker account from the next batch on."""
    put(
        unit,
        ACCOUNT_ROUTES,
        {"tenant_id": scope_of(unit), "account_id": account_id},
        broker_account_id=broker_account_id,
    )
    config_changed(unit)


def get_route(unit: RowsUnit, account_id: AccountId) -> BrokerAccountId | None:
    """The broker account to which an account's orders go, or None."""
    found: BrokerAccountId | None = unit.connection.scalar(
        select(ACCOUNT_ROUTES.c.broker_account_id).where(
            ACCOUNT_ROUTES.c.tenant_id == scope_of(unit), ACCOUNT_ROUTES.c.account_id == account_id
        )
    )
    return found
