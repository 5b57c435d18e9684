"""`python -m mutants.planted PLAN`: run chosen tests with one change planted into one module as it is imported.

The exit code is pytest's; UNUSED when no test imported the module, so that nothing was tried.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import msgspec
import pytest

from mutants.mutations import changed

UNUSED = 90


class Plan(msgspec.Struct, frozen=True):
    """What one process tries: change `number` of the file `path`, which is the module `module`; tests: node ids."""

    root: str
    path: str
    module: str
    number: int
    tests: Sequence[str]


class Planter(importlib.abc.MetaPathFinder):
    """Finds the one module, and has it made from changed source."""

    def __init__(self, module: str, number: int) -> None:
        self._module = module
        self._number = number
        self.is_used = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec that the other finders give, with a loader of our own."""
        if fullname != self._module:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next((found for one in others if (found := one.find_spec(fullname, path, target)) is not None), None)
        if spec is None or spec.origin is None:
            return None
        spec.loader = _Loader(fullname, spec.origin, self._number)
        self.is_used = True
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, path: str, number: int) -> None:
        super().__init__(fullname, path)
        self._number = number

    def get_code(self, fullname: str) -> CodeType:
        """The changed module; never the cached one, and never cached."""
        text = Path(self.path).read_text()
        code: CodeType = compile(changed(text, self._number), self.path, "exec", dont_inherit=True)
        return code


class Chosen:
    """Runs these tests only, in this order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._places = {test: place for place, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Leave out the others."""
        items[:] = sorted(
            (item for item in items if item.nodeid in self._places), key=lambda item: self._places[item.nodeid]
        )


def arguments(tests: Sequence[str]) -> list[str]:
    """What pytest is given: the files of these tests, quietly, until the first failure.

    Assertions stay as they are: pytest would else import every module of the kernel, which brings a plugin of pytest,
    by a finder of its own before ours.
    """
    files = dict.fromkeys(test.partition("::")[0] for test in tests)
    return ["-x", "-q", "--assert=plain", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist", *files]


def main() -> int:
    """Plant, run, say."""
    plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)
    planter = Planter(plan.module, plan.number)
    sys.meta_path.insert(0, planter)
    code = int(pytest.main(arguments(plan.tests), plugins=[Chosen(plan.tests)]))
    return code if planter.is_used else UNUSED


if __name__ == "__main__":
    raise SystemExit(main())
