"""The machines hold on sound sources, and each planted defect is caught by them."""

import json
import subprocess
import sys
from typing import Any

import pytest

from campaigns.machine import PLANTS
from campaigns.result import ROOT


def play(n: int, *words: str) -> tuple[int, dict[str, Any], str]:
    """(exit code, the last line, all output) of a campaign in a process of its own."""
    command = [sys.executable, "-m", "campaigns", "machine", "--n", str(n), "--seed", "7", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stdout + done.stderr


def test_a_short_run_finds_nothing_and_counts_its_steps() -> None:
    code, line, output = play(3000)
    assert code == 0, output
    assert sum(line["steps"].values()) >= 3000
    assert (line["lost"], line["doubled"], line["violations"]) == (0, 0, 0)


def test_the_same_seed_walks_the_same_rows() -> None:
    first, second = play(1000)[1], play(1000)[1]
    assert first["rarest_rows"] == second["rarest_rows"]
    assert first["steps"] == second["steps"]


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_defect_is_caught(plant: str) -> None:
    code, line, output = play(3000, "--plant", plant)
    assert code == 1, output
    assert line["violations"] > 0
