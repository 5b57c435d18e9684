"""`oms instruments largest-order`: the largest order that a venue takes, shown, or set by whoever runs the platform."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import click

from oms_app.cli.on_this_machine import services_here
from oms_app.cli.output import json_option, print_facts, show


@click.command("largest-order")
@click.argument("symbol")
@click.argument("quantity", required=False)
@click.option("--none", "is_unbounded", is_flag=True, help="The venue names no largest order any more.")
@json_option
def largest_order(symbol: str, quantity: str | None, is_unbounded: bool, as_json: bool) -> None:
    """Show the largest order that the venue takes of SYMBOL (or VENUE:SYMBOL); with QUANTITY, set it for all tenants.

    A larger order is refused, a liquidation is split by it. The broker's own maximum is not read by itself.
    """
    from oms_app.flow.audit import cli_actor
    from oms_app.flow.largest_order import set_largest_order
    from oms_app.flow.routing import find_instrument
    from oms_app.store.config_rows import load_catalogue
    from oms_kernel.domain.money import to_text

    if quantity is not None and is_unbounded:
        raise click.UsageError("say a QUANTITY or --none, not both")
    wanted = _read(quantity) if quantity is not None else None
    with services_here() as services:
        with services.store.read_unit(None) as unit:
            catalogue = load_catalogue(unit.connection, unit.now)
        found = find_instrument(catalogue, None, symbol, None)
        if quantity is not None or is_unbounded:
            found = set_largest_order(services.store, cli_actor(), found.instrument_id, wanted)
    largest = found.max_order_quantity
    shown: dict[str, Any] = {
        "symbol": found.symbol,
        "venue": found.venue,
        "max_order_quantity": to_text(largest) if largest is not None else None,
    }
    show(as_json, shown, lambda: print_facts(symbol, shown))


def _read(quantity: str) -> Decimal:
    from oms_kernel.domain.errors import InvalidNumber
    from oms_kernel.domain.money import parse_decimal

    try:
        return parse_decimal(quantity)
    except InvalidNumber as error:
        raise click.BadParameter(str(error), param_hint="QUANTITY") from None
