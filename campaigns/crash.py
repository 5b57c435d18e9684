"""kill -9 at named failpoints under load: a number of kills and a seed in, every promise that broke out.

Several cells live at once; in each, every process carries a failpoint at which it kills itself, and the next one is
armed when it is started again, so that kills of different roles are under way together. See campaigns/README.md.
"""

import faulthandler
import random
import signal
import time
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from campaigns.asking import Stuck, counted, say
from campaigns.cell import Cell, Slot
from campaigns.checks import Kind, Violation
from campaigns.failpoints import BY_NAME, POINTS
from campaigns.ground import Ground, ground
from campaigns.result import Result
from campaigns.timing import scaled
from campaigns.zygote import Zygote

SHORT = 100
LONG = 2_000
PROOFS = {
    "resend": ("session.place.sent", "session.intent.committed", "session.place.sent"),
    "wire_first": ("session.commit.sending",) * 4,
    "forget": ("api.place.not_answered", "api.bulk.not_answered") * 2,
    "double_fill": ("session.fill.booked", "session.report.not_answered") * 2,
    "skip_event": ("worker.cursor.moved", "worker.deliveries.added") * 2,
}
"""The defects that it must catch, each with the few failpoints that suffice for it."""
PLANTS = tuple(PROOFS)
CELLS = 2
MANY_CELLS = 3
"""For a long run."""
BATCH = 2 * len(POINTS)
"""At most so many kills in the life of one cell: a longer log makes every start slower and proves nothing more."""
WAIT_S = 10.0
"""A process that did not come by its failpoint in this time is killed where it is, and the point dealt again."""
STANDBY_S = 2.0
TRIES = 20
BROKER_EVERY = 25
SWEEP = "worker.sweep.done"
DOUBT, SETTLED = "session.intent.committed", "session.settled"
SAID = 10
"""So many violations are told at once, the others at the end."""


class Outcome(msgspec.Struct):
    """What cells came to."""

    found: list[Violation] = []
    points: Counter[str] = msgspec.field(default_factory=Counter)
    kills: Counter[str] = msgspec.field(default_factory=Counter)
    figures: Counter[str] = msgspec.field(default_factory=Counter)


def run(n: int, seed: int, plant: str) -> Result:
    """Play the campaign. n: how many kills at failpoints; each point gets its share. plant: a defect, or empty."""
    return play(deal(n, seed), n, seed, plant)


def deal(n: int, seed: int) -> list[str]:
    """The names of n failpoints: each as often as any other, the rest drawn."""
    names = [point.name for point in POINTS]
    whole, rest = divmod(n, len(names))
    drawn = random.Random(f"{seed} deal")
    return names * whole + drawn.sample(names, rest)


def prove(plants: Sequence[str], seed: int) -> dict[str, list[Violation]]:
    """What the campaign says of each of these defects, each planted into a small cell of its own, all at once."""
    with ground(say) as place:
        zygote = Zygote(place.folder / "zygote.log")
        try:
            with ThreadPoolExecutor(len(plants), thread_name_prefix="cell") as cells:
                jobs = {
                    name: cells.submit(
                        _batch, place, zygote, place.folder / name, list(PROOFS[name]), seed + number, name
                    )
                    for number, name in enumerate(plants)
                }
                return {name: job.result().found for name, job in jobs.items()}
        finally:
            zygote.close()


