"""Make the demo tenant: each row is made only where it is missing, so that an interrupted start is completed later.

Its ids are derived from names, the same in every database; password and API key are random and stand in demo.json.
"""

from __future__ import annotations

import os
import secrets
import uuid
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog
from sqlalchemy import Table, select, update

from oms_app.config import Settings
from oms_app.flow.control import Control
from oms_app.flow.identity import Identity
from oms_app.flow.principal import Principal
from oms_app.flow.scopes import Scope
from oms_app.store import tables as t
from oms_app.store.config_rows import connection_resource
from oms_app.store.rows import add
from oms_app.store.tenants import config_changed
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.calendar import ALWAYS_OPEN, US_EQUITIES, Calendar
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import AccountId, InstrumentId, LedgerId, TenantId
from oms_kernel.domain.instrument import AssetClass, Instrument
from oms_kernel.registry import Registries

log = structlog.get_logger(__name__)

NAMESPACE = uuid.UUID("6f6d7300-0000-5000-8000-000000000001")
TENANT_NAME = "Demo"
EMAIL = "admin@demo.example"
CASH = Decimal("1000000")
BROKER = "sim_broker"

INSTRUMENTS: tuple[tuple[str, str, AssetClass, str, str, str, str], ...] = (
    ("SPY", "ARCX", AssetClass.ETF, "0.01", "1", "450", "SPDR S&P 500 ETF Trust"),
    ("AAPL", "XNAS", AssetClass.EQUITY, "0.01", "1", "190", "Apple Inc."),
    ("IBM", "XNYS", AssetClass.EQUITY, "0.01", "1", "160", "International Business Machines"),
    ("MSFT", "XNAS", AssetClass.EQUITY, "0.01", "1", "410", "Microsoft Corporation"),
    ("BTCUSD", "SIM", AssetClass.CRYPTO, "0.01", "0.0001", "60000", "Bitcoin in US dollars"),
    ("EURUSD", "SIM", AssetClass.FOREX, "0.00001", "1000", "1.08", "Euro in US dollars"),
)
"""Symbol, venue, class, tick, lot, starting price of the synthetic feed, name; all open round the clock."""

LIMITS: dict[str, dict[str, Any]] = {
    "max_order_quantity": {"max_quantity": "10000"},
    "max_order_notional": {"max_notional": "250000"},
    "price_collar": {"max_deviation_percent": "10"},
    "max_position": {"max_quantity": "50000"},
    "message_rate": {"per_second": 50, "per_minute": 1000},
    "restricted_list": {"restrictions": []},
    "trading_hours": {},
    "self_trade_prevention": {},
    "duplicate_order": {},
    "open_order_count": {"max_orders": 2000},
}
"""Generous limits of the demo, by rule."""
SHIPPED = frozenset({"risk_rules", "compliance_checks"})
"""The plugins of this project: of their rules only those named above have a limit. Any other plugin's rules and checks
run with their own defaults, so that what somebody installs is seen at work."""
ASLEEP = frozenset({"duplicate_order"})
"""Rules whose row is there for people to wake: the printed order may be repeated at once."""


class DemoFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in demo.json."""

    url: str = ""
    stream_url: str = ""
    email: str
    password: str
    api_key: str
    tenant_id: str
    ledger_id: str
    account_id: str
    broker_account_id: str
    connection_id: str
    symbols: tuple[str, ...]


class Wired(Protocol):
    """The parts that seeding uses."""

    @property
    def settings(self) -> Settings: ...
    @property
    def store(self) -> Any: ...
    @property
    def registries(self) -> Registries: ...
    @property
    def control(self) -> Control: ...
    @property
    def identity(self) -> Identity: ...


def derived_id(name: str) -> str:
    """The id of a thing of the demo, from its name."""
    return str(uuid.uuid5(NAMESPACE, name))


TENANT_ID = TenantId(derived_id("tenant"))
LEDGER_ID = LedgerId(derived_id("ledger"))
ACCOUNT_ID = AccountId(derived_id("account"))
CONNECTION_ID = derived_id("connection")
BROKER_ACCOUNT_ID = derived_id("broker account")


def demo_instruments() -> tuple[Instrument, ...]:
    """The instruments of the demo."""
    return tuple(
        Instrument(
            instrument_id=InstrumentId(derived_id(f"instrument {venue}:{symbol}")),
            symbol=symbol,
            venue=venue,
            asset_class=asset_class,
            currency="USD",
            tick_size=Decimal(tick),
            lot_size=Decimal(lot),
            calendar=ALWAYS_OPEN.name,
            name=name,
        )
        for symbol, venue, asset_class, tick, lot, _price, name in INSTRUMENTS
    )


def read_demo_file(path: Path) -> DemoFacts | None:
    """The facts of an earlier start, or None."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=DemoFacts)
    except FileNotFoundError:
        return None


def write_private(path: Path, value: Any) -> None:
    """Write a value as JSON so that only its owner can read it, whole or not at all."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


def seed(services: Wired, known: DemoFacts | None) -> DemoFacts:
    """The demo's facts, after everything that was missing has been made. `known` is what demo.json says."""
    store = services.store
    with store.platform_unit() as unit:
        _platform_rows(unit)
    with store.tenant_unit(TENANT_ID) as unit:
        _tenant_rows(unit, services.settings)
    if known is None:
        known = _with_credentials(services)
    with store.tenant_unit(TENANT_ID) as unit:
        _limit_rows(unit, services.registries)
    services.control.open_account(
        TENANT_ID, LEDGER_ID, ACCOUNT_ID, base_currency="USD", time_zone="America/New_York", cash={"USD": CASH}
    )
    return known


def _platform_rows(unit: RowsUnit) -> None:
    for calendar in (ALWAYS_OPEN, US_EQUITIES):
        _ensure(unit, t.CALENDARS, {"name": calendar.name}, definition=_json(calendar))
    made = False
    for one in demo_instruments():
        made |= _ensure(
            unit,
            t.INSTRUMENTS,
            {"instrument_id": one.instrument_id},
            symbol=one.symbol,
            venue=one.venue,
            name=one.name,
            asset_class=one.asset_class.value,
            currency=one.currency,
            tick_size=one.tick_size,
            lot_size=one.lot_size,
            multiplier=one.multiplier,
            calendar=one.calendar,
        )
    _ensure(unit, t.LEDGERS, {"ledger_id": LEDGER_ID}, tenant_id=TENANT_ID)
    if made:
        versions = t.PLATFORM_VERSIONS
        _ensure(unit, versions, {"name": "catalogue"}, version=0)
        unit.connection.execute(
            update(versions).where(versions.c.name == "catalogue").values(version=versions.c.version + 1)
        )


def _tenant_rows(unit: RowsUnit, settings: Settings) -> None:
    tenant = {"tenant_id": TENANT_ID}
    _ensure(unit, t.TENANTS, tenant, name=TENANT_NAME, settings={"allow_private_webhooks": True, "is_demo": True})
    _ensure(unit, t.TENANT_DIRECTORY, tenant, slug="demo")
    _ensure(
        unit,
        t.TRADING_ACCOUNTS,
        {**tenant, "account_id": ACCOUNT_ID},
        ledger_id=LEDGER_ID,
        name="Paper",
        base_currency="USD",
        time_zone="America/New_York",
        day_roll="00:00:00",
        calendar=ALWAYS_OPEN.name,
        trading_state="ACTIVE",
        settings={},
    )
    _ensure(
        unit,
        t.BROKER_CONNECTIONS,
        {**tenant, "connection_id": CONNECTION_ID},
        broker=BROKER,
        name="Simulated broker",
        params={
            "endpoint_file": str(settings.home / "sim_broker.endpoint.json"),
            "opening_cash": str(CASH),
            "fees": {"kind": "zero"},
        },
        desired="CONNECTED",
        status="DISCONNECTED",
    )
    _ensure(
        unit,
        t.BROKER_ACCOUNTS,
        {**tenant, "broker_account_id": BROKER_ACCOUNT_ID},
        connection_id=CONNECTION_ID,
        account_number="DEMO-1",
        account_type="PAPER",
        base_currency="USD",
    )
    _ensure(unit, t.ACCOUNT_ROUTES, {**tenant, "account_id": ACCOUNT_ID}, broker_account_id=BROKER_ACCOUNT_ID)
    _ensure(unit, t.LEASES, {"resource": connection_resource(CONNECTION_ID)}, kind="connection", tenant_id=TENANT_ID)


