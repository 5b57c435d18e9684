"""On SQLite, refuse each statement that names a tenant's table without the tenant's id among its parameters.

PostgreSQL does this with row-level security; here it is a fence against a forgotten WHERE, not against hostile SQL.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Engine, event

from oms_app.store.tables import TableClass, tables_of

_WORD = re.compile(r"\b[a-z_]+\b")


class UnscopedStatement(Exception):
    """A statement touches rows of tenants and does not say of which tenant, or of another one."""

    code = "unscoped_statement"


@lru_cache(maxsize=2000)
def tenant_tables_in(statement: str) -> frozenset[str]:
    """The tenant tables that a statement names."""
    return _tenant_tables().intersection(_WORD.findall(statement))


@lru_cache(maxsize=1)
def _tenant_tables() -> frozenset[str]:
    return frozenset(table.name for table in tables_of(TableClass.TENANT))


def check(statement: str, parameters: Any, tenant_id: str | None) -> None:
    """Nothing, when every row of parameters holds the tenant's id for each tenant table; else UnscopedStatement."""
    touched = tenant_tables_in(statement)
    if not touched:
        return
    if tenant_id is None:
        raise UnscopedStatement(f"a unit of the platform may not touch {', '.join(sorted(touched))}")
    many = isinstance(parameters, list)
    for values in parameters if many else [parameters]:
        given = values.values() if isinstance(values, Mapping) else values
        if tenant_id not in given:
            raise UnscopedStatement(f"no tenant_id for {', '.join(sorted(touched))} in: {statement}")


def enforce(engine: Engine) -> None:
    """Check every statement of the engine; the unit of work says for which tenant by an execution option."""

    @event.listens_for(engine, "before_cursor_execute")
    def scoped(
        connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        check(statement, parameters, connection.get_execution_options().get("tenant_id"))
