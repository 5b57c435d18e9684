"""`oms tenants`: made, listed, changed, closed and opened by whoever runs the platform; orders of closed ones pulled.

A tenant is named by its slug or its id.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from oms_app.cli.errors import CommandFailed
from oms_app.cli.on_this_machine import services_here
from oms_app.cli.output import json_option, print_facts, print_table, show

if TYPE_CHECKING:
    from oms_app.store.tenants import TenantRow

COLUMNS = ("slug", "name", "is_active", "domain", "time_zone", "base_currency", "created_at", "tenant_id")


@click.group()
def tenants() -> None:
    """Make, list and steer the tenants of this installation, on its database."""


@tenants.command()
@click.argument("name")
@click.option("--slug", help="Short name for addresses; made from the name when left out.")
@click.option("--domain", help="Host name whose requests belong to the tenant.")
@click.option("--time-zone", default="UTC", show_default=True)
@click.option("--base-currency", default="USD", show_default=True)
@click.option("--settings", "settings_text", help="Settings as a JSON object.")
@json_option
def create(
    name: str,
    slug: str | None,
    domain: str | None,
    time_zone: str,
    base_currency: str,
    settings_text: str | None,
    as_json: bool,
) -> None:
    """Make the tenant NAME with an empty ledger."""
    from oms_app.flow.audit import cli_actor
    from oms_app.flow.tenancy import NewTenant

    asked = NewTenant(
        name=name,
        slug=slug,
        domain=domain,
        time_zone=time_zone,
        base_currency=base_currency,
        settings=_settings(settings_text),
    )
    with services_here() as services:
        made = services.tenancy.create(cli_actor(), asked)
    _show(made, as_json)


@tenants.command("list")
@json_option
def list_tenants(as_json: bool) -> None:
    """List all tenants, the newest first."""
    from oms_app.store.tenants import list_tenants as listed

    with services_here() as services:
        with services.store.read_unit(None) as unit:
            known = listed(unit)
        found = [_facts(services.tenancy.get(one.tenant_id)) for one in known]
    show(as_json, found, lambda: print_table("Tenants", COLUMNS, found, empty="None yet: `oms tenants create`."))


@tenants.command()
@click.argument("tenant")
@click.option("--name")
@click.option("--slug")
@click.option("--domain", help="Host name whose requests belong to the tenant; empty for none.")
@click.option("--time-zone")
@click.option("--base-currency")
@click.option("--settings", "settings_text", help="All settings as a JSON object; they replace those before.")
@json_option
def update(tenant: str, settings_text: str | None, as_json: bool, **asked: str | None) -> None:
    """Change TENANT, named by slug or id."""
    from oms_app.flow.audit import cli_actor

    changes: dict[str, str | None] = {name: value or None for name, value in asked.items() if value is not None}
    if not changes and settings_text is None:
        raise CommandFailed("nothing to change\n  fix: give at least one option; see --help")
    with services_here() as services:
        tenant_id = services.tenancy.find(tenant)
        changed = services.tenancy.update(cli_actor(), tenant_id, changes)
        if settings_text is not None:
            services.tenancy.change_settings(cli_actor(), tenant_id, _settings(settings_text))
            changed = services.tenancy.get(tenant_id)
    _show(changed, as_json)


@tenants.command()
@click.argument("tenant")
@click.option("--cancel-orders", is_flag=True, help="Cancel its active orders as well.")
def deactivate(tenant: str, cancel_orders: bool) -> None:
    """Close TENANT: nobody signs in, keys are refused, strategies stop. Its orders stay, unless they are cancelled."""
    _set_active(tenant, False)
    if cancel_orders:
        _cancel(tenant)


@tenants.command()
@click.argument("tenant")
def activate(tenant: str) -> None:
    """Open the closed TENANT again."""
    _set_active(tenant, True)


@tenants.command("cancel-orders")
@click.argument("tenant")
def cancel_orders(tenant: str) -> None:
    """Cancel every active order of TENANT, also of a closed one."""
    _cancel(tenant)


def _set_active(tenant: str, is_active: bool) -> None:
    from oms_app.flow.audit import cli_actor

    with services_here() as services:
        row = services.tenancy.set_active(cli_actor(), services.tenancy.find(tenant), is_active)
    click.echo(f"{row.slug} is {'open' if row.is_active else 'closed'}")


def _cancel(tenant: str) -> None:
    from oms_app.flow.audit import CLI
    from oms_app.flow.principal import Principal
    from oms_app.flow.scopes import Scope

    with services_here() as services:
        operator = Principal(
            principal_id=CLI, tenant_id=services.tenancy.find(tenant), scopes=frozenset({Scope.CANCEL_ORDERS.value})
        )
        outcomes = services.amendment.cancel_all(operator)
    refused = [one for one in outcomes if one.error is not None]
    click.echo(f"{len(outcomes) - len(refused)} orders are being cancelled, {len(refused)} cannot be")
    if refused:
        raise CommandFailed("\n".join(f"{one.order_id}: {one.error}" for one in refused[:20]))


def _settings(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise CommandFailed(f"--settings is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise CommandFailed('--settings is no JSON object\n  fix: give {"require_totp": true}')
    return found


def _facts(row: TenantRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in (*COLUMNS, "settings")}


def _show(row: TenantRow, as_json: bool) -> None:
    facts = _facts(row)
    show(as_json, facts, lambda: print_facts(row.name, facts))
