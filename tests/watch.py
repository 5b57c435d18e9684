"""Run the unit tests again whenever a source file changes: python -m tests.watch [arguments of pytest]."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
WATCHED = ("oms_kernel", "app", "plugins", "tests")
INTERVAL_S = 0.5


def main() -> None:
    """Runs until Ctrl-C; what failed last time runs first."""
    before: dict[Path, int] = {}
    try:
        while True:
            now = dict(_changes())
            if now != before:
                before = now
                command = [
                    sys.executable,
                    "-m",
                    "pytest",
                    "-q",
                    "-m",
                    "unit",
                    "--failed-first",
                    *sys.argv[1:],
                ]
                code = subprocess.run(command, cwd=ROOT, check=False).returncode
                print(
                    f"--- {'passed' if code == 0 else 'FAILED'}; waiting for a change, Ctrl-C ends",
                    flush=True,
                )
            time.sleep(INTERVAL_S)
    except KeyboardInterrupt:
        print()


def _changes() -> Iterator[tuple[Path, int]]:
    for folder in WATCHED:
        for path in (ROOT / folder).rglob("*.py"):
            yield path, path.stat().st_mtime_ns


if __name__ == "__main__":
    main()
