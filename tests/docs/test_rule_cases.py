"""Every rule, check and monitor of the box has at least ten cases of its own beside the suite that all of them pass."""

import importlib.util
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

from oms_kernel.host import PluginHost
from oms_kernel.registry import Kind

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "plugins").glob("*/tests/test_*.py"))
LEAST = 10
REGISTRIES = PluginHost().load()
NAMES: dict[Any, str] = {
    one.contributed: one.name
    for kind in (Kind.RISK_RULE, Kind.COMPLIANCE_CHECK, Kind.MONITOR)
    for one in REGISTRIES.of(kind).values()
}


def imported(path: Path) -> ModuleType:
    """The module of a file, without a trace in sys.modules."""
    spec = importlib.util.spec_from_file_location(f"counted_{path.parts[-3]}_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parameters(function: Any) -> list[list[Any]]:
    """The values of each parametrisation of a test."""
    return [list(mark.args[1]) for mark in getattr(function, "pytestmark", ()) if mark.name == "parametrize"]


def rules_in(value: Any) -> Iterator[str]:
    """The names of the rules that a value is, or that it holds."""
    if isinstance(value, (tuple, list)):
        for one in value:
            yield from rules_in(one)
    elif isinstance(value, dict):
        yield from rules_in(list(value.values()))
    elif isinstance(value, type) and value in NAMES:
        yield NAMES[value]
    elif type(value) in NAMES:
        yield NAMES[type(value)]


def rules_of(function: FunctionType, seen: set[FunctionType]) -> Iterator[str]:
    """The names of the rules that a test names, itself or by what it calls and the fixtures that it asks for."""
    if function in seen:
        return
    seen.add(function)
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        codes += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
        for name in {*code.co_names, *code.co_varnames}:
            value = function.__globals__.get(name)
            called = getattr(value, "__wrapped__", value)
            if isinstance(called, FunctionType) and called.__module__ == function.__module__:
                yield from rules_of(called, seen)
            else:
                yield from rules_in(value)


def cases(module: ModuleType) -> Iterator[tuple[str, int, bool]]:
    """(rule, number of cases, whether they are the common suite's) of everything in a module of tests."""
    for name, value in vars(module).items():
        contributed = getattr(value, "contributed", None)
        if isinstance(value, type) and name.startswith("Test") and contributed in NAMES:
            yield NAMES[contributed], sum(one.startswith("test_") for one in dir(value)), True
        elif name.startswith("test_") and isinstance(value, FunctionType):
            lists = parameters(value)
            named = {*rules_of(value, set()), *rules_in([list(one) for one in lists])}
            for rule in named:
                yield rule, math.prod(len(one) for one in lists), False


@pytest.fixture(scope="module")
def counted() -> dict[bool, Counter[str]]:
    """Cases by rule: True: those of the common suite, False: its own."""
    found: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for path in FILES:
        for rule, number, is_common in cases(imported(path)):
            found[is_common][rule] += number
    return found


def test_there_is_something_to_count() -> None:
    assert len(NAMES) > 40


@pytest.mark.parametrize("rule", sorted(NAMES.values()))
def test_a_rule_has_ten_cases_of_its_own_and_passes_the_common_suite(
    counted: dict[bool, Counter[str]], rule: str
) -> None:
    assert counted[False][rule] >= LEAST, counted[False][rule]
    assert counted[True][rule] >= LEAST, "no class of the conformance suite names it"
