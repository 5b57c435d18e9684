"""`python -m campaigns crash --n 100 --seed 7`: exit 0 when every promise held, else 1; the last line is JSON.

`python -m campaigns --short` runs every campaign in its short form, a line each, and says 1 when one of them failed.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from campaigns.result import ROOT, Result

SHOWN = 20
CAMPAIGNS = {
    "crash": "campaigns.crash",
    "stores": "campaigns.stores",
    "wire": "campaigns.wire",
    "redelivery": "campaigns.redelivery",
    "idempotency": "campaigns.idempotency",
    "kill_switch": "campaigns.kill_switch",
    "limit_race": "campaigns.limit_race",
    "machine": "campaigns.machine",
    "history": "campaigns.history_run",
    "simulation": "campaigns.simulation",
}
"""Each campaign's module: what a CampaignModule has, imported only when the campaign runs."""
DEFAULT_SEED = 7


class CampaignModule(Protocol):
    """SHORT and LONG: how many of its unit (kills, steps, seeds) the build server runs, and a person once by hand.

    PLANTS: the defects that it can plant into the system, each of which it must catch.
    """

    SHORT: int
    LONG: int
    PLANTS: Sequence[str]

    def run(self, n: int, seed: int, plant: str) -> Result:
        """Play it. n: how many; plant: a defect by its name, or empty. Progress goes to stderr."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one campaign, or the short form of all; the exit code."""
    options = _parser().parse_args(arguments)
    if options.short:
        return max([apart(name, options.seed) for name in CAMPAIGNS])
    if not options.name:
        _parser().error("name a campaign, or give --short")
    return play(options.name, options.n, options.seed, options.plant)


def apart(name: str, seed: int) -> int:
    """Run the short form of a campaign in a process of its own; the exit code."""
    done = subprocess.run([sys.executable, "-m", "campaigns", name, "--seed", str(seed)], cwd=ROOT, check=False)
    return done.returncode


def play(name: str, n: int | None, seed: int, plant: str) -> int:
    """Run a campaign, say what broke and print its line; the exit code. n: None for the short form."""
    module = cast(CampaignModule, import_module(CAMPAIGNS[name]))
    if plant and plant not in module.PLANTS:
        print(f"{name} can plant {', '.join(module.PLANTS) or 'nothing'}, not {plant}", file=sys.stderr)
        return 2
    result = module.run(module.SHORT if n is None else n, seed, plant)
    for text in result.texts[:SHOWN]:
        print(text)
    if len(result.texts) > SHOWN:
        print(f"and {len(result.texts) - SHOWN} more")
    print(result.line(), flush=True)
    return result.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m campaigns", description="Seeded faults against the whole system.")
    parser.add_argument("name", nargs="?", choices=list(CAMPAIGNS), help="which campaign")
    parser.add_argument("--n", type=int, help="how many kills, faults, steps or seeds (default: the short form)")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of everything that is drawn (default 7)")
    parser.add_argument("--plant", default="", metavar="BUG", help="plant a defect that the campaign must catch")
    parser.add_argument("--short", action="store_true", help="every campaign in its short form")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
