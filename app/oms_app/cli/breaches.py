"""`oms risk breaches` and `oms risk monitoring`: what was overstepped, who handles it, how the watch goes."""

from __future__ import annotations

from typing import Any

import click

from oms_app.cli.connection import Api, connected
from oms_app.cli.output import json_option, print_table, show
from oms_app.flow.breaches import Finding

COLUMNS = (
    "breach_id", "breached_at", "status", "rule", "action", "message", "observed", "limit", "unit", "assigned_to",
)  # fmt: skip
ROUNDS = (
    "ledger_id",
    "is_late",
    "age_ms",
    "duration_ms",
    "lag_ms",
    "monitors",
    "failures",
    "rounds",
    "holder",
    "error",
)
surveillance_option = click.option("--surveillance", is_flag=True, help="Cases of compliance in place of breaches.")


@click.group()
def breaches() -> None:
    """List, assign and close breaches of limits."""


@breaches.command("list")
@click.option("--all", "with_closed", is_flag=True, help="Also those that were closed.")
@click.option("--rule", help="Only those that this rule or monitor found.")
@click.option("--account-id", help="Only this trading account.")
@click.option("--limit", default=50, show_default=True, help="At most so many, newest first; 0 for all.")
@surveillance_option
@json_option
@connected
def list_breaches(api: Api, as_json: bool, limit: int, with_closed: bool, surveillance: bool, **filters: Any) -> None:
    """List the open breaches, newest first."""
    is_open = None if with_closed else "true"
    found = api.items(_path(surveillance), at_most=limit or None, open=is_open, **filters)
    show(as_json, {"items": found}, lambda: print_table("Breaches", COLUMNS, found, empty="no open breaches"))


@breaches.command()
@click.argument("breach_id")
@click.option("--to", "assigned_to", help="Who takes care of it; you, when it is left out.")
@click.option("--text", help="A note for whoever reads this later.")
@surveillance_option
@json_option
@connected
def assign(api: Api, as_json: bool, breach_id: str, surveillance: bool, **words: str | None) -> None:
    """Say who takes care of a breach."""
    body = {name: value for name, value in words.items() if value is not None}
    told = api.post(f"{_path(surveillance)}/{breach_id}/assign", body)
    show(as_json, told, lambda: click.echo(f"{told['assigned_to']} takes care of {told['breach_id']}"))


@breaches.command()
@click.argument("breach_id")
@click.option("--finding", required=True, type=click.Choice([one.value for one in Finding], case_sensitive=False))
@click.option("--text", required=True, help="What you found out; kept beside the log.")
@surveillance_option
@json_option
@connected
def close(api: Api, as_json: bool, breach_id: str, surveillance: bool, finding: str, text: str) -> None:
    """Close a breach with what you found out; what it stopped stays stopped until it is released."""
    told = api.post(f"{_path(surveillance)}/{breach_id}/close", {"finding": finding.upper(), "text": text})
    show(as_json, told, lambda: click.echo(f"{told['breach_id']} is closed: {told['finding']}"))


@click.command()
@json_option
@connected
def monitoring(api: Api, as_json: bool) -> None:
    """Show how the last round of monitoring of each ledger went."""
    found = api.get("/risk/monitoring")["items"]
    show(as_json, {"items": found}, lambda: print_table("Monitoring", ROUNDS, found, empty="no ledger is watched"))


def _path(surveillance: bool) -> str:
    return "/compliance/alerts" if surveillance else "/risk/breaches"
