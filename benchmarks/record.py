"""Rounds in, one record out: medians of value and floor, and of the rounds' ratios with their range."""

import statistics
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

PER_SECOND = "1/s"


def record(
    name: str,
    unit: str,
    values: Sequence[float],
    floors: Sequence[float],
    *,
    seed: int,
    **more: Any,
) -> dict[str, Any]:
    """A benchmark's record. values, floors: one of each for each round, of the same round. more: further fields.

    The ratio is 0 when the floor was too small to be measured.
    """
    ratios = [value / floor for value, floor in zip(values, floors, strict=True) if floor] or [0.0]
    return {
        "name": name,
        "value": rounded(statistics.median(values)),
        "unit": unit,
        "floor": rounded(statistics.median(floors)),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "rounds": len(values),
        "seed": seed,
        "commit": commit(),
        **more,
    }


@cache
def commit() -> str:
    """The commit that is measured; with a plus sign when the sources differ from it."""
    here = Path(__file__).parent
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=False, cwd=here
    )
    return asked.stdout.strip() or "unknown"


def rounded(value: float) -> float:
    """Four significant digits are more than a shared machine can tell."""
    return float(f"{value:.4g}")


def table(records: Sequence[dict[str, Any]]) -> str:
    """The records for people, one line each."""
    lines = [f"{'name':34} {'value':>10} {'floor':>10} {'ratio':>7} {'min':>7} {'max':>7}  {'p50/p99 ms':>14} floor's"]
    for one in records:
        mine = _latency(one, "p50_ms", "p99_ms")
        floors = _latency(one, "floor_p50_ms", "floor_p99_ms")
        lines.append(
            f"{one['name']:34} {one['value']:>10g} {one['floor']:>10g} {one['ratio']:>7g} {one['ratio_min']:>7g} "
            f"{one['ratio_max']:>7g}  {mine:>14} {floors:>12}  {one['unit']}, {one['rounds']} rounds"
        )
    return "\n".join(lines)


def _latency(one: dict[str, Any], half: str, most: str) -> str:
    return f"{one[half]:g}/{one[most]:g}" if half in one else ""
