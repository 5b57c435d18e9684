"""Verdicts that denied or held an order, or would have, as a list: filters in, newest first, cut by a cursor."""

import base64
import binascii
import uuid
from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Column, Select, bindparam, func, select, tuple_

from oms_app.store.queries.paging import MOST, InvalidCursor, Page, Paging
from oms_app.store.queries.reading import viewer
from oms_app.store.rows import scope_of
from oms_app.store.tables import RULE_DENIALS
from oms_app.store.types import AnyRow, instant_from_text, instant_to_text
from oms_app.store.unit_of_work import RowsUnit


class VerdictFilter(msgspec.Struct, frozen=True):
    """What the list shows; None lets everything through. `recorded_before` is excluded.

    allowed_accounts: those that the caller may see; None means all of the tenant.
    """

    rule: str | None = None
    limit_id: str | None = None
    account_id: str | None = None
    order_id: str | None = None
    severity: str | None = None
    recorded_from: datetime | None = None
    recorded_before: datetime | None = None
    allowed_accounts: Collection[str] | None = None


class VerdictView(msgspec.Struct, frozen=True):
    """One verdict that was no pass, with the event that holds it. severity SHADOW: it refused nothing."""

    ledger_id: str
    seq: int
    position: int
    order_id: str
    account_id: str | None
    rule: str
    plugin: str
    gate: str
    code: str
    message: str
    observed: Decimal | None
    limit_value: Decimal | None
    unit: str
    would_pass: str
    severity: str
    limit_id: str
    recorded_at: datetime


def list_verdicts(unit: RowsUnit, filters: VerdictFilter, paging: Paging) -> Page[VerdictView]:
    """The verdicts that pass the filters, newest first. Raises InvalidCursor."""
    order = _order()
    limit = max(1, min(paging.limit, MOST))
    query = filtered_verdicts(unit, filters)
    some = query.order_by(*(column.desc() for column in order)).limit(limit + 1)
    if paging.cursor is not None:
        some = some.where(tuple_(*order) < tuple_(*_behind(paging.cursor)))
    elif paging.offset:
        some = some.offset(paging.offset)
    rows = unit.connection.execute(some).all()
    has_next, rows = len(rows) > limit, rows[:limit]
    counted = paging.with_total if paging.with_total is not None else paging.cursor is None
    total = unit.connection.scalar(select(func.count()).select_from(query.subquery())) if counted else None
    return Page(
        items=[viewer(VerdictView)(row) for row in rows],
        next_cursor=_cursor(rows[-1]) if has_next else None,
        total_count=total,
        has_next=has_next,
    )


def filtered_verdicts(unit: RowsUnit, filters: VerdictFilter) -> Select[Any]:
    """The query behind the list, neither ordered nor cut into pages."""
    columns = RULE_DENIALS.c
    query = select(RULE_DENIALS).where(columns.tenant_id == scope_of(unit))
    for name in ("rule", "limit_id", "account_id", "order_id", "severity"):
        wanted = getattr(filters, name)
        if wanted is not None:
            query = query.where(columns[name] == wanted)
    if filters.allowed_accounts is not None:
        query = query.where(columns.account_id.in_(sorted(filters.allowed_accounts)))
    if filters.recorded_from is not None:
        query = query.where(columns.recorded_at >= filters.recorded_from)
    if filters.recorded_before is not None:
        query = query.where(columns.recorded_at < filters.recorded_before)
    return query


def _cursor(row: AnyRow) -> str:
    text = f"{instant_to_text(row.recorded_at)} {row.ledger_id} {row.seq} {row.position}"
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _behind(cursor: str) -> tuple[Any, ...]:
    """The key behind a cursor, as bound values of the columns' types. Raises InvalidCursor."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        at, ledger_id, seq, position = text.split(" ")
        values = (instant_from_text(at), str(uuid.UUID(ledger_id)), int(seq), int(position))
    except (ValueError, OverflowError, binascii.Error):
        raise InvalidCursor("the cursor is not one of this list") from None
    if not (0 <= values[2] < 2**63 and 0 <= values[3] < 2**31):
        raise InvalidCursor("the cursor is not one of this list")
    return tuple(bindparam(None, value, type_=column.type) for value, column in zip(values, _order(), strict=True))


def _order() -> tuple[Column[Any], ...]:
    columns = RULE_DENIALS.c
    return (columns.recorded_at, columns.ledger_id, columns.seq, columns.position)
