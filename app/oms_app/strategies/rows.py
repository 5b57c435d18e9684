"""Strategy runs as rows: which are wanted, where they stand, what became of them."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import insert, select, update

from oms_app.store.platform import PLATFORM_TENANT
from oms_app.store.queries.restraints import is_halted
from oms_app.store.rows import scope_of, stamps
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import (
    CONSUMER_CURSORS,
    EVENT_LOG,
    LEDGERS,
    ORDERS,
    STRATEGIES,
    STRATEGY_RUNS,
    TRADING_ACCOUNTS,
)
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.events import Recorded, decode_event
from oms_kernel.domain.ids import AccountId, EventId, LedgerId, StrategyId, StrategyRunId, TenantId

OPEN_STATUSES = ("STARTING", "RUNNING", "STOPPING")
LONGEST_ERROR = 4_000


class Run(msgspec.Struct, frozen=True):
    """A run that is to be carried on."""

    tenant_id: TenantId
    run_id: StrategyRunId
    strategy_id: StrategyId
    strategy: str
    params: dict[str, Any]
    account_id: AccountId
    ledger_id: LedgerId
    cursor_seq: int
    """Where the run was started: it is told what happened after that."""


def open_runs(store: SqlStore) -> list[Run]:
    """All runs of all tenants that are not over."""
    with store.read_unit(None) as unit:
        query = select(LEDGERS.c.tenant_id).where(LEDGERS.c.tenant_id != PLATFORM_TENANT).distinct()
        tenants = unit.connection.scalars(query).all()
    found: list[Run] = []
    for tenant_id in tenants:
        with store.read_unit(TenantId(tenant_id)) as unit:
            found += _open_runs_of(unit)
    return found


def _open_runs_of(unit: RowsUnit) -> list[Run]:
    tenant_id = scope_of(unit)
    query = (
        select(STRATEGY_RUNS, STRATEGIES.c.strategy, STRATEGIES.c.params, STRATEGIES.c.account_id)
        .join(
            STRATEGIES,
            (STRATEGIES.c.tenant_id == STRATEGY_RUNS.c.tenant_id)
            & (STRATEGIES.c.strategy_id == STRATEGY_RUNS.c.strategy_id),
        )
        .where(STRATEGY_RUNS.c.tenant_id == tenant_id, STRATEGY_RUNS.c.status.in_(OPEN_STATUSES))
        .order_by(STRATEGY_RUNS.c.run_id)
    )
    return [
        Run(
            tenant_id=tenant_id,
            run_id=StrategyRunId(row.run_id),
            strategy_id=StrategyId(row.strategy_id),
            strategy=row.strategy,
            params=row.params,
            account_id=AccountId(row.account_id),
            ledger_id=LedgerId(row.ledger_id),
            cursor_seq=row.cursor_seq,
        )
        for row in unit.connection.execute(query)
    ]


def is_stopping(unit: RowsUnit, run: Run) -> bool:
    """Whether a person asked the run to stop, its account is halted, or a kill switch halts it."""
    status = unit.connection.scalar(
        select(STRATEGY_RUNS.c.status).where(
            STRATEGY_RUNS.c.tenant_id == scope_of(unit), STRATEGY_RUNS.c.run_id == run.run_id
        )
    )
    state = unit.connection.scalar(
        select(TRADING_ACCOUNTS.c.trading_state).where(
            TRADING_ACCOUNTS.c.tenant_id == scope_of(unit), TRADING_ACCOUNTS.c.account_id == run.account_id
        )
    )
    if status not in {"STARTING", "RUNNING"} or state == "HALTED":
        return True
    return is_halted(unit, run.account_id, run.strategy_id)


def note_cursor(unit: RowsUnit, run: Run, seq: int) -> None:
    """Show people how far the run has read its ledger."""
    mine = (STRATEGY_RUNS.c.tenant_id == scope_of(unit), STRATEGY_RUNS.c.run_id == run.run_id)
    unit.connection.execute(update(STRATEGY_RUNS).where(*mine, STRATEGY_RUNS.c.cursor_seq < seq).values(cursor_seq=seq))


def begin_cursor(unit: RowsUnit, consumer: str, ledger_id: LedgerId, seq: int) -> int:
    """Where the consumer stands; `seq` when it begins now."""
    query = select(CONSUMER_CURSORS.c.seq).where(
        CONSUMER_CURSORS.c.consumer == consumer, CONSUMER_CURSORS.c.ledger_id == ledger_id
    )
    found: int | None = unit.connection.scalar(query)
    if found is not None:
        return found
    unit.connection.execute(
        insert(CONSUMER_CURSORS).values(consumer=consumer, ledger_id=ledger_id, seq=seq, **stamps(unit))
    )
    return seq


def own_history(unit: RowsUnit, run: Run, until_seq: int) -> list[Recorded]:
    """Everything that happened to the strategy's own orders up to a seq."""
    log = EVENT_LOG
    own = select(ORDERS.c.order_id).where(ORDERS.c.tenant_id == scope_of(unit), ORDERS.c.strategy_id == run.strategy_id)
    query = (
        select(log.c.seq, log.c.event_id, log.c.recorded_at, log.c.kind, log.c.version, log.c.payload)
        .where(
            log.c.tenant_id == scope_of(unit),
            log.c.ledger_id == run.ledger_id,
            log.c.seq <= until_seq,
            log.c.order_id.in_(own),
        )
        .order_by(log.c.seq)
    )
    return [
        Recorded(
            seq=row.seq,
            event_id=EventId(row.event_id),
            recorded_at=row.recorded_at,
            event=decode_event(row.kind, row.version, row.payload),
        )
        for row in unit.connection.execute(query)
    ]
