"""Bring a database to the schema of this build, back, or compare the two; one transaction for each call.

On PostgreSQL the user of the URL becomes owner of what it creates; serve as role oms_app.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.engine import URL

from oms_app.store import tables
from oms_app.store.engines import make_private, parsed

FOLDER = Path(__file__).parent / "migrations"
HEAD = "head"
_ADVISORY_LOCK = 7_305_871_236_402
"""Two processes that migrate the same PostgreSQL database at once go one after the other."""


class SchemaDiffers(Exception):
    """The database's schema is not that of this build. `differences` says in what; run `oms db upgrade`."""

    code = "schema_differs"

    def __init__(self, differences: tuple[str, ...]) -> None:
        super().__init__("; ".join(differences))
        self.differences = differences


def upgrade(url: str, revision: str = HEAD) -> str:
    """The revision of the database after bringing it up to `revision`."""
    with _connected(url) as connection:
        command.upgrade(_config(connection), revision)
        return current(connection) or ""


def downgrade(url: str, revision: str) -> str:
    """The revision of the database after taking it back; "base" leaves no table."""
    with _connected(url) as connection:
        command.downgrade(_config(connection), revision)
        return current(connection) or ""


def check(url: str) -> None:
    """Nothing, when the database has exactly the tables of this build. Raises SchemaDiffers."""
    with _connected(url) as connection:
        revision, newest = current(connection), newest_revision()
        if revision != newest:
            raise SchemaDiffers((f"the database is at revision {revision}, this build needs {newest}",))
        # Tables of plugins may stand beside ours; whether they keep tenants apart is looked at before serving.
        ours = {"compare_server_default": False, "include_object": _is_ours}
        context = MigrationContext.configure(connection, opts=ours)
        differences = tuple(str(difference) for difference in compare_metadata(context, tables.METADATA))
        if differences:
            raise SchemaDiffers(differences)


def revision(message: str, url: str) -> Path:
    """The file of a new revision, written from how the tables differ from those of the database behind `url`."""
    with _connected(url) as connection:
        made = command.revision(_config(connection), message, autogenerate=True)
    script = made[0] if isinstance(made, list) else made
    assert script is not None
    return Path(script.path)


def current(connection: Connection) -> str | None:
    """The revision of a database, None before the first migration."""
    return MigrationContext.configure(connection).get_current_revision()


def newest_revision() -> str:
    """The revision that this build needs."""
    head = ScriptDirectory(str(FOLDER)).get_current_head()
    assert head is not None
    return head


def _is_ours(thing: object, name: str | None, kind: str, is_reflected: bool, compared_with: object | None) -> bool:
    return not (kind == "table" and is_reflected and compared_with is None)


def _config(connection: Connection) -> Config:
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    address = parsed(url)
    _prepare(address)
    engine = create_engine(address, poolclass=NullPool)
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
            yield connection
    finally:
        engine.dispose()


def _prepare(address: URL) -> None:
    if address.get_backend_name() == "sqlite":
        make_private(address)
