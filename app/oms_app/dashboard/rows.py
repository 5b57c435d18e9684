"""A tenant's read models, as the fragments need them; accounts that a caller may not use stay out.

Nothing here locks a ledger: these are projections, read as one snapshot on connections that only read.
"""

from collections.abc import Iterable
from datetime import datetime, time

import msgspec
from sqlalchemy import select

from oms_app.flow.principal import Principal
from oms_app.store import config_rows, queries
from oms_app.store import tables as t
from oms_app.store.queries import restraints
from oms_app.store.queries.restraints import RestraintFilter
from oms_app.store.sql_store import SqlStore
from oms_kernel.domain.account import STRICTNESS, TradingState
from oms_kernel.domain.ids import InstrumentId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.lifecycle import TERMINAL, OrderState
from oms_kernel.domain.market import Quote
from oms_kernel.domain.order import Order

MOST_ORDERS = 200
"""Rows of one blotter; older ones are for the API's lists."""
MOST_INSTRUMENTS = 500
KINDS = {"key": "an API key", "strategy": "a strategy", "system": "the system"}
"""What to call a principal that is no person."""
ACTIVE = frozenset(state for state in OrderState if state.value not in {status.value for status in TERMINAL})


class AccountRow(msgspec.Struct, frozen=True):
    """A trading account with the connection that serves it; `connection` is empty while nothing does.

    effective_state: the strictest of its own trading state and of the kill switches that cover all of it.
    """

    account_id: str
    ledger_id: str
    name: str
    base_currency: str
    time_zone: str
    day_roll: time
    trading_state: str
    state_reason: str
    effective_state: str
    account_type: str
    connection: str
    status: str
    detail: str


class Blotter(msgspec.Struct, frozen=True):
    """The newest orders first, whether there are older ones, and how many are active."""

    orders: tuple[Order, ...]
    has_more: bool
    active_count: int


class Market(msgspec.Struct, frozen=True):
    """What can be traded, by symbol, and the last quote of each, however old."""

    instruments: tuple[Instrument, ...]
    quotes: dict[InstrumentId, Quote]


class Holdings(msgspec.Struct, frozen=True):
    """Positions net over their books, open or closed, each account's last active day, and its cash by currency."""

    positions: tuple[queries.PositionView, ...]
    days: tuple[queries.DayView, ...]
    cash: tuple[queries.CashView, ...]


class Who(msgspec.Struct, frozen=True):
    """The signed-in person, for the header."""

    email: str
    tenant: str


class DeskRows:
    """Reads for one caller at a time; thread-safe, because it keeps nothing."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    def who(self, principal: Principal) -> Who:
        """E-mail and tenant of a signed-in person."""
        user_id = principal.principal_id.partition(":")[2]
        with self._store.read_unit(principal.tenant_id) as unit:
            email = unit.connection.execute(select(t.USERS.c.email).where(t.USERS.c.user_id == user_id)).scalar()
            tenant = unit.connection.execute(
                select(t.TENANTS.c.name).where(t.TENANTS.c.tenant_id == principal.tenant_id)
            ).scalar()
        return Who(email=email or "", tenant=tenant or "")

    def people(self, principal: Principal, ids: Iterable[str]) -> dict[str, str]:
        """What to call each of these principals: people by e-mail, keys and strategies by their kind."""
        wanted = {name for name in ids if name}
        users = sorted(name.partition(":")[2] for name in wanted if name.startswith("user:"))
        with self._store.read_unit(principal.tenant_id) as unit:
            query = select(t.USERS.c.user_id, t.USERS.c.email).where(t.USERS.c.user_id.in_(users))
            emails = {f"user:{row.user_id}": row.email for row in unit.connection.execute(query)} if users else {}
        return {name: emails.get(name) or KINDS.get(name.partition(":")[0], name) for name in wanted}

    def accounts(self, principal: Principal) -> tuple[AccountRow, ...]:
        """The open accounts that the caller may use, by name."""
        with self._store.read_unit(principal.tenant_id) as unit:
            accounts = queries.list_accounts(unit, principal.account_ids)
            types = {one.broker_account_id: one.account_type for one in queries.list_broker_accounts(unit)}
            connections = {one.connection_id: one for one in queries.list_connections(unit)}
            holding = restraints.list_switches(
                unit, RestraintFilter(active=True), queries.Paging(with_total=False)
            ).items
            now = unit.now
        wide = [one for one in holding if one.strategy_id is None and one.instrument_id is None]
        return tuple(
            _account_row(account, types.get(account.broker_account_id or "", ""), connections, wide, now)
            for account in accounts
        )

    def market(self) -> Market:
        """Instruments and quotes."""
        paging = queries.Paging(limit=MOST_INSTRUMENTS, with_total=False)
        with self._store.read_unit(None) as unit:
            instruments = queries.list_instruments(unit, queries.InstrumentFilter(), paging).items
            quotes = config_rows.load_quotes(unit.connection, None)
        return Market(
            instruments=tuple(sorted(instruments, key=lambda one: (one.symbol, one.venue))),
            quotes={quote.instrument_id: quote for quote in quotes},
        )

    def orders(self, principal: Principal, *, active_only: bool) -> Blotter:
        """The blotter."""
        every = queries.OrderFilter(allowed_accounts=principal.account_ids)
        active = msgspec.structs.replace(every, states=ACTIVE)
        with self._store.read_unit(principal.tenant_id) as unit:
            page = queries.list_orders(
                unit, active if active_only else every, queries.Paging(limit=MOST_ORDERS, with_total=False)
            )
            # Only what is active is counted: the number of all orders grows without bound.
            counted = queries.list_orders(unit, active, queries.Paging(limit=1, with_total=True))
        return Blotter(
            orders=tuple(view.order for view in page.items),
            has_more=page.has_next,
            active_count=counted.total_count or 0,
        )

    def holdings(self, principal: Principal) -> Holdings:
        """What the caller's accounts hold and did."""
        with self._store.read_unit(principal.tenant_id) as unit:
            wanted = queries.PositionFilter(allowed_accounts=principal.account_ids)
            return Holdings(
                positions=tuple(queries.list_positions(unit, wanted)),
                days=tuple(queries.list_days(unit, principal.account_ids)),
                cash=tuple(queries.list_cash(unit, principal.account_ids)),
            )


def _strictness(state: str) -> int:
    return STRICTNESS[TradingState(state)]


def _account_row(
    account: queries.AccountView,
    account_type: str,
    connections: dict[str, queries.ConnectionView],
    switches: list[restraints.SwitchView],
    now: datetime,
) -> AccountRow:
    connection = connections.get(account.connection_id or "")
    status, detail = "DISCONNECTED", ""
    if connection is not None:
        is_held = connection.expires_at is not None and connection.expires_at > now
        status, detail = (connection.status, connection.detail) if is_held else (status, "no session serves it")
    states = [one.trading_state for one in switches if one.account_id in (None, account.account_id)]
    return AccountRow(
        account_id=account.account_id,
        ledger_id=account.ledger_id,
        name=account.name,
        base_currency=account.base_currency,
        time_zone=account.time_zone,
        day_roll=time.fromisoformat(account.day_roll),
        trading_state=account.trading_state,
        state_reason=account.state_reason,
        effective_state=max((account.trading_state, *states), key=_strictness),
        account_type=account_type,
        connection=connection.name if connection is not None else "",
        status=status,
        detail=detail,
    )
