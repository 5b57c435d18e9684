"""`oms members`: who belongs to a tenant, invited, changed, kept out and removed by whoever runs the platform."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from oms_app.cli.on_this_machine import services_here
from oms_app.cli.output import json_option, print_table, show
from oms_app.cli.users import ROLES

if TYPE_CHECKING:
    from oms_app.bootstrap import Services
    from oms_app.flow.principal import Principal

COLUMNS = ("email", "role", "scopes", "is_active", "first_name", "last_name", "user_id")
RESULTS = ("row", "email", "outcome", "invitation_id")
tenant_option = click.option("--tenant", required=True, help="Slug or id of the tenant.")
scope_option = click.option("--scope", "scopes", multiple=True, help="A scope beside those of the role; repeatable.")


@click.group()
def members() -> None:
    """List, invite, change and remove the members of a tenant, on the database of this machine."""


@members.command("list")
@tenant_option
@json_option
def list_members(tenant: str, as_json: bool) -> None:
    """List the members of a tenant."""
    with services_here() as services:
        found = [
            {name: getattr(one, name) for name in COLUMNS} for one in services.members.list(_operator(services, tenant))
        ]
    show(as_json, found, lambda: print_table("Members", COLUMNS, found, empty="Nobody yet: `oms members invite`."))


@members.command()
@click.argument("email")
@tenant_option
@click.option("--role", type=click.Choice(ROLES), default="VIEWER", show_default=True)
@scope_option
def invite(email: str, tenant: str, role: str, scopes: tuple[str, ...]) -> None:
    """Invite the person with EMAIL; the mail goes out by the worker."""
    from oms_app.flow.audit import cli_actor
    from oms_app.flow.invitations import Draft

    with services_here() as services:
        draft = Draft(email=email, role=role, scopes=scopes)
        made = services.invitations.create(_operator(services, tenant), cli_actor(), draft)
    click.echo(f"{made.email} is invited as {made.role} until {made.expires_at:%Y-%m-%d %H:%M} UTC")


@members.command("set-role")
@click.argument("email")
@click.argument("role", type=click.Choice(ROLES))
@tenant_option
@scope_option
def set_role(email: str, role: str, tenant: str, scopes: tuple[str, ...]) -> None:
    """Let the member with EMAIL be ROLE, with these scopes beside it and no others."""
    from oms_app.flow.audit import cli_actor

    with services_here() as services:
        operator = _operator(services, tenant)
        user_id = services.people.find(email).user_id
        services.members.change(operator, cli_actor(), user_id, role=role, scopes=scopes)
    click.echo(f"{email} is {role}")


@members.command()
@click.argument("email")
@tenant_option
def remove(email: str, tenant: str) -> None:
    """End the membership of the person with EMAIL, with sessions and keys there."""
    from oms_app.flow.audit import cli_actor

    with services_here() as services:
        operator = _operator(services, tenant)
        services.members.remove(operator, cli_actor(), services.people.find(email).user_id)
    click.echo(f"{email} is no member any more")


@members.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@tenant_option
@click.option("--dry-run", is_flag=True, help="Only check the rows.")
@json_option
def import_members(file: Path, tenant: str, dry_run: bool, as_json: bool) -> None:
    """Invite the people of the CSV FILE: email, role, and if wanted scopes, first_name, last_name."""
    from oms_app.flow.audit import cli_actor

    with services_here() as services:
        operator = _operator(services, tenant)
        text = file.read_text(encoding="utf-8")
        results = services.people_tables.read(operator, cli_actor(), text, dry_run=dry_run)
    rows = [{name: getattr(one, name) for name in RESULTS} for one in results]
    show(as_json, rows, lambda: print_table("Checked" if dry_run else "Invited", RESULTS, rows, empty="No rows."))


@members.command("export")
@tenant_option
def export_members(tenant: str) -> None:
    """Write the members of a tenant as CSV."""
    with services_here() as services:
        found = services.members.list(_operator(services, tenant))
        click.echo(services.people_tables.write(found), nl=False)


def _operator(services: Services, tenant: str) -> Principal:
    """Whoever runs the platform, in this tenant."""
    from oms_app.flow.audit import CLI
    from oms_app.flow.principal import Principal
    from oms_app.flow.scopes import Scope

    scopes = frozenset(str(scope) for scope in Scope)
    return Principal(principal_id=CLI, tenant_id=services.tenancy.find(tenant), scopes=scopes)
