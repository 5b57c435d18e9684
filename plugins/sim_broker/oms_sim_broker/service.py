"""Client messages and a feed in, reports and quotes out: nothing is told before the ledger holds it durably."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.market import Quote
from oms_kernel.testkit.faults import FaultKind, FaultPoint
from oms_sim_broker.client import Client
from oms_sim_broker.config import AccountConfig, CsvFeedConfig, ManualFeedConfig, SimBrokerConfig, SyntheticFeedConfig
from oms_sim_broker.feed_pump import pump_of
from oms_sim_broker.ledger import FileLedger
from oms_sim_broker.protocol import (
    AdvanceTo,
    Answer,
    Cancel,
    ClientMessage,
    Configure,
    Goodbye,
    Hello,
    Ping,
    Place,
    PushQuote,
    Replace,
    SetFaults,
    SnapshotQuery,
    Told,
    Welcome,
)
from oms_sim_broker.venue import Command, Effect, HangUp, Later, SimVenue

_GOODBYE_SECONDS = 2.0
_CLOCK_NOTE_SECONDS = 5.0
log = logging.getLogger("oms_sim_broker")


def wall_clock() -> datetime:
    """Now."""
    return datetime.now(UTC)


class SimBrokerService:
    """The server's heart, in one asyncio loop: commands at once, effects after the next sync, in order.

    One sync makes durable whatever gathered while the last one ran, so that many orders share one fdatasync.
    """

    def __init__(self, config: SimBrokerConfig, ledger: FileLedger, token: str, new_ledger_id: str) -> None:
        self.token = token
        self.config = config
        self._ledger = ledger
        self._venue = SimVenue(config, ledger, wall_clock, new_ledger_id)
        self._clients: set[Client] = set()
        self._effects: deque[Callable[[], None]] = deque()
        self._work = asyncio.Event()
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._is_recorded = isinstance(config.feed, CsvFeedConfig)
        self._next_clock_note = 0.0
        self._feed: asyncio.Task[None] | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Ends with the error that leaves the broker unable to go on."""

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Begin to write and to play the feed."""
        self._syncing = asyncio.create_task(self._sync_for_ever())
        self._syncing.add_done_callback(self._fail)
        self._work.set()
        self._play()

    async def stop(self) -> None:
        """Stop the feed, write what waits, let the clients go. The ledger stays open."""
        if self._feed is not None:
            self._feed.cancel()
        self._venue.note_clock()
        for client in tuple(self._clients):
            client.say(Goodbye("the simulated broker is stopping"))
            client.hang_up()
        if self._serving:
            _, stuck = await asyncio.wait(self._serving, timeout=_GOODBYE_SECONDS)
            for task in stuck:
                task.cancel()
        self._syncing.cancel()
        await asyncio.gather(self._syncing, return_exceptions=True)
        self._writer.shutdown(wait=True)
        self._ledger.sync()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            await Client(self, reader, writer).serve()
        finally:
            self._serving.discard(task)

    def configure(self, config: SimBrokerConfig) -> None:
        """Add the instruments, calendars and accounts of a configuration that was read again."""
        known = len(self._venue.state.instruments)
        self._venue.configure(config.instruments, config.calendars, config.accounts)
        self._work.set()
        if len(self._venue.state.instruments) != known and isinstance(self.config.feed, SyntheticFeedConfig):
            self._play()

    # ------------------------------------------------------------------ clients

    def welcome(self, client: Client, hello: Hello) -> None:
        """Let a client in when its accounts are known or may be opened."""
        if any(fault.do is FaultKind.DISCONNECT for fault in self._venue.faults.strike(FaultPoint.CONNECT)):
            client.say(Goodbye("the fault script refuses connections"))
            client.hang_up()
            return
        accounts: tuple[AccountConfig, ...] = ()
        if hello.opening_cash is not None:
            cash = hello.opening_cash
            accounts = tuple(
                AccountConfig(account.broker_account_id, account.account_number, account.base_currency, cash)
                for account in hello.accounts
            )
        known = set(self._venue.state.instruments)
        new = tuple(instrument for instrument in hello.instruments if instrument.instrument_id not in known)
        self.configure(SimBrokerConfig(instruments=new, accounts=accounts))
        unknown = [
            account.account_number
            for account in hello.accounts
            if account.broker_account_id not in self._venue.state.accounts
        ]
        if unknown:
            client.say(
                Goodbye(f"unknown account {', '.join(unknown)}: add it to the configuration or give opening_cash")
            )
            client.hang_up()
            return
        client.accounts = frozenset(account.broker_account_id for account in hello.accounts)
        client.wants_quotes = hello.quotes
        self._after_sync(lambda: self._let_in(client))

    def handle(self, client: Client, message: ClientMessage) -> None:
        """Do what a client asks; the answer follows after the next sync."""
        if isinstance(message, Place | Cancel | Replace):
            self._carry_out(self._venue.command(message), client)
        elif isinstance(message, SnapshotQuery):
            parts, breaks = self._venue.snapshot(message)
            answer = Answer(message.query_id, parts=parts)
            self._after_sync(client.hang_up if breaks else lambda: client.say(answer))
        elif isinstance(message, Ping):
            client.say(Answer(message.query_id))
        elif isinstance(message, PushQuote | AdvanceTo):
            self._by_hand(client, message)
        elif isinstance(message, SetFaults):
            self._venue.faults.set(message.faults)
            client.say(Answer(message.query_id))
        elif isinstance(message, Configure):
            self.configure(
                SimBrokerConfig(instruments=message.instruments, calendars=message.calendars, accounts=message.accounts)
            )
            query_id = message.query_id
            self._after_sync(lambda: client.say(Answer(query_id)))

    def leave(self, client: Client) -> None:
        """Forget a client."""
        self._clients.discard(client)

    def _let_in(self, client: Client) -> None:
        client.say(Welcome(self._venue.state.ledger_id, self._venue.engine.now))
        self._clients.add(client)
        if client.wants_quotes:
            for instrument_id in self._venue.state.instruments:
                quote = self._venue.engine.quote(instrument_id)
                if quote is not None:
                    client.show(quote)

    def _by_hand(self, client: Client, message: PushQuote | AdvanceTo) -> None:
        if not isinstance(self.config.feed, ManualFeedConfig):
            client.say(Answer(message.query_id, error="quotes and time come by hand only with the manual feed"))
            return
        if isinstance(message, PushQuote):
            self._on_quote(message.quote)
        else:
            self._on_time(message.at)
        self._after_sync(lambda: client.say(Answer(message.query_id)))

    # ------------------------------------------------------------------ feed

    def _play(self) -> None:
        if self._feed is not None:
            self._feed.cancel()
        pump = pump_of(
            self.config,
            self._venue.engine,
            tuple(self._venue.state.instruments.values()),
            self._on_quote,
            self._on_time,
        )
        if pump is not None:
            self._feed = asyncio.create_task(pump.run())
            self._feed.add_done_callback(self._fail)

    def _on_quote(self, quote: Quote) -> None:
        effects = self._venue.on_quote(quote)
        for client in self._clients:
            if client.wants_quotes:
                client.show(quote)
        if effects:
            self._carry_out(effects, None)
        if self._is_recorded:
            self._note_clock_now_and_then()

    def _note_clock_now_and_then(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._next_clock_note:
            self._next_clock_note = now + _CLOCK_NOTE_SECONDS
            self._venue.note_clock()
            self._work.set()

    def _on_time(self, at: datetime) -> None:
        effects = self._venue.advance(at)
        if effects:
            self._carry_out(effects, None)

    # ------------------------------------------------------------------ effects

    def _carry_out(self, effects: list[Effect], client: Client | None) -> None:
        for effect in effects:
            if isinstance(effect, Later):
                asyncio.get_running_loop().call_later(effect.delay_ms / 1000, self._late, effect.command)
            elif isinstance(effect, HangUp):
                if client is not None:
                    self._after_sync(client.hang_up)
            else:
                told = Told(effect.report)
                self._after_sync(lambda told=told: self._tell(told))  # type: ignore[misc]
        self._work.set()

    def _late(self, command: Command) -> None:
        self._carry_out(self._venue.command(command, delayed=True), None)

    def _tell(self, told: Told) -> None:
        for client in self._clients:
            if told.report.broker_account_id in client.accounts:
                client.say(told)

    def _after_sync(self, act: Callable[[], None]) -> None:
        self._effects.append(act)
        self._work.set()

    async def _sync_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._work.wait()
            self._work.clear()
            ready = len(self._effects)
            lines = self._ledger.take()
            if lines:
                await loop.run_in_executor(self._writer, self._ledger.write, lines)
            for _ in range(ready):
                self._effects.popleft()()

    def _fail(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or self.failed.done():
            return
        error = task.exception()
        if isinstance(error, InvalidRequest):
            log.error("the feed stopped: %s", error.detail)
        if error is not None:
            self.failed.set_exception(error)
