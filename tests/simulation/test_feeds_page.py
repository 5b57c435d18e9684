"""The page on feeds shows code that runs and rules that hold."""

import re
from pathlib import Path

import pytest

from oms_kernel.simulation.csv_feed import BAR_COLUMNS, QUOTE_COLUMNS, TRADE_COLUMNS

PAGE = (Path(__file__).parents[2] / "docs" / "feeds.md").read_text()


def test_the_snippet_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(snippet, "docs/feeds.md", "exec"), names)
    quotes = names["quotes"]
    assert isinstance(quotes, list) and len(quotes) > 900


def test_the_layouts_are_those_of_the_code() -> None:
    for columns in (QUOTE_COLUMNS, TRADE_COLUMNS, BAR_COLUMNS):
        assert f"`{','.join(columns)}`" in PAGE
