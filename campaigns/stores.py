"""The stores fail under load: kinds of faults dealt from a seed in, every promise that broke out, and how long it took.

PostgreSQL and Redis are killed and started again, Redis is emptied, a disk becomes full, and SQLite dies in the middle
of a checkpoint with every process of its home. See campaigns/README.md.
"""

import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
import redis

from campaigns.asking import Stuck, counted, say
from campaigns.cell import SLOTS, Cell
from campaigns.checks import Kind, Violation
from campaigns.clients import Refused, Reply
from campaigns.disk import Disk, small_disk
from campaigns.ground import Ground, ground
from campaigns.result import Result
from campaigns.timing import scaled
from campaigns.zygote import Birth, Zygote

SHORT = 8
LONG = 320
LAZY = {"lazy_commit": {"synchronous_commit": "off", "wal_writer_delay": "10s", "wal_writer_flush_after": "1GB"}}
"""A PostgreSQL that answers a COMMIT before it is on the disk: what it answered last is gone after a kill."""
PLANTS = ("forget", "double_fill", *LAZY)
BATCH = 50
RECOVERY_S = 10.0
CHECKPOINT_TRIES = 40
ONE_MACHINE = tuple((role, name) for role, name in SLOTS if not name.endswith("-1"))
"""The processes of `oms run`."""


class Fault(StrEnum):
    """What happens to a store."""

    POSTGRES = "postgres_killed"
    REDIS = "redis_killed"
    FLUSH = "redis_emptied"
    DISK = "disk_full"
    CHECKPOINT = "sqlite_killed_in_checkpoint"


WEIGHTS = {Fault.POSTGRES: 50, Fault.REDIS: 50, Fault.FLUSH: 10, Fault.DISK: 10, Fault.CHECKPOINT: 200}
BUSINESS = frozenset({404, 409, 412, 422})
"""Answers that are about the order, not about the store."""


class Played(msgspec.Struct):
    """What cells came to."""

    found: list[Violation] = []
    faults: Counter[str] = msgspec.field(default_factory=Counter)
    recovery_s: dict[str, float] = {}
    figures: Counter[str] = msgspec.field(default_factory=Counter)
    ways: set[str] = set()


def run(n: int, seed: int, plant: str) -> Result:
    """Play the campaign. n: how many faults, each kind at least once. plant: a defect, or empty."""
    began = time.monotonic()
    faults = deal(n, seed)
    served: list[Fault] = [one for one in faults if one in (Fault.POSTGRES, Fault.REDIS, Fault.FLUSH)]
    alone: list[Fault] = [one for one in faults if one is Fault.CHECKPOINT]
    full: list[Fault] = [one for one in faults if one is Fault.DISK]
    played = Played()
    with ground(say, settings=LAZY.get(plant)) as place:
        zygote = Zygote(place.folder / "zygote.log")
        try:
            half = len(alone) // 2
            lots = {"served": [served], "alone": [alone[:half], full], "beside": [alone[half:]]}
            with ThreadPoolExecutor(len(lots), thread_name_prefix="lane") as lanes:
                jobs = [
                    lanes.submit(_lane, place, zygote, decks, name, seed, "" if plant in LAZY else plant, played)
                    for name, decks in lots.items()
                ]
                for job in jobs:
                    job.result()
        finally:
            zygote.close()
    return Result(
        name="stores", n=n, seed=seed, plant=plant, seconds=time.monotonic() - began,
        **counted(played.found), points=dict(played.faults),
        missed=sorted(kind for kind in Fault if played.faults[kind] < faults.count(kind)),
        figures={
            "recovery_s": max(played.recovery_s.values(), default=0.0), "recovery_s_by_fault": played.recovery_s,
            "disk_full_by": sorted(played.ways), **played.figures,
        },
        texts=[f"{one.kind}: {one.text}" for one in played.found],
    )  # fmt: skip


