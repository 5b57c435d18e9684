"""What goes wrong in a simulated hour, by seed: deaths, freezes, cuts, bad weather, a store away, clocks set."""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from campaigns.simulated.network import Weather
from oms_kernel.domain.account import TradingState
from oms_kernel.testkit.faults import Fault, FaultKind, fault

SCRIPTS: tuple[tuple[str, FaultKind], ...] = (
    ("submit", FaultKind.LOST_ACK),
    ("submit", FaultKind.SILENCE),
    ("submit", FaultKind.REJECT),
    ("submit", FaultKind.DISCONNECT_MID_SUBMIT),
    ("submit", FaultKind.DISCONNECT),
    ("submit", FaultKind.FILL_BEFORE_ACK),
    ("submit", FaultKind.REORDERED_REPORTS),
    ("submit", FaultKind.DELAY),
    ("submit", FaultKind.DELAY),
    ("submit", FaultKind.DELAY),
    ("cancel", FaultKind.LOST_ACK),
    ("cancel", FaultKind.SILENCE),
    ("cancel", FaultKind.REJECT),
    ("cancel", FaultKind.FILL_AFTER_CANCEL),
    ("replace", FaultKind.LOST_ACK),
    ("replace", FaultKind.SILENCE),
    ("replace", FaultKind.REJECT),
    ("replace", FaultKind.DELAY),
    ("fill", FaultKind.DUPLICATE_EXECUTION),
    ("fill", FaultKind.LOST_FILL),
    ("fill", FaultKind.OVER_FILL),
    ("snapshot", FaultKind.FAILED_QUERY),
)


SLOW_MS = (300, 6_000, 8_000, 9_500)
"""How long the broker takes for a command: longer than it is waited for, shorter than the pause after a connection."""


class Nemesis:
    """Strikes a world. `struck` counts by name."""

    def __init__(self, world: Any, randomness: random.Random) -> None:
        self._world = world
        self._random = randomness
        self.struck: dict[str, int] = {}
        self._blows: tuple[Callable[[], Any], ...] = (
            self.kill_session, self.kill_session, self.stop_session, self.stop_session, self.cut, self.bad_weather,
            self.bad_weather, self.script, self.script, self.script, self.store_away, self.lose_commits,
            self.slow_store, self.set_clock, self.kill_api, self.kill_consumer, self.halt, self.kill_switch,
        )  # fmt: skip

    async def strike(self, blows: int, bursts: Sequence[float]) -> None:
        """So many blows, most of them while people trade."""
        moments = sorted(self._random.choice(bursts) + self._random.uniform(-2, 12) for _ in range(blows))
        for moment in moments:
            await asyncio.sleep(max(0.0, moment - asyncio.get_running_loop().time()))
            blow = self._random.choice(self._blows)
            name = blow.__name__
            self.struck[name] = self.struck.get(name, 0) + 1
            blow()

    def kill_session(self) -> None:
        """kill -9; its supervisor starts it again."""
        place = self._random.randrange(len(self._world.sessions))
        self._world.sessions[place].kill()
        self._later(self._random.uniform(0.5, 30), self._world.sessions[place].start)

    def stop_session(self) -> None:
        """SIGSTOP, often for longer than its lease, then SIGCONT."""
        session = self._random.choice(self._world.sessions)
        process = session.process
        if process.stopped:
            return
        process.stop()
        self._later(self._random.choice((3.0, 20.0, 90.0, 200.0)), process.go_on)

    def cut(self) -> None:
        """The network between us and the broker is gone for a while."""
        self._world.network.cut()
        self._later(self._random.choice((0.1, 5.0, 40.0)), self._clear_weather)

    def bad_weather(self) -> None:
        """Messages get lost, double, late or out of order for a while."""
        draw = self._random.choice
        self._world.network.weather = Weather(
            losing=draw((0, 5, 20, 40)), doubling=draw((0, 10, 40)), delaying=draw((0, 10, 40)),
            reordering=draw((0, 20, 50)),
            raising=draw((0, 0, 10, 30)),
        )  # fmt: skip
        self._later(self._random.uniform(20, 240), self._clear_weather)

    def script(self) -> None:
        """The broker itself commits a few faults."""
        faults = [self._fault() for _ in range(self._random.randint(1, 3))]
        if self._random.randrange(3) == 0:  # a doubt that is asked about in vain
            faults += [fault("submit", FaultKind.LOST_ACK), fault("snapshot", FaultKind.FAILED_QUERY, times=5)]
        self._world.network.venue.faults.set(tuple(faults))

    def store_away(self) -> None:
        """Nobody listens where the database was."""
        self._world.database.away_until = self._world.clock.monotonic + self._random.choice((1.0, 5.0, 30.0))

    def lose_commits(self) -> None:
        """Connections break in COMMIT."""
        self._world.database.losing = self._random.choice((5, 20))
        self._later(self._random.uniform(5, 60), self._keep_commits)

    def slow_store(self) -> None:
        """Answers take up to two seconds."""
        self._world.database.slow_until = self._world.clock.monotonic + self._random.uniform(5, 60)

    def set_clock(self) -> None:
        """A time server sets the database's wall clock."""
        self._world.clock.jumped += timedelta(seconds=self._random.choice((-120, -5, 5, 30, 300)))

    def kill_api(self) -> None:
        """The API forgets everything."""
        self._world.api.begin()

    def kill_consumer(self) -> None:
        """What the consumer did after its last stored cursor is done again."""
        self._world.consumer.kill()
        self._later(self._random.uniform(1, 20), self._world.consumer.start)

    def kill_switch(self) -> None:
        """A person cancels everything past the API, half the time with the database gone."""
        if self._random.randrange(2):
            self.store_away()
        for session in self._world.sessions:
            session.cancel_all()

    def halt(self) -> None:
        """A person halts the account, and releases it later."""
        trader = self._world.trader
        trader.set_state(self._random.choice((TradingState.HALTED, TradingState.CANCEL_ONLY, TradingState.REDUCE_ONLY)))
        self._later(self._random.uniform(5, 60), lambda: trader.set_state(TradingState.ACTIVE))

    def _fault(self) -> Fault:
        point, kind = self._random.choice(SCRIPTS)
        fields: dict[str, Any] = {"nth": self._random.randint(1, 2), "times": self._random.randint(1, 3)}
        if kind is FaultKind.FAILED_QUERY:
            fields["times"] = self._random.randint(1, 6)
        if kind is FaultKind.DELAY:
            fields["delay_ms"] = self._random.choice(SLOW_MS)
        return fault(point, kind, **fields)

    def _clear_weather(self) -> None:
        self._world.network.weather = Weather()

    def _keep_commits(self) -> None:
        self._world.database.losing = 0

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(seconds, call)
