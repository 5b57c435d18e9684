"""Our processes in a simulation: sessions by lease, a consumer with a cursor, a sweeper; each dies and begins anew."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from campaigns.simulated.database import SimulatedSessions
from campaigns.simulated.loop import Process
from campaigns.simulated.network import connector_of
from campaigns.simulated.people import Api
from oms_app.flow.errors import FlowError
from oms_app.flow.publishing import LogReader
from oms_app.sessions.control import CancelAll
from oms_app.sessions.process import Sessions
from oms_app.sessions.timing import Timing
from oms_app.store.unit_of_work import StoreUnavailable
from oms_kernel.domain.ids import LedgerId, TenantId
from oms_kernel.testkit.builders import a_uuid

TENANT = TenantId(a_uuid("tenant"))
LEDGER = LedgerId(a_uuid("ledger"))
LEASE_S = 60.0
CONSUME_EVERY_S = 30.0
SWEEP_EVERY_S = 60.0
PINGS_MS = 20_000
TIMING = Timing(
    idle_poll_s=4.0, busy_poll_s=1.0, busy_for_s=3.0, housekeeping_s=1.0, quotes_s=60.0, maximum_pause_s=10.0,
    settle_every_s=1.0, first_backoff_s=0.5, longest_backoff_s=15.0, ack_timeout_factor=0.5, compare_every_s=120.0,
    look_for_requests_s=30.0,
)  # fmt: skip
"""Slower than in production where a poll costs time and finds nothing; every order of events is the same."""


class SessionProcess:
    """`oms session` number so and so; killed and started again it is another process on the same host."""

    def __init__(self, world: Any, number: int) -> None:
        self._world = world
        self._number = number
        self._lives = 0
        self.sessions: Sessions | None = None
        self.process: Process
        self.past: list[Any] = []
        """Dead processes: nothing of them may be cleaned up before the end."""
        self.start()

    def start(self) -> None:
        """Begin it, unless it lives."""
        if self._lives and self.process.alive:
            return
        world = self._world
        self._lives += 1
        self.process = Process(f"session {self._number}.{self._lives}", world.loop)
        store = SimulatedSessions(world.database, world.connection, self.process.name, LEASE_S)
        connector = connector_of(world.network, PINGS_MS)
        self.sessions = Sessions(
            world.new_desk(), store, lambda broker: connector, lease_s=LEASE_S, timing=TIMING, beat=lambda: None,
            home=world.home,
        )  # fmt: skip
        self.past += [self.process, self.sessions]
        self.sessions._control = _NoControl()  # type: ignore[assignment]
        self.process.start(self.sessions.serve)

    def cancel_all(self) -> None:
        """Cancel everything from the session's own memory, as its control socket does."""
        sessions = self.sessions
        if sessions is not None and self.process.runs:
            self.process.start(lambda: _ignoring(sessions.carry_out(CancelAll())))

    def kill(self) -> None:
        """kill -9: the broker sees its connections end."""
        self.process.kill()
        self._world.network.hang_up_on(self.process)


async def _ignoring(work: Coroutine[Any, Any, Any]) -> None:
    await work


class _NoControl:
    """No socket: nobody calls from outside."""

    async def open(self) -> None:
        """Nothing listens."""

    async def close(self) -> None:
        """Nothing was open."""


class Consumer:
    """Reads the log after a stored cursor; what it handled since then it handles again after a death."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self.cursor = 0
        self.handled: list[int] = []
        self.process: Process | None = None
        self.past: list[Any] = []
        self.start()

    def start(self) -> None:
        """Begin it, unless it lives."""
        if self.process is None or not self.process.alive:
            self.past.append(self.process)
            self.process = Process("consumer", self._world.loop)
            self.process.start(self._consume)

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()

    async def _consume(self) -> None:
        reader = LogReader(self._world.database.store)
        at = self.cursor
        while True:
            try:
                events = reader.events(TENANT, LEDGER, at, 50)
            except StoreUnavailable:
                events = ()
            for recorded in events:
                self.handled.append(recorded.seq)
                at = recorded.seq
            await asyncio.sleep(0.5 if events else CONSUME_EVERY_S)
            self.cursor = at


class Sweeper:
    """The worker's chore: what was not sent in time ends."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._api = Api(world.new_desk)
        Process("worker", world.loop).start(self._sweep)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            try:
                self._api.control.sweep(TENANT, LEDGER)
            except (FlowError, StoreUnavailable):
                continue