def limit_name(rule: str) -> str:
    """What the demo's limit of a rule is called, so that a file's entry of the same rule does not take it over."""
    return f"Demo {rule.replace('_', ' ')}"


def _limit_rows(unit: RowsUnit, registries: Registries) -> None:
    """One row for each rule and check of LIMITS that is installed, and for those of other plugins."""
    made = False
    for registry in (registries.compliance_checks, registries.risk_rules):
        for name, registered in registry.items():
            if registered.plugin in SHIPPED and name not in LIMITS:
                continue
            params = LIMITS.get(name, {})
            try:
                parse_params(registered.contributed, params)
            except InvalidRequest as error:
                if name in LIMITS:
                    raise
                log.warning("no_demo_limit", rule=name, why=error.detail)
                continue
            key = {"tenant_id": TENANT_ID, "limit_id": derived_id(f"limit {name}")}
            made |= _ensure(
                unit,
                t.LIMITS,
                key,
                rule=name,
                name=limit_name(name),
                params=params,
                version=1,
                is_active=name not in ASLEEP,
            )
    if made:
        config_changed(unit)


def _with_credentials(services: Wired) -> DemoFacts:
    """The facts with a new password and a new key; an administrator of an earlier, lost start gets the new password."""
    password = secrets.token_urlsafe(12)
    identity = services.identity
    user_id = identity.reset_password(EMAIL, password) or identity.create_user(EMAIL, password, TENANT_ID, "ADMIN")
    administrator = Principal(
        principal_id=f"user:{user_id}", tenant_id=TENANT_ID, scopes=frozenset(str(scope) for scope in Scope)
    )
    key = identity.create_key(administrator, "demo", sorted(administrator.scopes))
    return DemoFacts(
        email=EMAIL,
        password=password,
        api_key=key.api_key,
        tenant_id=TENANT_ID,
        ledger_id=LEDGER_ID,
        account_id=ACCOUNT_ID,
        broker_account_id=BROKER_ACCOUNT_ID,
        connection_id=CONNECTION_ID,
        symbols=tuple(row[0] for row in INSTRUMENTS),
    )


def _ensure(unit: RowsUnit, table: Table, key: Mapping[str, Any], **values: Any) -> bool:
    """Whether the row was missing and is made now."""
    query = select(next(iter(table.primary_key))).where(*(table.c[name] == value for name, value in key.items()))
    if unit.connection.execute(query).first() is not None:
        return False
    add(unit, table, **key, **values)
    return True


def _json(calendar: Calendar) -> Any:
    return msgspec.to_builtins(calendar)


def sim_broker_config(feed: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the simulated broker: the demo's instruments, calendars and account, and a feed."""
    return {
        "instruments": [msgspec.to_builtins(one) for one in demo_instruments()],
        "calendars": [_json(ALWAYS_OPEN), _json(US_EQUITIES)],
        "accounts": [
            {
                "broker_account_id": BROKER_ACCOUNT_ID,
                "account_number": "DEMO-1",
                "base_currency": "USD",
                "cash": str(CASH),
            }
        ],
        "feed": dict(feed),
    }


def starting_prices() -> dict[str, str]:
    """Where the synthetic feed begins, by symbol."""
    return {symbol: price for symbol, _venue, _class, _tick, _lot, price, _name in INSTRUMENTS}
