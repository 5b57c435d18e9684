"""Show results: tables for people, one JSON document on stdout for programs; progress and remarks go to stderr."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

STATE_STYLES = {
    "FILLED": "green", "WORKING": "cyan", "PARTIALLY_FILLED": "cyan", "DENIED": "red", "REJECTED": "red",
    "CANCELED": "yellow", "EXPIRED": "yellow", "IN_DOUBT": "bold magenta", "LOADED": "green", "BROKEN": "red",
    "REFUSED": "red", "DISABLED": "yellow", "RUNNING": "green", "ERROR": "red", "BUY": "green", "SELL": "red",
    "CRITICAL": "bold red", "WARNING": "yellow", "DONE": "green", "COMPLETE": "green",
    "FAILED": "red", "ok": "green", "warning": "yellow", "failed": "bold red",
}  # fmt: skip
NUMBERS = frozenset(
    "quantity filled_quantity limit_price stop_price average_price cost realised_pnl unrealised_pnl amount load_ms "
    "seq last market_value tick_size lot_size max_order_quantity events errors calls number opened fixed closed "
    "hours_unresolved".split()
)

WIDTH_OF_A_PIPE = 240

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document for programs.")


def out() -> Console:
    """The console of results."""
    return _console(stderr=False)


def err() -> Console:
    """The console of remarks and progress."""
    return _console(stderr=True)


def print_json(value: Any) -> None:
    """One JSON document; decimals and times as strings."""
    click.echo(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode())


def print_table(title: str, columns: Sequence[str], rows: Iterable[dict[str, Any]], *, empty: str) -> None:
    """A table of the named fields; a friendly word when there is no row."""
    shown = list(rows)
    if not shown:
        err().print(f"[dim]{empty}[/dim]")
        return
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right" if column in NUMBERS else "left", overflow="fold")
    for row in shown:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    out().print(table)


def print_facts(title: str, facts: dict[str, Any]) -> None:
    """One thing, a line for each field that has a value."""
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in facts.items():
        if value not in (None, "", [], {}):
            table.add_row(Text(name.replace("_", " "), style="bold"), _cell(value))
    out().print(table)


def progress() -> Progress:
    """A progress bar on stderr; silent where stderr is no terminal."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err(),
        transient=True,
        disable=not err().is_terminal,
    )


def show(as_json: bool, value: Any, for_people: Callable[[], None]) -> None:
    """The value as JSON, or told to people."""
    if as_json:
        print_json(value)
    else:
        for_people()


def _cell(value: Any) -> Text:
    if value is None:
        return Text("")
    if isinstance(value, dict | list):
        return Text(msgspec.json.encode(value, enc_hook=str).decode())
    text = str(value)
    return Text(text, style=STATE_STYLES.get(text, ""))


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = WIDTH_OF_A_PIPE
    return console
