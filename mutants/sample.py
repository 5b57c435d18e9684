"""Suites and a seed in, what became of each drawn mutant out: killed, timed out, survived, or reached by no test.

Each runs in a process of its own, with the tests that reach its line, quickest first, until one fails.
"""

import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path

import msgspec

from mutants.learning import Learnt, Wanted
from mutants.mutations import Mutant, mutants
from mutants.planted import UNUSED, Plan
from mutants.suites import Suite

PASSED = 0
FAILED = (1, 2, 3, 4)
"""Exit codes of pytest: a test failed, or the change cannot even be imported."""
START_S = 60.0
SLOWER = 10.0
"""How long a process may take: to start, and as many times what its tests took."""

Say = Callable[[str], None]


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    TIMED_OUT = "timed_out"
    SURVIVED = "survived"
    UNREACHED = "unreached"


class Tried(msgspec.Struct, frozen=True):
    """A mutant and what became of it."""

    mutant: Mutant
    fate: Fate
    tests: int


class Sampler:
    """Draws mutants of a tree and tries them."""

    def __init__(self, root: Path, suites: Sequence[Suite], say: Say) -> None:
        self._root = root
        self._say = say
        self._suites = {path: suite for suite in suites for path in suite.files(root)}
        self._folder = Path()
        self._learnt: Learnt

    def run(self, n: int, seed: int, jobs: int, seconds: float = math.inf) -> list[Tried]:
        """What became of n mutants, or of the first of them that could be begun within so many seconds.

        Raises RuntimeError when the tests fail without any change.
        """
        until = time.monotonic() + seconds
        every = [one for path in self._suites for one in mutants(path, (self._root / path).read_text())]
        drawn = random.Random(seed).sample(every, min(n, len(every)))
        with tempfile.TemporaryDirectory(prefix="oms-mutants-") as folder:
            self._folder = Path(folder)
            self._learnt = self._learn()
            self._say(f"{len(drawn)} of {len(every)} mutants; {len(self._learnt.seconds)} tests pass without any")
            with ThreadPoolExecutor(jobs) as pool:
                begun = pool.map(lambda one: self._try(one) if time.monotonic() < until else None, drawn)
                return list(self._told(one for one in begun if one is not None))

    def _told(self, found: Iterator[Tried]) -> Iterator[Tried]:
        killed = 0
        for number, one in enumerate(found, 1):
            killed += one.fate in (Fate.KILLED, Fate.TIMED_OUT)
            if one.fate not in (Fate.KILLED, Fate.TIMED_OUT):
                self._say(f"{one.fate}: {one.mutant.path}:{one.mutant.line} {one.mutant.operator}, {one.mutant.what}")
            if number % 25 == 0:
                self._say(f"{number} tried, {killed} noticed")
            yield one

    def _learn(self) -> Learnt:
        tests = sorted({test for suite in self._suites.values() for test in suite.tests})
        wanted, out = self._folder / "wanted.json", self._folder / "learnt.json"
        files = [str(self._root / path) for path in self._suites]
        wanted.write_bytes(msgspec.json.encode(Wanted(tests, files)))
        self._python("mutants.learning", str(wanted), str(out))
        if not out.exists():
            raise RuntimeError("the tests did not run")
        learnt = msgspec.json.decode(out.read_bytes(), type=Learnt)
        if learnt.code != PASSED:
            raise RuntimeError("the tests fail without any change")
        return learnt

    def _try(self, mutant: Mutant) -> Tried:
        tests = self._tests(mutant)
        if not tests:
            return Tried(mutant, Fate.UNREACHED, 0)
        file = self._folder / f"{mutant.path.replace('/', '.')}.{mutant.number}.json"
        module = self._suites[mutant.path].module(mutant.path)
        file.write_bytes(msgspec.json.encode(Plan(str(self._root), mutant.path, module, mutant.number, tests)))
        allowed = START_S + SLOWER * sum(self._learnt.seconds[test] for test in tests)
        try:
            code = self._python("mutants.planted", str(file), seconds=allowed)
        except subprocess.TimeoutExpired:
            return Tried(mutant, Fate.TIMED_OUT, len(tests))
        if code == UNUSED:
            return Tried(mutant, Fate.UNREACHED, len(tests))
        if code != PASSED and code not in FAILED and code >= 0:
            raise RuntimeError(f"pytest ended with {code} for {mutant}")
        return Tried(mutant, Fate.SURVIVED if code == PASSED else Fate.KILLED, len(tests))

    def _tests(self, mutant: Mutant) -> list[str]:
        """The tests of the suite that reach the line, quickest first; all of them for what runs at the import."""
        lines = self._learnt.reached.get(str(self._root / mutant.path), {})
        here = [lines[line] for line in range(mutant.first, mutant.last + 1) if line in lines]
        if not here:
            return []
        suite, seconds = self._suites[mutant.path], self._learnt.seconds
        known = {test for tests in here for test in tests} or seconds
        mine = (test for test in known if any(test.startswith(f"{folder}/") for folder in suite.tests))
        return sorted(mine, key=lambda test: (seconds[test], test))

    def _python(self, module: str, *arguments: str, seconds: float | None = None) -> int:
        own = {"PYTHONPATH": self._paths(), "HYPOTHESIS_STORAGE_DIRECTORY": str(self._folder / "hypothesis")}
        # Under a measurement of coverage the processes would measure twice.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        done = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], cwd=self._root, env={**inherited, **own},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + seconds if seconds is not None else None
        try:
            return done.wait(None if deadline is None else deadline - time.monotonic())
        except subprocess.TimeoutExpired:
            done.kill()
            done.wait()
            raise

    def _paths(self) -> str:
        """This tree before whatever is installed."""
        packages = dict.fromkeys(suite.package for suite in self._suites.values())
        mine = [str(self._root / package) for package in packages]
        here = str(Path(__file__).parent.parent)
        return os.pathsep.join(filter(None, (*mine, here, os.environ.get("PYTHONPATH"))))
