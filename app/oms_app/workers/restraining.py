"""Carry restraints on: dead-man switches strike, liquidations go on, the switches of the firm reach every ledger.

Every worker does it twice a second, whoever leads: each step is decided under a ledger's lock, so that two are one.
While nothing is to do a round costs one query for each of the three, however many tenants there are.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

import structlog

from oms_app.flow.dead_man import DeadMan
from oms_app.flow.errors import FlowError
from oms_app.flow.firm_switches import FirmSwitches
from oms_app.flow.liquidation import Liquidations
from oms_app.store.queries.restraints import ledgers_liquidating
from oms_app.store.sql_store import SqlStore
from oms_app.store.tenants import list_ledgers
from oms_app.store.unit_of_work import CommitUnknown, Conflict, StoreUnavailable
from oms_kernel.domain.errors import KernelError
from oms_kernel.domain.ids import LedgerId, TenantId

EVERY_S = 0.5
STOP_S = 5.0
log = structlog.get_logger(__name__)


class Restraining:
    """A thread of a worker. `turn` is one round of it."""

    def __init__(
        self, store: SqlStore, liquidations: Liquidations, dead_man: DeadMan, firm_switches: FirmSwitches
    ) -> None:
        self._store = store
        self._liquidations = liquidations
        self._dead_man = dead_man
        self._firm_switches = firm_switches
        self._without: dict[LedgerId, int] = {}
        """Up to which event this process knows a ledger to have no liquidation: one can only begin by a later event."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="restraints", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the round that is under way."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)

    def turn(self) -> int:
        """How much was done."""
        return self._firm_switches.spread() + self._dead_man.strike_due() + self._liquidate()

    def _liquidate(self) -> int:
        """How much liquidations did: one query for all, another for each tenant in whose ledgers something moved."""
        with self._store.read_unit(None) as unit:
            ledgers = list_ledgers(unit)
        moved: dict[TenantId, dict[LedgerId, int]] = {}
        for one in ledgers:
            if self._without.get(one.ledger_id) != one.seq:
                moved.setdefault(one.tenant_id, {})[one.ledger_id] = one.seq
        return sum(self._liquidate_in(tenant_id, heads) for tenant_id, heads in moved.items())

    def _liquidate_in(self, tenant_id: TenantId, heads: Mapping[LedgerId, int]) -> int:
        """heads: of the tenant's ledgers in which something happened, read before what runs in them."""
        with self._store.read_unit(tenant_id) as unit:
            running = set(ledgers_liquidating(unit))
        done = 0
        for ledger_id, seq in heads.items():
            if ledger_id not in running:
                self._without[ledger_id] = seq
                continue
            try:
                step = self._liquidations.advance(tenant_id, ledger_id)
            except (FlowError, KernelError) as error:
                log.warning("a liquidation waits", ledger_id=ledger_id, error=str(error))
                continue
            done += step.cancelled + step.placed + step.ended
        return done

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                self.turn()
            except (StoreUnavailable, CommitUnknown, Conflict) as error:
                log.warning("restraints wait for the database", error=str(error))
            except Exception:
                log.exception("carrying restraints on failed")
            self._stopping.wait(EVERY_S)
