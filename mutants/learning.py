"""`python -m mutants.learning WANTED OUT`: which tests reach which line of which file, and how long each takes.

Lines that run while a module is imported belong to every test of the suite: they are told under no test.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import coverage
import msgspec
import pytest


class Wanted(msgspec.Struct, frozen=True):
    """What to run, and the files whose lines are asked for."""

    tests: Sequence[str]
    files: Sequence[str]


class Learnt(msgspec.Struct, frozen=True):
    """seconds: of each test that passed. reached: file -> line -> tests."""

    code: int
    seconds: dict[str, float]
    reached: dict[str, dict[int, list[str]]]


class _Noting:
    """Tells coverage which test runs."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self._measured = measured
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Every line from here on is this test's."""
        self._measured.switch_context(item.nodeid)
        began = time.perf_counter()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = time.perf_counter() - began
            self._measured.switch_context("")


def learn(wanted: Wanted) -> Learnt:
    """Run the tests once under coverage."""
    measured = coverage.Coverage(data_file=None, config_file=False, include=list(wanted.files))
    noting = _Noting(measured)
    measured.start()
    quiet = ["-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not integration"]
    code = pytest.main([*quiet, *wanted.tests], plugins=[noting])
    measured.stop()
    data: Any = measured.get_data()
    reached = {
        file: {line: [test for test in tests if test] for line, tests in data.contexts_by_lineno(file).items()}
        for file in data.measured_files()
    }
    return Learnt(int(code), noting.seconds, reached)


def main() -> int:
    """Learn and write it down."""
    wanted = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Wanted)
    Path(sys.argv[2]).write_bytes(msgspec.json.encode(learn(wanted)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
