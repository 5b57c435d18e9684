"""A ledger's log in, the state as of its end out: what is long is folded page by page without the ledger's lock.

Guarantee: a transaction holds the lock for a short tail only, however long the process was away; a server ends a
transaction that leaves it waiting for seconds, and everybody else waits for the lock meanwhile.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta

from oms_app.store.unit_of_work import LedgerUnit, Store
from oms_kernel.domain.events import Recorded
from oms_kernel.domain.ids import LedgerId, TenantId

LONG_TAIL = 2_000
"""Events that are folded under the lock at most: some tens of milliseconds."""
PAGE = 5_000
FIRST_LOOK_BACK = 1_000


class FarBehind(Exception):
    """The state lies too far behind for the lock; `head` is the seq to read up to."""

    def __init__(self, head: int) -> None:
        super().__init__(f"the log has grown to {head}")
        self.head = head


def is_far_ahead(unit: LedgerUnit, seq: int) -> bool:
    """Whether the log after `seq` is too long to be folded under the lock."""
    return unit.head - seq > LONG_TAIL


def read_up(
    store: Store,
    tenant_id: TenantId,
    ledger_id: LedgerId,
    seq: Callable[[], int],
    head: int,
    fold: Callable[[Sequence[Recorded]], None],
) -> None:
    """Fold committed events, without the lock, until `seq` has come to `head`. Raises StoreUnavailable."""
    while seq() < head:
        page = store.events(tenant_id, ledger_id, seq(), PAGE)
        if not page:
            return
        fold(page)


def recent_events(unit: LedgerUnit, horizon: timedelta) -> Sequence[Recorded]:
    """The ledger's events since `horizon` ago, in order, found by looking back further and further."""
    since, back = unit.now - horizon, FIRST_LOOK_BACK
    while True:
        events = unit.tail(max(0, unit.head - back))
        if back >= unit.head or not events or events[0].recorded_at < since:
            return [recorded for recorded in events if recorded.recorded_at >= since]
        back *= 4
