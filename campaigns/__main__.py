"""`python -m campaigns kill --n 40 --seed 7`: exit 0 when every promise held, else 1; the last line is JSON."""

import argparse
import json
import sys

from campaigns import kill

SHOWN = 20
PLANTS = ("resend", "forget", "double_fill")


def main() -> int:
    """Run a campaign; the exit code."""
    options = _parser().parse_args()
    outcome = kill.run(
        options.n,
        options.seed,
        postgres=options.database == "postgres",
        plant=options.plant,
        pace=options.pace,
        say=lambda text: print(text, file=sys.stderr, flush=True),
        keep=options.keep,
    )
    for violation in outcome.violations[:SHOWN]:
        print(f"{violation.kind}: {violation.text}")
    if len(outcome.violations) > SHOWN:
        print(f"and {len(outcome.violations) - SHOWN} more")
    print(json.dumps({**outcome.report(options.n, options.seed), "plant": options.plant or None}))
    return 1 if outcome.violations else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m campaigns", description="Seeded faults against the whole system.")
    parser.add_argument("name", choices=["kill"], help="which campaign")
    parser.add_argument("--n", type=int, default=40, help="how many kills (default 40)")
    parser.add_argument("--seed", type=int, default=7, help="of targets, moments and orders (default 7)")
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--plant", choices=PLANTS, default="", help="plant a defect that the campaign must catch")
    parser.add_argument("--pace", type=float, default=20, help="requests per second (default 20)")
    parser.add_argument("--keep", action="store_true", help="keep the home for a look")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
