"""`oms users`: people of the platform, made, listed, kept out and given new passwords by whoever runs it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from oms_app.cli.errors import CommandFailed
from oms_app.cli.on_this_machine import asked_password, services_here
from oms_app.cli.output import json_option, print_json, print_table, show

if TYPE_CHECKING:
    from oms_app.store.people import Person

COLUMNS = ("email", "first_name", "last_name", "is_active", "is_superuser", "created_at", "user_id")
ROLES = ("ADMIN", "MANAGER", "TRADER", "VIEWER", "COMPLIANCE")


@click.group()
def users() -> None:
    """Make, list and steer the people of this installation, on its database."""


@users.command()
@click.option("--email", prompt="E-mail", help="With this address the person signs in.")
@click.option("--tenant", help="Slug or id of the tenant that the person belongs to.")
@click.option("--role", type=click.Choice(ROLES), default="VIEWER", show_default=True, help="What the person is there.")
@click.option(
    "--superuser", "is_superuser", is_flag=True, help="The person runs the platform: makes and closes tenants."
)
@click.option("--first-name", default="")
@click.option("--last-name", default="")
def create(email: str, tenant: str | None, role: str, is_superuser: bool, first_name: str, last_name: str) -> None:
    """Make a person. The password is asked for, or read as one line from a pipe; the address counts as verified."""
    from oms_app.flow.audit import cli_actor

    with services_here() as services:
        tenant_id = services.tenancy.find(tenant) if tenant is not None else None
        user_id = services.people.create(
            cli_actor(),
            email,
            asked_password(),
            tenant_id=tenant_id,
            role=role,
            is_superuser=is_superuser,
            first_name=first_name,
            last_name=last_name,
        )
    click.echo(f"{email} is {user_id}" + (", a superuser" if is_superuser else ""))


@users.command("list")
@json_option
def list_users(as_json: bool) -> None:
    """List everybody."""
    with services_here() as services:
        found = [{name: getattr(person, name) for name in COLUMNS} for person in services.people.list()]
    show(as_json, found, lambda: print_table("People", COLUMNS, found, empty="Nobody yet: `oms users create`."))


@users.command("set-password")
@click.argument("email")
def set_password(email: str) -> None:
    """Give the person with EMAIL a new password and end all sessions of theirs."""
    with services_here() as services:
        if services.identity.reset_password(email, asked_password()) is None:
            raise CommandFailed(f"nobody has the address {email}\n  fix: `oms users list`")
    click.echo(f"{email} has a new password; all sessions are ended")


@users.command()
@click.argument("email")
def deactivate(email: str) -> None:
    """Keep the person with EMAIL out of every tenant; sessions and keys are refused at once."""
    _set_active(email, False)


@users.command()
@click.argument("email")
def activate(email: str) -> None:
    """Let the person with EMAIL in again."""
    _set_active(email, True)


@users.command()
@click.argument("email")
@click.option("--output", "target", type=click.Path(path_type=Path, dir_okay=False), help="A file; else stdout.")
def export(email: str, target: Path | None) -> None:
    """Write everything that is kept about the person with EMAIL, as JSON, to hand it to the person."""
    from oms_app.flow.personal_data import PersonalData

    with services_here() as services:
        user_id = _user_id(services.people.list(), email)
        held = PersonalData(services.store, services.tenancy).export(user_id)
    if target is None:
        print_json(held)
        return
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(held), indent=2))
    click.echo(f"written: {target}", err=True)


@users.command()
@click.argument("email")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(email: str, yes: bool) -> None:
    """Erase the person with EMAIL everywhere, for good: names, addresses, words. The audit trail stays whole."""
    from oms_app.flow.audit import cli_actor
    from oms_app.flow.personal_data import PersonalData

    if not yes:
        click.confirm(f"Erase {email} for good?", abort=True)
    with services_here() as services:
        user_id = _user_id(services.people.list(), email)
        PersonalData(services.store, services.tenancy).erase(cli_actor(), user_id)
    click.echo(f"{user_id} is erased")


def _user_id(people: Sequence[Person], email: str) -> str:
    for person in people:
        if email.strip().lower() in (person.email, person.user_id):
            return person.user_id
    raise CommandFailed(f"nobody has the address {email}\n  fix: `oms users list`")


@users.command("grant-superuser")
@click.argument("email")
def grant_superuser(email: str) -> None:
    """Let the person with EMAIL run the platform."""
    _set_superuser(email, True)


@users.command("revoke-superuser")
@click.argument("email")
def revoke_superuser(email: str) -> None:
    """Let the person with EMAIL run the platform no longer; memberships of tenants stay."""
    _set_superuser(email, False)


def _set_superuser(email: str, is_superuser: bool) -> None:
    from oms_app.flow.audit import cli_actor

    with services_here() as services:
        services.people.set_superuser(cli_actor(), email, is_superuser)
    click.echo(f"{email} is {'a superuser' if is_superuser else 'no superuser'}")


def _set_active(email: str, is_active: bool) -> None:
    from oms_app.flow.audit import cli_actor

    with services_here() as services:
        services.people.set_active(cli_actor(), email, is_active)
    click.echo(f"{email} is {'active' if is_active else 'kept out'}")
