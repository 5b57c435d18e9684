"""A migrated PostgreSQL database of its own, on the server that a variable names or on one that is started for it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oms_app.store import migrate
from tests.services.postgres import PostgresServer, create_database, drop_database

SERVER = "OMS_TEST_POSTGRES_URL"


@contextmanager
def postgres_database() -> Iterator[str]:
    """The superuser's URL of the database; it is gone afterwards."""
    given = os.environ.get(SERVER)
    if given:
        url = create_database(given, "security")
        try:
            migrate.upgrade(url)
            yield url
        finally:
            drop_database(given, url)
        return
    with tempfile.TemporaryDirectory(prefix="oms-security-") as folder:
        Path(folder).chmod(0o755)  # the server may run as another user
        place = Path(folder) / "postgres"
        place.mkdir()
        server = PostgresServer(place)
        server.start()
        try:
            url = create_database(server.url, "security")
            migrate.upgrade(url)
            yield url
        finally:
            server.stop()
