"""The kernel imports the standard library and three packages, its domain only one, module by module."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KERNEL = ROOT / "oms_kernel"
MODULES = sorted(KERNEL.rglob("*.py"))

KERNEL_MAY = {"msgspec", "packaging", "pluggy"}
# The test kit is imported by test runs, which have pytest.
TESTKIT_MAY = KERNEL_MAY | {"pytest", "_pytest"}
DOMAIN_MAY = {"msgspec"}
# Sources of time, chance and the world outside: the domain gets them as arguments.
DOMAIN_MAY_NOT = {
    "asyncio", "http", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "socket",
    "sqlite3", "subprocess", "tempfile", "threading", "time", "urllib",
}  # fmt: skip


def test_there_are_modules_to_check() -> None:
    assert KERNEL / "__init__.py" in MODULES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_kernel_module_imports_only_what_its_wheel_asks_for(path: Path) -> None:
    place = path.relative_to(KERNEL).parts[0]
    allowed = {"domain": DOMAIN_MAY, "testkit": TESTKIT_MAY}.get(place, KERNEL_MAY) | {"oms_kernel"}
    foreign = {name for name in imports(path) if root(name) not in allowed | sys.stdlib_module_names}
    assert foreign == set()


@pytest.mark.parametrize(
    "path", [path for path in MODULES if "domain" in path.parts], ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_domain_module_knows_neither_the_outside_nor_the_rest_of_the_kernel(path: Path) -> None:
    names = set(imports(path))
    assert {name for name in names if root(name) in DOMAIN_MAY_NOT} == set()
    assert {name for name in names if root(name) == "oms_kernel" and not name.startswith("oms_kernel.domain")} == set()


def test_a_planted_import_is_found(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("def later():\n    from flask import request\n    import random\n")
    assert set(imports(planted)) == {"flask", "random"}


def imports(path: Path) -> Iterator[str]:
    """The absolute names of what a module imports, also inside functions."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1] if path.is_relative_to(ROOT) else ()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            yield ".".join([*above, *([node.module] if node.module else [])])


def root(name: str) -> str:
    """The top package of a dotted name."""
    return name.partition(".")[0]
