"""A seed in, one misfortune after the other out: killed, stopped and continued processes, a bad wire, a wrong clock."""

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

from campaigns.clocks import VARIABLE
from campaigns.cluster import Cluster
from campaigns.history_client import Journal
from campaigns.timing import scaled
from campaigns.wire_faults import Fault, FaultKind, Way
from campaigns.wire_proxy import WireProxy

CLOCK_STEPS_S = (-300, -60, 60, 300)
WIRE = (
    (FaultKind.SILENT, Way.TO_BROKER),
    (FaultKind.REFUSE, Way.TO_BROKER),
    (FaultKind.HALF_OPEN_BROKER, Way.TO_BROKER),
    (FaultKind.HALF_OPEN_SESSION, Way.TO_SESSION),
    (FaultKind.LOSE, Way.TO_BROKER),
    (FaultKind.LOSE, Way.TO_SESSION),
    (FaultKind.LOSE, Way.TO_SESSION),
)
"""The last one leaves orders at the broker of which the session hears nothing: it has the most weight."""
WEIGHTS = {"kill": 30, "stop": 25, "wire": 30, "clock": 12, "database": 3}
PAUSE_S = (0.3, 1.5)
STOPPED_S = (0.3, 4.0)
"""Some stops are longer than a lease lives."""
WIRE_S = (0.2, 1.5)
DATABASE_AWAY_S = 0.3
HURRIED = 0.2
WELL_S = 20.0


class Nemesis:
    """Strikes from the thread that calls `strike`; `done` counts what it did."""

    def __init__(
        self,
        cluster: Cluster,
        roles: dict[str, str],
        proxies: Sequence[WireProxy],
        journal: Journal,
        seed: int,
        is_well: Callable[[], bool],
    ) -> None:
        self.done: Counter[str] = Counter()
        self._cluster = cluster
        self._is_well = is_well
        self._roles = roles
        self._proxies = proxies
        self._journal = journal
        self._random = random.Random(f"{seed} nemesis")
        self._deck: list[str] = []

    def strike(self) -> None:
        """One misfortune, its end included; then whoever ended is started again."""
        if not self._deck:
            self._deck = [kind for kind, weight in WEIGHTS.items() for _ in range(max(1, weight // 3))]
            self._random.shuffle(self._deck)
        kind = self._deck.pop()
        strikes: dict[str, Callable[[], str]] = {
            "kill": self._kill, "stop": self._stop, "wire": self._wire, "clock": self._clock,
            "database": self._database,
        }  # fmt: skip
        began = time.monotonic()
        told = strikes[kind]()
        self.done[kind] += 1
        self._journal.note(type="nemesis", kind=kind, what=told)
        self.revive()
        self._wait_until_well()
        print(f"{kind}: {told}, {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
        time.sleep(scaled(self._random.uniform(*PAUSE_S)))

    def _wait_until_well(self) -> None:
        """Give the system the time to recover; sometimes none, so that misfortunes meet."""
        if self._random.random() < HURRIED:
            return
        deadline = time.monotonic() + scaled(WELL_S)
        while not self._is_well() and time.monotonic() < deadline:
            self.revive()
            time.sleep(0.1)

    def revive(self) -> None:
        """Start again whoever ended."""
        for name, role in self._roles.items():
            if not self._cluster.is_alive(name):
                self._cluster.start(name, role)

    def heal(self) -> None:
        """Let everything be well."""
        for proxy in self._proxies:
            proxy.heal()
        self.revive()

    def _kill(self) -> str:
        name = self._someone()
        self._cluster.kill(name)
        return name

    def _stop(self) -> str:
        name, seconds = self._someone(), self._random.uniform(*STOPPED_S)
        self._cluster.stop(name)
        time.sleep(scaled(seconds))
        self._cluster.go_on(name)
        return f"{name} for {seconds:.1f} s"

    def _wire(self) -> str:
        proxy, seconds = self._random.choice(self._proxies), self._random.uniform(*WIRE_S)
        fault = Fault(0, *self._random.choice(WIRE))
        proxy.apply(fault)
        time.sleep(scaled(seconds))
        proxy.heal()
        return f"{fault.kind} {fault.way} for {seconds:.1f} s"

    def _clock(self) -> str:
        name, step = self._someone(), self._random.choice(CLOCK_STEPS_S)
        self._cluster.kill(name)
        self._cluster.start(name, self._roles[name], **{VARIABLE: str(step)})
        return f"{name} by {step} s"

    def _database(self) -> str:
        self._cluster.postgres.kill()
        time.sleep(scaled(DATABASE_AWAY_S))
        self._cluster.postgres.start()
        return "killed"

    def _someone(self) -> str:
        return self._random.choice(sorted(self._roles))
