"""Strategies and their runs as rows. A run is found by its lease; its end and its errors stay on record."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import func, select, update

from oms_app.store import leases
from oms_app.store.queries.paging import Page, Paging, page
from oms_app.store.queries.reading import viewer
from oms_app.store.rows import add, scope_of
from oms_app.store.tables import STRATEGIES, STRATEGY_RUNS
from oms_app.store.unit_of_work import RowsUnit

KIND = "run"
LOG_KEPT = 64_000
"""Characters of a run's log that are kept; older text goes first."""


class StrategyRow(msgspec.Struct, frozen=True):
    """A strategy of an account; `strategy` names the plugin's class, `params` are its parameters."""

    strategy_id: str
    name: str
    strategy: str
    account_id: str
    params: dict[str, Any]
    status: str
    error: str
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None


class RunRow(msgspec.Struct, frozen=True):
    """One run of a strategy; `cursor_seq` is how far it has read its ledger."""

    run_id: str
    strategy_id: str
    ledger_id: str
    status: str
    started_at: datetime
    stopped_at: datetime | None
    restarts: int
    cursor_seq: int
    error: str
    log: str


def run_resource(run_id: str) -> str:
    """The name under which a run is leased."""
    return f"{KIND}:{run_id}"


def create_strategy(
    unit: RowsUnit, strategy_id: str, *, name: str, strategy: str, account_id: str, params: dict[str, Any]
) -> None:
    """Store a strategy; it does not run yet."""
    add(
        unit,
        STRATEGIES,
        tenant_id=scope_of(unit),
        strategy_id=strategy_id,
        name=name,
        strategy=strategy,
        account_id=account_id,
        params=params,
        status="STOPPED",
    )


def update_strategy(unit: RowsUnit, strategy_id: str, **values: Any) -> bool:
    """Whether the tenant has such an open strategy; these columns (name, params, status, error) are changed."""
    changed = unit.connection.execute(
        update(STRATEGIES)
        .where(
            STRATEGIES.c.tenant_id == scope_of(unit),
            STRATEGIES.c.strategy_id == strategy_id,
            STRATEGIES.c.closed_at.is_(None),
        )
        .values(**values, updated_at=unit.now)
    )
    return bool(changed.rowcount)


def close_strategy(unit: RowsUnit, strategy_id: str) -> bool:
    """Whether the tenant had such an open strategy; it is out of lists now, its rows and runs stay."""
    return update_strategy(unit, strategy_id, closed_at=unit.now)


def get_strategy(unit: RowsUnit, strategy_id: str) -> StrategyRow | None:
    """A strategy of the tenant, closed ones too, or None."""
    row = unit.connection.execute(
        select(STRATEGIES).where(STRATEGIES.c.tenant_id == scope_of(unit), STRATEGIES.c.strategy_id == strategy_id)
    ).one_or_none()
    return viewer(StrategyRow)(row) if row is not None else None


def list_strategies(
    unit: RowsUnit, paging: Paging, *, status: str | None = None, allowed_accounts: Collection[str] | None = None
) -> Page[StrategyRow]:
    """The open strategies, newest first."""
    query = select(STRATEGIES).where(STRATEGIES.c.tenant_id == scope_of(unit), STRATEGIES.c.closed_at.is_(None))
    if status is not None:
        query = query.where(STRATEGIES.c.status == status)
    if allowed_accounts is not None:
        query = query.where(STRATEGIES.c.account_id.in_(sorted(allowed_accounts)))
    return page(unit, query, STRATEGIES.c.strategy_id, paging, viewer(StrategyRow))


def start_run(unit: RowsUnit, run_id: str, strategy_id: str, ledger_id: str, *, cursor_seq: int) -> None:
    """Store a run that a strategy host is to claim; it reads the ledger after `cursor_seq`."""
    add(
        unit,
        STRATEGY_RUNS,
        tenant_id=scope_of(unit),
        run_id=run_id,
        strategy_id=strategy_id,
        ledger_id=ledger_id,
        status="STARTING",
        started_at=unit.now,
        cursor_seq=cursor_seq,
    )
    leases.want(unit, run_resource(run_id), kind=KIND, tenant_id=scope_of(unit))
    update_strategy(unit, strategy_id, status="RUNNING", error="")


def set_run_status(
    unit: RowsUnit, run_id: str, status: str, *, expected: Collection[str], error: str = "", restarted: bool = False
) -> bool:
    """Whether the run's status was one of `expected` and is `status` now; STOPPED and ERROR end it and its lease."""
    ended = status in ("STOPPED", "ERROR")
    changed = unit.connection.execute(
        update(STRATEGY_RUNS)
        .where(
            STRATEGY_RUNS.c.tenant_id == scope_of(unit),
            STRATEGY_RUNS.c.run_id == run_id,
            STRATEGY_RUNS.c.status.in_(sorted(expected)),
        )
        .values(
            status=status,
            error=error,
            stopped_at=unit.now if ended else None,
            restarts=STRATEGY_RUNS.c.restarts + int(restarted),
            updated_at=unit.now,
        )
    )
    if not changed.rowcount:
        return False
    if ended:
        leases.want(unit, run_resource(run_id), kind=KIND, tenant_id=scope_of(unit), is_wanted=False)
        run = get_run(unit, run_id)
        assert run is not None
        update_strategy(unit, run.strategy_id, status=status, error=error)
    return True


def append_run_log(unit: RowsUnit, run_id: str, text: str) -> None:
    """Add what a strategy printed; the newest 64,000 characters are kept."""
    kept = func.substr(STRATEGY_RUNS.c.log + text, func.length(STRATEGY_RUNS.c.log + text) - LOG_KEPT + 1)
    whole = STRATEGY_RUNS.c.log + text
    run = (STRATEGY_RUNS.c.tenant_id == scope_of(unit)) & (STRATEGY_RUNS.c.run_id == run_id)
    long = unit.connection.scalar(select(func.length(whole)).where(run)) or 0
    unit.connection.execute(
        update(STRATEGY_RUNS).where(run).values(log=kept if long > LOG_KEPT else whole, updated_at=unit.now)
    )


def move_run_cursor(unit: RowsUnit, run_id: str, expected_seq: int, seq: int) -> bool:
    """Whether the run had read up to `expected_seq` and now has up to `seq`."""
    moved = unit.connection.execute(
        update(STRATEGY_RUNS)
        .where(
            STRATEGY_RUNS.c.tenant_id == scope_of(unit),
            STRATEGY_RUNS.c.run_id == run_id,
            STRATEGY_RUNS.c.cursor_seq == expected_seq,
        )
        .values(cursor_seq=seq, updated_at=unit.now)
    )
    return bool(moved.rowcount)


def get_run(unit: RowsUnit, run_id: str) -> RunRow | None:
    """A run of the tenant, or None."""
    row = unit.connection.execute(
        select(STRATEGY_RUNS).where(STRATEGY_RUNS.c.tenant_id == scope_of(unit), STRATEGY_RUNS.c.run_id == run_id)
    ).one_or_none()
    return viewer(RunRow)(row) if row is not None else None


def list_runs(unit: RowsUnit, paging: Paging, *, strategy_id: str | None = None) -> Page[RunRow]:
    """Runs, of one strategy when named, newest first."""
    query = select(STRATEGY_RUNS).where(STRATEGY_RUNS.c.tenant_id == scope_of(unit))
    if strategy_id is not None:
        query = query.where(STRATEGY_RUNS.c.strategy_id == strategy_id)
    return page(unit, query, STRATEGY_RUNS.c.run_id, paging, viewer(RunRow))
