"""Strategies as people run them: made, changed, started, stopped, closed; a process carries on what their rows say."""

from collections.abc import Callable
from typing import Any

from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.errors import FlowError, UnknownAccount
from oms_app.flow.parameters import check_params
from oms_app.flow.principal import Principal
from oms_app.store import queries
from oms_app.store import strategies as rows
from oms_app.store.queries import AccountView, Page, Paging
from oms_app.store.queries.restraints import is_halted
from oms_app.store.sql_store import SqlStore
from oms_app.store.strategies import RunRow, StrategyRow
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.errors import InvalidRequest, KernelError
from oms_kernel.domain.ids import AccountId, LedgerId
from oms_kernel.registry import Registries

OPEN_STATUSES = ("STARTING", "RUNNING", "STOPPING")


class UnknownThing(FlowError):
    """The tenant has no such thing, or the caller may not see it."""

    code = "not_found"


class StateConflict(KernelError):
    """The thing's present state does not allow this; read it and decide anew."""

    code = "conflict"


class Strategies:
    """The one door for strategies and their runs. actor: who acts, and from where; None: the principal of each call."""

    def __init__(
        self, store: SqlStore, registries: Registries, new_id: Callable[[], str], actor: Actor | None = None
    ) -> None:
        self._store = store
        self._actor = actor
        self._registries = registries
        self._new_id = new_id

    def create(
        self, principal: Principal, *, name: str, strategy: str, account_id: str, params: dict[str, Any]
    ) -> StrategyRow:
        """A new strategy, not running. Raises InvalidRequest, UnknownAccount."""
        self._check(strategy, params)
        strategy_id = self._new_id()
        with self._store.tenant_unit(principal.tenant_id) as unit:
            _account(unit, principal, account_id)
            rows.create_strategy(unit, strategy_id, name=name, strategy=strategy, account_id=account_id, params=params)
            told = {"name": name, "strategy": strategy, "params": params}
            self._record(unit, principal, "created", strategy_id, account_id, after=told)
            return _strategy(unit, principal, strategy_id)

    def change(
        self, principal: Principal, strategy_id: str, *, name: str | None, params: dict[str, Any] | None
    ) -> StrategyRow:
        """The strategy with its new name or parameters. Raises UnknownThing, StateConflict while it runs."""
        with self._store.tenant_unit(principal.tenant_id) as unit:
            known = _open_strategy(unit, principal, strategy_id)
            if params is not None:
                self._check(known.strategy, params)
                if _open_run(unit, strategy_id) is not None:
                    raise StateConflict("the strategy is running; stop it before you change its params", field="params")
            asked = {"name": name, "params": params}
            changes = {key: value for key, value in asked.items() if value is not None}
            rows.update_strategy(unit, strategy_id, **changes)
            before = {key: getattr(known, key) for key in changes}
            self._record(unit, principal, "changed", strategy_id, known.account_id, before=before, after=changes)
            return _strategy(unit, principal, strategy_id)

    def close(self, principal: Principal, strategy_id: str) -> None:
        """End a strategy; its row and its orders stay. Raises UnknownThing, StateConflict while it runs."""
        with self._store.tenant_unit(principal.tenant_id) as unit:
            known = _strategy(unit, principal, strategy_id)
            if _open_run(unit, strategy_id) is not None:
                raise StateConflict("the strategy is running; stop it first")
            rows.close_strategy(unit, strategy_id)
            self._record(unit, principal, "closed", strategy_id, known.account_id)

    def start(self, principal: Principal, strategy_id: str) -> RunRow:
        """A new run. Raises UnknownThing, StateConflict when one is open or the account is halted."""
        run_id = self._new_id()
        with self._store.tenant_unit(principal.tenant_id) as unit:
            known = _open_strategy(unit, principal, strategy_id)
            self._check(known.strategy, known.params)
            if _open_run(unit, strategy_id) is not None:
                raise StateConflict("the strategy is running already; stop that run first")
            account = _account(unit, principal, known.account_id)
            if account.trading_state == TradingState.HALTED:
                raise StateConflict("the account is HALTED; a person must release it first")
            if is_halted(unit, known.account_id, strategy_id):
                raise StateConflict("a kill switch halts the strategy; a person must release it first")
            head = self._store.heads([LedgerId(account.ledger_id)]).get(LedgerId(account.ledger_id), 0)
            rows.start_run(unit, run_id, strategy_id, account.ledger_id, cursor_seq=head)
            self._record(unit, principal, "started", strategy_id, known.account_id, after={"run_id": run_id})
            return _run(unit, principal, run_id)

    def stop(self, principal: Principal, strategy_id: str) -> RunRow:
        """The open run, told to stop. Raises UnknownThing, StateConflict when none is open."""
        with self._store.tenant_unit(principal.tenant_id) as unit:
            known = _strategy(unit, principal, strategy_id)
            run = _open_run(unit, strategy_id)
            if run is None:
                raise StateConflict("the strategy is not running")
            self._record(unit, principal, "stopped", strategy_id, known.account_id, after={"run_id": run.run_id})
            return _stopped(unit, principal, run.run_id)

    def stop_run(self, principal: Principal, run_id: str) -> RunRow:
        """The run, told to stop. Raises UnknownThing, StateConflict when it is over."""
        with self._store.tenant_unit(principal.tenant_id) as unit:
            run = _run(unit, principal, run_id)
            if run.status not in OPEN_STATUSES:
                raise StateConflict("the run is over")
            account_id = _strategy(unit, principal, run.strategy_id).account_id
            self._record(unit, principal, "stopped", run.strategy_id, account_id, after={"run_id": run_id})
            return _stopped(unit, principal, run_id)

    def find(self, principal: Principal, strategy_id: str) -> StrategyRow:
        """A strategy. Raises UnknownThing."""
        with self._store.read_unit(principal.tenant_id) as unit:
            return _strategy(unit, principal, strategy_id)

    def list(self, principal: Principal, paging: Paging, *, status: str | None = None) -> Page[StrategyRow]:
        """The tenant's open strategies, newest first."""
        with self._store.read_unit(principal.tenant_id) as unit:
            return rows.list_strategies(unit, paging, status=status, allowed_accounts=principal.account_ids)

    def runs(self, principal: Principal, strategy_id: str, paging: Paging) -> Page[RunRow]:
        """A strategy's runs, newest first. Raises UnknownThing."""
        with self._store.read_unit(principal.tenant_id) as unit:
            _strategy(unit, principal, strategy_id)
            return rows.list_runs(unit, paging, strategy_id=strategy_id)

    def find_run(self, principal: Principal, run_id: str) -> RunRow:
        """A run. Raises UnknownThing."""
        with self._store.read_unit(principal.tenant_id) as unit:
            return _run(unit, principal, run_id)

    def _record(
        self,
        unit: RowsUnit,
        principal: Principal,
        what: str,
        strategy_id: str,
        account_id: str,
        **values: dict[str, Any],
    ) -> None:
        action = AdminAction(
            f"strategy.{what}",
            "strategy",
            strategy_id,
            account_id=AccountId(account_id),
            **values,  # type: ignore[arg-type]
        )
        record(unit, self._actor or Actor(principal.principal_id), action)

    def _check(self, strategy: str, params: dict[str, Any]) -> None:
        registered = self._registries.strategies.get(strategy)
        if registered is None:
            known = ", ".join(self._registries.strategies) or "none is installed"
            raise InvalidRequest(f"no plugin provides the strategy {strategy}; known: {known}", field="strategy")
        check_params(registered.contributed, params)


