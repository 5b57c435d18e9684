"""Have every watched ledger looked at: soon after something moved in it or a mark did, each second while all is quiet.

Who leads the schedules watches. A ledger is looked at by one thread of a pool at a time, so that one that is slow, or
whose database is, holds up itself only. A ledger without a monitor costs nothing, a quiet system one read a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime
from itertools import islice

import structlog

from oms_app.flow.desk import Desk
from oms_app.flow.equity_marks import scopes_with_equity
from oms_app.flow.errors import FlowError
from oms_app.flow.watching import LedgerWatch, Round
from oms_app.signals import Signals
from oms_app.store import monitoring_rounds, quotes, tenants
from oms_app.store.config_rows import load_ledger_config
from oms_app.store.monitoring_rounds import RoundRow
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import CommitUnknown, Conflict, LimitRow, StoreUnavailable
from oms_kernel.domain.ids import LedgerId, TenantId
from oms_kernel.registry import Registries

QUIET_S = 1.0
"""How often a ledger is looked at in which nothing moves, and whether there are others to watch."""
APART_S = 0.05
"""The least time between two looks at one ledger, however much moves."""
NOTE_EVERY_S = 2.0
"""How often the last rounds are stored; late are those that are older than `monitoring_rounds.LATE_AFTER`."""
AT_ONCE = 8
NEW_AT_ONCE = 200
STOP_S = 2.0
log = structlog.get_logger(__name__)


def is_watched(registries: Registries, limits: tuple[LimitRow, ...]) -> bool:
    """Whether a ledger with these limits has monitors, or accounts whose equity is to be marked."""
    return any(row.rule in registries.monitors for row in limits) or bool(scopes_with_equity(registries, limits))


class Monitoring:
    """Watches ledgers in threads of its own while `leads` says so. every_s: how soon a move of a mark is looked at."""

    def __init__(
        self,
        store: SqlStore,
        desk: Desk,
        registries: Registries,
        *,
        leads: Callable[[], bool],
        every_s: float,
        clock: Callable[[], datetime],
        holder: str,
        signals: Signals,
    ) -> None:
        self._store = store
        self._desk = desk
        self._registries = registries
        self._leads = leads
        self._every_s = every_s
        self._clock = clock
        self._holder = holder
        self._signals = signals
        self._watched: dict[LedgerId, _Watched] = {}
        self._versions: dict[LedgerId, int] = {}
        self._discover_at = 0.0
        self._note_at = 0.0
        self._quoted: datetime | None = None
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="monitors")
        self._bell = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="monitoring", daemon=True)
        self._deaf: Callable[[], None] = _nothing

    def start(self) -> None:
        """Begin."""
        self._deaf = self._signals.listen(self._bell.set)
        self._thread.start()

    def stop(self) -> None:
        """End, after the looks that are under way; one that takes long ends by itself."""
        self._stopping.set()
        self._bell.set()
        self._deaf()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)
        futures = [watched.future for watched in self._watched.values() if watched.future is not None]
        self._pool.shutdown(wait=False, cancel_futures=True)
        wait(futures, STOP_S)

    def turn(self) -> int:
        """How many ledgers are looked at now because of this turn. Raises StoreUnavailable."""
        if not self._leads():
            self._watched.clear()
            self._versions.clear()
            self._discover_at = 0.0
            return 0
        now = time.monotonic()
        if now >= self._discover_at:
            self._discover()
            self._discover_at = now + QUIET_S
        begun = [watched for watched in self._due(now) if self._begin(watched)]
        if now >= self._note_at:
            self._note()
            self._note_at = now + NOTE_EVERY_S
        return len(begun)

    def settled(self) -> bool:
        """Whether no look is under way."""
        return all(watched.is_idle for watched in self._watched.values())

    def _serve(self) -> None:
        while not self._stopping.is_set():
            self._bell.clear()
            try:
                self.turn()
            except (StoreUnavailable, CommitUnknown, Conflict) as error:
                log.warning("monitoring waits for the database", error=str(error))
                self._stopping.wait(QUIET_S)
            except Exception:
                log.exception("monitoring failed")
                self._stopping.wait(QUIET_S)
            self._stopping.wait(APART_S)
            self._bell.wait(max(0.0, (self._every_s if self._watched else QUIET_S) - APART_S))

    def _discover(self) -> None:
        """Learn which ledgers are to be watched: of those whose configuration changed only."""
        with self._store.read_unit(None) as unit:
            rows = tenants.list_ledgers(unit)
        known = {row.ledger_id for row in rows}
        for gone in [ledger_id for ledger_id in self._versions if ledger_id not in known]:
            self._versions.pop(gone)
            self._watched.pop(gone, None)
        changed = (row for row in rows if self._versions.get(row.ledger_id) != row.config_version)
        unwatched = []
        for row in islice(changed, NEW_AT_ONCE):
            if self._has_watch(row.tenant_id, row.ledger_id):
                if row.ledger_id not in self._watched:
                    watch = LedgerWatch(self._desk, self._registries, row.tenant_id, row.ledger_id)
                    self._watched[row.ledger_id] = _Watched(watch)
                self._watched[row.ledger_id].look_at = 0.0
            else:
                self._watched.pop(row.ledger_id, None)
                unwatched.append(row.ledger_id)
            self._versions[row.ledger_id] = row.config_version
        if unwatched:
            with self._store.platform_unit() as unit:
                monitoring_rounds.note_unwatched(unit, unwatched)

    def _has_watch(self, tenant_id: TenantId, ledger_id: LedgerId) -> bool:
        with self._store.read_unit(tenant_id) as unit:
            config = load_ledger_config(unit.connection, tenant_id, ledger_id)
        return is_watched(self._registries, tuple(config.limits))

    def _due(self, now: float) -> list[_Watched]:
        """The ledgers in which something moved, or that were not looked at for a second."""
        idle = [watched for watched in self._watched.values() if watched.is_idle]
        if not idle:
            return []
        heads = self._store.heads([watched.watch.ledger_id for watched in idle])
        if any(watched.is_invested for watched in idle):
            with self._store.read_unit(None) as unit:
                self._quoted = quotes.newest_at(unit)
        due = []
        for watched in idle:
            moved = heads.get(watched.watch.ledger_id, 0) != watched.seq
            marked = watched.is_invested and self._quoted != watched.quoted
            if now >= watched.look_at or (now >= watched.retry_at and (moved or marked)):
                watched.quoted = self._quoted
                due.append(watched)
        return due

    def _begin(self, watched: _Watched) -> bool:
        try:
            watched.future = self._pool.submit(self._look, watched)
        except RuntimeError:  # the pool was shut down meanwhile
            return False
        return True

    def _look(self, watched: _Watched) -> None:
        started = time.monotonic()
        error = ""
        try:
            watched.take(watched.watch.look(), self._clock())
        except (FlowError, StoreUnavailable, CommitUnknown, Conflict) as away:
            error = str(away)
            log.warning("a ledger was not looked at", ledger_id=watched.watch.ledger_id, error=error)
        except Exception as failure:
            error = f"{type(failure).__name__}: {failure}"
            log.exception("looking at a ledger failed", ledger_id=watched.watch.ledger_id)
        ended = time.monotonic()
        watched.error = error
        watched.duration_s = ended - started
        watched.look_at = ended + QUIET_S
        watched.retry_at = ended + (QUIET_S if error else 0.0)

    def _note(self) -> None:
        """Store how the watched ledgers' last rounds went, for people."""
        rows = [row for watched in list(self._watched.values()) if (row := watched.row(self._holder)) is not None]
        if rows:
            with self._store.platform_unit() as unit:
                monitoring_rounds.put_rounds(unit, rows)


