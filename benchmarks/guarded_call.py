"""How much the guard adds to a rule: microseconds of a guarded call against a direct one, in interleaved rounds."""

import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from oms_kernel.contracts.plugin import NoParams
from oms_kernel.domain.decision import Gate, Verdict, passed
from oms_kernel.guard import Guard, GuardedRule
from oms_kernel.terms import Terms
from oms_kernel.watchdog import Watchdog

CALLS = 20_000


class BareRule:
    """The cheapest rule that there can be."""

    name = "bare"
    title = "Lets everything through"
    Params: type[msgspec.Struct] = NoParams

    def __init__(self) -> None:
        self.verdict = passed(self.name)

    def assess(self, intent: Any, view: Any, state: Any) -> Verdict:
        return self.verdict


def run(rounds: int = 10, seed: int = 7) -> list[dict[str, Any]]:
    """One record: `value` is a guarded call, `floor` a direct one, `ratio` of round i is guarded over direct."""
    order = random.Random(seed)
    watchdog = Watchdog()
    watchdog.start()
    bare = BareRule()
    guarded = GuardedRule("bare", "benchmark", "bare", Gate.RISK, Terms(), bare, Guard("benchmark", watchdog))
    kinds: dict[str, Callable[[Any, Any, Any], Verdict]] = {"guarded": guarded.assess, "direct": bare.assess}
    times: dict[str, list[float]] = {name: [] for name in kinds}
    try:
        for _ in range(rounds):
            for name in order.sample(sorted(kinds), len(kinds)):
                times[name].append(_time(kinds[name]))
    finally:
        watchdog.stop()
    ratios = [guarded / direct for guarded, direct in zip(times["guarded"], times["direct"], strict=True)]
    return [
        {
            "name": "guarded_call",
            "value": round(statistics.median(times["guarded"]), 4),
            "unit": "us",
            "floor": round(statistics.median(times["direct"]), 4),
            "ratio": round(statistics.median(ratios), 3),
            "ratio_min": round(min(ratios), 3),
            "ratio_max": round(max(ratios), 3),
            "rounds": rounds,
            "seed": seed,
            "commit": _commit(),
        }
    ]


def _time(call: Callable[[Any, Any, Any], Verdict]) -> float:
    started = time.perf_counter()
    for _ in range(CALLS):
        call(None, None, None)
    return (time.perf_counter() - started) / CALLS * 1e6


def _commit() -> str:
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"


if __name__ == "__main__":
    json.dump(run(), sys.stdout, indent=2)
