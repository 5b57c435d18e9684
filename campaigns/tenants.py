"""A name in, a tenant that can trade out: its ledger, account, route, connection to the simulated broker, and key."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import update

from oms_app.bootstrap import Services
from oms_app.cli.demo import TENANT_ID as DEMO
from oms_app.cli.demo import derived_id, seed
from oms_app.flow.principal import Principal
from oms_app.flow.scopes import Scope
from oms_app.store import tables as t
from oms_app.store.config_rows import connection_resource
from oms_app.store.rows import add, put
from oms_app.store.tenants import config_changed, create_ledger, create_tenant
from oms_kernel.domain.calendar import ALWAYS_OPEN
from oms_kernel.domain.ids import AccountId, LedgerId, TenantId

CASH = Decimal(1_000_000_000)


class Trading(msgspec.Struct, frozen=True):
    """One tenant with one trading account at one broker account over one connection; api_key may do everything."""

    name: str
    tenant_id: TenantId
    ledger_id: LedgerId
    account_id: AccountId
    connection_id: str
    broker_account_id: str
    user_id: str
    api_key: str

    @property
    def administrator(self) -> Principal:
        """Who made the key."""
        return Principal(
            principal_id=f"user:{self.user_id}",
            tenant_id=self.tenant_id,
            scopes=frozenset(str(scope) for scope in Scope),
        )


def seed_catalogue(services: Services) -> None:
    """Make the instruments, and beside them the demo's tenant, which is left alone."""
    seed(services, None)
    with services.store.tenant_unit(DEMO) as unit:
        connections = t.BROKER_CONNECTIONS
        unit.connection.execute(
            update(connections).where(connections.c.tenant_id == DEMO).values(desired="DISCONNECTED")
        )


def broker_accounts(tenants: Iterable[str]) -> list[dict[str, str]]:
    """These tenants' accounts as the simulated broker's configuration has them."""
    return [
        {
            "broker_account_id": broker_account_id(name),
            "account_number": account_number(name),
            "base_currency": "USD",
            "cash": str(CASH),
        }
        for name in tenants
    ]


def account_number(name: str) -> str:
    """The number of the tenant's account at the broker."""
    return f"CAMPAIGN-{name}"


def add_tenant(services: Services, name: str, *, params: dict[str, Any], wanted: bool) -> Trading:
    """A new tenant. params: of the connector; wanted: whether sessions are to connect it."""
    ids = {kind: derived_id(f"campaign {kind} {name}") for kind in ("tenant", "ledger", "account", "connection")}
    tenant_id, ledger_id = TenantId(ids["tenant"]), LedgerId(ids["ledger"])
    account_id, connection_id = AccountId(ids["account"]), ids["connection"]
    own = {"tenant_id": tenant_id}
    with services.store.tenant_unit(tenant_id) as unit:
        create_tenant(unit, name)
        create_ledger(unit, ledger_id)
        add(
            unit, t.TRADING_ACCOUNTS, **own, account_id=account_id, ledger_id=ledger_id, name=name,
            base_currency="USD", time_zone="UTC", day_roll="00:00:00", calendar=ALWAYS_OPEN.name,
            trading_state="ACTIVE", settings={},
        )  # fmt: skip
        add(
            unit, t.BROKER_CONNECTIONS, **own, connection_id=connection_id, broker="sim_broker", name=name,
            params=params, desired="CONNECTED" if wanted else "DISCONNECTED", status="DISCONNECTED",
        )  # fmt: skip
        add(
            unit, t.BROKER_ACCOUNTS, **own, broker_account_id=broker_account_id(name), connection_id=connection_id,
            account_number=account_number(name), account_type="PAPER", base_currency="USD",
        )  # fmt: skip
        add(unit, t.ACCOUNT_ROUTES, **own, account_id=account_id, broker_account_id=broker_account_id(name))
        add(unit, t.LEASES, resource=connection_resource(connection_id), kind="connection", tenant_id=tenant_id)
    user_id = services.identity.create_user(f"{name}@campaign.example", "a password of campaigns", tenant_id, "ADMIN")
    made = Trading(name, tenant_id, ledger_id, account_id, connection_id, broker_account_id(name), user_id, "")
    key = services.identity.create_key(made.administrator, name, sorted(made.administrator.scopes))
    services.control.open_account(tenant_id, ledger_id, account_id, base_currency="USD", cash={"USD": CASH})
    return msgspec.structs.replace(made, api_key=key.api_key)


def broker_account_id(name: str) -> str:
    """The id of the tenant's account at the broker."""
    return derived_id(f"campaign broker account {name}")


def set_limits(services: Services, tenant_id: TenantId, limits: dict[str, dict[str, Any]]) -> None:
    """Put these rules with their parameters into force for the whole tenant."""
    with services.store.tenant_unit(tenant_id) as unit:
        for rule, params in limits.items():
            key = {"tenant_id": tenant_id, "limit_id": derived_id(f"campaign limit {tenant_id} {rule}")}
            put(unit, t.LIMITS, key, rule=rule, params=params, version=1, is_active=True)
        config_changed(unit)
