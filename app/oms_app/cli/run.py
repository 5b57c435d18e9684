"""`oms run`: the whole system on this machine: migrate, seed, start every process, say how to use it, stop in order."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import click
import httpx2
import msgspec
from sqlalchemy import ColumnElement, update

from oms_app.cli.demo import DemoFacts, read_demo_file, seed, sim_broker_config, starting_prices, write_private
from oms_app.cli.errors import CommandFailed, WrongSettings
from oms_app.cli.output import err, out
from oms_app.cli.ports import PortReservation
from oms_app.cli.supervisor import ChildSpec, Supervisor, child_environment
from oms_app.config import Settings, load_settings, mask_url
from oms_app.lifeline import PROCESSES, AlreadyRunning, Heartbeats, HomeLock, holder_name
from oms_app.store.tables import LEASES
from oms_app.store.unit_of_work import StoreUnavailable

STOP_ORDER = ("api", "strategy", "session", "worker", "stream", "sim_broker")
READY_LIMIT_S = 60.0
"""After this time without quotes people are told where to look; the system goes on trying."""


@click.command()
@click.option("--host", help="The address to listen on. Default: OMS_HOST.")
@click.option("--port", type=click.IntRange(0, 65535), help="The API's port; 0 picks a free one. Default: OMS_PORT.")
@click.option(
    "--stream-port",
    type=click.IntRange(0, 65535),
    help="The event stream's port. Default: OMS_STREAM_PORT, 0 with --port 0.",
)
@click.option(
    "--feed",
    default="synthetic",
    show_default=True,
    metavar="FILE|synthetic",
    help="A CSV or CSV.gz file of quotes, trades or bars, or made-up quotes.",
)
@click.option("--speed", default="1", show_default=True, help="With a file: seconds of data for each second.")
@click.option("--loop", is_flag=True, help="With a file: begin again at its end.")
@click.option("--seed", "feed_seed", type=int, default=7, show_default=True, help="Of the made-up quotes.")
def run(
    host: str | None,
    port: int | None,
    stream_port: int | None,
    feed: str,
    speed: str,
    loop: bool,
    feed_seed: int,
) -> None:
    """Run the whole system on this machine until Ctrl-C.

    The first start makes the database, a demo tenant with a paper account and an administrator; what it prints stands
    in OMS_HOME/demo.json as well. Stopping loses nothing; starting again continues.
    """
    settings = _settings(host, port, stream_port)
    feed_config = _feed(feed, speed, loop, feed_seed, settings)
    try:
        with HomeLock(settings.home):
            _run(settings, feed_config)
    except AlreadyRunning as error:
        raise CommandFailed(str(error)) from None


def _run(settings: Settings, feed: dict[str, Any]) -> None:
    ports = [
        PortReservation(settings.host, settings.port, "--port"),
        PortReservation(settings.host, settings.stream_port, "--stream-port"),
    ]
    settings = msgspec.structs.replace(settings, port=ports[0].port, stream_port=ports[1].port)
    facts = _prepare(settings)
    write_private(settings.home / "sim_broker.json", sim_broker_config(feed))
    hearts = Heartbeats(settings.home / "heartbeats")
    end_leases = LeaseEnder(settings)
    end_leases.of_everybody()
    supervisor = Supervisor(
        _children(settings),
        hearts=hearts,
        heartbeat_timeout_s=settings.heartbeat_timeout_s,
        say=lambda text: err().print(f"[yellow]{text}[/yellow]"),
        buried=end_leases.of,
    )
    supervisor.listen()
    try:
        supervisor.start()
        symbol = _await_quotes(supervisor, facts)
        if symbol is not None:
            _print_how_to(facts, symbol, settings)
        while not supervisor.is_stopping:
            supervisor.turn()
        err().print("stopping")
    finally:
        supervisor.stop(STOP_ORDER)
        hearts.close()
        end_leases.close()
        for reservation in ports:
            reservation.close()
    err().print("stopped; nothing is lost, `oms run` continues")


class LeaseEnder:
    """Ends the leases of processes that are certainly dead, so that their successors need not wait for them to expire.

    Only in the embedded home: there nobody but this supervisor's children, all dead by now, can hold one.
    """

    def __init__(self, settings: Settings) -> None:
        from oms_app.bootstrap import build_store

        self._store = build_store(settings) if settings.is_embedded else None

    def of_everybody(self) -> None:
        """End what an earlier life of this home left, however it ended."""
        self._end(LEASES.c.expires_at.is_not(None))

    def of(self, name: str, pid: int) -> None:
        """End what the child held."""
        self._end(LEASES.c.holder == holder_name(name, pid))

    def close(self) -> None:
        """Close the database."""
        if self._store is not None:
            self._store.close()

    def _end(self, which: ColumnElement[bool]) -> None:
        if self._store is None:
            return
        try:
            with self._store.platform_unit() as unit:
                unit.connection.execute(update(LEASES).where(which).values(expires_at=None, holder=""))
        except StoreUnavailable as error:
            err().print(f"[yellow]leases were not ended, they expire by themselves: {error}[/yellow]")


def _settings(host: str | None, port: int | None, stream_port: int | None) -> Settings:
    """The settings with what the command line says."""
    if stream_port is None and port == 0:
        stream_port = 0
    given = {"OMS_HOST": host, "OMS_PORT": port, "OMS_STREAM_PORT": stream_port}
    return load_settings({**os.environ, **{name: str(value) for name, value in given.items() if value is not None}})


def _feed(feed: str, speed: str, loop: bool, feed_seed: int, settings: Settings) -> dict[str, Any]:
    """The feed's part of the simulated broker's configuration."""
    if feed == "synthetic":
        return {"kind": "synthetic", "seed": feed_seed, "prices": starting_prices()}
    places = [Path(feed).expanduser()]
    if settings.market_data is not None:
        places.append(settings.market_data / feed)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise WrongSettings(f"--feed {feed}: there is no such file\n  fix: give a CSV or CSV.gz file, or synthetic")
    try:
        is_positive = float(speed) > 0
    except ValueError:
        is_positive = False
    if not is_positive:
        raise WrongSettings(f"--speed {speed}: a number greater than 0 is needed")
    return {"kind": "csv", "path": str(found.absolute()), "speed": speed, "loop": loop, "skip_unknown": True}


def _prepare(settings: Settings) -> DemoFacts:
    """Migrate, make the demo where it is missing, and write demo.json with the addresses of this start."""
    from oms_app.bootstrap import build_services
    from oms_app.store import migrate

    err().print(f"database {mask_url(settings.database_url)}")
    migrate.upgrade(settings.migrate_database_url)
    path = settings.home / "demo.json"
    services = build_services(settings)
    try:
        facts = seed(services, read_demo_file(path))
    finally:
        services.close()
    facts = msgspec.structs.replace(facts, url=settings.url, stream_url=f"{settings.stream_url}/api/v1/stream")
    write_private(path, facts)
    return facts


def _children(settings: Settings) -> list[ChildSpec]:
    logs = settings.home / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    env = child_environment(
        os.environ,
        {
            "OMS_HOME": str(settings.home),
            "OMS_HOST": settings.host,
            "OMS_PORT": str(settings.port),
            "OMS_STREAM_PORT": str(settings.stream_port),
        },
    )
    me = str(os.getpid())
    home = str(settings.home)
    specs = [
        ChildSpec(
            name="sim_broker",
            command=[
                _sim_broker(), "--home", home, "--config", f"{home}/sim_broker.json", "--port", "0",
                "--exit-with-pid", me,
            ],
            env=env,
            log=logs / "sim_broker.log",
            beats=False,
        )
    ]  # fmt: skip
    for name in PROCESSES:
        if name == "sim_broker":
            continue
        command = [sys.executable, "-m", "oms_app.cli.main", name, "--parent-pid", me]
        command += ["--heartbeats", f"{home}/heartbeats"]
        specs.append(ChildSpec(name=name, command=command, env=env, log=logs / f"{name}.log"))
    return specs


def _sim_broker() -> str:
    """The simulated broker's command. Raises WrongSettings when it is not installed."""
    beside = Path(sys.executable).parent / "oms-sim-broker"
    found = str(beside) if beside.exists() else shutil.which("oms-sim-broker")
    if found is None:
        raise WrongSettings("oms-sim-broker is not installed\n  fix: pip install oms-sim-broker")
    return found


