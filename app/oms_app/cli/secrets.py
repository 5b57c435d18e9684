"""`oms secrets`: the sealed secrets of the database in, which master key they need out; or all wrapped by the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from oms_app.cli.database import opened_store
from oms_app.cli.errors import CommandFailed
from oms_app.config import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oms_app.flow.sealing import Sealer
    from oms_app.flow.secret_rotation import SecretCount


@click.group()
def secrets() -> None:
    """Show and change the master key that seals the secrets in the database."""


@secrets.command()
def status() -> None:
    """Show how many secrets need which master key. Keys are shown by a short name that says nothing about them."""
    from oms_app.flow.sealing import make_sealer
    from oms_app.flow.secret_rotation import SecretRotation

    settings = load_settings()
    sealer = make_sealer(settings)
    with opened_store(settings) as store:
        counts = SecretRotation(store, sealer).status()
    _show(sealer, counts)
    click.echo(_verdict(sealer, counts))


@secrets.command()
def rotate() -> None:
    """Wrap every secret by the first of OMS_MASTER_KEYS, while the system serves; repeat it when it was interrupted."""
    from oms_app.flow.audit import cli_actor
    from oms_app.flow.sealing import make_sealer
    from oms_app.flow.secret_rotation import SecretRotation

    settings = load_settings()
    sealer = make_sealer(settings)
    with opened_store(settings) as store:
        rotation = SecretRotation(store, sealer)
        done = rotation.rotate(cli_actor())
        counts = rotation.status()
    click.echo(f"{done.seen} secrets, {done.renewed} of them wrapped anew by {sealer.master_id}")
    _show(sealer, counts)
    if done.unopened:
        listed = "\n".join(f"  {one.table} {one.row_id}: {one.reason}" for one in done.unopened)
        raise CommandFailed(
            f"{len(done.unopened)} secrets do not open:\n{listed}\n"
            "  fix: add their master key to OMS_MASTER_KEYS and rotate again, or enter these secrets again"
        )
    click.echo(_verdict(sealer, counts))


def _show(sealer: Sealer, counts: Sequence[SecretCount]) -> None:
    known = {master_id: f"key {number}" for number, master_id in enumerate(sealer.master_ids, 1)}
    for one in counts:
        needs = f"{one.master_id} ({known.get(one.master_id, 'not given')})" if one.master_id else "first format"
        click.echo(f"{one.table:<20} {one.count:>8}  {needs}")


def _verdict(sealer: Sealer, counts: Sequence[SecretCount]) -> str:
    """Whether the other master keys may go."""
    others = sum(one.count for one in counts if one.master_id != sealer.master_id)
    if others:
        return f"{others} secrets need another key than the first: keep all keys, and run `oms secrets rotate`"
    if len(sealer.master_ids) == 1:
        return "every secret needs the one key that is given"
    return (
        f"every secret needs the first key, {sealer.master_id}, only: the others may be removed from OMS_MASTER_KEYS"
        " once every process runs with this list. OMS_SECRET_KEY still signs tokens."
    )
