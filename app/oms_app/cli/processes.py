"""`oms api|stream|session|strategy|worker`: start one process of the system; `oms run` starts them all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from oms_app.config import Settings, load_settings
from oms_app.flow.chores import Queue
from oms_app.lifeline import Pulse, die_with_parent
from oms_app.logs import configure_logging


def supervised(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the hidden options by which `oms run` ties a child to itself; called with settings and a pulse."""

    @click.option("--parent-pid", type=int, hidden=True)
    @click.option("--heartbeats", type=click.Path(path_type=Path), hidden=True)
    def started(parent_pid: int | None, heartbeats: Path | None, **arguments: Any) -> None:
        if parent_pid is not None:
            die_with_parent(parent_pid)
        settings = load_settings()
        configure_logging(command.__name__, settings.log_level)
        # No beat before the duty loop: until the first one the supervisor allows the longer time of a birth.
        command(settings, Pulse(command.__name__, heartbeats), **arguments)

    started.__name__ = command.__name__
    started.__doc__ = command.__doc__
    return started


@click.command()
@supervised
def api(settings: Settings, pulse: Pulse) -> None:
    """Serve the HTTP API and the dashboard at OMS_HOST and OMS_PORT."""
    from oms_app.bootstrap.processes import serve_api

    serve_api(settings, pulse)


@click.command()
@supervised
def stream(settings: Settings, pulse: Pulse) -> None:
    """Serve the event stream at OMS_HOST and OMS_STREAM_PORT."""
    from oms_app.bootstrap.processes import serve_stream

    serve_stream(settings, pulse)


@click.command()
@supervised
def session(settings: Settings, pulse: Pulse) -> None:
    """Run the sessions with the brokers."""
    from oms_app.bootstrap.processes import serve_sessions

    serve_sessions(settings, pulse)


@click.command()
@supervised
def strategy(settings: Settings, pulse: Pulse) -> None:
    """Run the strategies that were started."""
    from oms_app.bootstrap.processes import serve_strategies

    serve_strategies(settings, pulse)


@click.command()
@click.option(
    "--queues",
    callback=lambda _context, _option, text: _queues(text),
    metavar="NAMES",
    help=f"Serve only these queues, separated by commas: {', '.join(Queue)}. Default: all.",
)
@click.option("--only", type=click.Choice(["schedules"]), help="Serve no queue, only mind the schedules.")
@supervised
def worker(settings: Settings, pulse: Pulse, queues: tuple[Queue, ...], only: str | None) -> None:
    """Deliver webhooks, do chores, and mind the schedules when no other worker does."""
    from oms_app.bootstrap.processes import serve_worker

    serve_worker(settings, pulse, () if only else queues)


def _queues(text: str | None) -> tuple[Queue, ...]:
    """The named queues, or all. Raises BadParameter."""
    if text is None:
        return tuple(Queue)
    names = [part.strip() for part in text.split(",") if part.strip()]
    unknown = sorted(set(names) - set(Queue))
    if unknown or not names:
        raise click.BadParameter(f"known queues are {', '.join(Queue)}", param_hint="--queues")
    return tuple(Queue(name) for name in dict.fromkeys(names))
