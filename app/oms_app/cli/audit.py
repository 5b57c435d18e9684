"""`oms audit`: check the logs' chains against their checkpoints, export them, and hand out the stand-alone verifier."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from oms_app.cli.database import opened_store
from oms_app.cli.errors import CommandFailed
from oms_app.cli.output import json_option, print_table, progress, show
from oms_app.config import load_settings

if TYPE_CHECKING:
    from oms_app.store.sql_store import SqlStore
    from oms_kernel.domain.ids import LedgerId, TenantId

COLUMNS = ("ledger_id", "events", "checkpoints", "signatures", "first_bad_seq")
SHOWN = 50


@click.group()
def audit() -> None:
    """Check and export the audit trail."""


@audit.command()
@click.option("--ledger", "ledger_id", help="Only this ledger.")
@click.option("--public-key", default="", help="The key in hex that must have signed the checkpoints.")
@json_option
def verify(ledger_id: str | None, public_key: str, as_json: bool) -> None:
    """Check every log against its chain and its checkpoints; names the first bad seq."""
    from oms_app.flow.audit_check import check
    from oms_app.store.audit_verifier import Unreadable

    settings = load_settings()
    reports: list[dict[str, Any]] = []
    with opened_store(settings) as store:
        with progress() as bar:
            for tenant, ledger in bar.track(_ledgers(store, ledger_id), description="checking logs"):
                path = settings.audit_folder / f"{ledger}.jsonl"
                try:
                    report = check(store, tenant, ledger, path, public_key)
                except Unreadable as error:
                    raise CommandFailed(f"the checkpoints cannot be read: {error}") from None
                reports.append(msgspec.to_builtins(report))
    found = [(one["ledger_id"], text) for one in reports for text in one["findings"]]

    def for_people() -> None:
        print_table("Logs", COLUMNS, reports, empty="no ledgers yet")
        for ledger, text in found[:SHOWN]:
            click.echo(f"{ledger}: {text}", err=True)
        if any(one["events"] and not one["checkpoints"] for one in reports):
            click.echo(
                "a log without checkpoints: nobody can tell whether its end was cut off; `oms worker` writes them",
                err=True,
            )

    show(as_json, {"is_whole": not found, "ledgers": reports}, for_people)
    if found:
        raise CommandFailed(f"{len(found)} findings: a log is not what was once recorded")


@audit.command()
@click.option("--ledger", "ledger_id", required=True, help="Which ledger; `oms audit verify` lists them.")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option("--output", "target", type=click.Path(path_type=Path, dir_okay=False), help="A file; else stdout.")
@click.option("--from-seq", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--to-seq", type=click.IntRange(min=1), help="The last seq; else the end of the log.")
@click.option("--from", "since", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), help="From this time, UTC.")
@click.option("--to", "before", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), help="Before this time, UTC.")
@click.option("--actor", help="Only what this principal did, such as user:<id>; cannot be verified then.")
@click.option("--action", help="Only this action; cannot be verified then.")
@click.option("--order", "order_id", help="Only this order; cannot be verified then.")
@click.option("--account", "account_id", help="Only this account; cannot be verified then.")
def export(
    ledger_id: str,
    form: str,
    target: Path | None,
    from_seq: int,
    to_seq: int | None,
    since: datetime | None,
    before: datetime | None,
    **filters: str | None,
) -> None:
    """Write a log as JSONL or CSV; without filters it can be checked by the stand-alone verifier."""
    from oms_app.flow.audit_export import Exporter, Format, Range
    from oms_app.store.audit_index import AuditFilter

    wanted = AuditFilter(since=_utc(since), before=_utc(before), **filters)  # type: ignore[arg-type]
    with opened_store(load_settings()) as store:
        found = _ledgers(store, ledger_id)
        lines = Exporter(store).lines(*found[0], Format(form), Range(from_seq, to_seq), wanted)
        if target is None:
            for line in lines:
                sys.stdout.buffer.write(line)
            return
        with target.open("xb") as file:
            file.writelines(lines)
    click.echo(f"written: {target}", err=True)


@audit.command()
@click.option("--output", "target", type=click.Path(path_type=Path, dir_okay=False), help="A file; else stdout.")
def verifier(target: Path | None) -> None:
    """Print the stand-alone verifier: one file that checks an export on any machine with Python."""
    from oms_app.store import audit_verifier

    text = Path(audit_verifier.__file__).read_text(encoding="utf-8")
    if target is None:
        click.echo(text, nl=False)
    else:
        target.write_text(text, encoding="utf-8")


@audit.command()
def checkpoint() -> None:
    """Write a checkpoint of every log that has something new, without waiting for the worker."""
    from oms_app.bootstrap import build_checkpoints
    from oms_app.flow.audit_checkpoints import LogDiffers

    settings = load_settings()
    with opened_store(settings) as store:
        try:
            written = build_checkpoints(settings, store).turn(at_once=True)
        except LogDiffers as error:
            raise CommandFailed(f"no checkpoint was written for a log that differs: {error}") from None
    click.echo(f"{written} checkpoints written to {settings.audit_folder}")


def _ledgers(store: SqlStore, ledger_id: str | None) -> list[tuple[TenantId, LedgerId]]:
    from oms_app.store.platform import PLATFORM

    found = [one for one in (*store.ledgers(), PLATFORM) if ledger_id in (None, one[1])]
    if not found:
        raise CommandFailed(f"there is no ledger {ledger_id}")
    return found


def _utc(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at is not None else None
