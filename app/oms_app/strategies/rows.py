"""Strategy runs as rows: which are wanted, where they stand, what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import insert, select, update

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
LONGEST_LOG = 64_000
LONGEST_ERROR = 4_000


class Run(msgspec.Struct, frozen=True):
    """A run that is to be carried on; `stopping` when a person asked it to stop."""

    tenant_id: TenantId
    run_id: StrategyRunId
    strategy_id: StrategyId
    strategy: str
    params: dict[str, Any]
    account_id: AccountId
    ledger_id: LedgerId
    stopping: bool

    @property
    def resource(self) -> str:
        """The name under which the run is leased."""
        return f"run:{self.run_id}"


def open_runs(store: SqlStore) -> list[Run]:
    """All runs of all tenants that are not over."""
    with store.read_unit(None) as unit:
        tenants = unit.connection.scalars(select(LEDGERS.c.tenant_id).distinct()).all()
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
            stopping=row.status == "STOPPING",
        )
        for row in unit.connection.execute(query)
    ]


def set_status(unit: RowsUnit, run: Run, status: str, *, error: str = "", restarts: int | None = None) -> None:
    """Tell people how the run is; STOPPED and ERROR end it and its strategy."""
    is_over = status in {"STOPPED", "ERROR"}
    values: dict[str, Any] = {"status": status, "updated_at": unit.now}
    if error:
        values["error"] = error[-LONGEST_ERROR:]
    if restarts is not None:
        values["restarts"] = restarts
    if is_over:
        values["stopped_at"] = unit.now
    mine = (STRATEGY_RUNS.c.tenant_id == scope_of(unit), STRATEGY_RUNS.c.run_id == run.run_id)
    unless_stopping = () if is_over else (STRATEGY_RUNS.c.status != "STOPPING",)
    unit.connection.execute(update(STRATEGY_RUNS).where(*mine, *unless_stopping).values(**values))
    if is_over:
        unit.connection.execute(
            update(STRATEGIES)
            .where(STRATEGIES.c.tenant_id == scope_of(unit), STRATEGIES.c.strategy_id == run.strategy_id)
            .values(status=status, error=error[-LONGEST_ERROR:], updated_at=unit.now)
        )


def is_stopping(unit: RowsUnit, run: Run) -> bool:
    """Whether a person asked the run to stop, or its account is halted."""
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
    return status not in {"STARTING", "RUNNING"} or state == "HALTED"


def write_log(unit: RowsUnit, run: Run, lines: Sequence[str]) -> None:
    """Append lines to the run's log; the oldest are dropped beyond 64,000 characters."""
    mine = (STRATEGY_RUNS.c.tenant_id == scope_of(unit), STRATEGY_RUNS.c.run_id == run.run_id)
    held = unit.connection.scalar(select(STRATEGY_RUNS.c.log).where(*mine)) or ""
    stamp = unit.now.isoformat(timespec="milliseconds")
    text = held + "".join(f"{stamp} {line}\n" for line in lines)
    unit.connection.execute(update(STRATEGY_RUNS).where(*mine).values(log=text[-LONGEST_LOG:], updated_at=unit.now))


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


def head(unit: RowsUnit, ledger_id: LedgerId) -> int:
    """The last seq of a ledger."""
    return int(unit.connection.scalar(select(LEDGERS.c.seq).where(LEDGERS.c.ledger_id == ledger_id)) or 0)
