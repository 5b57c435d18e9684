"""Signs of life of one run: its strategy's answers in, heartbeats of its dead-man switch out, as its tenant set it.

Guarantee: only a run that a person or a kill switch stopped disarms the switch; whatever else ends it, or keeps it from
answering, lets the switch strike when its time is over.
"""

from __future__ import annotations

import time

import structlog

from oms_app.flow.dead_man import DeadMan, DeadManAction, Heartbeat
from oms_app.flow.errors import FlowError
from oms_app.flow.principal import Principal
from oms_app.flow.tenant_settings import settings_of
from oms_app.store.sql_store import SqlStore
from oms_app.store.tenants import get_tenant
from oms_app.strategies.rows import Run
from oms_kernel.domain.errors import KernelError

PER_TIMEOUT = 3
"""How many heartbeats there are within the time that the switch waits."""
LOOK_AGAIN_S = 2.0
"""How soon a changed setting is heard of at the latest."""
log = structlog.get_logger(__name__)


class LifeSigns:
    """The heartbeats of one life of a run. Used by the thread that carries it on."""

    def __init__(self, store: SqlStore, dead_man: DeadMan, principal: Principal, run: Run) -> None:
        self._store = store
        self._dead_man = dead_man
        self._principal = principal
        self._run = run
        self._timeout_s = 0
        self._may_be_armed = True  # by an earlier life
        self._look_at = 0.0
        self._beat_at = 0.0

    @property
    def is_due(self) -> bool:
        """Whether it is time to ask the strategy, and to `give` once it answered."""
        return time.monotonic() >= self._look_at

    def give(self) -> None:
        """Say that the strategy answered just now. Raises StoreUnavailable."""
        with self._store.read_unit(self._run.tenant_id) as unit:
            tenant = get_tenant(unit)
        timeout_s = settings_of(tenant.settings).strategy_dead_man_s if tenant is not None else 0
        now = time.monotonic()
        if timeout_s == 0:
            self.end()
        elif timeout_s != self._timeout_s or now >= self._beat_at:
            self._beat(timeout_s)
            self._beat_at = now + timeout_s / PER_TIMEOUT
        self._timeout_s = timeout_s
        self._look_at = now + LOOK_AGAIN_S
        if timeout_s:
            self._look_at = min(self._look_at, self._beat_at)

    def _beat(self, timeout_s: int) -> None:
        heartbeat = Heartbeat(
            timeout_s=timeout_s,
            action=DeadManAction.CANCEL,
            account_id=self._run.account_id,
            strategy_id=self._run.strategy_id,
        )
        try:
            self._dead_man.hear(self._principal, heartbeat)
            self._may_be_armed = True
        except (FlowError, KernelError) as error:
            log.error("a dead-man switch does not hear its strategy", run_id=self._run.run_id, error=error.detail)

    def end(self) -> None:
        """Disarm the switch: the run ends in order, or its tenant wants none. Raises StoreUnavailable."""
        if self._may_be_armed:
            self._dead_man.disarm(self._principal, self._run.strategy_id)
            self._may_be_armed = False
