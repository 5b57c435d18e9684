"""kill -9 under load, again and again, then count: `run` plays a seeded campaign and tells every promise that broke."""

import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.record import commit
from campaigns.books import count_states, read_books
from campaigns.checks import UNSETTLED, Kind, Violation, violations
from campaigns.clients import Client, Refused, Trader
from campaigns.history import History
from campaigns.home import GROUP, SUPERVISOR, Home, Stuck
from oms_app.cli.demo import TENANT_ID, derived_id
from oms_app.store import tables as t
from oms_app.store.rows import put
from oms_app.store.tenants import config_changed
from tests.services.postgres import PostgresServer, create_database

WEIGHTS = {SUPERVISOR: 3, GROUP: 3, "api": 3, "session": 4, "sim_broker": 2, "worker": 1, "strategy": 1, "stream": 1}
LIMITS: dict[str, dict[str, Any]] = {
    "max_order_quantity": {"max_quantity": "1000000"},
    "max_order_notional": {"max_notional": "10000000000"},
    "max_position": {"max_quantity": "100000000"},
    "message_rate": {"per_second": 100_000, "per_minute": 1_000_000},
}
"""Wide, so that nearly every order goes the whole way; duplicate_order and the checks stay as the demo sets them."""
TRADERS = 3
SETTLE_S = 60.0
ACTIVE = UNSETTLED | {"HELD", "WORKING", "PARTIALLY_FILLED"}


class Outcome(msgspec.Struct, frozen=True):
    """What a campaign came to."""

    violations: list[Violation]
    kills: dict[str, int]
    orders: int
    executions: int
    seconds: float

    def report(self, n: int, seed: int) -> dict[str, Any]:
        """The last line that the campaign prints."""
        kinds = Counter(one.kind for one in self.violations)
        return {
            "name": "kill", "n": n, "seed": seed, "commit": commit(),
            "lost": kinds[Kind.LOST], "doubled": kinds[Kind.DOUBLED], "violations": len(self.violations),
            "kills": self.kills, "orders": self.orders, "executions": self.executions,
            "seconds": round(self.seconds, 1),
        }  # fmt: skip


def run(
    n: int, seed: int, *, postgres: bool, plant: str, pace: float, say: Callable[[str], None], keep: bool
) -> Outcome:
    """Play the campaign. pace: orders and other requests per second; plant: a defect to be caught, or empty."""
    began = time.monotonic()
    with _folder(keep, say) as folder, _database(folder, postgres) as database_url:
        home = Home(folder / "home", database_url=database_url, plant=plant)
        campaign = Campaign(home, n, seed, pace, say)
        found = campaign.play()
        books = read_books(home.store, home.folder)
        home.store.close()
        found += violations(campaign.history.all(), books)
        return Outcome(
            violations=found,
            kills=dict(campaign.kills),
            orders=len(books.orders),
            executions=len(books.executions),
            seconds=time.monotonic() - began,
        )


