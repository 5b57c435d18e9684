"""The simulated broker in the process of a test, with the same venue and the same connector, without socket or file."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import ClassVar

import msgspec

from oms_kernel.contracts.broker import BrokerHost, NotConnected
from oms_kernel.contracts.plugin import NoParams
from oms_kernel.domain.market import Quote
from oms_kernel.testkit.faults import Fault, FaultKind, FaultPoint
from oms_sim_broker.config import AccountConfig, ManualFeedConfig, SimBrokerConfig
from oms_sim_broker.connector import SimBrokerConnector, SimBrokerParams
from oms_sim_broker.ledger import Ledger, MemoryLedger
from oms_sim_broker.link import Hear, HearEnd, Link
from oms_sim_broker.protocol import (
    Answer,
    Cancel,
    ClientMessage,
    Goodbye,
    Hello,
    Ping,
    Place,
    Quoted,
    Replace,
    ServerMessage,
    SnapshotQuery,
    Told,
    Welcome,
)
from oms_sim_broker.venue import Command, Effect, HangUp, Later, SimVenue


class InProcessSimBroker:
    """A simulated broker for tests: quotes come by `set_quote`, faults by `set_faults`.

    ledger: hand in the same one again to play a restart of the broker.
    """

    def __init__(
        self,
        config: SimBrokerConfig,
        wall_clock: Callable[[], datetime],
        ledger: Ledger | None = None,
    ) -> None:
        config = msgspec.structs.replace(config, feed=ManualFeedConfig())
        self.wall_clock = wall_clock
        self.venue = SimVenue(config, ledger or MemoryLedger(), wall_clock, new_ledger_id="INPROC")
        self._links: list[InProcessLink] = []
        self._stopped = False

    @property
    def is_stopped(self) -> bool:
        """Whether nobody listens any more."""
        return self._stopped

    def connector(self, host: BrokerHost) -> "InProcessConnector":
        """A connector to this broker."""
        return InProcessConnector(self, host)

    def set_quote(self, quote: Quote) -> None:
        """Match a quote and pass it on."""
        effects = self.venue.on_quote(quote)
        for link in tuple(self._links):
            link.say(Quoted(quote))
        self._carry_out(effects, None)

    def advance(self, at: datetime) -> None:
        """Move the broker's own clock."""
        self._carry_out(self.venue.advance(at), None)

    def set_faults(self, faults: tuple[Fault, ...]) -> None:
        """Begin a new fault script."""
        self.venue.faults.set(faults)

    def stop(self) -> None:
        """Hang up on everybody and take no new client."""
        self._stopped = True
        for link in tuple(self._links):
            link.hang_up("the broker stopped")

    def attach(self, link: "InProcessLink") -> None:
        """Take a new client."""
        self._links.append(link)

    def detach(self, link: "InProcessLink") -> None:
        """Forget a client."""
        if link in self._links:
            self._links.remove(link)

    def handle(self, link: "InProcessLink", message: ClientMessage) -> None:
        """Do what a client asks."""
        if isinstance(message, Hello):
            self._welcome(link, message)
        elif isinstance(message, Place | Cancel | Replace):
            self._carry_out(self.venue.command(message), link)
        elif isinstance(message, SnapshotQuery):
            parts, breaks = self.venue.snapshot(message)
            if breaks:
                link.hang_up("the fault script broke the connection")
            else:
                link.say(Answer(message.query_id, parts=parts))
        elif isinstance(message, Ping):
            link.say(Answer(message.query_id))

    def _welcome(self, link: "InProcessLink", hello: Hello) -> None:
        if any(fault.do is FaultKind.DISCONNECT for fault in self.venue.faults.strike(FaultPoint.CONNECT)):
            link.say(Goodbye("the fault script refuses connections"))
            return
        self.venue.list_unknown(hello.instruments)
        if hello.opening_cash is not None:
            self.venue.configure(
                accounts=[
                    AccountConfig(
                        account.broker_account_id, account.account_number, account.base_currency, hello.opening_cash
                    )
                    for account in hello.accounts
                ]
            )
        link.accounts = frozenset(account.broker_account_id for account in hello.accounts)
        self.attach(link)
        link.say(Welcome(self.venue.state.ledger_id, self.venue.engine.now))
        for instrument_id in self.venue.state.instruments:
            quote = self.venue.engine.quote(instrument_id)
            if quote is not None:
                link.say(Quoted(quote))

    def _carry_out(self, effects: list[Effect], link: "InProcessLink | None") -> None:
        for effect in effects:
            if isinstance(effect, HangUp):
                if link is not None:
                    link.hang_up(effect.reason)
            elif isinstance(effect, Later):
                asyncio.get_running_loop().call_later(effect.delay_ms / 1000, self._late, effect.command)
            else:
                for other in tuple(self._links):
                    if effect.report.broker_account_id in other.accounts:
                        other.say(Told(effect.report))

    def _late(self, command: Command) -> None:
        self._carry_out(self.venue.command(command, delayed=True), None)


class InProcessLink:
    """A client of an in-process broker: messages arrive in the next turn of the loop, in order, as from a socket."""

    def __init__(self, broker: InProcessSimBroker, hear: Hear, hear_end: HearEnd) -> None:
        self._broker = broker
        self._hear = hear
        self._hear_end = hear_end
        self._open = True
        self.accounts: frozenset[str] = frozenset()

    async def send(self, message: ClientMessage) -> None:
        """Hand the message over; the broker does it in the next turn of the loop."""
        if not self._open:
            raise ConnectionResetError("the connection is closed")
        asyncio.get_running_loop().call_soon(self._receive, message)
        await asyncio.sleep(0)

    async def close(self) -> None:
        """End it."""
        self._open = False
        self._broker.detach(self)

    def say(self, message: ServerMessage) -> None:
        """Let the client hear a message in the next turn of the loop."""
        if self._open:
            asyncio.get_running_loop().call_soon(self._deliver, message)

    def hang_up(self, reason: str) -> None:
        """Break the connection; what was said before is still heard."""
        if self._open:
            self._open = False
            self._broker.detach(self)
            asyncio.get_running_loop().call_soon(self._hear_end, reason)

    def _receive(self, message: ClientMessage) -> None:
        if self._open:
            self._broker.handle(self, message)

    def _deliver(self, message: ServerMessage) -> None:
        self._hear(message)


class InProcessConnector(SimBrokerConnector):
    """The connector of the simulated broker with a broker in the same process at the other end."""

    name: ClassVar[str] = "sim_broker_in_process"
    title: ClassVar[str] = "Simulated broker in the same process, for tests"
    Params: ClassVar[type[msgspec.Struct]] = NoParams

    def __init__(self, broker: InProcessSimBroker, host: BrokerHost) -> None:
        super().__init__(SimBrokerParams(), host)
        self._broker = broker

    async def open_link(self) -> Link:
        """A way to the broker of this process."""
        if self._broker.is_stopped:
            raise NotConnected("the broker has stopped")
        return InProcessLink(self._broker, self.hear, self.hear_end)
