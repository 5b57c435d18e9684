"""Cells in, one line of CSV out that a spreadsheet shows and never runs: text that would be a formula is quoted."""

import csv
import io
from collections.abc import Iterable

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_line(cells: Iterable[object]) -> str:
    """The cells as one line. Numbers stay numbers, so that a negative one can be summed; None is an empty cell."""
    line = io.StringIO()
    csv.writer(line).writerow(["" if cell is None else _cell(cell) for cell in cells])
    return line.getvalue()


def harmless(cell: str) -> str:
    """The text with an apostrophe before it when a spreadsheet would take it for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _cell(cell: object) -> object:
    return harmless(cell) if isinstance(cell, str) else cell
