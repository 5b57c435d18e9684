"""A tenant that can trade, over HTTP, on the real services: what the tests of the API speak to."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from flask import Flask
from sqlalchemy import insert, update

from oms_app.bootstrap import Services
from oms_app.flow.audit import Actor
from oms_app.flow.booking import book
from oms_app.flow.desk import Turn
from oms_app.flow.principal import Principal
from oms_app.flow.scopes import Scope
from oms_app.flow.submission import next_intents
from oms_app.store import tables
from oms_app.store.rows import put
from oms_app.store.tenants import create_ledger, create_tenant
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.contracts.broker import Command, Filled, WireIdentity
from oms_kernel.domain.calendar import Calendar
from oms_kernel.domain.ids import AccountId, ConnectionId, LedgerId, OrderId, TenantId, wire_id
from oms_kernel.domain.order import Side

PASSWORD = "a password of the tests"


class Desk:
    """A tenant that can trade: its services, ids, an HTTP client and a key of an administrator."""

    def __init__(
        self, services: Services, ids: dict[str, str], app: Flask, *, email: str = "admin@example.com"
    ) -> None:
        self.services = services
        self.app = app
        self.ids = ids
        self.client = app.test_client()
        self.become(email)

    def become(self, email: str) -> None:
        """Make an administrator of the tenant with a key, and speak as that one from now on."""
        self.email = email
        self.tenant_id = TenantId(self.ids["tenant_id"])
        self.user_id = self.services.identity.create_user(email, PASSWORD, self.tenant_id, "ADMIN")
        self.principal = Principal(
            principal_id=f"user:{self.user_id}",
            tenant_id=self.tenant_id,
            scopes=frozenset(str(scope) for scope in Scope),
        )
        self.api_key = self.key(*Scope)

    def key(self, *scopes: str, account_ids: list[AccountId] | None = None) -> str:
        """A new API key with these scopes. account_ids: what it may reach, also accounts that there are not."""
        made = self.services.identity.create_key(self.principal, "test", [str(scope) for scope in scopes])
        if account_ids is not None:
            with self.services.store.tenant_unit(self.tenant_id) as unit:
                own = (tables.API_KEYS.c.tenant_id == self.tenant_id, tables.API_KEYS.c.key_id == made.row.key_id)
                unit.connection.execute(update(tables.API_KEYS).where(*own).values(account_ids=list(account_ids)))
        return made.api_key

    def send(self, method: str, path: str, body: object = None, *, key: str | None = None, **headers: str) -> Any:
        """The response to a request with a JSON body, signed with the administrator's key or another."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named["X-API-Key"] = key or self.api_key
        if body is None:
            return self.client.open(path, method=method, headers=named)
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return self.client.open(path, method=method, data=data, headers={"Content-Type": "application/json", **named})

    def person(self, *, stepped_up: bool = True) -> dict[str, str]:
        """The header of the administrator signed in as a person, who has just proved it anew."""
        pair = self.services.identity.sign_in(self.email, PASSWORD, tenant_id=self.tenant_id)
        if stepped_up:
            caller = self.services.identity.caller_of_token(pair.access_token)
            actor = Actor(principal_id=caller.principal.principal_id)
            self.services.identity.sessions.step_up(caller, actor, password=PASSWORD, totp_code=None)
        return {"Authorization": f"Bearer {pair.access_token}"}

    def order(self, **fields: object) -> dict[str, object]:
        """The body of a good order, with these fields instead or besides; None leaves one out."""
        body: dict[str, object] = {
            "account_id": self.ids["account_id"],
            "symbol": "ACME",
            "side": "BUY",
            "quantity": "10",
            "order_type": "LIMIT",
            "limit_price": "99.50",
            **fields,
        }
        return {name: value for name, value in body.items() if value is not None}

    def place(self, **fields: object) -> Any:
        """The response to a good order with these fields instead or besides."""
        return self.send("POST", "/api/v1/orders", self.order(**fields))

    def send_all(self) -> None:
        """Send what is due, as a session would, to a broker that only remembers."""
        connection_id = ConnectionId(self.ids["connection_id"])
        capabilities = self.services.registries.brokers["sim_broker"].contributed.capabilities

        def prepare(command: Command) -> WireIdentity:
            return WireIdentity(wire_id=wire_id(command.order_id, command.attempt, 20))

        def work(turn: Turn) -> None:
            next_intents(turn, connection_id, 1, capabilities, prepare)

        self.services.desk.transact(self.tenant_id, LedgerId(self.ids["ledger_id"]), work)

    def report(self, order_id: str, report: type[Any], **fields: object) -> None:
        """Book a broker's report about a sent order."""
        connection_id = ConnectionId(self.ids["connection_id"])
        told = report(
            broker_account_id=self.ids["broker_account_id"],
            broker_at=datetime.now(UTC),
            wire_id=wire_id(OrderId(order_id), 0, 20),
            **fields,
        )
        self.services.desk.transact(
            self.tenant_id, LedgerId(self.ids["ledger_id"]), lambda turn: book(turn, connection_id, [told])
        )

    def fill(self, order: dict[str, Any], quantity: str, price: str) -> None:
        """Send what is due, then book an execution of the order."""
        self.send_all()
        self.report(
            order["order_id"],
            Filled,
            exec_id=str(uuid.uuid4()),
            instrument_id=order["instrument_id"],
            side=Side(order["side"]),
            quantity=Decimal(quantity),
            price=Decimal(price),
            fee=Decimal("0.25"),
        )

    def end_session(self) -> None:
        """Let the broker session's lease run out."""
        with self.services.store.platform_unit() as unit:
            unit.connection.execute(
                update(tables.LEASES).values(expires_at=unit.now - timedelta(seconds=1), updated_at=unit.now)
            )

    def event_count(self) -> int:
        """How many events the tenant's log holds."""
        head: int = self.services.reader.heads([LedgerId(self.ids["ledger_id"])])[LedgerId(self.ids["ledger_id"])]
        return head