class _Watched:
    """A ledger that is watched, and how its last round went."""

    def __init__(self, watch: LedgerWatch) -> None:
        self.watch = watch
        self.future: Future[None] | None = None
        self.look_at = 0.0
        self.retry_at = 0.0
        self.quoted: datetime | None = None
        self.round: Round | None = None
        self.ended_at: datetime | None = None
        self.duration_s = 0.0
        self.lag_s = 0.0
        self.error = ""
        self.rounds = 0

    @property
    def is_idle(self) -> bool:
        return self.future is None or self.future.done()

    @property
    def is_invested(self) -> bool:
        return self.round is not None and self.round.is_invested

    @property
    def seq(self) -> int:
        return self.round.seq if self.round is not None else -1

    def take(self, told: Round, ended_at: datetime) -> None:
        """Keep a round, and how long after the newest thing in it it ended, where that is newer than the last one's."""
        before = self.round.newest_at if self.round is not None else None
        self.lag_s = 0.0
        if told.newest_at is not None and told.newest_at != before:
            self.lag_s = max(0.0, (ended_at - told.newest_at).total_seconds())
        self.round, self.ended_at = told, ended_at
        self.rounds += 1

    def row(self, holder: str) -> RoundRow | None:
        """What is stored of the last round; None before the first."""
        if self.round is None or self.ended_at is None:
            return None
        return RoundRow(
            tenant_id=self.watch.tenant_id,
            ledger_id=self.watch.ledger_id,
            holder=holder,
            ended_at=self.ended_at,
            duration_ms=round(self.duration_s * 1000),
            lag_ms=round(self.lag_s * 1000),
            monitors=self.round.monitors,
            failures=self.round.failed,
            rounds=self.rounds,
            error=self.error,
        )


def _nothing() -> None:
    """Nothing to hear."""
