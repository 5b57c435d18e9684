"""Say what a driver's error means to the caller: nothing stored, a conflict, a refused row, or an unknown COMMIT."""

import re
import sqlite3

from sqlalchemy.exc import DBAPIError

from oms_app.store.unit_of_work import CommitUnknown, Conflict, RowRefused, StoreUnavailable

POSTGRES_UNIQUE = "23505"
POSTGRES_REFUSALS = ("22", "23", "42501")
"""Data errors, integrity constraints, and rows that a row-level security policy does not let in."""
SQLITE_UNIQUE = frozenset({"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_ROWID"})
SQLITE_NOT_STORED = frozenset({"SQLITE_BUSY", "SQLITE_FULL", "SQLITE_LOCKED", "SQLITE_BUSY_SNAPSHOT"})
"""Errors of COMMIT after which the transaction is still open and can be rolled back."""
FOREVER_TABLE = {"executions": "execution_ids"}
"""A projection with the key of a unique-for-ever table: which of the two is met first is the database's choice."""
_SQLITE_TABLE = re.compile(r"constraint failed: (?:index 'uq_)?(\w+)")


def translated(error: BaseException, *, committing: bool = False) -> Exception | None:
    """The store's error for one of the driver, or None for anything else.

    committing: COMMIT was already sent when the connection failed.
    """
    if isinstance(error, DBAPIError):
        return translated(error.orig, committing=committing) if error.orig is not None else None
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(error, committing)
    if hasattr(error, "sqlstate") and hasattr(error, "diag"):
        return _of_postgres(error, committing)
    return None


def _of_postgres(error: BaseException, committing: bool) -> Exception:
    state: str | None = error.sqlstate  # type: ignore[attr-defined]
    diagnosis = error.diag  # type: ignore[attr-defined]
    text = str(error).strip()
    if state == POSTGRES_UNIQUE:
        table = diagnosis.table_name or "unknown"
        return Conflict(FOREVER_TABLE.get(table, table), diagnosis.message_detail or text)
    if state is not None and state.startswith(POSTGRES_REFUSALS):
        return RowRefused(text)
    if committing and (state is None or state.startswith(("08", "57"))):
        return CommitUnknown(text)
    return StoreUnavailable(text)


def _of_sqlite(error: sqlite3.Error, committing: bool) -> Exception:
    name = getattr(error, "sqlite_errorname", "")
    text = str(error)
    if name in SQLITE_UNIQUE:
        found = _SQLITE_TABLE.search(text)
        table = found.group(1) if found else "unknown"
        return Conflict(FOREVER_TABLE.get(table, table), text)
    if name.startswith("SQLITE_CONSTRAINT") or isinstance(error, (sqlite3.IntegrityError, sqlite3.DataError)):
        return RowRefused(text)
    if committing and name not in SQLITE_NOT_STORED:
        return CommitUnknown(text)
    return StoreUnavailable(text)
