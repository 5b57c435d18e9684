"""Who reads the log and how far: cursors out, and a cursor set back so that its consumer reads again from there.

At least once: what is read again has the same ids as before, so that a receiver can tell.
"""

from datetime import datetime

import msgspec

from oms_app.flow.audit import AdminAction, cli_actor, record
from oms_app.flow.publishing import LogReader
from oms_app.flow.strategies import StateConflict, UnknownThing
from oms_app.store import cursors
from oms_app.store.sql_store import SqlStore
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import LedgerId, TenantId

WEBHOOKS = "webhooks"
REPLAYABLE = {WEBHOOKS: "each event is delivered again under its old message id"}
"""The consumers that may read again. A strategy's run may not: it would place its orders a second time."""


class Consumer(msgspec.Struct, frozen=True):
    """A consumer's place in one ledger. lag: how many events it has not read; lag_s: how long the oldest one waits."""

    name: str
    ledger_id: str
    seq: int
    head: int
    lag: int
    lag_s: float
    moved_at: datetime


class Consumers:
    """The one door for people who look after consumers."""

    def __init__(self, store: SqlStore, reader: LogReader) -> None:
        self._store = store
        self._reader = reader

    def list(self, tenant_id: TenantId | None = None) -> list[Consumer]:
        """The consumers of the tenant's ledgers, or of the platform's, by name and ledger."""
        with self._store.read_unit(None) as unit:
            rows, now = cursors.list_cursors(unit, tenant_id), unit.now
        found = []
        for row in rows:
            waiting = self._reader.events(row.tenant_id, row.ledger_id, row.seq, 1) if row.seq < row.head else ()
            lag_s = (now - waiting[0].recorded_at).total_seconds() if waiting else 0.0
            found.append(
                Consumer(
                    name=row.consumer,
                    ledger_id=row.ledger_id,
                    seq=row.seq,
                    head=row.head,
                    lag=max(0, row.head - row.seq),
                    lag_s=round(max(0.0, lag_s), 3),
                    moved_at=row.moved_at,
                )
            )
        return found

    def replay(self, name: str, ledger_id: LedgerId, from_seq: int) -> int:
        """How many events the consumer will read again, the first being `from_seq`.

        Raises StateConflict for one that must not read twice, UnknownThing, InvalidRequest for a seq not read yet.
        """
        if name not in REPLAYABLE:
            raise StateConflict(f"{name} must not read events twice; {', '.join(REPLAYABLE)} may")
        if from_seq < 1:
            raise InvalidRequest("the first event has seq 1", field="from_seq")
        with self._store.platform_unit() as unit:
            stands_at = cursors.positions(unit, name).get(ledger_id)
            if stands_at is None:
                raise UnknownThing(f"{name} has read no ledger {ledger_id}")
            if not cursors.set_back(unit, name, ledger_id, from_seq - 1):
                raise InvalidRequest(f"{name} has read up to seq {stands_at} only", field="from_seq")
            owner = next((tenant for tenant, known in self._store.ledgers() if known == ledger_id), None)
            told = {"ledger_id": ledger_id, "from_seq": from_seq}
            record(unit, cli_actor(), AdminAction("consumer.replayed", "consumer", name, after=told), owner)
        return stands_at - from_seq + 1