def _strategy(unit: RowsUnit, principal: Principal, strategy_id: str) -> StrategyRow:
    found = rows.get_strategy(unit, strategy_id)
    if found is None or not _may_use(principal, found.account_id):
        raise UnknownThing(f"there is no strategy {strategy_id}")
    return found


def _open_strategy(unit: RowsUnit, principal: Principal, strategy_id: str) -> StrategyRow:
    found = _strategy(unit, principal, strategy_id)
    if found.closed_at is not None:
        raise StateConflict("the strategy is closed")
    return found


def _account(unit: RowsUnit, principal: Principal, account_id: str) -> AccountView:
    found = queries.get_account(unit, account_id)
    if found is None or found.closed_at is not None or not _may_use(principal, account_id):
        raise UnknownAccount("account_id names no account of yours", field="account_id")
    return found


def _may_use(principal: Principal, account_id: str) -> bool:
    return principal.account_ids is None or account_id in principal.account_ids


def _open_run(unit: RowsUnit, strategy_id: str) -> RunRow | None:
    """The strategy's run that is not over: only its newest can be."""
    newest = rows.list_runs(unit, Paging(limit=1, with_total=False), strategy_id=strategy_id).items
    return newest[0] if newest and newest[0].status in OPEN_STATUSES else None


def _stopped(unit: RowsUnit, principal: Principal, run_id: str) -> RunRow:
    rows.set_run_status(unit, run_id, "STOPPING", expected=("STARTING", "RUNNING"))
    return _run(unit, principal, run_id)


def _run(unit: RowsUnit, principal: Principal, run_id: str) -> RunRow:
    found = rows.get_run(unit, run_id)
    if found is None:
        raise UnknownThing(f"there is no run {run_id}")
    _strategy(unit, principal, found.strategy_id)
    return found
