"""`python -m benchmarks`: measure, print a table, write results/latest.json."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import goals, post_order
from benchmarks.generator import Generator, best_generator
from benchmarks.record import commit, table
from benchmarks.rounds import Plan
from benchmarks.stock import Stock

RESULTS = Path(__file__).with_name("results") / "latest.json"

Group = Callable[[Plan, Generator, Stock], Iterable[dict[str, Any]]]


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
    plan = Plan(options.rounds, options.seconds, options.seed, options.size)
    say(f"commit {commit()}, seed {plan.seed}, {plan.rounds} rounds of {plan.seconds:g} s, load from {generator.name}")
    say("bench limits: every rule stands before every order and is set so wide that nothing is denied")
    records: list[dict[str, Any]] = []
    with Stock(say) as stock:
        for name in chosen:
            say(name)
            began = time.monotonic()
            measured = [goals.judged(one) for one in groups[name](plan, generator, stock)]
            write(options.out, measured)
            records += measured
            say(f"  took {time.monotonic() - began:.0f} s; written to {options.out}")
    for text in (table(records), goals.bars(records), goals.asked(records)):
        if text:
            print(f"{text}\n")
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
    groups.update({name: partial(_row, module) for name, module in ROWS.items()})
    return groups


IN_PROCESS = ("guarded_call", "kernel_place", "rule_chain", "sim_match", "store_append")
"""Modules with `run(rounds, seed) -> list of records`."""


ROWS = {
    "stream_ack": "stream_ack",
    "streams_open": "streams_open",
    "plugins_kept": "plugins_kept",
    "recovery": "recovery",
    "table_1m": "table_1m",
    "sessions_3": "sessions_3",
    "get_orders_pg": "get_orders",
    "idle_cpu": "idle_cpu",
    "api_memory": "api_memory",
    "access_cost": "access_cost",
    "rules_30": "rules_30",
    "alert_latency": "alert_latency",
}
"""Rows of the table of speed -> modules with `run(plan, generator, say, stock) -> list of records`."""


def _row(module: str, plan: Plan, generator: Generator, stock: Stock) -> list[dict[str, Any]]:
    measured: list[dict[str, Any]] = import_module(f"benchmarks.{module}").run(plan, generator, say, stock)
    return measured


def _in_process(name: str, plan: Plan, generator: Generator, stock: Stock) -> list[dict[str, Any]]:
    measured: list[dict[str, Any]] = import_module(f"benchmarks.{name}").run(plan.rounds, plan.seed)
    return measured


def _over_http(
    measure: Callable[..., Iterable[dict[str, Any]]], database: str, plan: Plan, generator: Generator, stock: Stock
) -> Iterable[dict[str, Any]]:
    return measure(database, plan, generator, say)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure speed beside a floor.")
    parser.add_argument("only", nargs="*", help="what to measure; default: everything")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=3, help="length of a round (default 3)")
    parser.add_argument("--size", type=int, help="orders of the filled ledgers (default 100000)")
    parser.add_argument("--seed", type=int, default=7, help="order of the rounds (default 7)")
    parser.add_argument("--bundled", action="store_true", help="use the bundled load generator although wrk is there")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where to write the records")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