def _await_quotes(supervisor: Supervisor, facts: DemoFacts) -> str | None:
    """The first symbol that has fresh quotes once the system is ready, or None when it is stopped before."""
    began = time.monotonic()
    told = False
    headers = {"X-API-Key": facts.api_key}
    with httpx2.Client(base_url=facts.url, headers=headers, timeout=2, trust_env=False) as client:
        while not supervisor.is_stopping:
            supervisor.turn()
            try:
                if client.get("/api/v1/health/ready").status_code == 200:
                    for symbol in facts.symbols:
                        quote = client.get(f"/api/v1/marketdata/last/{symbol}")
                        if quote.status_code == 200 and not quote.json().get("is_stale"):
                            return symbol
            except httpx2.HTTPError:
                pass  # not listening yet
            if not told and time.monotonic() - began > READY_LIMIT_S:
                told = True
                err().print(f"[yellow]not ready after {READY_LIMIT_S:.0f} s; see the logs in OMS_HOME/logs[/yellow]")
    return None


def _print_how_to(facts: DemoFacts, symbol: str, settings: Settings) -> None:
    body = (
        f'{{"account_id":"{facts.account_id}","symbol":"{symbol}","side":"BUY","quantity":"1","order_type":"MARKET"}}'
    )
    lines = [
        "",
        f"[bold]Dashboard[/bold]  {facts.url}",
        f"[bold]Sign in[/bold]    {facts.email}   password {facts.password}",
        f"[bold]API docs[/bold]   {facts.url}/api/docs",
        "",
        "[bold]Place an order[/bold]",
    ]
    for line in lines:
        out().print(line)
    click.echo(
        f"curl -sS -X POST {facts.url}/api/v1/orders -H 'X-API-Key: {facts.api_key}' "
        f"-H 'Content-Type: application/json' -d '{body}'"
    )
    out().print("\n[bold]The same from the command line[/bold]")
    home = "" if settings.home == Path("var").absolute() else f"OMS_HOME={settings.home} "
    oms = Path(sys.executable).parent / "oms"
    click.echo(f"{home}{oms} orders place BUY 1 {symbol}")
    out().print("\nCtrl-C stops; nothing is lost.")
    sys.stdout.flush()
