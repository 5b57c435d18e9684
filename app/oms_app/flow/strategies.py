"""Strategies as people run them: made, changed, started, stopped, closed; a process carries on what their rows say."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy import insert, select, update

from oms_app.flow.errors import FlowError, UnknownAccount
from oms_app.flow.parameters import check_params
from oms_app.flow.principal import Principal
from oms_app.store.rows import stamps
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import LEDGERS, STRATEGIES, STRATEGY_RUNS, TRADING_ACCOUNTS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.errors import InvalidRequest, OrderConflict
from oms_kernel.registry import Registries

V = TypeVar("V", bound=msgspec.Struct)
OPEN_STATUSES = ("STARTING", "RUNNING", "STOPPING")


class UnknownThing(FlowError):
    """The tenant has no such thing."""

    code = "not_found"


class StateConflict(OrderConflict):
    """The thing's present state does not allow this; read it and decide anew."""

    code = "conflict"


class StrategyView(msgspec.Struct, frozen=True):
    """A strategy. `strategy` is the registered name of the plugin's class."""

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


class RunView(msgspec.Struct, frozen=True):
    """One run of a strategy."""

    run_id: str
    strategy_id: str
    status: str
    started_at: datetime
    stopped_at: datetime | None
    restarts: int
    cursor_seq: int
    error: str
    log: str


class Strategies:
    """The one door for strategies and their runs."""

    def __init__(self, store: SqlStore, registries: Registries, new_id: Callable[[], str]) -> None:
        self._store = store
        self._registries = registries
        self._new_id = new_id

    def create(
        self, principal: Principal, *, name: str, strategy: str, account_id: str, params: dict[str, Any]
    ) -> StrategyView:
        """A new strategy, not running. Raises InvalidRequest, UnknownAccount."""
        self._check(strategy, params)
        strategy_id = self._new_id()
        with self._store.tenant_unit(principal.tenant_id) as unit:
            _open_account(unit, principal, account_id)
            unit.connection.execute(
                insert(STRATEGIES).values(
                    tenant_id=principal.tenant_id,
                    strategy_id=strategy_id,
                    name=name,
                    strategy=strategy,
                    account_id=account_id,
                    params=params,
                    status="STOPPED",
                    **stamps(unit),
                )
            )
            return self._found(unit, principal, strategy_id)

    def change(
        self, principal: Principal, strategy_id: str, *, name: str | None, params: dict[str, Any] | None
    ) -> StrategyView:
        """The strategy with its new name or parameters. Raises UnknownThing, StateConflict while it runs."""
        with self._store.tenant_unit(principal.tenant_id) as unit:
            known = self._found(unit, principal, strategy_id)
            _require_open(known)
            if params is not None:
                self._check(known.strategy, params)
                if _open_run(unit, principal, strategy_id) is not None:
                    raise StateConflict(
                        "the strategy is running; stop it before you change its params", field="params"
                    )
            changed = {"name": name, "params": params}
            unit.connection.execute(
                update(STRATEGIES)
                .where(STRATEGIES.c.tenant_id == principal.tenant_id, STRATEGIES.c.strategy_id == strategy_id)
                .values(
                    updated_at=unit.now, **{key: value for key, value in changed.items() if value is not None}
                )
            )
            return self._found(unit, principal, strategy_id)

    def close(self, principal: Principal, strategy_id: str) -> None:
        """End a strategy; its row and its orders stay. Raises UnknownThing, StateConflict while it runs."""
        with self._store.tenant_unit(principal.tenant_id) as unit:
            known = self._found(unit, principal, strategy_id)
            if _open_run(unit, principal, strategy_id) is not None:
                raise StateConflict("the strategy is running; stop it first")
            if known.closed_at is None:
                unit.connection.execute(
                    update(STRATEGIES)
                    .where(
                        STRATEGIES.c.tenant_id == principal.tenant_id, STRATEGIES.c.strategy_id == strategy_id
                    )
                    .values(closed_at=unit.now, updated_at=unit.now)
                )

    def start(self, principal: Principal, strategy_id: str) -> RunView:
        """A new run. Raises UnknownThing, StateConflict when one is open or the account is halted."""
        run_id = self._new_id()
        with self._store.tenant_unit(principal.tenant_id) as unit:
            known = self._found(unit, principal, strategy_id)
            _require_open(known)
            self._check(known.strategy, known.params)
            if _open_run(unit, principal, strategy_id) is not None:
                raise StateConflict("the strategy is running already; stop that run first")
            account = _open_account(unit, principal, known.account_id)
            if account.trading_state == TradingState.HALTED:
                raise StateConflict("the account is HALTED; a person must release it first")
            own = {"tenant_id": principal.tenant_id, "strategy_id": strategy_id}
            unit.connection.execute(
                insert(STRATEGY_RUNS).values(
                    run_id=run_id,
                    ledger_id=account.ledger_id,
                    status="STARTING",
                    started_at=unit.now,
                    cursor_seq=_head(unit, account.ledger_id),
                    **own,
                    **stamps(unit),
                )
            )
            unit.connection.execute(
                update(STRATEGIES)
                .where(STRATEGIES.c.tenant_id == principal.tenant_id, STRATEGIES.c.strategy_id == strategy_id)
                .values(status="RUNNING", error="", updated_at=unit.now)
            )
            return _run(unit, principal, run_id)

    def stop(self, principal: Principal, strategy_id: str) -> RunView:
        """The open run, told to stop. Raises UnknownThing, StateConflict when none is open."""
        with self._store.tenant_unit(principal.tenant_id) as unit:
            self._found(unit, principal, strategy_id)
            run_id = _open_run(unit, principal, strategy_id)
            if run_id is None:
                raise StateConflict("the strategy is not running")
            return _stopped(unit, principal, run_id)

    def stop_run(self, principal: Principal, run_id: str) -> RunView:
        """The run, told to stop. Raises UnknownThing, StateConflict when it is over."""
        with self._store.tenant_unit(principal.tenant_id) as unit:
            run = _run(unit, principal, run_id)
            self._found(unit, principal, run.strategy_id)
            if run.status not in OPEN_STATUSES:
                raise StateConflict("the run is over")
            return _stopped(unit, principal, run_id)

    def find(self, principal: Principal, strategy_id: str) -> StrategyView:
        """A strategy. Raises UnknownThing."""
        with self._store.read_unit(principal.tenant_id) as unit:
            return self._found(unit, principal, strategy_id)

    def list(self, principal: Principal, *, with_closed: bool = False) -> Sequence[StrategyView]:
        """The tenant's strategies, newest first."""
        query = select(STRATEGIES).where(*_reachable(principal)).order_by(STRATEGIES.c.strategy_id.desc())
        if not with_closed:
            query = query.where(STRATEGIES.c.closed_at.is_(None))
        with self._store.read_unit(principal.tenant_id) as unit:
            return [_view(StrategyView, row) for row in unit.connection.execute(query)]

    def runs(self, principal: Principal, strategy_id: str) -> Sequence[RunView]:
        """A strategy's newest 1,000 runs, newest first. Raises UnknownThing."""
        with self._store.read_unit(principal.tenant_id) as unit:
            self._found(unit, principal, strategy_id)
            query = (
                select(STRATEGY_RUNS)
                .where(
                    STRATEGY_RUNS.c.tenant_id == principal.tenant_id,
                    STRATEGY_RUNS.c.strategy_id == strategy_id,
                )
                .order_by(STRATEGY_RUNS.c.run_id.desc())
                .limit(1000)
            )
            return [_view(RunView, row) for row in unit.connection.execute(query)]

    def find_run(self, principal: Principal, run_id: str) -> RunView:
        """A run. Raises UnknownThing."""
        with self._store.read_unit(principal.tenant_id) as unit:
            run = _run(unit, principal, run_id)
            self._found(unit, principal, run.strategy_id)
            return run

    def _check(self, strategy: str, params: dict[str, Any]) -> None:
        registered = self._registries.strategies.get(strategy)
        if registered is None:
            known = ", ".join(self._registries.strategies) or "none is installed"
            raise InvalidRequest(
                f"no plugin provides the strategy {strategy}; known: {known}", field="strategy"
            )
        check_params(registered.contributed, params)

    def _found(self, unit: RowsUnit, principal: Principal, strategy_id: str) -> StrategyView:
        row = unit.connection.execute(
            select(STRATEGIES).where(*_reachable(principal), STRATEGIES.c.strategy_id == strategy_id)
        ).one_or_none()
        if row is None:
            raise UnknownThing(f"there is no strategy {strategy_id}")
        return _view(StrategyView, row)


