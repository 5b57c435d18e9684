"""`oms auth`: the keys that tokens are signed with, changed by whoever runs the system."""

from __future__ import annotations

import click

from oms_app.cli.on_this_machine import services_here


@click.group()
def auth() -> None:
    """Look after what people sign in with, on this installation's database."""


@auth.command("rotate-signing-key")
@click.option(
    "--at-once",
    is_flag=True,
    help="Believe nothing that was signed before: everybody signs in again. For a key that somebody else may have.",
)
def rotate_signing_key(at_once: bool) -> None:
    """Sign tokens with a new key, in all processes from their next sign-in on.

    Tokens that the old key signed work until they expire, unless --at-once is given.
    """
    from oms_app.flow.audit import cli_actor

    with services_here() as services:
        key_id = services.identity.rotate_signing_key(cli_actor(), at_once=at_once)
    click.echo(f"tokens are signed with {key_id} from now on")
    if at_once:
        click.echo("everything signed before is refused: everybody signs in again")
