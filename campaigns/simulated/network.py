"""The network between sessions and the simulated broker: messages in, late, lost, doubled, reordered messages out.

A closed connection may still deliver what was on its way, but for no longer than `LONGEST_DELAY_S`, which is less than
the pause after which a session believes that nothing of it can arrive any more.
"""

import asyncio
import contextvars
import random
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec

from campaigns.simulated.loop import PRESENT
from oms_kernel.contracts.broker import BrokerHost, NotConnected
from oms_kernel.contracts.plugin import NoParams
from oms_sim_broker.connector import SimBrokerConnector, SimBrokerParams
from oms_sim_broker.protocol import (
    Answer,
    Cancel,
    Hello,
    Ping,
    Place,
    Quoted,
    Replace,
    SnapshotQuery,
    Told,
    Welcome,
)
from oms_sim_broker.venue import HangUp, Later, SimVenue, Tell

LONGEST_DELAY_S = 8.0
USUAL_DELAY_S = 0.004


class Weather(msgspec.Struct):
    """How bad the network is now, as chances in a hundred for each message."""

    losing: int = 0
    doubling: int = 0
    delaying: int = 0
    reordering: int = 0
    raising: int = 0
    """A send that raises, half the time after the broker got it."""
    is_cut: bool = False


class Network:
    """All connections to one broker. `struck` counts the faults that happened."""

    def __init__(self, venue: SimVenue, randomness: random.Random) -> None:
        self.venue = venue
        self.weather = Weather()
        self.struck: dict[str, int] = {}
        self.on_place: Callable[[str], None] = lambda wire_id: None
        self._random = randomness
        self._links: list[Link] = []
        self._outside = contextvars.Context()
        """Messages on their way belong to no process: a dead sender's last words still arrive."""

    def note(self, fault: str) -> None:
        """Count a fault."""
        self.struck[fault] = self.struck.get(fault, 0) + 1

    def connect(self, hear: Any, hear_end: Any) -> "Link":
        """A new connection. Raises NotConnected while the network is cut."""
        if self.weather.is_cut:
            raise NotConnected("no route to the broker")
        link = Link(self, hear, hear_end, contextvars.copy_context())
        self._links.append(link)
        return link

    def cut(self) -> None:
        """Break every connection, and let no new one come up until the weather changes."""
        self.weather.is_cut = True
        for link in tuple(self._links):
            link.break_off("the network was cut")

    def hang_up_on(self, process: Any) -> None:
        """The system of a dead process closes its connections."""
        for link in tuple(self._links):
            if link.process is process:
                self.forget(link)

    def forget(self, link: "Link") -> None:
        """The broker sees that a connection ended."""
        if link in self._links:
            self._links.remove(link)

    def later(self, delay_s: float, call: Callable[..., None], *args: Any, context: Any = None) -> None:
        """Do something when a message arrives."""
        asyncio.get_running_loop().call_later(delay_s, call, *args, context=context or self._outside)

    def delay_s(self, *, tells: bool) -> float:
        """How long a message takes; only what the broker tells overtakes."""
        if self._strikes(self.weather.delaying, "delayed"):
            return self._random.uniform(0.5, LONGEST_DELAY_S)
        if tells and self._strikes(self.weather.reordering, "reordered"):
            return self._random.uniform(0.05, 0.5)
        return USUAL_DELAY_S

    def copies(self, *, tells: bool) -> int:
        """How often a message arrives: a report may be lost or doubled, a command only lost."""
        if self._strikes(self.weather.losing, "lost"):
            return 0
        return 2 if tells and self._strikes(self.weather.doubling, "doubled") else 1

    def raises(self) -> tuple[bool, bool]:
        """(whether a send raises, whether the broker gets it all the same)."""
        if not self._strikes(self.weather.raising, "raised"):
            return False, True
        return True, self._random.randrange(2) == 0

    def quote(self, quote: Any) -> None:
        """The market moves."""
        for link in tuple(self._links):
            link.tell(Quoted(quote))
        self.carry_out(self.venue.on_quote(quote), None)

    def carry_out(self, effects: Any, link: "Link | None") -> None:
        """Tell what the broker tells."""
        for effect in effects:
            if isinstance(effect, HangUp):
                self.note("hung up")
                if link is not None:
                    link.break_off(effect.reason)
            elif isinstance(effect, Later):
                self.note("slow broker")
                self.later(effect.delay_ms / 1000, self._late, effect.command)
            elif isinstance(effect, Tell):
                for other in tuple(self._links):
                    other.tell(Told(effect.report), is_report=True)

    def _late(self, command: Any) -> None:
        self.carry_out(self.venue.command(command, delayed=True), None)

    def _strikes(self, chance: int, fault: str) -> bool:
        if not chance or self._random.randrange(100) >= chance:
            return False
        self.note(fault)
        return True


