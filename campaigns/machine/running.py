"""Steps and a seed in, what broke and which rows of the tables were walked out; the same seed gives the same steps."""

import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import structlog
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test

from campaigns.machine.coverage import ALL_ROWS, UNREACHABLE, counted, name
from campaigns.machine.day import Day
from campaigns.machine.plants import PLANTS
from campaigns.machine.rows import Rows
from campaigns.result import Result
from tests.engine.test_random_histories import BrokerAtRandom

CHUNK = 1_000
"""Steps of one machine under one seed; small, so that Hypothesis remembers little and both cores stay busy."""
STEPS_IN_A_RUN = 200
MACHINES: tuple[type[RuleBasedStateMachine], ...] = (Day, Rows, Day, BrokerAtRandom, Rows)
"""Whose turn it is, chunk by chunk: most steps go to the machine with a true broker."""
ROWS_FROM = 15_000
"""From how many steps on every row of the tables must have been walked."""


class Chunk(msgspec.Struct, frozen=True):
    """One machine's share."""

    number: int
    seed: int
    steps: int
    plant: str


class Played(msgspec.Struct, frozen=True):
    """What a chunk came to. text: what broke, or empty."""

    machine: str
    steps: int
    walked: dict[str, int]
    text: str = ""


def run(n: int, seed: int, plant: str) -> Result:
    """Play n steps. plant: a defect of PLANTS, or empty."""
    began = time.monotonic()
    steps: Counter[str] = Counter()
    walked: Counter[str] = Counter()
    texts: list[str] = []
    shares = [
        Chunk(number, seed * 1_000_003 + number, min(CHUNK, n - at), plant)
        for number, at in enumerate(range(0, n, CHUNK))
    ]
    for played in _played(shares):
        steps[played.machine] += played.steps
        walked.update(played.walked)
        if played.text:
            texts.append(played.text)
        _say_progress(sum(steps.values()), n, began)
    missing = sorted({name(row) for row in ALL_ROWS} - set(UNREACHABLE) - set(walked))
    done = sum(steps.values())
    return Result(
        name="machine",
        n=n,
        seed=seed,
        seconds=time.monotonic() - began,
        lost=sum("lost:" in text for text in texts),
        doubled=sum("doubled:" in text for text in texts),
        violations=len(texts),
        missed=missing if done >= ROWS_FROM and not texts else (),
        texts=texts,
        plant=plant,
        figures={
            "steps": dict(sorted(steps.items())),
            "steps_per_second": round(done / max(time.monotonic() - began, 0.001)),
            "rows": f"{len(walked)} of {len(ALL_ROWS)}, {len(UNREACHABLE)} cannot be reached",
            "rarest_rows": dict(sorted(walked.items(), key=lambda row: row[1])[:3]),
        },
    )


def _played(shares: list[Chunk]) -> Iterator[Played]:
    """The chunks in their order, two at a time where there are two cores; planted defects stay in those processes."""
    cores = min(2, os.cpu_count() or 1)
    with multiprocessing.get_context("fork").Pool(cores) as pool:
        yield from pool.imap(play, shares)


def play(chunk: Chunk) -> Played:
    """One machine under one seed, until its steps are done or something broke."""
    structlog.configure(processors=[_drop], logger_factory=structlog.ReturnLoggerFactory())
    machine = MACHINES[chunk.number % len(MACHINES)]
    taken = Counter[str]()

    class Counted(machine):  # type: ignore[valid-type, misc]
        def __init__(self) -> None:
            super().__init__()
            taken["steps"] -= 1  # the invariants are asked once before the first step

        @invariant()
        def count_the_step(self) -> None:
            taken["steps"] += 1

    if chunk.plant:
        PLANTS[chunk.plant]()
    text, number = "", 0
    with counted() as walked:
        while taken["steps"] < chunk.steps and not text:
            Counted._hypothesis_internal_use_seed = chunk.seed * 1_009 + number  # type: ignore[attr-defined]
            number += 1
            text = _once(Counted, max(1, (chunk.steps - taken["steps"]) // STEPS_IN_A_RUN))
    where = f"{machine.__name__}, chunk {chunk.number} (seed {chunk.seed}): " if text else ""
    return Played(machine.__name__, taken["steps"], dict(walked), where + text)


def _once(machine: Any, examples: int) -> str:
    """What broke in so many runs of the machine, or an empty text; the steps that led there go to stderr."""
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=STEPS_IN_A_RUN,
                phases=[Phase.generate],
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                verbosity=Verbosity.quiet,
                print_blob=False,
            ),
        )
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        first = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
        print("\n".join(getattr(first, "__notes__", [])), file=sys.stderr)
        place = traceback.extract_tb(first.__traceback__)[-1]
        return f"{type(first).__name__}: {first} ({place.name}: {place.line})"
    return ""


def _drop(logger: Any, method: str, event: Any) -> Any:
    raise structlog.DropEvent


def _say_progress(done: int, wanted: int, began: float) -> None:
    print(f"\r{done:,} of {wanted:,} steps, {time.monotonic() - began:.0f} s", end="", file=sys.stderr)
    if done >= wanted:
        print(file=sys.stderr)
