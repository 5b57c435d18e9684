"""`oms alive`: a file of heartbeats in, exit code 0 out while the process's duty loop turns; for container managers."""

from __future__ import annotations

from pathlib import Path

import click

from oms_app.cli.errors import CommandFailed
from oms_app.lifeline import PROCESSES, Heartbeats


@click.command()
@click.argument("process", type=click.Choice([name for name in PROCESSES if name != "sim_broker"]))
@click.option(
    "--heartbeats",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="The file that the process was given by its own --heartbeats.",
)
@click.option("--within", "within_s", type=float, default=10.0, show_default=True, help="Seconds since the last beat.")
def alive(process: str, heartbeats: Path, within_s: float) -> None:
    """Tell whether PROCESS on this machine turned its duty loop lately."""
    hearts = Heartbeats(heartbeats)
    try:
        age_s = hearts.age_s(process)
    finally:
        hearts.close()
    if age_s is None:
        raise CommandFailed(f"{process} has not beaten yet")
    if age_s > within_s:
        raise CommandFailed(f"{process} beat {age_s:.1f} s ago")
    click.echo(f"{process} beat {age_s:.1f} s ago")
