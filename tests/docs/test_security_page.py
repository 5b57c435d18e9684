"""What the page on security says is held: each test that it names exists, its numbers are those of the checks."""

import re
from importlib import import_module
from pathlib import Path

from security.__main__ import CHECKS
from security.attacks import ATTACKS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
TESTS = {
    name
    for folder in ("tests", "plugins")
    for path in (ROOT / folder).rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
}


def test_every_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(test_\w+)`", PAGE)
    assert len(named) > 80
    assert [name for name in named if name not in TESTS] == []


def test_every_item_of_the_map_has_a_test_or_a_reason() -> None:
    rows = re.findall(r"^\| (\d+\.\d+.*?) \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)
    assert len(rows) > 60
    chapters = {int(item.split(".")[0]) for item, _, _ in rows}
    assert chapters == {*range(1, 17)} - {10}
    for item, how, held in rows:
        assert "`test_" in held or "no: " in how or "no: " in held or held == "left to you", item


def test_every_check_stands_on_the_page_and_every_attack_names_tests_that_are_there() -> None:
    for name, module in CHECKS.items():
        assert f"`{name}`" in PAGE
        assert hasattr(import_module(module), "run")
    for files in ATTACKS.values():
        assert [file for file in files if not (ROOT / file).exists()] == []
