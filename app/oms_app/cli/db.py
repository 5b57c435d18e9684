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
    from oms_app.store import schema

    settings = read_settings()
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    schema.upgrade(settings.migrate_database_url, revision)
    click.echo(f"{mask_url(settings.migrate_database_url)} is at {schema.current(settings.migrate_database_url)}")


@db.command()
def check() -> None:
    """Check that the database has the newest schema and that the tables agree with it."""
    from oms_app.store import schema

    url = read_settings().migrate_database_url
    problems = schema.check(url)
    if problems:
        raise CommandFailed("\n".join(problems) + "\n  fix: `oms db upgrade`, or `oms db revision` for changed tables")
    click.echo(f"{mask_url(url)} is at {schema.current(url)}, the newest")


@db.command()
@click.option("-m", "--message", required=True, help="Why the tables changed.")
def revision(message: str) -> None:
    """Write a migration for what changed in the tables."""
    from oms_app.store import schema

    click.echo(schema.revision(read_settings().migrate_database_url, message))
