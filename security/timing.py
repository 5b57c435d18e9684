"""How long another tenant's id takes to be refused beside an id of nobody, for every route that reads one thing.

A form for a quiet machine: nothing of it stands in the tests. The medians of the pairs may differ by at most 5 ms.
"""

import random
import statistics
import tempfile
import time
from pathlib import Path

from security.databases import postgres_database
from security.foreign_ids import Hunt
from security.requests import request_of
from security.result import Result
from security.sides import two_sides

SHORT = 0
LONG = 200
PLANTS = ("slow",)
BAR_MS = 5.0
PLANTED_S = 0.008


def run(n: int, seed: int, plant: str) -> Result:
    """Time n pairs of each route, in a drawn order."""
    began = time.monotonic()
    chance = random.Random(seed)
    worst: dict[str, float] = {}
    with postgres_database() as url, tempfile.TemporaryDirectory(prefix="oms-security-") as folder:
        with two_sides(url, Path(folder)) as sides:
            hunt = Hunt(sides, 1, chance, "")
            for one in hunt.tries:
                named = sides.theirs.owned.get(one.slot.name)
                if one.operation.method != "GET" or one.slot.place != "path" or one.operation.alias_of or not named:
                    continue
                taken: dict[bool, list[float]] = {True: [], False: []}
                for _ in range(n):
                    for is_foreign in chance.sample([True, False], 2):
                        value = chance.choice(named) if is_foreign else hunt.nobodys()
                        request = request_of(one.operation, sides.mine, chance, one.slot, value)
                        before = time.perf_counter()
                        if plant == "slow" and is_foreign:
                            time.sleep(PLANTED_S)
                        request.sent_by(sides.mine)
                        taken[is_foreign].append((time.perf_counter() - before) * 1000)
                difference = statistics.median(taken[True]) - statistics.median(taken[False])
                worst[str(one)] = round(difference, 3)
    failures = [f"{where}: the medians differ by {ms} ms" for where, ms in worst.items() if abs(ms) > BAR_MS]
    if not worst:
        failures.append("no route was timed")
    return Result(
        name="timing", n=n, seed=seed, seconds=time.monotonic() - began, plant=plant, failures=failures,
        figures={"routes": len(worst), "worst_ms": max(map(abs, worst.values()), default=0.0), "differences_ms": worst},
    )  # fmt: skip
