"""`oms verify`: fold the log of every ledger afresh and compare every stored row; a difference is exit code 1."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from oms_app.cli.errors import CommandFailed
from oms_app.cli.output import json_option, print_table, progress, show
from oms_app.config import load_settings

COLUMNS = ("ledger_id", "events", "differences")
SHOWN = 50


@click.command()
@click.option("--tenant-id", help="Only this tenant.")
@json_option
def verify(tenant_id: str | None, as_json: bool) -> None:
    """Fold every log afresh and compare every stored row."""
    from oms_app.bootstrap import build_store
    from oms_app.store.platform import PLATFORM
    from oms_app.store.verify import verify as verify_ledger

    store = build_store(load_settings())
    reports: list[dict[str, Any]] = []
    try:
        ledgers = [one for one in (*store.ledgers(), PLATFORM) if tenant_id in (None, one[0])]
        with progress() as bar:
            for tenant, ledger in bar.track(ledgers, description="verifying ledgers"):
                report = verify_ledger(store, tenant, ledger)
                reports.append({"tenant_id": tenant, "ledger_id": ledger, **msgspec.to_builtins(report, enc_hook=str)})
    finally:
        store.close()
    found = [(one["ledger_id"], text) for one in reports for text in one["differences"]]

    def for_people() -> None:
        rows = [{**one, "differences": len(one["differences"])} for one in reports]
        print_table("Ledgers", COLUMNS, rows, empty="no ledgers yet")
        for ledger, text in found[:SHOWN]:
            click.echo(f"{ledger}: {text}", err=True)

    show(as_json, {"is_clean": not found, "ledgers": reports}, for_people)
    if found:
        raise CommandFailed(f"{len(found)} rows differ from the log")
