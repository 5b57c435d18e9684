"""YAML as it is read here: exact numbers, lines, and nothing that readers could take for two different things."""

import pytest

from oms_app.flow.yaml_text import MAX_DEPTH, MOST_CHARACTERS, BadYaml, read_yaml


def test_numbers_and_dates_stay_exact_and_words_stay_words() -> None:
    text = (
        "[1, -2, 0, 1.50, 1e5, .5, 0x1F, 0o17, 010, 1_000, 12345678901234567890, '7', \"8\", .nan, .inf,"
        " 2026-01-31, 2026-01-31T15:30:00Z, no, NO, on, yes, true, false, null, ~]"
    )
    assert read_yaml(text).value == [
        1, -2, 0, "1.50", "1e5", ".5", "0x1F", "0o17", "010", "1_000", "12345678901234567890", "7", "8", ".nan", ".inf",
        "2026-01-31", "2026-01-31T15:30:00Z", "no", "NO", "on", "yes", True, False, None, None,
    ]  # fmt: skip
    assert read_yaml("").value is None
    assert read_yaml("a:\nb: ''").value == {"a": None, "b": ""}


def test_every_path_knows_its_line_and_what_is_missing_that_of_what_is_around_it() -> None:
    found = read_yaml("a:\n  - b: 1\n    c:\n      d: 2\n")
    assert [found.line_of(path) for path in ("a", "a[0]", "a[0].c.d", "a[0].c.x", "a[0].x.y[3]", "z")] == [
        1, 2, 4, 3, 2, 1,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("a: 1\nb: 2\na: 3", 3, "'a' stands twice"),
        ("{a: {b: 1, b: 2}}", 1, "'b' stands twice"),
        ("a: &x [1]\nb: *x", 2, "aliases"),
        ("a:\n  <<: {b: 1}", 2, "a key is one plain word"),
        ("? [a]\n: 1", 1, "a key is one plain word"),
        ("a: !!python/object:os.system ls", 1, "is not taken"),
        ("a: !mine 1", 1, "the tag !mine is not taken"),
        ("a: !!binary aGk=", 1, "is not taken"),
        ("a: !!set {b, c}", 1, "is not taken"),
        ("[" * (MAX_DEPTH + 1), 1, "nested deeper"),
        ("a: [1", 1, "no YAML"),
        ("a: b: c", 1, "no YAML"),
        ("a: 1\n---\nb: 2", 2, "another document"),
        ("a: \x07", 0, "characters"),
        ("a: " + "x" * MOST_CHARACTERS, 0, "longer than"),
    ],
)
def test_what_is_not_taken_is_told_with_its_line(text: str, line: int, told: str) -> None:
    with pytest.raises(BadYaml) as refusal:
        read_yaml(text)
    assert refusal.value.line == line
    assert told in refusal.value.detail
