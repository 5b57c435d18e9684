"""`oms positions`, `oms accounts`, `oms instruments`: what the API says, as tables."""

from __future__ import annotations

from typing import Any

import click

from oms_app.cli.connection import Api, connected
from oms_app.cli.instrument_facts import facts
from oms_app.cli.largest_order import largest_order
from oms_app.cli.output import json_option, print_table, show

POSITIONS = ("account_id", "symbol", "book", "quantity", "average_price", "realised_pnl", "unrealised_pnl", "currency")
ACCOUNTS = ("account_id", "name", "base_currency", "trading_state", "broker", "broker_account_id")
INSTRUMENTS = (
    "symbol", "venue", "asset_class", "currency", "tick_size", "lot_size", "max_order_quantity", "calendar",
    "instrument_id",
)  # fmt: skip


@click.command()
@click.option("--account-id", help="Only this trading account.")
@click.option("--book", default=None, help="NET (the whole account), MANUAL, EXTERNAL or a strategy's id.")
@json_option
@connected
def positions(api: Api, as_json: bool, **filters: Any) -> None:
    """Show what is held."""
    found = api.items("/positions", **filters)
    show(as_json, {"items": found}, lambda: print_table("Positions", POSITIONS, found, empty="nothing is held"))


@click.group(invoke_without_command=True)
@click.pass_context
def accounts(ctx: click.Context) -> None:
    """List the trading accounts."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_accounts)


@accounts.command("list")
@json_option
@connected
def list_accounts(api: Api, as_json: bool = False) -> None:
    """List the trading accounts."""
    found = api.items("/accounts")
    show(as_json, {"items": found}, lambda: print_table("Accounts", ACCOUNTS, found, empty="no accounts"))


@click.group(invoke_without_command=True)
@click.pass_context
def instruments(ctx: click.Context) -> None:
    """List what can be traded."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_instruments)


@instruments.command("list")
@json_option
@connected
def list_instruments(api: Api, as_json: bool = False) -> None:
    """List what can be traded."""
    found = api.items("/instruments")
    show(as_json, {"items": found}, lambda: print_table("Instruments", INSTRUMENTS, found, empty="no instruments"))


instruments.add_command(facts)
instruments.add_command(largest_order)
