"""Rows of configuration in, what a ledger's batches need out: accounts, routes, limits, catalogue, quotes."""

from collections.abc import Sequence
from datetime import date, datetime, time

import msgspec
from sqlalchemy import Connection, String, cast, func, or_, select, tuple_

from oms_app.store.tables import (
    ACCOUNT_ROUTES,
    BROKER_ACCOUNTS,
    BROKER_CONNECTIONS,
    CALENDARS,
    FIRM_LIMITS,
    IDEMPOTENCY_KEYS,
    INSTRUMENT_ALIASES,
    INSTRUMENTS,
    LAST_QUOTES,
    LEASES,
    LEDGERS,
    LIMITS,
    PLATFORM_VERSIONS,
    TENANTS,
    TRADING_ACCOUNTS,
)
from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import (
    AccountDirectory,
    AnswerKey,
    ConnectionState,
    InstrumentCatalogue,
    LedgerConfig,
    LimitRow,
    Route,
    StoredAnswer,
    UnknownLedger,
)
from oms_kernel.domain.account import TradingAccount, TradingState
from oms_kernel.domain.calendar import Calendar
from oms_kernel.domain.controls import Action
from oms_kernel.domain.decision import RuleSeverity
from oms_kernel.domain.ids import AccountId, BrokerAccountId, ConnectionId, InstrumentId, LedgerId, TenantId
from oms_kernel.domain.instrument import AssetClass, ComboLeg, Instrument, OptionRight
from oms_kernel.domain.market import Quote
from oms_kernel.domain.scope import Scope

CATALOGUE = "catalogue"


def connection_resource(connection_id: str) -> str:
    """The name under which a broker connection is leased."""
    return f"connection:{connection_id}"


def load_ledger_config(connection: Connection, tenant_id: TenantId, ledger_id: LedgerId) -> LedgerConfig:
    """A ledger's open accounts, their routes and the tenant's active limits. Raises UnknownLedger."""
    version = connection.scalar(
        select(LEDGERS.c.config_version).where(LEDGERS.c.tenant_id == tenant_id, LEDGERS.c.ledger_id == ledger_id)
    )
    if version is None:
        raise UnknownLedger(ledger_id)
    accounts = connection.execute(
        select(TRADING_ACCOUNTS).where(
            TRADING_ACCOUNTS.c.tenant_id == tenant_id,
            TRADING_ACCOUNTS.c.ledger_id == ledger_id,
            TRADING_ACCOUNTS.c.closed_at.is_(None),
        )
    ).all()
    limits = connection.execute(select(LIMITS).where(LIMITS.c.tenant_id == tenant_id).order_by(LIMITS.c.limit_id)).all()
    firm_limits = connection.execute(
        select(FIRM_LIMITS).where(FIRM_LIMITS.c.is_active).order_by(FIRM_LIMITS.c.limit_id)
    ).all()
    settings = connection.scalar(select(TENANTS.c.settings).where(TENANTS.c.tenant_id == tenant_id))
    routes = _load_routes(connection, tenant_id)
    known = {row.account_id for row in accounts}
    return LedgerConfig(
        tenant_id=tenant_id,
        ledger_id=ledger_id,
        version=version,
        accounts={AccountId(row.account_id): trading_account(row) for row in accounts},
        account_names={AccountId(row.account_id): row.name for row in accounts},
        routes={account_id: route for account_id, route in routes.items() if account_id in known},
        limits=(
            *(firm_limit_row(row) for row in firm_limits),
            *(
                limit_row(row)
                for row in limits
                if row.is_active and (row.account_id is None or row.account_id in known)
            ),
        ),
        limits_version=max((row.version for row in limits), default=0),
        settings=settings or {},
    )


def trading_account(row: AnyRow) -> TradingAccount:
    """The kernel's account of a row of trading_accounts."""
    return TradingAccount(
        account_id=AccountId(row.account_id),
        base_currency=row.base_currency,
        time_zone=row.time_zone,
        day_roll=time.fromisoformat(row.day_roll),
        trading_state=TradingState(row.trading_state),
        state_reason=row.state_reason,
    )


def limit_row(row: AnyRow) -> LimitRow:
    """The value of a row of limits."""
    return _limit(row, Scope(row.account_id, row.strategy_id, row.instrument_id))