def _reachable(principal: Principal) -> list[Any]:
    own: list[Any] = [STRATEGIES.c.tenant_id == principal.tenant_id]
    if principal.account_ids is not None:
        own.append(STRATEGIES.c.account_id.in_(sorted(principal.account_ids)))
    return own


def _open_account(unit: RowsUnit, principal: Principal, account_id: str) -> Any:
    row = unit.connection.execute(
        select(TRADING_ACCOUNTS).where(
            TRADING_ACCOUNTS.c.tenant_id == principal.tenant_id,
            TRADING_ACCOUNTS.c.account_id == account_id,
            TRADING_ACCOUNTS.c.closed_at.is_(None),
        )
    ).one_or_none()
    if row is None or (principal.account_ids is not None and account_id not in principal.account_ids):
        raise UnknownAccount("account_id names no account of yours", field="account_id")
    return row


def _open_run(unit: RowsUnit, principal: Principal, strategy_id: str) -> str | None:
    found: str | None = unit.connection.scalar(
        select(STRATEGY_RUNS.c.run_id).where(
            STRATEGY_RUNS.c.tenant_id == principal.tenant_id,
            STRATEGY_RUNS.c.strategy_id == strategy_id,
            STRATEGY_RUNS.c.status.in_(OPEN_STATUSES),
        )
    )
    return found


def _stopped(unit: RowsUnit, principal: Principal, run_id: str) -> RunView:
    unit.connection.execute(
        update(STRATEGY_RUNS)
        .where(STRATEGY_RUNS.c.tenant_id == principal.tenant_id, STRATEGY_RUNS.c.run_id == run_id)
        .values(status="STOPPING", updated_at=unit.now)
    )
    return _run(unit, principal, run_id)


def _run(unit: RowsUnit, principal: Principal, run_id: str) -> RunView:
    row = unit.connection.execute(
        select(STRATEGY_RUNS).where(
            STRATEGY_RUNS.c.tenant_id == principal.tenant_id, STRATEGY_RUNS.c.run_id == run_id
        )
    ).one_or_none()
    if row is None:
        raise UnknownThing(f"there is no run {run_id}")
    return _view(RunView, row)


def _head(unit: RowsUnit, ledger_id: str) -> int:
    return int(unit.connection.scalar(select(LEDGERS.c.seq).where(LEDGERS.c.ledger_id == ledger_id)) or 0)


def _require_open(strategy: StrategyView) -> None:
    if strategy.closed_at is not None:
        raise StateConflict("the strategy is closed")


def _view(kind: type[V], row: Any) -> V:
    return kind(**{name: getattr(row, name) for name in kind.__struct_fields__})
