"""What a connector is given: an awaited callback that returns after the commit, quotes, storage, clock and pace."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from oms_app.sessions.ports import Connection, SessionStore
from oms_app.store.unit_of_work import LedgerUnit
from oms_kernel.contracts.broker import AnyReport, BrokerAccount
from oms_kernel.domain.ids import ConnectionId, InstrumentId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import Quote

BEFORE_WIRE: contextvars.ContextVar[Callable[[], None] | None] = contextvars.ContextVar("before_wire", default=None)
"""Called when the pace lets a message out: raises when what adds exposure may not go out any more."""


class StorageAway(Exception):
    """Asked of a storage that may not be used now: a cancel is prepared from memory, the database may be away."""


class ConnectionLost(Exception):
    """The connection must be closed and opened anew."""


class Storage:
    """The connector's durable store; inside an intent's transaction its writes are part of that transaction."""

    def __init__(self, store: SessionStore, connection: Connection) -> None:
        self._store = store
        self._connection = connection
        self._preparing = threading.local()

    @property
    def unit(self) -> LedgerUnit | None:
        """The transaction that this thread prepares intents in; no other thread's writes become part of it."""
        if getattr(self._preparing, "from_memory", False):
            raise StorageAway("a cancel is prepared without storage")
        return getattr(self._preparing, "unit", None)

    @unit.setter
    def unit(self, unit: LedgerUnit | None) -> None:
        self._preparing.unit = unit

    @contextmanager
    def from_memory(self) -> Iterator[None]:
        """While this thread prepares a cancel that must not need storage: using it raises StorageAway."""
        self._preparing.from_memory = True
        try:
            yield
        finally:
            self._preparing.from_memory = False

    def get(self, key: str) -> str | None:
        """The value, or None."""
        if self.unit is not None:
            return self.unit.storage_get(self._connection.connection_id, key)
        return self._store.storage_get(self._connection.tenant_id, self._connection.connection_id, key)

    def put(self, key: str, value: str) -> None:
        """Remember the value."""
        if self.unit is not None:
            self.unit.storage_put(self._connection.connection_id, key, value)
        else:
            self._store.storage_put(self._connection.tenant_id, self._connection.connection_id, key, value)


class Heard:
    """A report and the future that its connector awaits."""

    __slots__ = ("booked", "report")

    def __init__(self, report: AnyReport, booked: "asyncio.Future[None]") -> None:
        self.report = report
        self.booked = booked

    def answer(self) -> None:
        """Tell the connector that the report is stored."""
        if not self.booked.done():
            self.booked.set_result(None)


class ConnectorHost:
    """A BrokerHost. Reports queue until the runner has booked them; `wake` tells the runner that something came."""

    def __init__(
        self, connection: Connection, instruments: tuple[Instrument, ...], storage: Storage, wake: Callable[[], None]
    ) -> None:
        self.connection_id: ConnectionId = connection.connection_id
        self.accounts: tuple[BrokerAccount, ...] = connection.accounts
        self.instruments = instruments
        self.storage = storage
        self.heard: list[Heard] = []
        self.quotes: dict[InstrumentId, Quote] = {}
        self.lost_reason: str | None = None
        self.last_heard_at: datetime | None = None
        self._wake = wake

    async def report(self, report: AnyReport) -> None:
        """Queue the report; returns after the transaction that booked it."""
        self.last_heard_at = self.clock()
        booked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.heard.append(Heard(report, booked))
        self._wake()
        await booked

    def quote(self, quote: Quote) -> None:
        """Keep the newest quote of each instrument until the runner writes them."""
        self.quotes[quote.instrument_id] = quote

    def lost(self, reason: str) -> None:
        """The connection is gone; the runner closes it and connects anew."""
        if self.lost_reason is None:
            self.lost_reason = reason
        self._wake()

    def clock(self) -> datetime:
        """Now, UTC."""
        return datetime.now(UTC)

    async def pace(self) -> None:
        """No pace of our own yet: the connector's parameters keep the broker's rate.

        After this nothing waits any more before the first byte: a place or change is looked at here for the last time.
        """
        await asyncio.sleep(0)
        look = BEFORE_WIRE.get()
        if look is not None:
            look()