class Link:
    """One connection. What the session hears is heard inside its process; a dead one hears nothing."""

    def __init__(self, network: Network, hear: Any, hear_end: Any, context: contextvars.Context) -> None:
        self._network = network
        self._hear = hear
        self._hear_end = hear_end
        self._context = context
        self.process = context.get(PRESENT)
        self._open = True
        self._heard_at = 0.0
        self._told_at = 0.0

    async def send(self, message: Any) -> None:
        """Hand the message over to the network."""
        if not self._open:
            raise ConnectionResetError("the connection is closed")
        if isinstance(message, Place | Cancel | Replace):
            raises, arrives = self._network.raises()
            if not arrives or not self._network.copies(tells=False):
                if raises:
                    raise ConnectionResetError("it broke while sending")
                return
            if raises:
                self._pass_on(message)
                raise ConnectionResetError("it broke right after sending")
        self._pass_on(message)

    def _pass_on(self, message: Any) -> None:
        loop_time = asyncio.get_running_loop().time()
        # A connection keeps its own order: nothing overtakes what was sent before.
        self._told_at = max(self._told_at, loop_time + self._network.delay_s(tells=False))
        self._network.later(self._told_at - loop_time, self._arrive, message)

    async def close(self) -> None:
        """End it in order."""
        self._open = False
        self._network.forget(self)

    def tell(self, message: Any, *, is_report: bool = False) -> None:
        """The broker says something."""
        if not self._open:
            return
        now = asyncio.get_running_loop().time()
        for _ in range(self._network.copies(tells=True) if is_report else 1):
            delay_s = self._network.delay_s(tells=is_report)
            if not is_report:
                self._heard_at = max(self._heard_at, now + delay_s)
                delay_s = self._heard_at - now
            self._network.later(delay_s, self._deliver, message, context=self._context)

    def break_off(self, reason: str) -> None:
        """Break the connection."""
        if self._open:
            self._open = False
            self._network.forget(self)
            self._network.later(USUAL_DELAY_S, self._hear_end, reason, context=self._context)

    def _arrive(self, message: Any) -> None:
        network = self._network
        if isinstance(message, Hello):
            network.venue.list_unknown(message.instruments)
            self.tell(Welcome(network.venue.state.ledger_id, network.venue.engine.now))
        elif isinstance(message, Place | Cancel | Replace):
            if isinstance(message, Place):
                network.on_place(message.order.wire_id)
            network.carry_out(network.venue.command(message), self)
        elif isinstance(message, SnapshotQuery):
            parts, breaks = network.venue.snapshot(message)
            if breaks:
                self.break_off("the broker broke the connection")
            else:
                self.tell(Answer(message.query_id, parts=parts))
        elif isinstance(message, Ping):
            self.tell(Answer(message.query_id))

    def _deliver(self, message: Any) -> None:
        if self._open:
            self._hear(message)


def connector_of(network: Network, ping_interval_ms: int) -> type[SimBrokerConnector]:
    """The real connector of the simulated broker, with this network in place of a socket."""

    class SimulatedConnector(SimBrokerConnector):
        Params: ClassVar[type[msgspec.Struct]] = NoParams

        def __init__(self, params: Any, host: BrokerHost) -> None:
            super().__init__(SimBrokerParams(ping_interval_ms=ping_interval_ms), host)

        async def open_link(self) -> Any:
            return network.connect(self.hear, self.hear_end)

    return SimulatedConnector
