"""Simulated hours hold on sound sources, repeat themselves byte for byte, and catch each planted defect."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from campaigns.result import ROOT
from campaigns.simulation import PLANTS


def run(*words: str, hash_seed: str = "0") -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a module of the campaigns in a process of its own."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout, done.stderr


def simulate(n: int, *words: str) -> tuple[int, dict[str, Any], str]:
    """(exit code, the last line, all output) of the campaign."""
    code, out, err = run("campaigns", "simulation", "--n", str(n), "--seed", "7", *words)
    return code, json.loads(out.splitlines()[-1]), out + err


def test_a_few_hours_hold_and_say_what_happened_in_them() -> None:
    code, line, output = simulate(4)
    assert code == 0, output
    assert line["simulated_hours"] >= 4
    assert line["orders"] >= 4 * 50
    assert sum(count for name, count in line["faults"].items() if name.startswith("blow ")) >= 4 * 5
    assert line["played_again"] == 1


def test_a_seed_gives_the_same_log_under_another_hash_seed() -> None:
    seeds = ("21", "22", "23")
    first = run("campaigns.simulated.playing", *seeds, hash_seed="1")
    second = run("campaigns.simulated.playing", *seeds, hash_seed="2")
    assert first[0] == 0, first[2]
    assert first[1] == second[1]
    assert len({line.split()[1] for line in first[1].splitlines()}) == 3, "other seeds give other logs"


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_defect_is_caught(plant: str) -> None:
    code, line, output = simulate(6, "--plant", plant)
    assert code == 1, output
    assert line["violations"] > 0
