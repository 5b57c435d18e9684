"""Simulated hours, a seed each: real flow and sessions over a store in memory, in virtual time, with a faulty broker.

The same seed gives the same log, byte for byte: a sample is played again in another process with another hash seed.
"""

import multiprocessing
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

from campaigns.result import ROOT, Result
from campaigns.simulated.plants import PLANTS as _PLANTS
from campaigns.simulated.playing import Hour, play, prepare

SHORT = 150
LONG = 10_000
PLANTS = tuple(_PLANTS)
LEAST_ORDERS = 50
LEAST_FAULTS = 5
SAMPLE_EVERY = 50
"""Every so many-th seed is played again."""


def run(n: int, seed: int, plant: str) -> Result:
    """Play n seeds. plant: a defect of PLANTS, or empty."""
    began = time.monotonic()
    seeds = [seed * 1_000_000 + number for number in range(n)]
    sums: Counter[str] = Counter()
    struck: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    texts: list[str] = []
    hashes: dict[int, str] = {}
    for done, hour in enumerate(_hours(seeds, plant), start=1):
        found = [*hour.texts, *_too_little(hour)]
        kinds.update(kind for kind, _ in found)
        texts += [f"seed {hour.seed}: {kind}: {text}" for kind, text in found]
        struck.update(hour.struck)
        sums.update(orders=hour.orders, events=hour.events, doubts=hour.doubts, virtual_s=round(hour.virtual_s))
        hashes[hour.seed] = hour.sha256
        print(f"\r{done:,} of {n:,} seeds, {time.monotonic() - began:.0f} s", end="", file=sys.stderr)
    print(file=sys.stderr)
    sample = [] if plant else seeds[::SAMPLE_EVERY]
    texts += [f"seed {one}: another log when it was played again" for one in _that_differ(sample, hashes)]
    seconds = time.monotonic() - began
    return Result(
        name="simulation",
        n=n,
        seed=seed,
        seconds=seconds,
        lost=kinds["lost"],
        doubled=kinds["doubled"],
        skipped=kinds["skipped"],
        violations=len(texts),
        texts=texts,
        plant=plant,
        figures={
            "orders": sums["orders"],
            "events": sums["events"],
            "in_doubt": sums["doubts"],
            "simulated_hours": round(sums["virtual_s"] / 3600, 1),
            "times_real_time": round(sums["virtual_s"] / seconds),
            "played_again": len(sample),
            "faults": dict(sorted(struck.items())),
        },
    )


def _hours(seeds: list[int], plant: str) -> Iterator[Hour]:
    cores = min(2, os.cpu_count() or 1)
    context = multiprocessing.get_context("fork")
    with context.Pool(cores, initializer=prepare, initargs=(plant,), maxtasksperchild=200) as pool:
        yield from pool.imap(play, seeds)


def _too_little(hour: Hour) -> Iterator[tuple[str, str]]:
    """An hour in which too little happened proves too little."""
    blows = sum(count for name, count in hour.struck.items() if name.startswith("blow "))
    if hour.orders < LEAST_ORDERS or blows < LEAST_FAULTS or hour.virtual_s < 3600:
        yield "empty", f"{hour.orders} orders and {blows} faults in {hour.virtual_s:.0f} s"


def _that_differ(seeds: list[int], hashes: dict[int, str]) -> list[int]:
    """The seeds whose log is another one in a process of its own, with another hash seed."""
    if not seeds:
        return []
    environment = {**os.environ, "PYTHONHASHSEED": str(random.Random(seeds[0]).randint(1, 10**6))}
    command = [sys.executable, "-m", "campaigns.simulated.playing", *map(str, seeds)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    again = dict(line.split() for line in done.stdout.splitlines())
    return [one for one in seeds if again.get(str(one)) != hashes[one]]
