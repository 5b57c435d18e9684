"""`oms consumers`: the database in, who reads the log and how far out; lets one read again when told to."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from oms_app.cli.database import opened_store
from oms_app.cli.errors import CommandFailed
from oms_app.cli.output import json_option, print_table, show
from oms_app.config import read_settings

COLUMNS = ("name", "ledger_id", "seq", "head", "lag", "lag_s", "moved_at")


@click.group()
def consumers() -> None:
    """Show who reads the log, and let one read again."""


@consumers.command("list")
@json_option
def list_consumers(as_json: bool) -> None:
    """List every consumer with its place in each ledger, how many events it is behind, and for how long."""
    from oms_app.flow.consumers import Consumers
    from oms_app.flow.publishing import LogReader

    with opened_store(read_settings()) as store:
        rows: list[dict[str, Any]] = [msgspec.structs.asdict(one) for one in Consumers(store, LogReader(store)).list()]
    show(as_json, rows, lambda: print_table("Consumers", COLUMNS, rows, empty="nobody has read the log yet"))


@consumers.command("replay")
@click.argument("name")
@click.option("--ledger", required=True, help="The ledger's id, as `oms consumers list` shows it.")
@click.option("--from", "from_seq", required=True, type=click.IntRange(1), help="The first event to be read again.")
def replay(name: str, ledger: str, from_seq: int) -> None:
    """Let the consumer NAME read a ledger's events again, from a seq on.

    Every event reaches its receivers at least once more, under the id that it had the first time.
    """
    from oms_app.flow.consumers import Consumers
    from oms_app.flow.errors import FlowError
    from oms_app.flow.publishing import LogReader
    from oms_kernel.domain.errors import KernelError
    from oms_kernel.domain.ids import LedgerId

    with opened_store(read_settings()) as store:
        try:
            events = Consumers(store, LogReader(store)).replay(name, LedgerId(ledger), from_seq)
        except (FlowError, KernelError) as error:
            raise CommandFailed(error.detail) from None
    click.echo(f"{name} reads {events} events of {ledger} again, from seq {from_seq} on")
