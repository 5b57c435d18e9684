"""Planted changes: every kind is made, what says nothing of behaviour is left alone, and a weak test is told apart."""

import ast
from pathlib import Path

import pytest

from mutants.__main__ import summary
from mutants.mutations import changed, mutants
from mutants.sample import Fate, Sampler, Tried
from mutants.suites import SUITES, Suite

ROOT = Path(__file__).parents[2]
MODULE = '''"""A planted module."""

LEAST = 10


def is_enough(number):
    """At least LEAST."""
    return number >= LEAST


def forgotten(number):
    return number + 1
'''
TEST = """
from planted_module import is_enough


def test_far_from_the_edge():
    assert is_enough(99)
    assert not is_enough(1)
"""


def whats(text: str) -> list[str]:
    return [one.what for one in mutants("a.py", text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = a < b", ["Lt to LtE"]),
        ("x = a <= b == c", ["LtE to Lt", "Eq to NotEq"]),
        ("x = a and not b", ["And to Or", "not left out"]),
        ("x = a + b", ["Add to Sub"]),
        ("x = min(a, add(b, c))", ["min to max", "add to subtract"]),
        ("x = f(1, True, 'code')", ["1 to 2", "True to False", "'code' to ''"]),
        ("x = a if b else c", ["condition negated"]),
        ("def f(n=1):\n    return n", ["1 to 2", "None instead"]),
        ("def f(n) -> bool:\n    return n", ["negated"]),
        ("def f(n):\n    n.go()\n    raise n", ["deleted", "deleted"]),
        ("n.at = a", ["deleted"]),
    ],
)
def test_each_kind_of_change_is_found(text: str, expected: list[str]) -> None:
    assert whats(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        '"""Words."""',
        "x: A | None",
        "def f(a: A | B) -> C | D: ...",
        "x = f'{1}'",
        "x = 'words for people'",
        "title: str = 'Word'",
        "__slots__ = ('a', 'b')",
        "__all__ = ['f']",
        "log.error('gone')",
        "assert a < b",
        "Key = tuple[A | B, C]",
        "x = described('Most', 'units', gt=0)",
        "if TYPE_CHECKING:\n    x = 1",
        "return_none = None",
    ],
)
def test_what_says_nothing_of_behaviour_is_left_alone(text: str) -> None:
    assert whats(text) == []


def test_a_change_is_made_alone_and_the_same_one_again() -> None:
    text = "x = a < b\ny = c + d\n"
    assert ast.unparse(changed(text, 0)) == "x = a <= b\ny = c + d"
    assert ast.unparse(changed(text, 1)) == "x = a < b\ny = c - d"


def test_every_change_of_the_sampled_sources_compiles_and_differs() -> None:
    path = "oms_kernel/domain/totals.py"
    text = (ROOT / path).read_text()
    plain = ast.dump(ast.parse(text))
    found = mutants(path, text)
    assert len(found) > 40
    for one in found:
        tree = changed(text, one.number)
        compile(tree, path, "exec")
        assert ast.dump(tree) != plain, one


def test_every_suite_has_sources_tests_and_modules_that_can_be_imported() -> None:
    for suite in SUITES:
        files = list(suite.files(ROOT))
        assert files
        assert all((ROOT / folder).is_dir() for folder in suite.tests)
        assert all((ROOT / suite.package / f"{suite.module(one).replace('.', '/')}.py").exists() for one in files[1:])


def test_what_the_tests_do_not_notice_survives_and_what_they_do_is_killed(tmp_path: Path) -> None:
    (tmp_path / "planted_module.py").write_text(MODULE)
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "test_planted.py").write_text(TEST)
    suite = Suite(sources=("planted_module.py",), tests=("checks",))
    tried = Sampler(tmp_path, (suite,), lambda text: None).run(10, 7, jobs=2)
    assert {(one.mutant.line, one.mutant.what): one.fate for one in tried} == {
        (3, "10 to 11"): Fate.SURVIVED,
        (8, "None instead"): Fate.KILLED,
        (8, "GtE to Gt"): Fate.SURVIVED,
        (12, "None instead"): Fate.UNREACHED,
        (12, "Add to Sub"): Fate.UNREACHED,
        (12, "1 to 2"): Fate.UNREACHED,
    }
    assert (tmp_path / "planted_module.py").read_text() == MODULE
    assert summary(tried)["score"] == 16.7


def test_tests_that_fail_without_any_change_are_no_measure(tmp_path: Path) -> None:
    (tmp_path / "planted_module.py").write_text(MODULE)
    (tmp_path / "test_planted.py").write_text(f"{TEST}\n\ndef test_broken():\n    assert is_enough(0)\n")
    suite = Suite(sources=("planted_module.py",), tests=("test_planted.py",))
    with pytest.raises(RuntimeError, match="without any change"):
        Sampler(tmp_path, (suite,), lambda text: None).run(1, 7, jobs=1)


def test_the_score_counts_what_was_noticed_a_time_out_too() -> None:
    (one, two, *_) = mutants("a.py", "x = a < b\ny = c < d\n")
    told = summary([Tried(one, Fate.TIMED_OUT, 1), Tried(two, Fate.SURVIVED, 1)])
    assert (told["score"], told["timed_out"], told["survived"]) == (50.0, 1, 1)
    assert told["by_operator"] == {"comparison": {"timed_out": 1, "survived": 1}}


def test_when_time_is_over_no_more_are_begun(tmp_path: Path) -> None:
    (tmp_path / "planted_module.py").write_text(MODULE)
    (tmp_path / "test_planted.py").write_text(TEST)
    suite = Suite(sources=("planted_module.py",), tests=("test_planted.py",))
    assert Sampler(tmp_path, (suite,), lambda text: None).run(5, 7, jobs=1, seconds=0) == []
