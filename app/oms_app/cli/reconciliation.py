"""`oms reconcile`, `oms breaks`, `oms reports`: broker and book compared, their differences, and what people settle."""

from __future__ import annotations

import time
from typing import Any

import click

from oms_app.cli.connection import Api, connected
from oms_app.cli.errors import CommandFailed
from oms_app.cli.output import err, json_option, print_facts, print_table, show
from oms_kernel.domain.breaks import BreakType, Severity

BREAKS = (
    "break_id", "break_type", "severity", "symbol", "subject", "ours", "theirs", "hours_unresolved", "proposed_fix",
    "acknowledged_by", "resolution",
)  # fmt: skip
RUNS = ("run_id", "trigger", "status", "finished_at", "opened", "fixed", "closed", "error")
REPORTS = ("report_id", "created_at", "kind", "account_id", "status", "error", "settled_by")
STATUSES = ("OPEN", "BOOKED", "DISMISSED")


@click.command()
@click.option("--account", "account_ids", multiple=True, help="The broker account of this trading account.")
@click.option("--broker-account", "broker_account_ids", multiple=True, help="This broker account.")
@click.option("--wait", "wait_s", type=float, default=0, metavar="SECONDS", help="Wait until the runs are done.")
@json_option
@connected
def reconcile(
    api: Api, as_json: bool, account_ids: tuple[str, ...], broker_account_ids: tuple[str, ...], wait_s: float
) -> None:
    """Compare broker and book now; without an account, once for each connection.

    With --wait the exit code is 1 when a run failed or is not done in time.
    """
    wanted = _broker_accounts(api, account_ids, broker_account_ids)
    runs = [api.post(f"/broker-accounts/{one}/reconcile") for one in wanted]
    if wait_s:
        runs = _finished(api, runs, wait_s)
    show(as_json, {"items": runs}, lambda: print_table("Runs", RUNS, runs, empty="no broker account is routed"))
    if wait_s and any(run["status"] != "COMPLETE" for run in runs):
        raise CommandFailed("not every run is complete; `oms reconcile --wait` again when the broker answers")


def _broker_accounts(api: Api, account_ids: tuple[str, ...], broker_account_ids: tuple[str, ...]) -> list[str]:
    if broker_account_ids and not account_ids:
        return list(broker_account_ids)
    known = api.items("/broker-accounts")
    if account_ids:
        routed = {account: one["broker_account_id"] for one in known for account in one["account_ids"]}
        unknown = [account for account in account_ids if account not in routed]
        if unknown:
            raise click.UsageError(f"account {unknown[0]} is routed to no broker account (`oms accounts`)")
        return [*broker_account_ids, *(routed[account] for account in account_ids)]
    by_connection = {one["connection_id"]: one["broker_account_id"] for one in known if one["account_ids"]}
    return list(by_connection.values())


def _finished(api: Api, runs: list[dict[str, Any]], wait_s: float) -> list[dict[str, Any]]:
    """The runs once they are done; as they are when the time is over."""
    deadline = time.monotonic() + wait_s
    while any(run["status"] == "REQUESTED" for run in runs) and time.monotonic() < deadline:
        time.sleep(0.1)
        runs = [api.get(f"/reconciliation/runs/{run['run_id']}") for run in runs]
    if any(run["status"] == "REQUESTED" for run in runs):
        err().print(f"[yellow]not done after {wait_s:g} s[/yellow]")
    return runs


@click.group()
def breaks() -> None:
    """List, acknowledge and resolve the differences between broker and book."""


@breaks.command("list")
@click.option("--all", "with_resolved", is_flag=True, help="Also those that have ended.")
@click.option("--type", "break_type", type=click.Choice([one.value for one in BreakType], case_sensitive=False))
@click.option("--severity", type=click.Choice([one.value for one in Severity], case_sensitive=False))
@click.option("--account-id", help="Only this trading account.")
@click.option("--broker-account-id", help="Only this broker account.")
@click.option("--limit", default=50, show_default=True, help="At most so many, newest first; 0 for all.")
@json_option
@connected
def list_breaks(api: Api, as_json: bool, limit: int, with_resolved: bool, **filters: Any) -> None:
    """List the open breaks, newest first."""
    resolved = None if with_resolved else "false"
    found = api.items("/reconciliation/breaks", at_most=limit or None, resolved=resolved, **filters)
    show(as_json, {"items": found}, lambda: print_table("Breaks", BREAKS, found, empty="broker and book agree"))


@breaks.command("ack")
@click.argument("break_ids", nargs=-1, required=True)
@json_option
@connected
def acknowledge(api: Api, as_json: bool, break_ids: tuple[str, ...]) -> None:
    """Say that you take care of breaks."""
    done = [api.post(f"/reconciliation/breaks/{one}/acknowledge") for one in break_ids]
    show(as_json, {"items": done}, lambda: print_table("Breaks", BREAKS, done, empty=""))


@breaks.command("resolve")
@click.argument("break_id")
@click.option("--text", required=True, help="What you found out, for whoever reads this later.")
@click.option("--accept-broker", is_flag=True, help="Take over the broker's figure: cash, or a position with --price.")
@click.option("--price", help="At which the difference of a position is booked.")
@json_option
@connected
def resolve_break(api: Api, as_json: bool, break_id: str, text: str, accept_broker: bool, price: str | None) -> None:
    """End a break with an explanation, or by taking over the broker's figure."""
    body: dict[str, Any] = {"action": "accept_broker" if accept_broker else "explain", "text": text}
    if price is not None:
        body["price"] = price
    done = api.post(f"/reconciliation/breaks/{break_id}/resolve", body)
    show(as_json, done, lambda: print_facts("Break", done))


@click.group()
def reports() -> None:
    """List, book and dismiss broker reports that could not be booked."""


@reports.command("list")
@click.option("--all", "every", is_flag=True, help="Also those that are settled.")
@click.option("--status", type=click.Choice(STATUSES, case_sensitive=False), help="Default: OPEN.")
@click.option("--limit", default=50, show_default=True, help="At most so many, newest first; 0 for all.")
@json_option
@connected
def list_reports(api: Api, as_json: bool, limit: int, every: bool, status: str | None) -> None:
    """List the reports that wait for a person, newest first."""
    found = api.items("/unbooked-reports", at_most=limit or None, status=None if every else status or "OPEN")
    show(as_json, {"items": found}, lambda: print_table("Reports", REPORTS, found, empty="every report is booked"))


@reports.command("book")
@click.argument("report_id")
@json_option
@connected
def book_report(api: Api, as_json: bool, report_id: str) -> None:
    """Book a report now that what hindered it is repaired."""
    done = api.post(f"/unbooked-reports/{report_id}/book")
    show(as_json, done, lambda: print_facts("Report", done))


@reports.command("dismiss")
@click.argument("report_id")
@click.option("--reason", required=True, help="Why it is put aside for good.")
@json_option
@connected
def dismiss_report(api: Api, as_json: bool, report_id: str, reason: str) -> None:
    """Put a report aside for good."""
    done = api.post(f"/unbooked-reports/{report_id}/dismiss", {"reason": reason})
    show(as_json, done, lambda: print_facts("Report", done))
