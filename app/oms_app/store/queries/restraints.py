"""Kill switches, what happened to them, and liquidations: filters in, pages out, newest first, with people's words."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Column, Select, Table, select

from oms_app.store.queries.paging import Page, Paging, page
from oms_app.store.queries.reading import viewer
from oms_app.store.rows import one, scope_of
from oms_app.store.tables import KILL_SWITCH_EVENTS, KILL_SWITCHES, LIQUIDATIONS, ORDER_TEXTS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.account import TradingState

SWITCH_TEXT, ASKED_TEXT, RELEASE_TEXT = "kill_switch", "kill_switch_release_asked", "kill_switch_release"
"""Kinds of words that stand beside the log under a switch's id: of the activation, of the request, of the release."""


class RestraintFilter(msgspec.Struct, frozen=True):
    """What a list shows; None lets everything through. `before` is excluded.

    active: only what holds or runs, or only what does no more. allowed_accounts: those that the caller may see; then
    what concerns the tenant as a whole stays out too.
    """

    account_id: str | None = None
    active: bool | None = None
    since: datetime | None = None
    before: datetime | None = None
    allowed_accounts: Collection[str] | None = None


class SwitchView(msgspec.Struct, frozen=True):
    """One kill switch."""

    switch_id: str
    ledger_id: str
    level: str
    account_id: str | None
    strategy_id: str | None
    instrument_id: str | None
    trading_state: str
    cause: str
    reason_code: str
    cancel_working: bool
    flatten: bool
    breach_id: str | None
    firm_switch_id: str
    activated_at: datetime
    activated_by: str
    release_asked_by: str
    released_at: datetime | None
    released_by: str


class SwitchEventView(msgspec.Struct, frozen=True):
    """One thing that happened to a kill switch, or a drill. order_count, position_count, elapsed_ms: of a drill."""

    event_id: str
    kind: str
    switch_id: str | None
    account_id: str | None
    strategy_id: str | None
    instrument_id: str | None
    trading_state: str | None
    reason_code: str
    principal: str
    order_count: int | None
    position_count: int | None
    elapsed_ms: int | None
    recorded_at: datetime


class LiquidationView(msgspec.Struct, frozen=True):
    """One liquidation."""

    liquidation_id: str
    ledger_id: str
    account_id: str | None
    strategy_id: str | None
    instrument_id: str | None
    reason_code: str
    switch_id: str | None
    started_at: datetime
    started_by: str
    ended_at: datetime | None
    outcome: str


def list_switches(unit: RowsUnit, filters: RestraintFilter, paging: Paging) -> Page[SwitchView]:
    """The kill switches that pass the filters, newest first."""
    columns = KILL_SWITCHES.c
    query = _filtered(unit, KILL_SWITCHES, columns.activated_at, columns.released_at, filters)
    return page(unit, query, columns.switch_id, paging, viewer(SwitchView))


def get_switch(unit: RowsUnit, switch_id: str, allowed_accounts: Collection[str] | None = None) -> SwitchView | None:
    """A kill switch, or None."""
    columns = KILL_SWITCHES.c
    wanted = RestraintFilter(allowed_accounts=allowed_accounts)
    query = _filtered(unit, KILL_SWITCHES, columns.activated_at, columns.released_at, wanted)
    row = one(unit, query.where(columns.switch_id == switch_id))
    return viewer(SwitchView)(row) if row is not None else None


def list_switch_events(unit: RowsUnit, filters: RestraintFilter, paging: Paging) -> Page[SwitchEventView]:
    """What happened to kill switches, drills included, newest first; `active` means nothing here."""
    columns = KILL_SWITCH_EVENTS.c
    query = _filtered(unit, KILL_SWITCH_EVENTS, columns.recorded_at, None, filters)
    return page(unit, query, columns.event_id, paging, viewer(SwitchEventView))


def list_liquidations(unit: RowsUnit, filters: RestraintFilter, paging: Paging) -> Page[LiquidationView]:
    """The liquidations that pass the filters, newest first."""
    columns = LIQUIDATIONS.c
    query = _filtered(unit, LIQUIDATIONS, columns.started_at, columns.ended_at, filters)
    return page(unit, query, columns.liquidation_id, paging, viewer(LiquidationView))


def get_liquidation(
    unit: RowsUnit, liquidation_id: str, allowed_accounts: Collection[str] | None = None
) -> LiquidationView | None:
    """A liquidation, or None."""
    columns = LIQUIDATIONS.c
    wanted = RestraintFilter(allowed_accounts=allowed_accounts)
    query = _filtered(unit, LIQUIDATIONS, columns.started_at, columns.ended_at, wanted)
    row = one(unit, query.where(columns.liquidation_id == liquidation_id))
    return viewer(LiquidationView)(row) if row is not None else None


def ledgers_liquidating(unit: RowsUnit) -> Sequence[str]:
    """The ledgers of the unit's tenant in which a liquidation runs."""
    columns = LIQUIDATIONS.c
    query = select(columns.ledger_id).where(columns.tenant_id == scope_of(unit), columns.ended_at.is_(None)).distinct()
    return unit.connection.scalars(query).all()


def switch_texts(unit: RowsUnit, switch_ids: Sequence[str]) -> dict[tuple[str, str], str]:
    """(switch, kind of text) -> what a person wrote."""
    texts = ORDER_TEXTS.c
    query = select(texts.order_id, texts.kind, texts.text).where(
        texts.tenant_id == scope_of(unit),
        texts.order_id.in_(sorted(switch_ids)),
        texts.kind.in_((SWITCH_TEXT, ASKED_TEXT, RELEASE_TEXT)),
    )
    return {(row.order_id, row.kind): row.text for row in unit.connection.execute(query)}


def is_halted(unit: RowsUnit, account_id: str, strategy_id: str) -> bool:
    """Whether a kill switch halts everything that a strategy does; one of a single instrument does not."""
    columns = KILL_SWITCHES.c
    query = select(columns.switch_id).where(
        columns.tenant_id == scope_of(unit),
        columns.released_at.is_(None),
        columns.trading_state == TradingState.HALTED.value,
        columns.instrument_id.is_(None),
        columns.account_id.is_(None) | (columns.account_id == account_id),
        columns.strategy_id.is_(None) | (columns.strategy_id == strategy_id),
    )
    return unit.connection.scalar(query.limit(1)) is not None


def _filtered(
    unit: RowsUnit, table: Table, began: Column[Any], ended: Column[Any] | None, filters: RestraintFilter
) -> Select[Any]:
    query = select(table).where(table.c.tenant_id == scope_of(unit))
    if filters.account_id is not None:
        query = query.where(table.c.account_id == filters.account_id)
    if filters.allowed_accounts is not None:
        query = query.where(table.c.account_id.in_(sorted(filters.allowed_accounts)))
    if filters.active is not None and ended is not None:
        query = query.where(ended.is_(None) if filters.active else ended.is_not(None))
    if filters.since is not None:
        query = query.where(began >= filters.since)
    if filters.before is not None:
        query = query.where(began < filters.before)
    return query
