"""Strategy runs as rows: which are wanted, who may run them (lease), where they stand, what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import insert, or_, select, update

from oms_app.store.rows import scope_of, stamps
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import (
    CONSUMER_CURSORS,
    EVENT_LOG,
    LAST_QUOTES,
    LEASES,
    LEDGERS,
    ORDERS,
    STRATEGIES,
    STRATEGY_RUNS,
    TRADING_ACCOUNTS,
)
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.events import Recorded, decode_event
from oms_kernel.domain.ids import AccountId, EventId, InstrumentId, LedgerId, StrategyId, StrategyRunId, TenantId
from oms_kernel.domain.market import Quote

OPEN_STATUSES = ("STARTING", "RUNNING", "STOPPING")
LEASE_KIND = "run"
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


class Lease(msgspec.Struct, frozen=True):
    """The right to carry a run on; worthless once a later token exists."""

    resource: str
    token: int


def open_runs(store: SqlStore) -> list[Run]:
    """All runs of all tenants that are not over."""
    with store.platform_unit() as unit:
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


def acquire(unit: RowsUnit, run: Run, holder: str, lasts: timedelta) -> Lease | None:
    """A new lease of the run, or None while another holds it."""
    resource = f"run:{run.run_id}"
    leases = LEASES
    if unit.connection.execute(select(leases.c.token).where(leases.c.resource == resource)).first() is None:
        row = {"resource": resource, "kind": LEASE_KIND, "tenant_id": run.tenant_id}
        unit.connection.execute(insert(leases).values(**row, **stamps(unit)))
    token = unit.connection.execute(
        update(leases)
        .where(leases.c.resource == resource)
        .where(or_(leases.c.expires_at.is_(None), leases.c.expires_at < unit.now, leases.c.holder == holder))
        .values(
            token=leases.c.token + 1,
            holder=holder,
            expires_at=unit.now + lasts,
            heartbeat_at=unit.now,
            updated_at=unit.now,
        )
        .returning(leases.c.token)
    ).scalar_one_or_none()
    return Lease(resource=resource, token=token) if token is not None else None


def renew(unit: RowsUnit, lease: Lease, lasts: timedelta) -> bool:
    """Whether the lease is still the holder's; then it lasts its whole time again."""
    renewed = unit.connection.execute(
        update(LEASES)
        .where(LEASES.c.resource == lease.resource, LEASES.c.token == lease.token)
        .values(expires_at=unit.now + lasts, heartbeat_at=unit.now, updated_at=unit.now)
    )
    return renewed.rowcount == 1


def release(unit: RowsUnit, lease: Lease, *, is_over: bool) -> None:
    """End the lease at once; is_over: nobody needs it any more."""
    unit.connection.execute(
        update(LEASES)
        .where(LEASES.c.resource == lease.resource, LEASES.c.token == lease.token)
        .values(expires_at=None, holder="", is_wanted=not is_over, updated_at=unit.now)
    )


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


def move_cursor(unit: RowsUnit, run: Run, consumer: str, expected: int, seq: int) -> bool:
    """Whether the consumer still stood at `expected`; then it stands at `seq` now."""
    cursors = CONSUMER_CURSORS
    moved = unit.connection.execute(
        update(cursors)
        .where(cursors.c.consumer == consumer, cursors.c.ledger_id == run.ledger_id, cursors.c.seq == expected)
        .values(seq=seq, updated_at=unit.now)
    )
    return moved.rowcount == 1


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


def quotes(unit: RowsUnit, received_after: datetime | None) -> list[Quote]:
    """The last quotes that were received after a time."""
    table = LAST_QUOTES
    query = select(table).order_by(table.c.received_at)
    if received_after is not None:
        query = query.where(table.c.received_at > received_after)
    return [
        Quote(
            instrument_id=InstrumentId(row.instrument_id),
            bid=row.bid,
            bid_size=row.bid_size,
            ask=row.ask,
            ask_size=row.ask_size,
            last=row.last,
            data_at=row.data_at,
            received_at=row.received_at,
        )
        for row in unit.connection.execute(query)
    ]


def head(unit: RowsUnit, ledger_id: LedgerId) -> int:
    """The last seq of a ledger."""
    return int(unit.connection.scalar(select(LEDGERS.c.seq).where(LEDGERS.c.ledger_id == ledger_id)) or 0)
