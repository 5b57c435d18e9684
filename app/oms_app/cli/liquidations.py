"""`oms risk liquidate`: close positions, on this machine; recorded as the command line's."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from oms_app.cli.on_this_machine import services_here
from oms_app.cli.output import json_option, print_facts, print_table, show

COLUMNS = ("liquidation_id", "account_id", "strategy_id", "instrument_id", "started_at", "outcome")


@click.command()
@click.option("--tenant", required=True, help="Slug or id of the tenant.")
@click.option("--account", "account_id", help="Only this trading account.")
@click.option("--strategy", "strategy_id", help="Only this strategy's book.")
@click.option("--instrument", "instrument_id", help="Only this instrument.")
@click.option("--all", "everything", is_flag=True, help="Everything of the tenant.")
@click.option("--stop", "stop_id", metavar="LIQUIDATION_ID", help="Stop this one instead.")
@click.option("--reason-code", default="manual", show_default=True, help="Why, as a short word.")
@click.option("--reason", default="", help="Why, in your own words; kept in the audit trail.")
@json_option
def liquidate(
    tenant: str, everything: bool, stop_id: str | None, reason_code: str, reason: str, as_json: bool, **ids: str | None
) -> None:
    """Close positions by orders that only reduce, through every kill switch, until nothing is held.

    The workers go on with it; `oms risk liquidate --stop` ends it, GET /api/v1/risk/liquidations shows it.
    """
    from oms_app.flow.audit import CLI, cli_actor
    from oms_app.flow.principal import Principal
    from oms_kernel.domain.ids import AccountId, EventId, InstrumentId, StrategyId
    from oms_kernel.domain.scope import Scope

    account_id, strategy_id, instrument_id = ids["account_id"], ids["strategy_id"], ids["instrument_id"]
    if stop_id is None and not everything and not (account_id or strategy_id or instrument_id):
        raise click.UsageError("name --account, --strategy or --instrument, or say --all")
    with services_here() as services:
        principal = Principal(CLI, services.tenancy.find(tenant), frozenset())
        if stop_id is not None:
            stopped = _plain(services.liquidations.stop(principal, EventId(stop_id), reason=reason, actor=cli_actor()))
            show(as_json, stopped, lambda: print_facts("Liquidation", stopped))
            return
        scope = Scope(
            account_id=AccountId(account_id) if account_id else None,
            strategy_id=StrategyId(strategy_id) if strategy_id else None,
            instrument_id=InstrumentId(instrument_id) if instrument_id else None,
        )
        started = services.liquidations.start(principal, scope, reason_code, reason=reason, actor=cli_actor())
        rows = [_plain(one.liquidation) for one in started]
    show(as_json, {"liquidations": rows}, lambda: print_table("Liquidations", COLUMNS, rows, empty="no ledger"))


def _plain(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(value, enc_hook=str)
    return {**found, **found.pop("scope", {})}
