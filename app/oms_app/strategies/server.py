"""`oms strategy`: claim the runs that were started, carry each on in a thread, start failed ones again with backoff."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from oms_app.flow.control import Control
from oms_app.store import leases, strategies
from oms_app.store.unit_of_work import CommitUnknown, Conflict, StoreUnavailable
from oms_app.strategies import rows
from oms_app.strategies.process import StrategyFailed
from oms_app.strategies.run import LostRun, RunLoop, Wiring
from oms_kernel.domain import events as ev
from oms_kernel.registry import Registries

LOOK_EVERY_S = 0.5
STOP_LIMIT_S = 8.0
FAILURES_ALLOWED = 5
FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
STEADY_AFTER_S = 60.0
log = structlog.get_logger(__name__)


class RunKeeper:
    """One claimed run: renews its lease, starts it again when it fails, and gives up after five failures in a row."""

    def __init__(
        self, wiring: Wiring, control: Control, run: rows.Run, target: str, token: int, lease_s: float
    ) -> None:
        self._wiring = wiring
        self._control = control
        self.run = run
        self._target = target
        self._token = token
        self._lasts = timedelta(seconds=lease_s)
        self._good_until = time.monotonic() + lease_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"run-{run.run_id}", daemon=True)
        self.failures = 0

    @property
    def is_alive(self) -> bool:
        """Whether the run is being carried on."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end without stopping the run: another process, or the next start, goes on with it."""
        self._stopping.set()

    def join(self, timeout_s: float) -> None:
        """Wait for its end."""
        self._thread.join(timeout_s)

    def renew(self) -> None:
        """Keep the lease; a lost one ends the run here."""
        began = time.monotonic()
        with self._wiring.store.platform_unit() as unit:
            if leases.heartbeat(unit, strategies.run_resource(self.run.run_id), self._token, self._lasts):
                self._good_until = began + self._lasts.total_seconds()
            else:
                self._good_until = 0.0
                self._stopping.set()

    def _may_act(self) -> bool:
        return time.monotonic() < self._good_until

    def _serve(self) -> None:
        is_over = False
        try:
            while not is_over and not self._stopping.is_set():
                is_over = self._life()
        except (LostRun, Conflict):
            log.warning("another process carries the run on", run_id=self.run.run_id)
        except Exception:
            log.exception("a run ended unexpectedly", run_id=self.run.run_id)
        finally:
            self._release()

    def _life(self) -> bool:
        """One life of the run; True when it is over."""
        began = time.monotonic()
        try:
            if not RunLoop(self._wiring, self.run, self._target, may_act=self._may_act).serve(self._stopping):
                return False
            with self._wiring.store.tenant_unit(self.run.tenant_id) as unit:
                strategies.set_run_status(unit, self.run.run_id, "STOPPED", expected=rows.OPEN_STATUSES)
            return True
        except (StoreUnavailable, CommitUnknown) as error:
            log.warning("the database is away", run_id=self.run.run_id, error=str(error))
            self._stopping.wait(FIRST_BACKOFF_S)
            return False
        except StrategyFailed as error:
            if time.monotonic() - began > STEADY_AFTER_S:
                self.failures = 0
            self.failures += 1
            log.warning("a strategy failed", run_id=self.run.run_id, failures=self.failures, error=str(error))
            return self._failed(str(error))

    def _failed(self, error: str) -> bool:
        """Wait before the next life; True when there will be none."""
        is_last = self.failures >= FAILURES_ALLOWED
        with self._wiring.store.tenant_unit(self.run.tenant_id) as unit:
            following = "STOPPED" if rows.is_stopping(unit, self.run) else "ERROR" if is_last else "STARTING"
            strategies.set_run_status(
                unit,
                self.run.run_id,
                following,
                expected=rows.OPEN_STATUSES,
                error=error[-rows.LONGEST_ERROR :],
                restarted=following == "STARTING",
            )
        if following == "STOPPED":
            return True
        if is_last:
            self._control.alert(
                self.run.tenant_id,
                self.run.ledger_id,
                ev.AlertRaised(
                    account_id=self.run.account_id,
                    severity=ev.Severity.CRITICAL,
                    source="strategies",
                    text=f"strategy {self.run.strategy_id} failed {self.failures} times in a row and stays stopped",
                    what_to_do="Read the run's error, correct the strategy or its parameters, and start it again.",
                ),
            )
            return True
        self._stopping.wait(min(FIRST_BACKOFF_S * 2 ** (self.failures - 1), LONGEST_BACKOFF_S))
        return False

    def _release(self) -> None:
        try:
            with self._wiring.store.platform_unit() as unit:
                leases.release(unit, strategies.run_resource(self.run.run_id), self._token)
        except (StoreUnavailable, CommitUnknown) as error:
            log.warning("a lease was not released", run_id=self.run.run_id, error=str(error))


def serve(
    *,
    wiring: Wiring,
    control: Control,
    registries: Registries,
    holder: str,
    lease_s: float,
    beat: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT; runs that are not over are carried on by whoever starts next."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    keepers: dict[str, RunKeeper] = {}
    renewed_at = time.monotonic()
    log.info("serving")
    while not stopping.is_set():
        beat()
        try:
            for run_id in [one for one, keeper in keepers.items() if not keeper.is_alive]:
                keepers.pop(run_id)
            for run in rows.open_runs(wiring.store):
                if run.run_id not in keepers:
                    keeper = _claim(wiring, control, registries, run, holder, lease_s)
                    if keeper is not None:
                        keepers[run.run_id] = keeper
                        keeper.start()
            if time.monotonic() - renewed_at >= lease_s / 4:
                renewed_at = time.monotonic()
                for keeper in keepers.values():
                    keeper.renew()
        except (StoreUnavailable, CommitUnknown) as error:
            log.warning("the database is away", error=str(error))
        stopping.wait(LOOK_EVERY_S)
    for keeper in keepers.values():
        keeper.stop()
    deadline = time.monotonic() + STOP_LIMIT_S
    for keeper in keepers.values():
        beat()
        keeper.join(max(0.0, deadline - time.monotonic()))


def _claim(
    wiring: Wiring, control: Control, registries: Registries, run: rows.Run, holder: str, lease_s: float
) -> RunKeeper | None:
    """The run with its lease, or None while another has it or its plugin is not installed."""
    registered = registries.strategies.get(run.strategy)
    if registered is None:
        with wiring.store.tenant_unit(run.tenant_id) as unit:
            text = f"no installed plugin provides the strategy {run.strategy}"
            strategies.set_run_status(unit, run.run_id, "ERROR", expected=rows.OPEN_STATUSES, error=text)
        return None
    with wiring.store.platform_unit() as unit:
        token = leases.acquire(unit, strategies.run_resource(run.run_id), holder, timedelta(seconds=lease_s))
    if token is None:
        return None
    contributed = registered.contributed
    target = f"{contributed.__module__}:{contributed.__qualname__}"
    return RunKeeper(wiring, control, run, target, token, lease_s)
