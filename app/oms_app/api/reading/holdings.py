"""Positions and the profit and loss of today, valued at the middle of the last quotes."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import time
from decimal import Decimal
from typing import Any

from oms_app.api.json_text import plain
from oms_app.api.reading.asked import instrument_asked, part_of
from oms_app.flow.principal import Principal
from oms_app.store import queries
from oms_app.store.queries import AccountView, DayView, PositionFilter, PositionView
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.calendar import risk_date
from oms_kernel.domain.market import Quote
from oms_kernel.domain.money import ZERO, add, notional, subtract
from oms_kernel.domain.order import NET_BOOK
from oms_kernel.domain.position import Position

_NAMESPACE = uuid.UUID("6f1c2c1e-7a55-5d0e-9a53-0f6a4b1d3c11")


def list_positions(unit: RowsUnit, principal: Principal, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of positions by symbol; those of the accounts as a whole unless a book is named."""
    symbol, instrument_id = instrument_asked(unit, asked)
    filters = PositionFilter(
        account_id=asked.get("account_id"),
        instrument_id=instrument_id,
        symbol=symbol,
        book=asked.get("book") or asked.get("strategy_id") or NET_BOOK,
        is_open=None if asked.get("with_closed") else True,
        allowed_accounts=principal.account_ids,
    )
    found = [
        view
        for view in queries.list_positions(unit, filters)
        if (asked.get("from") is None or view.updated_at >= asked["from"])
        and (asked.get("to") is None or view.updated_at < asked["to"])
    ]
    return part_of([position_document(view) for view in found], asked)


def find_position(unit: RowsUnit, principal: Principal, position_id: str) -> dict[str, Any] | None:
    """The position with this id, if the principal may see it."""
    filters = PositionFilter(book=None, allowed_accounts=principal.account_ids)
    return next(
        (
            position_document(view)
            for view in queries.list_positions(unit, filters)
            if position_id_of(view.position) == position_id
        ),
        None,
    )


def position_id_of(position: Position) -> str:
    """The id under which one book's holding of one instrument is read; always the same."""
    key = f"{position.account_id}/{position.book}/{position.instrument_id}"
    return str(uuid.uuid5(_NAMESPACE, key))


def position_document(view: PositionView) -> dict[str, Any]:
    """A position as JSON values, valued if there is a quote."""
    position, mark = view.position, mark_of(view.quote)
    value = None
    if mark is not None:
        unsigned = notional(abs(position.quantity), mark, position.multiplier)
        value = unsigned if position.quantity >= 0 else unsigned.copy_negate()
    shown: dict[str, Any] = {
        "position_id": position_id_of(position),
        "symbol": view.symbol,
        **plain(position),
        "average_price": plain(position.average_price),
        "mark_price": plain(mark),
        "market_value": plain(value),
        "unrealised_pnl": plain(position.unrealised_pnl(mark)) if mark is not None else None,
        "is_open": position.is_open,
        "updated_at": view.updated_at,
        "closed_at": view.closed_at,
    }
    return shown


def mark_of(quote: Quote | None) -> Decimal | None:
    """The middle of bid and ask, else the last price; None without a quote."""
    if quote is None:
        return None
    middle = quote.mid()
    return middle if middle is not None else quote.last


def pnl_today(unit: RowsUnit, principal: Principal, account_id: str | None) -> list[dict[str, Any]]:
    """One line for each account and currency on the account's present risk day."""
    accounts = queries.list_accounts(unit, principal.account_ids)
    days = queries.list_days(unit, principal.account_ids)
    held = queries.list_positions(unit, PositionFilter(is_open=True, allowed_accounts=principal.account_ids))
    lines: list[dict[str, Any]] = []
    for account in accounts:
        if account_id is not None and account.account_id != account_id:
            continue
        lines.extend(
            _lines_of(
                unit,
                account,
                [day for day in days if day.account_id == account.account_id],
                [view for view in held if view.position.account_id == account.account_id],
            )
        )
    return lines


def _lines_of(
    unit: RowsUnit, account: AccountView, days: Sequence[DayView], held: Sequence[PositionView]
) -> list[dict[str, Any]]:
    today = risk_date(unit.now, account.time_zone, time.fromisoformat(account.day_roll))
    of_day = {day.currency: day for day in days if day.risk_date == today}
    open_pnl = _unrealised(held)
    lines = []
    for currency in sorted({account.base_currency, *of_day, *open_pnl}):
        day = of_day.get(currency)
        realised, fees = (day.realised_pnl, day.fees) if day is not None else (ZERO, ZERO)
        unrealised = open_pnl.get(currency, ZERO)
        line = {
            "account_id": account.account_id,
            "currency": currency,
            "risk_date": today.isoformat(),
            "realised_pnl": realised,
            "unrealised_pnl": unrealised,
            "fees": fees,
            "total_pnl": None if unrealised is None else subtract(add(realised, unrealised), fees),
            "traded_value": day.traded_value if day is not None else ZERO,
            "accepted": day.accepted if day is not None else 0,
            "denied": day.denied if day is not None else 0,
            "fills": day.fills if day is not None else 0,
        }
        lines.append(plain(line))
    return lines


def _unrealised(held: Sequence[PositionView]) -> dict[str, Decimal | None]:
    """Profit or loss of the open quantities by currency; None where a position has no quote."""
    sums: dict[str, Decimal | None] = {}
    for view in held:
        mark, so_far = mark_of(view.quote), sums.get(view.position.currency, ZERO)
        if mark is None or so_far is None:
            sums[view.position.currency] = None
        else:
            sums[view.position.currency] = add(so_far, view.position.unrealised_pnl(mark))
    return sums