def play(names: list[str], n: int, seed: int, plant: str) -> Result:
    """Kill at these failpoints, spread over cells."""
    began = time.monotonic()
    faulthandler.register(signal.SIGUSR1)  # a person who waits in vain sees where it stands
    lanes = CELLS if len(names) <= CELLS * BATCH else MANY_CELLS
    count = max(CELLS, -(-len(names) // BATCH)) if len(names) >= len(POINTS) else 1
    batches = [names[number::count] for number in range(count)]
    outcome = Outcome()
    with ground(say) as place:
        zygote = Zygote(place.folder / "zygote.log")
        try:
            with ThreadPoolExecutor(lanes, thread_name_prefix="cell") as cells:
                jobs = [
                    cells.submit(_batch, place, zygote, place.folder / f"cell-{number}", batch, seed + number, plant)
                    for number, batch in enumerate(batches)
                ]
                for job in jobs:
                    _add(outcome, job.result())
        finally:
            zygote.close()
    return Result(
        name="crash", n=n, seed=seed, plant=plant, seconds=time.monotonic() - began,
        **counted(outcome.found), points=dict(outcome.points),
        missed=sorted({name for name in names if outcome.points[name] < names.count(name)}),
        figures={"kills": dict(outcome.kills), **outcome.figures},
        texts=[f"{one.kind}: {one.text}" for one in outcome.found],
    )  # fmt: skip


def _batch(place: Ground, zygote: Zygote, folder: Path, names: list[str], seed: int, plant: str) -> Outcome:
    cell = Cell(place.on_postgres(folder), zygote, folder, seed=seed, plant=plant)
    outcome = Outcome()
    try:
        cell.start()
        cell.trade()
        began = time.monotonic()
        _Killing(cell, names, outcome).play()
        killed = time.monotonic()
        cell.finish()
        outcome.figures.update(cell.figures)
        say(f"{folder.name}: {killed - began:.1f} s of kills, {time.monotonic() - killed:.1f} s until all was counted")
    except Stuck as error:
        cell.found.append(Violation(Kind.STUCK, f"{folder.name}: {error}"))
    finally:
        cell.close()
    outcome.found += cell.found
    outcome.kills.update(cell.kills)
    for one in cell.found[:SAID]:
        say(f"{folder.name}: {one.kind}: {one.text}")
    say(f"{folder.name}: {sum(outcome.points.values())} of {len(names)} points, {len(cell.found)} violations")
    return outcome


def in_order(names: list[str], drawn: random.Random) -> list[str]:
    """The names in a drawn order, but a doubt is to be settled by the session after the one that left it."""
    shuffled = [name for name in names if name != SETTLED]
    drawn.shuffle(shuffled)
    found = []
    settled = names.count(SETTLED)
    for name in shuffled:
        found.append(name)
        if name == DOUBT and settled:
            settled -= 1
            found.append(SETTLED)
    return found + [SETTLED] * settled


class _Killing:
    """The life of one cell in which every process dies again and again."""

    def __init__(self, cell: Cell, names: list[str], outcome: Outcome) -> None:
        self._cell = cell
        self._outcome = outcome
        self._decks: dict[str, deque[str]] = {slot.role: deque() for slot in cell.slots}
        for name in in_order(names, cell.random):
            self._decks[BY_NAME[name].role].append(name)
        self._tries: Counter[str] = Counter()
        self._broker_due = BROKER_EVERY

    def play(self) -> None:
        """Until every point of the deck was hit, or tried often enough."""
        for slot in self._cell.slots:
            if self._decks[slot.role]:
                self._cell.kill(slot)
        while self._is_busy():
            for slot in self._cell.slots:
                self._look(slot)
            if sum(self._outcome.points.values()) >= self._broker_due:
                self._broker_due += BROKER_EVERY
                self._cell.kill(next(slot for slot in self._cell.slots if slot.role == "sim_broker"))
            time.sleep(0.02)

    def _is_busy(self) -> bool:
        return any(self._decks.values()) or any(slot.point or slot.expected_end for slot in self._cell.slots)

    def _look(self, slot: Slot) -> None:
        end = self._cell.ended(slot)
        if end is not None:
            if end.point:
                self._outcome.points[end.point] += 1
                left = sum(map(len, self._decks.values()))
                say(f"{self._cell.folder.name}: {end.point} after {time.monotonic() - slot.born_at:.1f} s, {left} left")
            elif slot.point:
                self._put_back(slot.point)
            self._next(slot)
        elif slot.point and not slot.expected_end:
            age_s = time.monotonic() - slot.born_at
            if age_s > scaled(WAIT_S):
                self._cell.kill(slot)
            elif age_s > scaled(STANDBY_S):
                self._give_way(slot)

    def _give_way(self, waiting: Slot) -> None:
        """End the other one of two when it has nothing more to die of: only one has the lease, or leads schedules."""
        if waiting.role != "session" and waiting.point != SWEEP:
            return
        for slot in self._cell.slots:
            is_idle = slot.role == waiting.role and not slot.point and not slot.expected_end
            if is_idle and time.monotonic() - slot.born_at > scaled(STANDBY_S):
                self._cell.kill(slot)

    def _next(self, slot: Slot) -> None:
        deck = self._decks[slot.role]
        if not deck:
            self._cell.launch(slot)
            return
        name = deck.popleft()
        self._cell.launch(slot, name, self._cell.random.randint(1, BY_NAME[name].most))

    def _put_back(self, name: str) -> None:
        self._tries[name] += 1
        if self._tries[name] < TRIES:
            self._decks[BY_NAME[name].role].extend((DOUBT, name) if name == SETTLED else (name,))


def _add(outcome: Outcome, other: Outcome) -> None:
    outcome.found += other.found
    outcome.points.update(other.points)
    outcome.kills.update(other.kills)
    outcome.figures.update(other.figures)
