"""Orders as lists and details: filters in, the orders as the log tells them out, newest first."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, and_, select

from oms_app.store import log_rows
from oms_app.store.projection import decode_order
from oms_app.store.queries.paging import Page, Paging, page
from oms_app.store.rows import scope_of
from oms_app.store.tables import ORDER_TEXTS, ORDERS, RULE_DENIALS
from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.events import Recorded
from oms_kernel.domain.ids import AccountId, LedgerId, OrderId, TenantId
from oms_kernel.domain.lifecycle import STATE_FILTERS, STATUSES_OF, OrderState
from oms_kernel.domain.order import Order


class UnknownState(ValueError):
    """A word that no vocabulary of order states knows."""

    code = "invalid_request"


class OrderFilter(msgspec.Struct, frozen=True):
    """What a list of orders shows; None lets everything through. Times are of acceptance, `accepted_before` excluded.

    allowed_accounts: those that the caller may see; None means all of the tenant.
    """

    states: frozenset[OrderState] | None = None
    account_id: str | None = None
    instrument_id: str | None = None
    symbol: str | None = None
    side: str | None = None
    order_type: str | None = None
    strategy_id: str | None = None
    strategy_run_id: str | None = None
    client_order_id: str | None = None
    accepted_from: datetime | None = None
    accepted_before: datetime | None = None
    allowed_accounts: Collection[str] | None = None


class OrderView(msgspec.Struct, frozen=True):
    """An order with the ledger that holds it."""

    ledger_id: LedgerId
    order: Order


class DenialView(msgspec.Struct, frozen=True):
    """One rule's denial, as found by search."""

    order_id: OrderId
    account_id: AccountId | None
    seq: int
    rule: str
    plugin: str
    gate: str
    code: str
    message: str
    observed: Decimal | None
    limit_value: Decimal | None
    unit: str
    recorded_at: datetime


def states_of(words: Iterable[str]) -> frozenset[OrderState]:
    """The states that these words of either vocabulary select; case does not count. Raises UnknownState."""
    found: set[OrderState] = set()
    for word in words:
        states = STATE_FILTERS.get(word.upper())
        if states is None:
            raise UnknownState(f"status {word!r} is unknown; one of {', '.join(STATE_FILTERS)}")
        found |= states
    return frozenset(found)


def list_orders(unit: RowsUnit, filters: OrderFilter, paging: Paging) -> Page[OrderView]:
    """The orders that pass the filters, newest first."""
    query = filtered_orders(scope_of(unit), filters)
    return page(unit, query, ORDERS.c.order_id, paging, _order_view)


def list_order_documents(unit: RowsUnit, filters: OrderFilter, paging: Paging) -> Page[str]:
    """The same list as the stored JSON of each order: for who shows many and changes none."""
    query = filtered_orders(scope_of(unit), filters)
    return page(unit, query, ORDERS.c.order_id, paging, lambda row: str(row.document))


def get_order(unit: RowsUnit, order_id: OrderId) -> OrderView | None:
    """An order of the tenant, or None."""
    return get_orders(unit, [order_id]).get(order_id)


def get_orders(unit: RowsUnit, order_ids: Sequence[OrderId]) -> dict[OrderId, OrderView]:
    """Those of these orders that the tenant has."""
    query = select(ORDERS.c.ledger_id, ORDERS.c.order_id, ORDERS.c.document).where(
        ORDERS.c.tenant_id == scope_of(unit), ORDERS.c.order_id.in_(order_ids)
    )
    return {OrderId(row.order_id): _order_view(row) for row in unit.connection.execute(query)}


def order_events(unit: RowsUnit, order_id: OrderId) -> list[Recorded]:
    """An order's events in the order in which they were recorded."""
    return log_rows.events_of_order(unit.connection, scope_of(unit), order_id)


def order_text(unit: RowsUnit, order_id: OrderId, kind: str) -> str | None:
    """The free text of a kind (tags, note) that stands beside an order."""
    return order_texts(unit, [order_id], kind).get(order_id)


def order_texts(unit: RowsUnit, order_ids: Sequence[OrderId], kind: str) -> dict[OrderId, str]:
    """The free texts of a kind beside these orders."""
    query = select(ORDER_TEXTS.c.order_id, ORDER_TEXTS.c.text).where(
        ORDER_TEXTS.c.tenant_id == scope_of(unit), ORDER_TEXTS.c.order_id.in_(order_ids), ORDER_TEXTS.c.kind == kind
    )
    return {OrderId(row.order_id): row.text for row in unit.connection.execute(query)}


def list_denials(unit: RowsUnit, *, order_id: OrderId | None = None, rule: str | None = None) -> list[DenialView]:
    """The newest 500 denials, of one order or rule when named."""
    query = select(RULE_DENIALS).where(RULE_DENIALS.c.tenant_id == scope_of(unit))
    if order_id is not None:
        query = query.where(RULE_DENIALS.c.order_id == order_id)
    if rule is not None:
        query = query.where(RULE_DENIALS.c.rule == rule)
    rows = unit.connection.execute(query.order_by(RULE_DENIALS.c.recorded_at.desc()).limit(500)).mappings()
    return [msgspec.convert({name: row[name] for name in DenialView.__struct_fields__}, DenialView) for row in rows]


def filtered_orders(tenant_id: TenantId, filters: OrderFilter) -> Select[Any]:
    """The query behind a list of orders, neither ordered nor cut into pages."""
    columns = ORDERS.c
    query = select(columns.ledger_id, columns.order_id, columns.document).where(columns.tenant_id == tenant_id)
    equal = (
        (columns.account_id, filters.account_id),
        (columns.instrument_id, filters.instrument_id),
        (columns.symbol, filters.symbol),
        (columns.side, filters.side),
        (columns.order_type, filters.order_type),
        (columns.strategy_id, filters.strategy_id),
        (columns.strategy_run_id, filters.strategy_run_id),
        (columns.client_order_id, filters.client_order_id),
    )
    for column, wanted in equal:
        if wanted is not None:
            query = query.where(column == wanted)
    if filters.states is not None:
        query = query.where(in_states(filters.states))
    if filters.allowed_accounts is not None:
        query = query.where(columns.account_id.in_(sorted(filters.allowed_accounts)))
    if filters.accepted_from is not None:
        query = query.where(columns.accepted_at >= filters.accepted_from)
    if filters.accepted_before is not None:
        query = query.where(columns.accepted_at < filters.accepted_before)
    return query


def in_states(states: Collection[OrderState]) -> ColumnElement[bool]:
    """The condition that an order is in one of these states; its index is that of the statuses behind them."""
    statuses = sorted({status for state in states for status in STATUSES_OF[state]})
    return and_(ORDERS.c.status.in_(statuses), ORDERS.c.state.in_(sorted(states)))


def _order_view(row: AnyRow) -> OrderView:
    return OrderView(ledger_id=LedgerId(row.ledger_id), order=decode_order(row.document))
