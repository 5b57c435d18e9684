"""Settings in, an open store out for commands that work on the database; what goes wrong becomes one clear sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oms_app.cli.errors import CommandFailed
from oms_app.config import Settings
from oms_app.store.sql_store import SqlStore


def is_made(settings: Settings) -> bool:
    """False before the first start on SQLite: there is no file yet."""
    file = settings.database_url.removeprefix("sqlite:///")
    return file == settings.database_url or Path(file).exists()


@contextmanager
def opened_store(settings: Settings) -> Iterator[SqlStore]:
    """The store, closed at the end. Raises CommandFailed when the database cannot be read or written."""
    from sqlalchemy.exc import SQLAlchemyError

    from oms_app.bootstrap import build_store
    from oms_app.store.unit_of_work import StoreUnavailable

    store = build_store(settings)
    try:
        yield store
    except (SQLAlchemyError, StoreUnavailable, OSError) as error:
        raise CommandFailed(f"the database does not serve ({type(error).__name__}): see `oms doctor`") from None
    finally:
        store.close()
