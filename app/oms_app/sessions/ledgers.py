"""The ledgers that a connection serves: their transactions in one thread of the session, each under its lease."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from oms_app.flow.desk import Desk, Turn
from oms_app.sessions.lease import HeldLease, StoreContact
from oms_app.sessions.ports import Connection
from oms_kernel.domain.book import Book
from oms_kernel.domain.ids import BrokerAccountId, InstrumentId, LedgerId
from oms_kernel.domain.instrument import Instrument

T = TypeVar("T")


class SessionLedgers:
    """One connection's ledgers. `close` ends the thread. contact: is told whenever the database answered."""

    def __init__(
        self, connection: Connection, desk: Desk, lease: HeldLease, contact: StoreContact | None = None
    ) -> None:
        self._connection = connection
        self._desk = desk
        self._lease = lease
        self._contact = contact or StoreContact()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._seen: dict[LedgerId, int] = {}
        self._homes: dict[BrokerAccountId, LedgerId] = {}

    async def each(self, work: Callable[[Turn], T]) -> list[T]:
        """The results of one transaction in each ledger. Raises LeaseLost before one that the lease does not cover."""
        results = []
        for ledger_id in self._connection.ledgers:
            self._lease.require()
            transact = partial(self._desk.transact, self._connection.tenant_id, ledger_id, work)
            results.append(await self.off(transact))
        return results

    async def act(self, work: Callable[[Turn], T], committed: Callable[[T], None]) -> None:
        """One transaction in each ledger that does all that is due there; `committed` gets its result at once.

        Only such a transaction has seen the ledger: any other may pass over an order that came meanwhile. Raises
        LeaseLost as `each` does; what was committed before is handed over then, also when this is cancelled meanwhile.
        """
        for ledger_id in self._connection.ledgers:
            self._lease.require()
            acting = asyncio.ensure_future(self.off(partial(self._act, ledger_id, work)))
            is_cancelled = False
            while not acting.done():
                try:
                    await asyncio.wait([acting])
                except asyncio.CancelledError:
                    is_cancelled = True  # the thread goes on: only its end tells what was committed
            committed(acting.result())
            if is_cancelled:
                raise asyncio.CancelledError

    async def heads(self) -> dict[LedgerId, int]:
        """The last seq of each ledger."""
        return await self.off(lambda: self._desk.store.heads(self._connection.ledgers))

    async def moved(self) -> bool:
        """Whether a ledger has events that this session has not seen."""
        heads = await self.heads()
        return any(heads.get(ledger_id, 0) > self._seen.get(ledger_id, -1) for ledger_id in self._connection.ledgers)

    async def find_homes(self) -> None:
        """Learn which ledger books the reports of which broker account."""
        directory = await self.off(lambda: self._desk.store.account_directory(self._connection.tenant_id))
        self._homes = {
            broker_account_id: directory.ledgers[account_id]
            for broker_account_id, account_id in directory.by_broker_account.items()
            if account_id in directory.ledgers
        }

    def is_home(self, ledger_id: LedgerId, broker_account_id: BrokerAccountId) -> bool:
        """Whether this ledger books the account's reports; those of accounts that no ledger knows go to the first."""
        return self._homes.get(broker_account_id, self._connection.ledgers[0]) == ledger_id

    async def off(self, call: Callable[[], T]) -> T:
        """Run a blocking call in the session's transaction thread."""
        result = await asyncio.get_running_loop().run_in_executor(self._thread, call)
        self._contact.heard()
        return result

    def remembered(self, read: Callable[[LedgerId, Book], T]) -> list[T]:
        """What `read` finds in this process's own memory of each ledger, with the database gone as well."""
        found = []
        for ledger_id in self._connection.ledgers:
            cache = self._desk.ledger(self._connection.tenant_id, ledger_id)
            found.append(cache.remembered(partial(read, ledger_id)))
        return found

    def instrument(self, ledger_id: LedgerId, instrument_id: InstrumentId) -> Instrument:
        """What this process knows of an instrument, without the database."""
        return self._desk.ledger(self._connection.tenant_id, ledger_id).catalogue.instruments[instrument_id]

    def close(self) -> None:
        """End the thread after its last call."""
        self._thread.shutdown(wait=True)

    def _act(self, ledger_id: LedgerId, work: Callable[[Turn], T]) -> T:
        def noting(turn: Turn) -> tuple[T, int]:
            result = work(turn)
            return result, turn.batch.book.seq

        result, seq = self._desk.transact(self._connection.tenant_id, ledger_id, noting)
        self._seen[ledger_id] = seq
        return result
