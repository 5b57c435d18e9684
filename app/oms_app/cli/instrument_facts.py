"""`oms instruments facts`: what is known of an instrument today, shown, or changed by whoever runs the platform."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import click

from oms_app.cli.on_this_machine import services_here
from oms_app.cli.output import json_option, print_facts, show

NUMBERS = ("average_daily_volume", "limit_up", "limit_down")


@click.command("facts")
@click.argument("symbol")
@click.option("--adv", "average_daily_volume", help="Average daily volume over 20 days, in units.")
@click.option("--halted/--not-halted", "is_halted", default=None, help="Whether trading is halted.")
@click.option("--auction/--no-auction", "in_auction", default=None, help="Whether it is in an auction.")
@click.option("--limit-up", help="Highest price at which it may trade.")
@click.option("--limit-down", help="Lowest price at which it may trade.")
@click.option("--short-restricted/--not-short-restricted", "is_short_restricted", default=None)
@click.option("--hard-to-borrow/--easy-to-borrow", "is_hard_to_borrow", default=None)
@click.option("--sector", default=None)
@click.option("--issuer", default=None)
@click.option("--forget", is_flag=True, help="Forget what was known before; only what is said now counts.")
@json_option
def facts(symbol: str, forget: bool, as_json: bool, **told: Any) -> None:
    """Show what is known of SYMBOL (or VENUE:SYMBOL) beside its quote; with options, say it for now."""
    import msgspec

    from oms_app.flow.audit import cli_actor
    from oms_app.flow.instrument_facts import facts_of, tell_facts
    from oms_app.flow.routing import find_instrument
    from oms_app.store.config_rows import load_catalogue
    from oms_kernel.contracts.rules import InstrumentFacts

    changes = {name: _read(name, value) for name, value in told.items() if value is not None}
    with services_here() as services:
        with services.store.read_unit(None) as unit:
            catalogue, now = load_catalogue(unit.connection, unit.now), unit.now
        instrument_id = find_instrument(catalogue, None, symbol, None).instrument_id
        known = facts_of(services.store, instrument_id)
        if changes or forget:
            before = InstrumentFacts(instrument_id=instrument_id, as_of=now) if known is None or forget else known
            known = tell_facts(
                services.store, cli_actor(), msgspec.structs.replace(before, **{**changes, "as_of": now})
            )
    shown: dict[str, Any] = {} if known is None else msgspec.to_builtins(known)
    show(as_json, shown, lambda: print_facts(f"{symbol}: nothing is known" if known is None else symbol, shown))


def _read(name: str, value: Any) -> Any:
    """A value as the facts have it. Raises BadParameter for a number that is none."""
    from oms_kernel.domain.errors import InvalidNumber
    from oms_kernel.domain.money import parse_decimal

    if name not in NUMBERS:
        return value
    try:
        number: Decimal = parse_decimal(value)
    except InvalidNumber as error:
        raise click.BadParameter(str(error), param_hint=name) from None
    return number
