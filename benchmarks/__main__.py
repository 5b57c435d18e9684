"""`python -m benchmarks`: measure, print a table, write results/latest.json."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import post_order
from benchmarks.generator import Generator, best_generator
from benchmarks.record import commit, table

RESULTS = Path(__file__).with_name("results") / "latest.json"

Group = Callable[[post_order.Plan, Generator], Iterable[dict[str, Any]]]


def main() -> int:
    """Run what was asked for; the exit code."""
    options = _parser().parse_args()
    groups = _groups()
    chosen = options.only or list(groups)
    unknown = sorted(set(chosen) - set(groups))
    if unknown:
        print(f"unknown: {', '.join(unknown)}; there is: {', '.join(groups)}", file=sys.stderr)
        return 2
    generator = best_generator(bundled=options.bundled)
    plan = post_order.Plan(options.rounds, options.seconds, options.seed)
    say(f"commit {commit()}, seed {plan.seed}, {plan.rounds} rounds of {plan.seconds:g} s, load from {generator.name}")
    say("bench limits: every rule stands before every order and is set so wide that nothing is denied")
    records: list[dict[str, Any]] = []
    for name in chosen:
        say(name)
        began = time.monotonic()
        measured = list(groups[name](plan, generator))
        write(options.out, measured)
        records += measured
        say(f"  took {time.monotonic() - began:.0f} s; written to {options.out}")
    print(table(records))
    return 0


def write(path: Path, records: list[dict[str, Any]]) -> None:
    """Put the records into the file; those of other names stay, with the commit that they were measured at."""
    kept = {one["name"]: one for one in json.loads(path.read_text())} if path.exists() else {}
    kept.update({one["name"]: one for one in records})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(kept.values()), indent=1) + "\n")


def say(text: str) -> None:
    """Tell a person how far it is."""
    print(text, file=sys.stderr, flush=True)


def _groups() -> dict[str, Group]:
    """What can be measured, in the order in which it is."""
    groups: dict[str, Group] = {name: partial(_in_process, name) for name in IN_PROCESS}
    for database in ("pg", "sqlite"):
        groups[f"intake_{database}"] = partial(_over_http, post_order.intake, database)
        groups[f"sustained_{database}"] = partial(_over_http, post_order.sustained, database)
    return groups


IN_PROCESS = ("guarded_call", "kernel_place", "sim_match", "store_append")
"""Modules with `run(rounds, seed) -> list of records`."""


def _in_process(name: str, plan: post_order.Plan, generator: Generator) -> list[dict[str, Any]]:
    from importlib import import_module

    measured: list[dict[str, Any]] = import_module(f"benchmarks.{name}").run(plan.rounds, plan.seed)
    return measured


def _over_http(
    measure: Callable[..., Iterable[dict[str, Any]]], database: str, plan: post_order.Plan, generator: Generator
) -> Iterable[dict[str, Any]]:
    return measure(database, plan, generator, say)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure speed beside a floor.")
    parser.add_argument("only", nargs="*", help="what to measure; default: everything")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=3, help="length of a round (default 3)")
    parser.add_argument("--seed", type=int, default=7, help="order of the rounds (default 7)")
    parser.add_argument("--bundled", action="store_true", help="use the bundled load generator although wrk is there")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where to write the records")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
