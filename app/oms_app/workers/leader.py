"""Mind the schedules in exactly one worker: a lease in, due schedules fired once each, whoever leads.

When a schedule was due last stands in a row, moved by compare-and-set, so a new leader neither repeats nor skips one;
hours that nobody minded are made up for by one run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog

from oms_app.flow.audit_checkpoints import LogDiffers
from oms_app.flow.chores import SCHEDULE_LEASE, SCHEDULES, SWEEP_ORDERS, WRITE_CHECKPOINTS, Schedule
from oms_app.store import leases, schedules
from oms_app.store.schedules import ScheduleRow
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import CommitUnknown, Conflict, StoreUnavailable

LOOK_EVERY_S = 1.0
SCHEDULES_EVERY_S = 5.0
STOP_S = 5.0
NOTE_SWEEP_EVERY = timedelta(minutes=1)
log = structlog.get_logger(__name__)


class Leader:
    """Stands for election in a thread of its own, and minds the schedules while it leads.

    send: has the actor of a schedule's name run soon, with Dramatiq's options. sweep: what runs each second.
    checkpoint: writes checkpoints that are due, and says how many.
    """

    def __init__(
        self,
        store: SqlStore,
        *,
        holder: str,
        lease_s: float,
        send: Callable[..., None],
        sweep: Callable[[], int],
        checkpoint: Callable[[], int] | None = None,
        table: Mapping[str, Schedule] = SCHEDULES,
    ) -> None:
        self._store = store
        self._holder = holder
        self._lasts = timedelta(seconds=lease_s)
        self._send = send
        self._sweep = sweep
        self._checkpoint = checkpoint
        self._table = table
        self._token: int | None = None
        self._good_until = 0.0
        self._renew_at = 0.0
        self._swept = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="schedules", daemon=True)

    @property
    def leads(self) -> bool:
        """Whether the lease is held here, by this process's own clock."""
        return self._token is not None and time.monotonic() < self._good_until

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and let another one lead at once."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)
        self.resign()

    def resign(self) -> None:
        """Give the lease up."""
        if self._token is None:
            return
        token, self._token = self._token, None
        try:
            with self._store.platform_unit() as unit:
                leases.release(unit, SCHEDULE_LEASE, token)
        except (StoreUnavailable, CommitUnknown) as error:
            log.warning("the lead is not given up, it expires by itself", error=str(error))

    def turn(self) -> list[str]:
        """The schedules that were fired; none while another one leads."""
        self._hold()
        if not self.leads:
            return []
        fired = []
        with self._store.read_unit(None) as unit:
            rows, now = schedules.list_schedules(unit), unit.now
        for schedule in self._table.values():
            row = rows.get(schedule.name)
            if schedule.cron and is_due(schedule, row, now) and self._fire(schedule, row):
                fired.append(schedule.name)
        if SWEEP_ORDERS in self._table:
            self._sweep_orders(rows.get(SWEEP_ORDERS), now)
        if WRITE_CHECKPOINTS in self._table and self._checkpoint is not None:
            self._write_checkpoints(self._checkpoint, rows.get(WRITE_CHECKPOINTS))
        return fired

    def _serve(self) -> None:
        look_at = 0.0
        while not self._stopping.is_set():
            try:
                if time.monotonic() >= look_at:
                    self.turn()
                    look_at = time.monotonic() + SCHEDULES_EVERY_S
                else:
                    self._hold()
                    self._swept += self._sweep() if self.leads else 0
            except (StoreUnavailable, CommitUnknown, Conflict) as error:
                log.warning("the schedules wait for the database", error=str(error))
            except Exception:
                log.exception("minding the schedules failed")
            self._stopping.wait(LOOK_EVERY_S)

    def _hold(self) -> None:
        """Keep the lease, or take it when it is free."""
        now = time.monotonic()
        if now < self._renew_at:
            return
        self._renew_at = now + self._lasts.total_seconds() / 4
        with self._store.platform_unit() as unit:
            if self._token is not None and not leases.heartbeat(unit, SCHEDULE_LEASE, self._token, self._lasts):
                log.warning("another worker leads the schedules now")
                self._token = None
            if self._token is None:
                self._token = leases.acquire(unit, SCHEDULE_LEASE, self._holder, self._lasts)
                if self._token is not None:
                    log.info("leads the schedules", token=self._token)
        self._good_until = now + self._lasts.total_seconds()

    def _fire(self, schedule: Schedule, row: ScheduleRow | None) -> bool:
        with self._store.platform_unit() as unit:
            if not schedules.fire(unit, schedule.name, row.fired_at if row is not None else None, self._holder):
                return False
            fired_at = unit.now
        self._send(schedule.name, scheduled_at=fired_at.isoformat())
        return True

    def _sweep_orders(self, row: ScheduleRow | None, now: datetime) -> None:
        """Sweep; say how many orders were swept at once, and that none were now and then."""
        self._swept += self._sweep()
        if self._swept or row is None or now - row.fired_at >= NOTE_SWEEP_EVERY:
            with self._store.platform_unit() as unit:
                if schedules.fire(unit, SWEEP_ORDERS, row.fired_at if row is not None else None, self._holder):
                    schedules.finish(unit, SWEEP_ORDERS, handled=self._swept)
            self._swept = 0

    def _write_checkpoints(self, checkpoint: Callable[[], int], row: ScheduleRow | None) -> None:
        """Write what is due; say when something was written, and what stands in the way."""
        written, wrong = 0, ""
        try:
            written = checkpoint()
        except (LogDiffers, OSError, ValueError) as error:
            wrong = f"{type(error).__name__}: {error}"
        wrong = wrong[: schedules.LONGEST_ERROR]
        before = row.error if row is not None else ""
        if wrong and wrong != before:
            log.error("checkpoints cannot be written", error=wrong)
        if written or wrong != before:
            with self._store.platform_unit() as unit:
                if schedules.fire(unit, WRITE_CHECKPOINTS, row.fired_at if row is not None else None, self._holder):
                    schedules.finish(unit, WRITE_CHECKPOINTS, handled=written, error=wrong)


def is_due(schedule: Schedule, row: ScheduleRow | None, now: datetime) -> bool:
    """Whether an hour of the schedule has passed since it was due last; one that never was is due now."""
    return row is None or next_time(schedule, row.fired_at) <= now


def next_time(schedule: Schedule, after: datetime) -> datetime:
    """The first hour of the schedule's cron line after a moment."""
    import pendulum
    from periodiq import cron

    following: datetime = cron(schedule.cron).next_valid_date(pendulum.instance(after))
    return following