def seed(services: Services, *, catalogue: bool = True) -> dict[str, str]:
    """A tenant with a ledger and an account routed over a ready connection; and the platform's catalogue."""
    names = ("tenant_id", "ledger_id", "account_id", "connection_id", "broker_account_id", "instrument_id")
    ids = {name: str(uuid.uuid4()) for name in names}
    now = datetime.now(UTC)
    far = now + timedelta(days=1)
    tenant = TenantId(ids["tenant_id"])
    with services.store.tenant_unit(tenant) as unit:
        create_tenant(unit, "Test")
        create_ledger(unit, LedgerId(ids["ledger_id"]))
        at = {"created_at": now, "updated_at": now}
        own = {"tenant_id": tenant, **at}
        run = unit.connection.execute
        if catalogue:
            seed_catalogue(unit, ids["instrument_id"], now)
        run(
            insert(tables.BROKER_CONNECTIONS).values(
                connection_id=ids["connection_id"],
                broker="sim_broker",
                name="Simulator",
                params={},
                desired="CONNECTED",
                status="READY",
                last_heard_at=now,
                **own,
            )
        )
        run(
            insert(tables.LEASES).values(
                resource=f"connection:{ids['connection_id']}",
                kind="connection",
                tenant_id=tenant,
                holder="test",
                token=1,
                expires_at=far,
                heartbeat_at=now,
                **at,
            )
        )
        run(
            insert(tables.BROKER_ACCOUNTS).values(
                broker_account_id=ids["broker_account_id"],
                connection_id=ids["connection_id"],
                account_number="SIM-1",
                account_type="CASH",
                base_currency="USD",
                **own,
            )
        )
        run(
            insert(tables.TRADING_ACCOUNTS).values(
                account_id=ids["account_id"],
                ledger_id=ids["ledger_id"],
                name="Paper",
                base_currency="USD",
                time_zone="UTC",
                day_roll="00:00:00",
                trading_state="ACTIVE",
                settings={},
                **own,
            )
        )
        run(
            insert(tables.ACCOUNT_ROUTES).values(
                account_id=ids["account_id"], broker_account_id=ids["broker_account_id"], **own
            )
        )
    services.control.open_account(
        tenant,
        LedgerId(ids["ledger_id"]),
        AccountId(ids["account_id"]),
        base_currency="USD",
        cash={"USD": Decimal(1_000_000)},
    )
    return ids


def seed_catalogue(unit: RowsUnit, instrument_id_of_acme: str, now: datetime) -> None:
    """A calendar, two instruments, and a quote of one."""
    run, at = unit.connection.execute, {"created_at": now, "updated_at": now}
    run(insert(tables.CALENDARS).values(name="24x7", definition=msgspec.to_builtins(Calendar(name="24x7")), **at))
    instrument = {
        "venue": "XTEST",
        "asset_class": "EQUITY",
        "currency": "USD",
        "multiplier": Decimal(1),
        "calendar": "24x7",
    }
    for symbol, instrument_id, lot in (
        ("ACME", instrument_id_of_acme, 1),
        ("LOTS", str(uuid.uuid4()), 100),
    ):
        run(
            insert(tables.INSTRUMENTS).values(
                instrument_id=instrument_id,
                symbol=symbol,
                tick_size=Decimal("0.01"),
                lot_size=Decimal(lot),
                **instrument,
                **at,
            )
        )
    run(
        insert(tables.LAST_QUOTES).values(
            instrument_id=instrument_id_of_acme,
            bid=Decimal("99.99"),
            bid_size=Decimal(500),
            ask=Decimal("100.01"),
            ask_size=Decimal(500),
            data_at=now,
            received_at=now,
        )
    )
    put(unit, tables.PLATFORM_VERSIONS, {"name": "catalogue"}, version=7)
