"""`python -m mutants --n 500 --seed 7`: exit 0 when enough of the drawn changes were noticed; the last line is JSON.

By hand only: it takes about half an hour of two cores.
"""

import argparse
import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from campaigns.result import ROOT, commit
from mutants.sample import Fate, Sampler, Tried
from mutants.suites import SUITES

BAR = 80.0
"""Percent of the mutants that the tests have to notice."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, try and tell; the exit code."""
    options = _parser().parse_args(arguments)
    began = time.monotonic()
    tried = Sampler(ROOT, SUITES, say).run(options.n, options.seed, options.jobs, options.minutes * 60)
    told = {**summary(tried), "seed": options.seed, "commit": commit(), "seconds": round(time.monotonic() - began)}
    if options.out:
        left = [one for one in tried if one.fate in (Fate.SURVIVED, Fate.UNREACHED)]
        options.out.write_bytes(msgspec.json.format(msgspec.json.encode({**told, "left": left}), indent=1))
    print(msgspec.json.encode(told).decode(), flush=True)
    return 0 if told["score"] >= BAR else 1


def summary(tried: Sequence[Tried]) -> dict[str, Any]:
    """Counts, and the score: the percentage that was noticed. What no test reaches counts as not noticed."""
    counts = Counter(one.fate for one in tried)
    noticed = counts[Fate.KILLED] + counts[Fate.TIMED_OUT]
    by_operator: dict[str, Counter[str]] = {}
    for one in tried:
        by_operator.setdefault(one.mutant.operator, Counter())[one.fate] += 1
    return {
        "name": "mutants", "n": len(tried), **{str(fate): counts[fate] for fate in Fate},
        "score": round(100 * noticed / max(1, len(tried)), 1),
        "by_operator": {name: dict(found) for name, found in sorted(by_operator.items())},
    }  # fmt: skip


def say(text: str) -> None:
    """Tell a person how far it is."""
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mutants", description="Do the tests notice small changes?")
    parser.add_argument("--n", type=int, default=500, help="how many changes (default 500)")
    parser.add_argument("--seed", type=int, default=7, help="which of them (default 7)")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (default 2)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no more after so long (default: all)")
    parser.add_argument("--out", type=Path, help="where to write the figures and what was not noticed, as JSON")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
