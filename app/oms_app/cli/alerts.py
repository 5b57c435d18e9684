"""`oms alerts`: what people should see, and a word that somebody takes care of it."""

from __future__ import annotations

from typing import Any

import click

from oms_app.cli.connection import Api, connected
from oms_app.cli.output import json_option, print_table, show
from oms_kernel.domain.breaks import Severity

COLUMNS = ("alert_id", "raised_at", "severity", "source", "text", "what_to_do", "acknowledged_by")
MOST_AT_ONCE = 500


@click.group()
def alerts() -> None:
    """List and acknowledge alerts."""


@alerts.command("list")
@click.option("--all", "with_acknowledged", is_flag=True, help="Also those that somebody takes care of.")
@click.option("--severity", type=click.Choice([one.value for one in Severity], case_sensitive=False))
@click.option("--source", help="Only this source, such as reconciliation or booking.")
@click.option("--account-id", help="Only this trading account.")
@click.option("--limit", default=50, show_default=True, help="At most so many, newest first; 0 for all.")
@json_option
@connected
def list_alerts(api: Api, as_json: bool, limit: int, with_acknowledged: bool, **filters: Any) -> None:
    """List the open alerts, newest first."""
    acknowledged = None if with_acknowledged else "false"
    found = api.items("/alerts", at_most=limit or None, acknowledged=acknowledged, **filters)
    show(as_json, {"items": found}, lambda: print_table("Alerts", COLUMNS, found, empty="no open alerts"))


@alerts.command("ack")
@click.argument("alert_ids", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every open alert.")
@json_option
@connected
def acknowledge(api: Api, as_json: bool, alert_ids: tuple[str, ...], every: bool) -> None:
    """Say that you take care of alerts, by id, or of all open ones."""
    if bool(alert_ids) == every:
        raise click.UsageError("give alert ids, or --all")
    wanted = [one["alert_id"] for one in api.items("/alerts", acknowledged="false")] if every else list(alert_ids)
    done = 0
    for start in range(0, len(wanted), MOST_AT_ONCE):
        answer = api.post("/alerts/acknowledge", {"alert_ids": wanted[start : start + MOST_AT_ONCE]})
        done += int(answer["acknowledged"])
    show(as_json, {"acknowledged": done}, lambda: click.echo(f"{done} acknowledged"))
