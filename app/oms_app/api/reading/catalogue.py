"""What can be traded and where: instruments, their last quotes, accounts, broker accounts and connections."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import or_, select

from oms_app.api.json_text import plain
from oms_app.api.paging import page
from oms_app.api.problems import Problem, not_found
from oms_app.api.reading.asked import made_between, paging_of, part_of
from oms_app.flow.principal import Principal
from oms_app.store import queries
from oms_app.store.config_rows import instrument_from_row
from oms_app.store.queries import AccountView, ConnectionView, InstrumentFilter
from oms_app.store.tables import INSTRUMENT_ALIASES, INSTRUMENTS
from oms_app.store.unit_of_work import RowsUnit


def list_instruments(unit: RowsUnit, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of instruments; those that may be traded unless all are asked for."""
    venue, _, symbol = (asked.get("symbol") or "").rpartition(":")
    filters = InstrumentFilter(
        symbol=symbol or None,
        venue=asked.get("venue") or asked.get("exchange") or venue or None,
        asset_class=asked.get("asset_class"),
        currency=asked.get("currency"),
        is_active=None if asked.get("with_closed") else True,
    )
    found = queries.list_instruments(unit, filters, paging_of(asked, dated=True))
    items = [plain(instrument) for instrument in found.items]
    return page(items, next_cursor=found.next_cursor, total_count=found.total_count)


def find_instrument(unit: RowsUnit, instrument_id: str) -> dict[str, Any] | None:
    """One instrument."""
    row = unit.connection.execute(select(INSTRUMENTS).where(INSTRUMENTS.c.instrument_id == instrument_id)).one_or_none()
    shown: dict[str, Any] | None = plain(instrument_from_row(row)) if row is not None else None
    return shown


def last_quote(unit: RowsUnit, name: str, max_age: timedelta) -> dict[str, Any]:
    """The last quote of SYMBOL or VENUE:SYMBOL. Raises Problem when there is none, or several bear the name."""
    venue, _, symbol = name.rpartition(":")
    aliased = select(INSTRUMENT_ALIASES.c.instrument_id).where(
        INSTRUMENT_ALIASES.c.alias == symbol,
        INSTRUMENT_ALIASES.c.valid_from <= unit.now,
        or_(INSTRUMENT_ALIASES.c.valid_until.is_(None), INSTRUMENT_ALIASES.c.valid_until > unit.now),
    )
    query = select(INSTRUMENTS)
    named = [INSTRUMENTS.c.venue == venue] if venue else []
    found = unit.connection.execute(query.where(INSTRUMENTS.c.symbol == symbol, *named)).all()
    found = found or unit.connection.execute(query.where(INSTRUMENTS.c.instrument_id.in_(aliased), *named)).all()
    if not found:
        raise not_found(f"instrument: {name}")
    if len(found) > 1:
        venues = ", ".join(sorted(row.venue for row in found))
        raise Problem("conflict", f"{name} is traded at {venues}; name one as VENUE:SYMBOL")
    instrument = instrument_from_row(found[0])
    quote = queries.get_quote(unit, instrument.instrument_id)
    if quote is None:
        raise not_found(f"quote of {name} yet")
    shown: dict[str, Any] = plain(quote)
    is_stale = unit.now - quote.received_at > max_age
    return {"symbol": instrument.symbol, "venue": instrument.venue, **shown, "is_stale": is_stale}


def list_accounts(unit: RowsUnit, principal: Principal, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of trading accounts by name, with cash and where they are routed."""
    cash = _cash(unit, principal)
    found = queries.list_accounts(unit, principal.account_ids, with_closed=bool(asked.get("with_closed")))
    return part_of([_account(view, cash) for view in made_between(found, asked)], asked)


def find_account(unit: RowsUnit, principal: Principal, account_id: str) -> dict[str, Any] | None:
    """One account, if the principal may see it."""
    view = queries.get_account(unit, account_id)
    if view is None or (principal.account_ids is not None and account_id not in principal.account_ids):
        return None
    return _account(view, _cash(unit, principal))


def list_broker_accounts(unit: RowsUnit, principal: Principal, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of broker accounts, with the trading accounts that are routed to each."""
    accounts: dict[str, dict[str, Any]] = {}
    for view in made_between(queries.list_broker_accounts(unit), asked):
        if principal.account_ids is not None and view.account_id not in principal.account_ids:
            continue
        shown = accounts.setdefault(view.broker_account_id, {**plain(view), "account_ids": []})
        shown.pop("account_id", None)
        if view.account_id is not None:
            shown["account_ids"].append(view.account_id)
    return part_of(list(accounts.values()), asked)


def connections(unit: RowsUnit, broker: str | None = None) -> list[dict[str, Any]]:
    """The tenant's open connections, of one broker if one is named, with how their sessions stand."""
    found = queries.list_connections(unit)
    return [_connection(unit, view) for view in found if broker is None or view.broker == broker]


def _connection(unit: RowsUnit, view: ConnectionView) -> dict[str, Any]:
    held = view.expires_at is not None and view.expires_at > unit.now
    return {
        "connection_id": view.connection_id,
        "broker": view.broker,
        "name": view.name,
        "desired": view.desired,
        "status": view.status,
        "detail": view.detail,
        "is_ready": view.status == "READY" and held,
        "last_heard_at": view.last_heard_at,
        "lease_expires_at": view.expires_at,
    }


def _cash(unit: RowsUnit, principal: Principal) -> dict[str, dict[str, str]]:
    cash: dict[str, dict[str, str]] = {}
    for view in queries.list_cash(unit, principal.account_ids):
        cash.setdefault(view.account_id, {})[view.currency] = plain(view.amount)
    return cash


_ACCOUNT_FIELDS = (
    "account_id",
    "name",
    "base_currency",
    "time_zone",
    "day_roll",
    "calendar",
    "trading_state",
    "state_reason",
    "broker",
    "broker_account_id",
    "created_at",
    "closed_at",
)


def _account(view: AccountView, cash: Mapping[str, dict[str, str]]) -> dict[str, Any]:
    return {**{name: getattr(view, name) for name in _ACCOUNT_FIELDS}, "cash": cash.get(view.account_id, {})}