def firm_limit_row(row: AnyRow) -> LimitRow:
    """The value of a row of firm_limits."""
    return _limit(row, Scope(instrument_id=row.instrument_id, is_firm=True))


def _limit(row: AnyRow, scope: Scope) -> LimitRow:
    return LimitRow(
        limit_id=row.limit_id,
        rule=row.rule,
        params=row.params,
        version=row.version,
        scope=scope,
        severity=RuleSeverity(row.severity),
        action=Action(row.action) if row.action is not None else None,
        effective_from=row.effective_from,
        effective_until=row.effective_until,
        name=row.name,
        updated_by=row.updated_by,
    )


def _load_routes(connection: Connection, tenant_id: TenantId) -> dict[AccountId, Route]:
    rows = connection.execute(
        select(
            ACCOUNT_ROUTES.c.account_id,
            ACCOUNT_ROUTES.c.broker_account_id,
            BROKER_ACCOUNTS.c.connection_id,
            BROKER_CONNECTIONS.c.broker,
        )
        .join(
            BROKER_ACCOUNTS,
            (BROKER_ACCOUNTS.c.tenant_id == ACCOUNT_ROUTES.c.tenant_id)
            & (BROKER_ACCOUNTS.c.broker_account_id == ACCOUNT_ROUTES.c.broker_account_id),
        )
        .join(
            BROKER_CONNECTIONS,
            (BROKER_CONNECTIONS.c.tenant_id == BROKER_ACCOUNTS.c.tenant_id)
            & (BROKER_CONNECTIONS.c.connection_id == BROKER_ACCOUNTS.c.connection_id),
        )
        .where(
            ACCOUNT_ROUTES.c.tenant_id == tenant_id,
            BROKER_ACCOUNTS.c.is_active,
            BROKER_CONNECTIONS.c.closed_at.is_(None),
        )
    )
    return {
        AccountId(row.account_id): Route(
            account_id=AccountId(row.account_id),
            broker_account_id=BrokerAccountId(row.broker_account_id),
            connection_id=ConnectionId(row.connection_id),
            broker=row.broker,
        )
        for row in rows
    }


def load_account_directory(connection: Connection, tenant_id: TenantId) -> AccountDirectory:
    """Which ledger holds each open account of a tenant, and which broker accounts lead to them."""
    rows = connection.execute(
        select(TRADING_ACCOUNTS.c.account_id, TRADING_ACCOUNTS.c.ledger_id).where(
            TRADING_ACCOUNTS.c.tenant_id == tenant_id, TRADING_ACCOUNTS.c.closed_at.is_(None)
        )
    )
    ledgers = {AccountId(row.account_id): LedgerId(row.ledger_id) for row in rows}
    routes = _load_routes(connection, tenant_id)
    return AccountDirectory(
        ledgers=ledgers,
        by_broker_account={
            route.broker_account_id: account_id for account_id, route in routes.items() if account_id in ledgers
        },
    )


def load_catalogue(connection: Connection, now: datetime) -> InstrumentCatalogue:
    """Every instrument by id, by SYMBOL, VENUE:SYMBOL and by each alias that is valid now; and the calendars."""
    version = connection.scalar(select(PLATFORM_VERSIONS.c.version).where(PLATFORM_VERSIONS.c.name == CATALOGUE))
    instruments = {
        InstrumentId(row.instrument_id): instrument_from_row(row)
        for row in connection.execute(select(INSTRUMENTS).order_by(INSTRUMENTS.c.instrument_id))
    }
    names: dict[str, list[InstrumentId]] = {}

    def know(name: str, venue: str, instrument_id: InstrumentId) -> None:
        for key in (name, f"{venue}:{name}") if venue else (name,):
            known = names.setdefault(key, [])
            if instrument_id not in known:
                known.append(instrument_id)

    for instrument in instruments.values():
        know(instrument.symbol, instrument.venue, instrument.instrument_id)
    aliases = connection.execute(
        select(INSTRUMENT_ALIASES).where(
            INSTRUMENT_ALIASES.c.valid_from <= now,
            or_(INSTRUMENT_ALIASES.c.valid_until.is_(None), INSTRUMENT_ALIASES.c.valid_until > now),
        )
    )
    for row in aliases:
        know(row.alias, row.venue, InstrumentId(row.instrument_id))
    return InstrumentCatalogue(
        version=version or 0,
        instruments=instruments,
        by_symbol={name: tuple(ids) for name, ids in names.items()},
        calendars={
            row.name: msgspec.convert(row.definition, Calendar) for row in connection.execute(select(CALENDARS))
        },
    )


