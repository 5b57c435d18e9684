"""Carry restraints on: dead-man switches strike, liquidations go on, the switches of the firm reach every ledger.

Every worker does it twice a second, whoever leads: each step is decided under a ledger's lock, so that two are one.
"""

from __future__ import annotations

import threading

import structlog

from oms_app.flow.dead_man import DeadMan
from oms_app.flow.errors import FlowError
from oms_app.flow.firm_switches import FirmSwitches
from oms_app.flow.liquidation import Liquidations
from oms_app.store.queries.restraints import ledgers_liquidating
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import CommitUnknown, Conflict, StoreUnavailable
from oms_kernel.domain.errors import KernelError
from oms_kernel.domain.ids import LedgerId

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
        done = 0
        for tenant_id in sorted({tenant_id for tenant_id, _ in self._store.ledgers()}):
            with self._store.read_unit(tenant_id) as unit:
                running = ledgers_liquidating(unit)
            for ledger_id in running:
                try:
                    step = self._liquidations.advance(tenant_id, LedgerId(ledger_id))
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
