"""`python -m security foreign_ids --seed 7`: exit 0 when nothing failed, else 1; the last line is JSON.

`python -m security --short` runs every check in its short form, `--long` in its long form, a line for each.
"""

import argparse
import logging
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

import structlog

from campaigns.result import ROOT
from security.result import Result

SHOWN = 60
CHECKS = {
    "foreign_ids": "security.foreign_ids",
    "foreign_rows": "security.foreign_rows",
    "shared_pool": "security.shared_pool",
    "open_api": "security.open_api",
    "timing": "security.timing",
    "attacks": "security.attacks",
}
"""Each check's module: what a CheckModule has, imported only when the check runs."""
DEFAULT_SEED = 7


class CheckModule(Protocol):
    """SHORT and LONG: how much it tries on the build server, and by hand. SHORT of 0: only by hand.

    PLANTS: the defects that it can plant, each of which it must catch.
    """

    SHORT: int
    LONG: int
    PLANTS: Sequence[str]

    def run(self, n: int, seed: int, plant: str) -> Result:
        """Try. n: how much; plant: a defect by its name, or empty. Progress goes to stderr."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one check, or all in one form; the exit code."""
    options = _parser().parse_args(arguments)
    if options.name:
        return play(options.name, options.n, options.seed, options.plant, long=options.long)
    if not (options.short or options.long):
        _parser().error("name a check, or give --short or --long")
    return max([apart(name, options.seed, long=options.long) for name in CHECKS])


def apart(name: str, seed: int, *, long: bool) -> int:
    """Run a check in a process of its own; the exit code."""
    form = ["--long"] if long else []
    command = [sys.executable, "-m", "security", name, "--seed", str(seed), *form]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def play(name: str, n: int | None, seed: int, plant: str, *, long: bool = False) -> int:
    """Run a check, say what failed and print its line; the exit code. n: None for the short or the long form."""
    module = cast(CheckModule, import_module(CHECKS[name]))
    if plant and plant not in module.PLANTS:
        print(f"{name} can plant {', '.join(module.PLANTS) or 'nothing'}, not {plant}", file=sys.stderr)
        return 2
    much = n if n is not None else module.LONG if long else module.SHORT
    if not much:
        print(f"{name} has no short form; give --long", file=sys.stderr)
        return 0
    # What the system says of attacks is not what is asked here.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger("oms.api").setLevel(logging.CRITICAL)
    result = module.run(much, seed, plant)
    for text in result.failures[:SHOWN]:
        print(text)
    if len(result.failures) > SHOWN:
        print(f"and {len(result.failures) - SHOWN} more")
    print(result.line(), flush=True)
    return result.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m security", description="Attacks on the system, counted.")
    parser.add_argument("name", nargs="?", choices=list(CHECKS), help="which check")
    parser.add_argument("--n", type=int, help="how much to try (default: the short form)")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of everything that is drawn (default 7)")
    parser.add_argument("--plant", default="", metavar="BUG", help="plant a defect that the check must catch")
    parser.add_argument("--short", action="store_true", help="every check in its short form")
    parser.add_argument("--long", action="store_true", help="the long form, of one check or of all")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
