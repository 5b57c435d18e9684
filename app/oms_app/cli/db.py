"""`oms db`: bring the database to the newest schema, check it, or write a migration for what changed in the tables."""

from __future__ import annotations

import click

from oms_app.cli.errors import CommandFailed
from oms_app.config import mask_url, read_settings


@click.group()
def db() -> None:
    """Bring the database to a schema, or check it."""


@db.command()
@click.argument("revision", default="head")
def upgrade(revision: str) -> None:
    """Bring the database to REVISION, the newest by default."""
    from oms_app.store import migrate

    settings = read_settings()
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    url = settings.migrate_database_url
    click.echo(f"{mask_url(url)} is at {migrate.upgrade(url, revision)}")


@db.command()
def check() -> None:
    """Check that the database has the newest schema and that the tables agree with it."""
    from oms_app.store import migrate

    url = read_settings().migrate_database_url
    try:
        migrate.check(url)
    except migrate.SchemaDiffers as error:
        found = "\n".join(error.differences)
        raise CommandFailed(f"{found}\n  fix: `oms db upgrade`; for changed tables first `oms db revision`") from None
    click.echo(f"{mask_url(url)} is at {migrate.newest_revision()}, the newest")


@db.command()
@click.option("-m", "--message", required=True, help="Why the tables changed.")
def revision(message: str) -> None:
    """Write a migration for what changed in the tables."""
    from oms_app.store import migrate

    click.echo(migrate.revision(message, read_settings().migrate_database_url))
