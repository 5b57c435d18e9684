"""`oms strategies`: create, start and stop strategies through the API, and see their runs."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from oms_app.cli.connection import Api, connected
from oms_app.cli.output import json_option, print_facts, print_table, show

COLUMNS = ("strategy_id", "name", "strategy", "account_id", "status", "params", "error")
RUNS = ("run_id", "status", "started_at", "stopped_at", "error")


@click.group()
def strategies() -> None:
    """List, create, start and stop strategies."""


@strategies.command("list")
@json_option
@connected
def list_strategies(api: Api, as_json: bool) -> None:
    """List the strategies."""
    found = api.items("/strategies")
    show(as_json, {"items": found}, lambda: print_table("Strategies", COLUMNS, found, empty="no strategies"))


@strategies.command()
@click.argument("name")
@click.argument("plugin")
@click.option("--account-id", help="The trading account. Default: the demo's.")
@click.option(
    "--param", "-p", "params", multiple=True, metavar="NAME=VALUE", help="A parameter; VALUE is JSON or text."
)
@json_option
@connected
def create(api: Api, as_json: bool, name: str, plugin: str, account_id: str | None, params: tuple[str, ...]) -> None:
    """Create a strategy NAME from PLUGIN's class: oms strategies create trend moving_average_cross -p symbol=SPY"""
    body = {
        "name": name,
        "plugin": plugin,
        "account_id": account_id or api.facts.account_id,
        "params": dict(_parameter(text) for text in params),
    }
    made = api.post("/strategies", body)
    show(as_json, made, lambda: print_facts("Strategy", made))


@strategies.command()
@click.argument("strategy_id")
@json_option
@connected
def start(api: Api, as_json: bool, strategy_id: str) -> None:
    """Start a run of a strategy."""
    run = api.post(f"/strategies/{strategy_id}/start")
    show(as_json, run, lambda: print_facts("Run", run))


@strategies.command()
@click.argument("strategy_id")
@json_option
@connected
def stop(api: Api, as_json: bool, strategy_id: str) -> None:
    """Stop the active run of a strategy."""
    run = api.post(f"/strategies/{strategy_id}/stop")
    show(as_json, run, lambda: print_facts("Run", run))


@strategies.command()
@click.argument("strategy_id")
@json_option
@connected
def runs(api: Api, as_json: bool, strategy_id: str) -> None:
    """List the runs of a strategy."""
    found = api.items(f"/strategies/{strategy_id}/runs")
    show(as_json, {"items": found}, lambda: print_table("Runs", RUNS, found, empty="no runs"))


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--param")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value
