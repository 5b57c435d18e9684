"""A ledger's committed state in, a snapshot in the database out now and then; and a state that begins at a snapshot.

Guarantee: a snapshot is a cache. Without one, or with one that is damaged or of another build, the log is folded from
its first event, and the state is the same.
"""

import threading

import structlog

from oms_app.store.unit_of_work import CommitUnknown, Conflict, Snapshot, Store, StoreUnavailable
from oms_kernel.batch import LedgerState
from oms_kernel.domain.book import Book
from oms_kernel.domain.freezing import Damaged, fold_version, freeze, thaw
from oms_kernel.domain.ids import LedgerId, TenantId

LEAST_EVENTS = 20_000
"""A start folds so many events in less than a second."""
GROWTH = 10
"""A snapshot is taken anew when the log has grown by a tenth: its size grows with the ledger."""
PAGE = 5_000
FIRST_LOOK_BACK = 1_000
log = structlog.get_logger(__name__)


class Snapshots:
    """The snapshots of one ledger, as one process takes and uses them."""

    def __init__(self, store: Store, tenant_id: TenantId, ledger_id: LedgerId) -> None:
        self._store = store
        self._tenant_id = tenant_id
        self._ledger_id = ledger_id
        self._seq = 0
        self._writer: threading.Thread | None = None

    def restore(self, state: LedgerState, head: int) -> None:
        """Let an empty state that has its rules begin at the newest snapshot, if there is one up to `head`.

        Raises StoreUnavailable.
        """
        snapshot = self._store.snapshot(self._tenant_id, self._ledger_id, fold_version())
        if snapshot is None or snapshot.seq > head:
            return
        try:
            book = thaw(snapshot.book)
        except Damaged as error:
            log.warning("snapshot_damaged", ledger_id=self._ledger_id, seq=snapshot.seq, error=str(error))
            return
        self._remember(state, book)
        state.book = book
        self._seq = snapshot.seq

    def consider(self, book: Book) -> None:
        """Take a snapshot when it is time to; the book must not change before this returns."""
        if book.seq - self._seq < _due_after(book.seq) or (self._writer is not None and self._writer.is_alive()):
            return
        try:
            self._seq = self._store.snapshot_seq(self._tenant_id, self._ledger_id, fold_version())
        except StoreUnavailable:
            return
        if book.seq - self._seq < _due_after(book.seq):
            return
        snapshot = Snapshot(seq=book.seq, version=fold_version(), book=freeze(book))
        self._seq = book.seq
        self._writer = threading.Thread(target=self._write, args=(snapshot,), name="snapshot", daemon=True)
        self._writer.start()

    def wait(self) -> None:
        """Return when no snapshot is being written."""
        if self._writer is not None:
            self._writer.join()

    def _write(self, snapshot: Snapshot) -> None:
        try:
            self._store.put_snapshot(self._tenant_id, self._ledger_id, snapshot)
        except (StoreUnavailable, CommitUnknown, Conflict) as error:
            log.warning("snapshot_not_written", ledger_id=self._ledger_id, seq=snapshot.seq, error=str(error))
        else:
            log.info("snapshot_written", ledger_id=self._ledger_id, seq=snapshot.seq, bytes=len(snapshot.book))

    def _remember(self, state: LedgerState, book: Book) -> None:
        """Tell the rules what they would remember at the snapshot's end: as far back as the longest memory reaches."""
        seq = self._first_remembered(state, book) - 1
        while seq < book.seq:
            page = self._store.events(self._tenant_id, self._ledger_id, seq, min(PAGE, book.seq - seq))
            if not page:
                return
            state.remember(page)
            seq = page[-1].seq

    def _first_remembered(self, state: LedgerState, book: Book) -> int:
        """The seq at which the memories of the rules begin."""
        horizons = [rule.horizon for rule in state.rules if rule.stateful]
        if not horizons or book.recorded_at is None:
            return book.seq + 1
        known = [horizon for horizon in horizons if horizon is not None]
        if len(known) < len(horizons):
            return 1
        since, back = book.recorded_at - max(known), FIRST_LOOK_BACK
        while back < book.seq:
            (oldest,) = self._store.events(self._tenant_id, self._ledger_id, book.seq - back, 1)
            if oldest.recorded_at < since:
                return oldest.seq
            back *= 4
        return 1


def _due_after(seq: int) -> int:
    return max(LEAST_EVENTS, seq // GROWTH)
