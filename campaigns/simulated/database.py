"""The database of a simulation: the store in memory with faults on purpose, and the leases of sessions in its own time.

A transaction may fail before it is stored, be lost in COMMIT with or without its effect, or find nobody listening.
"""

import random
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from campaigns.simulated.clock import VirtualClock
from oms_app.sessions.ports import Connection
from oms_app.store.memory import MemoryStore
from oms_app.store.reconciliation_runs import Run
from oms_app.store.unit_of_work import AccountDirectory, CommitUnknown, ConnectionState, StoreUnavailable
from oms_kernel.domain.events import Recorded
from oms_kernel.domain.ids import LedgerId, OrderId, TenantId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import Quote


class Killed(BaseException):
    """The process died in the middle of a transaction."""


class _Store(MemoryStore):
    """Reading needs a database that listens, too."""

    def __init__(self, database: "Database", **options: Any) -> None:
        super().__init__(database.clock.wall, **options)
        self._database = database

    def heads(self, ledger_ids: Sequence[LedgerId]) -> dict[LedgerId, int]:
        self._database.require()
        return super().heads(ledger_ids)

    def events(self, tenant_id: TenantId, ledger_id: LedgerId, after_seq: int, limit: int = 500) -> Sequence[Recorded]:
        self._database.require()
        return super().events(tenant_id, ledger_id, after_seq, limit)

    def account_directory(self, tenant_id: TenantId) -> AccountDirectory:
        self._database.require()
        return super().account_directory(tenant_id)

    def ledger_of_order(self, tenant_id: TenantId, order_id: OrderId) -> LedgerId | None:
        self._database.require()
        return super().ledger_of_order(tenant_id, order_id)


class Database:
    """`away_until` (virtual seconds) takes it away; `losing` is the chance in a hundred that a COMMIT is lost.

    kill_at: "before" or "after" the next COMMIT the process dies that makes it.
    """

    def __init__(self, clock: VirtualClock, randomness: random.Random) -> None:
        self.clock = clock
        self.away_until = 0.0
        self.slow_until = 0.0
        self.losing = 0
        self.struck: dict[str, int] = {}
        self._random = randomness
        self.kill_at = ""
        self.store = _Store(
            self, on_lock=self.require, before_commit=self._before_commit, after_commit=self._after_commit
        )

    def note(self, fault: str) -> None:
        """Count a fault."""
        self.struck[fault] = self.struck.get(fault, 0) + 1

    def require(self) -> None:
        """Nothing, while it listens; else StoreUnavailable."""
        if self.clock.monotonic < self.away_until:
            self.note("store away")
            raise StoreUnavailable("nobody listens")

    def delay_s(self) -> float:
        """How long an answer takes."""
        if self.clock.monotonic < self.slow_until:
            return self._random.uniform(0.2, 2.0)
        return 0.002

    def _die(self, moment: str) -> None:
        if self.kill_at == moment:
            self.kill_at = ""
            self.note(f"killed {moment} commit")
            raise Killed

    def _before_commit(self) -> None:
        self.require()
        self._die("before")
        if self.losing and self._random.randrange(100) < self.losing:
            self.note("commit lost")
            if self._random.randrange(2):
                raise StoreUnavailable("the connection broke before COMMIT")
            raise CommitUnknown("the connection broke in COMMIT; nothing was stored")

    def _after_commit(self) -> None:
        self._die("after")
        if self.losing and self._random.randrange(100) < self.losing:
            self.note("commit unknown")
            raise CommitUnknown("the connection broke in COMMIT; it was stored")


class SimulatedSessions:
    """A SessionStore for one session process, over the shared database."""

    def __init__(self, database: Database, connection: Connection, holder: str, lease_s: float) -> None:
        self._database = database
        self._store = database.store
        self._connection = connection
        self._holder = holder
        self._life = timedelta(seconds=lease_s)

    def wanted(self) -> Sequence[Connection]:
        self._database.require()
        return [self._connection]

    def acquire(self, connection_id: Any) -> int | None:
        self._database.require()
        now, state = self._store.clock(), self._state()
        if state is not None and state.lease_expires_at is not None and state.lease_expires_at > now:
            return None
        token = (state.lease_token if state else 0) + 1
        status = state.status if state is not None else "DISCONNECTED"
        self._put(
            ConnectionState(
                connection_id=connection_id, status=status, detail="", lease_token=token, lease_holder=self._holder,
                lease_expires_at=now + self._life,
            )
        )  # fmt: skip
        return token

    def renew(self, connection_id: Any, token: int) -> bool:
        self._database.require()
        now, state = self._store.clock(), self._state()
        if state is None or state.lease_token != token or state.lease_expires_at is None:
            return False
        if state.lease_expires_at <= now:
            return False
        self._put(msgspec.structs.replace(state, lease_expires_at=now + self._life))
        return True

    def release(self, connection_id: Any, token: int) -> None:
        self._database.require()
        state = self._state()
        if state is not None and state.lease_token == token:
            self._put(msgspec.structs.replace(state, lease_expires_at=None, lease_holder=""))

    def set_status(self, tenant_id: Any, connection_id: Any, status: str, detail: str, heard_at: Any) -> None:
        self._database.require()
        state = self._state()
        if state is not None and state.lease_holder == self._holder:
            self._put(msgspec.structs.replace(state, status=status, detail=detail))

    def instruments(self) -> tuple[Instrument, ...]:
        self._database.require()
        return tuple(self._store.instrument_catalogue().instruments.values())

    def put_quotes(self, quotes: Iterable[Quote]) -> None:
        self._database.require()
        for quote in quotes:
            self._store.put_quote(quote)

    def requested_runs(self, tenant_id: Any, connection_id: Any) -> Sequence[Run]:
        self._database.require()
        return []

    def keep_run(self, tenant_id: Any, run: Run) -> None:
        self._database.require()

    def storage_get(self, tenant_id: Any, connection_id: Any, key: str) -> str | None:
        self._database.require()
        return self._store.storage.get((tenant_id, connection_id, key))

    def storage_put(self, tenant_id: Any, connection_id: Any, key: str, value: str) -> None:
        self._database.require()
        self._store.storage[tenant_id, connection_id, key] = value

    def _state(self) -> ConnectionState | None:
        connection = self._connection
        return self._store.connections.get(connection.tenant_id, {}).get(connection.connection_id)

    def _put(self, state: ConnectionState) -> None:
        self._store.put_connection(self._connection.tenant_id, state)