class Campaign:
    """One run on one home."""

    def __init__(self, home: Home, n: int, seed: int, pace: float, say: Callable[[str], None]) -> None:
        self.history = History()
        self.kills: Counter[str] = Counter()
        self._home = home
        self._seed = seed
        self._n = n
        self._pace = pace
        self._say = say
        self._random = random.Random(seed)
        self._posted = threading.Event()

    def play(self) -> list[Violation]:
        """Start, kill, heal, drain, stop; what broke on the way."""
        found: list[Violation] = []
        home = self._home
        home.start()
        try:
            home.await_ready()
            _widen_limits(home)
            traders = self._traders()
            for trader in traders:
                trader.start()
            for number, target in enumerate(self._targets(), 1):
                found += self._kill(number, target)
            for trader in traders:
                trader.stop()
            self._say("settling")
            for trader in traders:
                trader.settle()
            self._drain()
        except Stuck as error:
            found.append(Violation(Kind.STUCK, str(error)))
        finally:
            code = home.stop()
        if code != 0:
            found.append(Violation(Kind.STUCK, f"`oms run` ended with {code}: {home.last_words()[-300:]}"))
        found += [Violation(Kind.ORPHAN, f"{one.name} ({one.pid}) goes on after the stop") for one in home.await_gone()]
        return found + self._verify()

    def _kill(self, number: int, target: str) -> Iterator[Violation]:
        """One kill at a seeded moment, and the way back."""
        time.sleep(self._random.uniform(0.1, 0.6))
        if self._random.random() < 0.6:
            # Right after an order went out: the time in which something is under way everywhere.
            self._posted.clear()
            self._posted.wait(2)
            time.sleep(self._random.uniform(0, 0.025))
        began = time.monotonic()
        self._home.kill(target, self._random.random())
        self.kills[target] += 1
        if target in (SUPERVISOR, GROUP):
            for orphan in self._home.await_gone():
                yield Violation(Kind.ORPHAN, f"{orphan.name} ({orphan.pid}) goes on after kill {number} of {target}")
            self._home.start()
        self._home.await_ready()
        self._say(f"kill {number}/{self._n}: {target}, well again after {time.monotonic() - began:.1f} s")

    def _targets(self) -> list[str]:
        """Each target by its weight, in a seeded order."""
        deck: list[str] = []
        while len(deck) < self._n:
            cards = [name for name, weight in WEIGHTS.items() for _ in range(weight)]
            self._random.shuffle(cards)
            deck += cards
        return deck[: self._n]

    def _traders(self) -> list[Trader]:
        facts = self._home.facts()
        client = Client(self._home.port, facts["api_key"])
        return [
            Trader(
                f"t{number}", client, self.history, account_id=facts["account_id"], seed=self._seed,
                pause_s=TRADERS / self._pace, posting=self._posted.set,
            )
            for number in range(TRADERS)
        ]  # fmt: skip

    def _drain(self) -> None:
        """Cancel what rests and wait until nothing is under way. What does not come to rest is found by the checks."""
        client = Client(self._home.port, self._home.facts()["api_key"])
        deadline = time.monotonic() + SETTLE_S
        while count_states(self._home.store, ACTIVE) and time.monotonic() < deadline:
            try:
                client.ask("POST", "/api/v1/orders/cancel-all", {})
            except Refused:
                pass
            time.sleep(0.5)

    def _verify(self) -> list[Violation]:
        done = subprocess.run(
            [sys.executable, "-m", "oms_app.cli.main", "verify"],
            env=self._home.env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            return []
        return [Violation(Kind.VERIFY, f"`oms verify` ended with {done.returncode}: {done.stderr[-500:].strip()}")]


def _widen_limits(home: Home) -> None:
    with home.store.tenant_unit(TENANT_ID) as unit:
        for rule, params in LIMITS.items():
            key = {"tenant_id": TENANT_ID, "limit_id": derived_id(f"limit {rule}")}
            put(unit, t.LIMITS, key, rule=rule, params=params, version=2)
        config_changed(unit)


@contextmanager
def _folder(keep: bool, say: Callable[[str], None]) -> Iterator[Path]:
    if keep:
        folder = Path(tempfile.mkdtemp(prefix="oms-campaign-"))
        say(f"the home stays in {folder}")
        (folder / "home").mkdir(mode=0o700)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="oms-campaign-") as name:
        (Path(name) / "home").mkdir(mode=0o700)
        yield Path(name)


@contextmanager
def _database(folder: Path, postgres: bool) -> Iterator[str]:
    """The URL of a new PostgreSQL database, or empty for the home's own SQLite."""
    if not postgres:
        yield ""
        return
    folder.chmod(0o755)
    place = folder / "postgres"
    place.mkdir()
    server = PostgresServer(place)
    server.start()
    try:
        yield create_database(server.url, "campaign")
    finally:
        server.stop()