def deal(n: int, seed: int) -> list[Fault]:
    """n faults in a drawn order: every kind, else by weight. Raises ValueError when n is less than there are kinds."""
    if n < len(WEIGHTS):
        raise ValueError(f"there are {len(WEIGHTS)} kinds of faults: give at least as many")
    total = sum(WEIGHTS.values())
    dealt = [kind for kind, weight in WEIGHTS.items() for _ in range(max(1, n * weight // total))]
    dealt += [Fault.CHECKPOINT] * (n - len(dealt))
    random.Random(f"{seed} faults").shuffle(dealt)
    return dealt[:n]


def _lane(
    place: Ground, zygote: Zygote, decks: Sequence[list[Fault]], name: str, seed: int, plant: str, played: Played
) -> None:
    """One cell after the other, each with some of the faults."""
    number = 0
    for deck in decks:
        for first in range(0, len(deck), BATCH):
            number += 1
            folder = place.folder / f"{name}-{number}"
            _Trouble(place, zygote, folder, seed + number, plant, played).play(deck[first : first + BATCH])


class _Trouble:
    """One cell and the faults of its stores."""

    def __init__(self, place: Ground, zygote: Zygote, folder: Path, seed: int, plant: str, played: Played) -> None:
        self._place = place
        self._zygote = zygote
        self._folder = folder
        self._seed = seed
        self._plant = plant
        self._played = played
        self._random = random.Random(seed)
        self._probes = 0
        self._disk: Disk | None = None
        self._cell: Cell

    def play(self, faults: Sequence[Fault]) -> None:
        """One fault after the other under load, then the count."""
        kinds: dict[Fault, Callable[[], float]] = {
            Fault.POSTGRES: self._kill_postgres,
            Fault.REDIS: self._kill_redis,
            Fault.FLUSH: self._empty_redis,
            Fault.DISK: self._fill_disk,
            Fault.CHECKPOINT: self._kill_in_checkpoint,
        }
        with ExitStack() as stack:
            self._cell = cell = self._new_cell(stack, faults[0])
            stack.callback(cell.close)
            try:
                cell.start()
                cell.trade()
                for fault in faults:
                    time.sleep(scaled(self._random.uniform(0.3, 1.0)))
                    began = time.monotonic()
                    returned = kinds[fault]()
                    self._recover(fault, began, returned)
                cell.finish()
            except Stuck as error:
                cell.found.append(Violation(Kind.STUCK, f"{self._folder.name}: {error}"))
            self._played.found += cell.found
            self._played.figures.update(cell.figures)
            for one in cell.found[:10]:
                say(f"{self._folder.name}: {one.kind}: {one.text}")

    def _new_cell(self, stack: ExitStack, fault: Fault) -> Cell:
        if fault in (Fault.POSTGRES, Fault.REDIS, Fault.FLUSH):
            base = self._place.on_postgres(self._folder)
            return Cell(base, self._zygote, self._folder, seed=self._seed, plant=self._plant)
        home = self._folder / "home"
        if fault is Fault.DISK:
            self._disk = stack.enter_context(small_disk(home))
            self._played.ways.add(self._disk.way.value)
        base = self._place.on_sqlite(home)
        return Cell(base, self._zygote, self._folder, seed=self._seed, plant=self._plant, slots=ONE_MACHINE)

    def _recover(self, fault: Fault, began: float, returned: float) -> None:
        """Wait until an order goes the whole way again, and look at every answer since the fault began."""
        self._trade_once(returned + scaled(3 * RECOVERY_S))
        seconds = round(time.monotonic() - returned, 2)
        self._played.faults[fault.value] += 1
        longest = self._played.recovery_s
        longest[fault.value] = max(seconds, longest.get(fault.value, 0.0))
        say(f"{self._folder.name}: {fault.value}, well again {seconds:.1f} s after its return")
        if seconds > scaled(RECOVERY_S):
            self._found(Kind.SLOW, f"{fault.value}: an order went the whole way {seconds:.1f} s after its return")
        for reply in list(self._cell.replies):
            if reply.at_s >= began and not self._is_allowed(reply, fault):
                text = f"{fault.value}: {reply.method} {reply.path} was answered {reply.status or 'nothing'}"
                self._found(Kind.ANSWER, f"{text} after {reply.took_s:.1f} s, Retry-After {reply.retry_after}")
        self._cell.replies.clear()
        self._cell.store.close()  # its idle connections died with the server
        for slot in self._cell.slots:
            if self._cell.ended(slot) is not None:
                self._cell.launch(slot)

    def _is_allowed(self, reply: Reply, fault: Fault) -> bool:
        if reply.status == 0:
            return fault is Fault.CHECKPOINT  # there the API itself is killed
        if reply.status == 503:
            return reply.retry_after is not None
        return reply.status < 300 or reply.status == 504 or reply.status in BUSINESS

    def _trade_once(self, deadline: float) -> None:
        """Place an order until one is accepted, and wait for its fill. Raises Stuck."""
        cell, order_id, state = self._cell, None, ""
        while time.monotonic() < deadline:
            with suppress(Refused):
                if order_id is None:
                    order_id = self._probe()
                else:
                    status, order = cell.client.ask("GET", f"/api/v1/orders/{order_id}")
                    state = order["state"] if status == 200 else state
                    if state == "FILLED":
                        return
                    if state in ("REJECTED", "EXPIRED", "CANCELED", "DENIED", "IN_DOUBT"):
                        order_id = None
            time.sleep(0.05)
        raise Stuck(f"no order went the whole way; the last one is {state or 'not accepted'}")

    def _probe(self) -> str | None:
        """The id of a new order, or None when it was not accepted; the history knows it like any other."""
        self._probes += 1
        name = f"probe-{self._probes}"
        body: dict[str, Any] = {
            "account_id": self._cell.account_id, "symbol": "SPY", "side": "BUY", "quantity": "1",
            "order_type": "MARKET", "client_order_id": name,
        }  # fmt: skip
        return self._cell.post(name, body)

    def _found(self, kind: Kind, text: str) -> None:
        self._cell.found.append(Violation(kind, text))

    # The faults: each returns the moment at which the store was back -------------------------------------------

    def _kill_postgres(self) -> float:
        self._place.postgres.kill()
        time.sleep(scaled(self._random.uniform(0.2, 3.0)))
        self._place.postgres.start()
        return time.monotonic()

    def _kill_redis(self) -> float:
        self._place.redis.kill()
        time.sleep(scaled(self._random.uniform(0.2, 2.0)))
        self._place.redis.start()
        return time.monotonic()

    def _empty_redis(self) -> float:
        client = redis.Redis.from_url(self._place.redis.url)
        for _ in range(3):
            client.flushall()
            time.sleep(0.1)
        client.close()
        return time.monotonic()

    def _fill_disk(self) -> float:
        assert self._disk is not None
        leaders = [slot.child.pid for slot in self._cell.slots if slot.child and slot.role != "sim_broker"]
        self._disk.fill(leaders)
        time.sleep(scaled(self._random.uniform(0.5, 2.0)))
        self._disk.free(leaders)
        return time.monotonic()

    def _kill_in_checkpoint(self) -> float:
        """A process dies inside a checkpoint, and with it every other one of the home."""
        cell = self._cell
        for _ in range(CHECKPOINT_TRIES):
            child = self._zygote.start(
                Birth(
                    role="checkpoint", env=cell.slots[0].env | {"OMS_HOME": str(cell.home)},
                    log=str(cell.folder / "checkpoint.log"), seed=self._random.randrange(2**32),
                )
            )  # fmt: skip
            end = self._zygote.await_end(child)
            if end is not None and end.point.endswith("("):
                break
        else:
            raise Stuck(f"no checkpoint was interrupted in {CHECKPOINT_TRIES} tries")
        mine = [slot for slot in cell.slots if slot.role != "sim_broker"]
        for slot in mine:
            cell.kill(slot)
        for slot in mine:
            if slot.child is not None:
                self._zygote.await_end(slot.child)
        with sqlite3.connect(cell.home / "oms.db") as database:
            told = database.execute("PRAGMA integrity_check").fetchall()
        database.close()
        if told != [("ok",)]:
            self._found(Kind.VERIFY, f"PRAGMA integrity_check says {told[:3]}")
        for slot in mine:
            cell.launch(slot)
        return time.monotonic()