def instrument_from_row(row: AnyRow) -> Instrument:
    """The kernel's instrument of a row of instruments."""
    return Instrument(
        instrument_id=InstrumentId(row.instrument_id),
        symbol=row.symbol,
        venue=row.venue,
        asset_class=AssetClass(row.asset_class),
        currency=row.currency,
        tick_size=row.tick_size,
        lot_size=row.lot_size,
        multiplier=row.multiplier,
        calendar=row.calendar,
        name=row.name,
        is_active=row.is_active,
        underlying_id=row.underlying_id,
        expiry=row.expiry if row.expiry is None or isinstance(row.expiry, date) else date.fromisoformat(row.expiry),
        last_trade_at=row.last_trade_at,
        strike=row.strike,
        right=OptionRight(row.option_right) if row.option_right else None,
        settlement=row.settlement,
        legs=tuple(msgspec.convert(leg, ComboLeg) for leg in row.legs or ()),
        max_order_quantity=row.max_order_quantity,
    )


def load_quotes(connection: Connection, received_after: datetime | None) -> list[Quote]:
    """The last quotes, all or those received since."""
    query = select(LAST_QUOTES)
    if received_after is not None:
        query = query.where(LAST_QUOTES.c.received_at > received_after)
    found = (quote_from_row(row) for row in connection.execute(query))
    return [quote for quote in found if quote is not None]


def quote_from_row(row: AnyRow, prefix: str = "") -> Quote | None:
    """The quote in the columns that begin with `prefix`; None when an outer join found none."""
    values = {name: getattr(row, prefix + name) for name in Quote.__struct_fields__}
    return Quote(**values) if values["instrument_id"] is not None else None


def load_connection_states(connection: Connection, tenant_id: TenantId) -> dict[ConnectionId, ConnectionState]:
    """How each open connection of a tenant is, with its lease."""
    rows = connection.execute(
        select(
            BROKER_CONNECTIONS.c.connection_id,
            BROKER_CONNECTIONS.c.status,
            BROKER_CONNECTIONS.c.detail,
            func.coalesce(LEASES.c.token, 0).label("token"),
            func.coalesce(LEASES.c.holder, "").label("holder"),
            LEASES.c.expires_at,
        )
        .join(
            LEASES,
            LEASES.c.resource == "connection:" + cast(BROKER_CONNECTIONS.c.connection_id, String),
            isouter=True,
        )
        .where(BROKER_CONNECTIONS.c.tenant_id == tenant_id, BROKER_CONNECTIONS.c.closed_at.is_(None))
    )
    return {
        ConnectionId(row.connection_id): ConnectionState(
            connection_id=ConnectionId(row.connection_id),
            status=row.status,
            detail=row.detail,
            lease_token=row.token,
            lease_holder=row.holder,
            lease_expires_at=row.expires_at,
        )
        for row in rows
    }


def load_answers(
    connection: Connection, tenant_id: TenantId, keys: Sequence[AnswerKey]
) -> dict[AnswerKey, StoredAnswer]:
    """The stored answers of these keys, however old."""
    columns = IDEMPOTENCY_KEYS.c
    rows = connection.execute(
        select(IDEMPOTENCY_KEYS).where(
            columns.tenant_id == tenant_id,
            tuple_(columns.principal, columns.operation, columns.key).in_(list(keys)),
        )
    )
    return {
        (row.principal, row.operation, row.key): StoredAnswer(
            key=row.key,
            principal=row.principal,
            operation=row.operation,
            fingerprint=bytes(row.fingerprint),
            status_code=row.status_code,
            order_versions=tuple((order_id, version) for order_id, version in msgspec.json.decode(row.order_versions)),
            extra=msgspec.json.decode(row.extra),
            created_at=row.created_at,
        )
        for row in rows
    }
