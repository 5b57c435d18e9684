"""On SQLite, refuse each statement that names a tenant's table and does not keep to one tenant's rows of it.

The tenant's id must be among the parameters, and each tenant table named must have its tenant_id compared: a join that
forgot one is refused as well. PostgreSQL does this with row-level security; here it is a fence against a forgotten
WHERE, not against hostile SQL.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Engine, event

from oms_app.store.tables import TableClass, tables_of

_WORD = re.compile(r"\b[a-z_]+\b")
_COMPARISON = re.compile(r"\btenant_id(?:\s+IN\b|\s*=)")
_NO_ROWS = ("PRAGMA ", "INSERT ")
"""A PRAGMA shows no row, and what is inserted has no comparison."""


class UnscopedStatement(Exception):
    """A statement touches rows of tenants and does not say of which tenant, or of another one."""

    code = "unscoped_statement"


@lru_cache(maxsize=2000)
def tenant_tables_in(statement: str, more: frozenset[str] = frozenset()) -> frozenset[str]:
    """The tenant tables that a statement names. more: those of plugins."""
    if statement.startswith("PRAGMA "):
        return frozenset()
    return (_tenant_tables() | more).intersection(_WORD.findall(statement))


@lru_cache(maxsize=2000)
def compares_each(statement: str, more: frozenset[str] = frozenset()) -> bool:
    """Whether tenant_id is compared as often as there are tenant tables in a statement that shows or changes rows."""
    if statement.startswith(_NO_ROWS):
        return True
    return len(_COMPARISON.findall(statement)) >= len(tenant_tables_in(statement, more))


@lru_cache(maxsize=1)
def _tenant_tables() -> frozenset[str]:
    return frozenset(table.name for table in tables_of(TableClass.TENANT))


def check(statement: str, parameters: Any, tenant_id: str | None, more: frozenset[str] = frozenset()) -> None:
    """Nothing, when every row of parameters holds the tenant's id for each tenant table; else UnscopedStatement."""
    touched = tenant_tables_in(statement, more)
    if not touched:
        return
    if tenant_id is None:
        raise UnscopedStatement(f"a unit of the platform may not touch {', '.join(sorted(touched))}")
    many = isinstance(parameters, list)
    for values in parameters if many else [parameters]:
        given = values.values() if isinstance(values, Mapping) else values
        if tenant_id not in given:
            raise UnscopedStatement(f"no tenant_id for {', '.join(sorted(touched))} in: {statement}")
    if not compares_each(statement, more):
        raise UnscopedStatement(f"tenant_id of one of {', '.join(sorted(touched))} is not compared in: {statement}")


def enforce(engine: Engine, plugin_tables: Mapping[str, TableClass] | None = None) -> None:
    """Check every statement of the engine; the unit of work says for which tenant by an execution option."""
    declared = plugin_tables or {}
    more = frozenset(name for name, rows_of in declared.items() if rows_of is TableClass.TENANT)

    @event.listens_for(engine, "before_cursor_execute")
    def scoped(
        connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        check(statement, parameters, connection.get_execution_options().get("tenant_id"), more)
