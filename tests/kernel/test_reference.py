"""The contract reference says what the code says, all of it."""

import inspect
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest

import oms_kernel.contracts
from oms_kernel import hookspecs
from oms_kernel.contribution import CONTRACTS, methods_of
from oms_kernel.registry import Kind
from oms_kernel.testkit import reference

WRITTEN = (Path(__file__).parents[2] / "docs" / "contracts.md").read_text(encoding="utf-8")
MODULES = [
    pkgutil.resolve_name(f"oms_kernel.contracts.{module.name}")
    for module in pkgutil.iter_modules(oms_kernel.contracts.__path__)
]


def public_names(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    ]


def test_the_written_reference_is_up_to_date() -> None:
    assert reference.reference() == WRITTEN, "run: python -m oms_kernel.testkit.reference docs/contracts.md"


def test_every_module_of_contracts_has_a_chapter() -> None:
    assert set(MODULES) | {hookspecs} == {module for _, module in reference.CHAPTERS}


@pytest.mark.parametrize("module", [hookspecs, *MODULES], ids=lambda module: module.__name__)
def test_every_hook_contract_and_value_is_listed(module: ModuleType) -> None:
    names = public_names(module)
    assert names
    assert [name for name in names if f"### {name}\n" not in WRITTEN] == []


@pytest.mark.parametrize("kind", Kind)
def test_every_hook_and_every_method_of_its_contract_is_listed(kind: Kind) -> None:
    assert f"### {kind.hook}\n" in WRITTEN
    bases = [base for base in CONTRACTS[kind].__mro__ if f"### {base.__name__}\n" in WRITTEN]
    told = "".join(WRITTEN.split(f"### {base.__name__}\n")[1].split("\n### ")[0] for base in bases)
    for method in methods_of(CONTRACTS[kind]):
        assert f"`{method}(" in told or f"`async {method}(" in told


@pytest.mark.parametrize("module", [hookspecs, *MODULES], ids=lambda module: module.__name__)
def test_every_public_class_function_and_method_has_a_docstring(module: ModuleType) -> None:
    silent = []
    for name in public_names(module):
        value = getattr(module, name)
        members = [
            (f"{name}.{member}", function)
            for member, function in vars(value).items()
            if inspect.isfunction(function) and not member.startswith("_")
        ]
        silent += [label for label, thing in [(name, value), *members] if not inspect.getdoc(thing)]
    assert silent == []
