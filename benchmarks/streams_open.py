"""What three hundred open event streams cost the intake: orders a second with them, beside the same without them.

The streams are of another account of the same ledger, the dearest case: every event has to be held against their wish.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.generator import Generator
from benchmarks.loads import IntakeLoad, compared
from benchmarks.record import PER_SECOND, record
from benchmarks.rounds import Plan, Say, measured
from benchmarks.stock import Stock
from benchmarks.system import System

STREAMS = 300
OTHER_ACCOUNT = "00000000-0000-4000-8000-000000000300"


def run(plan: Plan, generator: Generator, say: Say, stock: Stock) -> list[dict[str, Any]]:
    """The record `streams_open`: value with the streams, floor without."""
    with stock.system() as system:
        system.start("stream", "api")
        without, behind = IntakeLoad(system, plan, generator), IntakeLoad(system, plan, generator, first=10**8)

        def listened() -> float:
            with streams(system):
                return behind.rate()

        without.warm()
        listened()
        behind.clear()
        rates = measured({"streams": listened, "none": without.rate}, plan, say, PER_SECOND)
        more = {"streams": STREAMS, **compared(behind, without)}
        return [record("streams_open", PER_SECOND, rates["streams"], rates["none"], seed=plan.seed, **more)]


@contextmanager
def streams(system: System) -> Iterator[None]:
    """Every stream is open while the block runs. Raises RuntimeError when one ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.listeners", "--url", f"{system.stream_url}?account_id={OTHER_ACCOUNT}",
         "--key", system.facts.api_key, "--count", str(STREAMS)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        if process.stdout.readline() != "open\n":
            raise RuntimeError(f"the streams could not be opened: {process.communicate()[1][-2000:]}")
        yield
    finally:
        _, errors = process.communicate(timeout=30)
    if process.returncode:
        raise RuntimeError(f"a stream ended: {errors[-2000:]}")
