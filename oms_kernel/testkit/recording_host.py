"""A broker host for tests: keeps all that a connector says, in order, and lets a test wait for it with a deadline."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import ClassVar

from oms_kernel.contracts.broker import AnyReport, BrokerAccount, ConnectorStorage
from oms_kernel.domain.ids import ConnectionId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import Quote
from oms_kernel.testkit.builders import a_uuid


class StorageGone(Exception):
    """The storage was used while the database is away."""


class MemoryStorage:
    """A connector's storage that lasts as long as the object; hand it on to the next host to play a restart.

    is_away: set it to have every use raise StorageGone, as while the database is away.
    """

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.is_away = False

    def get(self, key: str) -> str | None:
        """The value, or None."""
        self._require()
        return self.values.get(key)

    def put(self, key: str, value: str) -> None:
        """Remember the value."""
        self._require()
        self.values[key] = value

    def _require(self) -> None:
        if self.is_away:
            raise StorageGone("a cancel is prepared and sent without storage")


class RecordingHost:
    """Fulfils BrokerHost. report_delay: how long each report takes to be booked, in seconds.

    `patience` is how long a test waits for what it expects, in seconds.
    Calls of `report` may overlap; they are kept in the order of the calls.
    """

    patience: ClassVar[float] = 10.0

    def __init__(
        self,
        accounts: tuple[BrokerAccount, ...],
        instruments: tuple[Instrument, ...],
        *,
        storage: ConnectorStorage | None = None,
        report_delay: float = 0.0,
    ) -> None:
        self.connection_id = ConnectionId(a_uuid("connection"))
        self.accounts = accounts
        self.instruments = instruments
        self.storage: ConnectorStorage = storage or MemoryStorage()
        self.reports: list[AnyReport] = []
        self.quotes: list[Quote] = []
        self.losses: list[str] = []
        self.paced = 0
        self._report_delay = report_delay
        self._booking = asyncio.Lock()
        self._changed = asyncio.Event()

    async def report(self, report: AnyReport) -> None:
        """Keep a report."""
        async with self._booking:
            await asyncio.sleep(self._report_delay)
            self.reports.append(report)
        self._changed.set()

    def quote(self, quote: Quote) -> None:
        """Keep a quote."""
        self.quotes.append(quote)
        self._changed.set()

    def lost(self, reason: str) -> None:
        """Keep the word that the connection was lost."""
        self.losses.append(reason)
        self._changed.set()

    def clock(self) -> datetime:
        """Now."""
        return datetime.now(UTC)

    async def pace(self) -> None:
        """Count, and let everything through."""
        self.paced += 1

    async def wait_until(self, holds: Callable[[], object], what: str) -> None:
        """Return as soon as something holds. Raises AssertionError that names it and shows what was heard."""
        try:
            async with asyncio.timeout(self.patience):
                while not holds():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            heard = "\n  ".join(repr(report) for report in self.reports) or "nothing"
            raise AssertionError(f"within {self.patience} s there was no {what}; reports heard:\n  {heard}") from None
