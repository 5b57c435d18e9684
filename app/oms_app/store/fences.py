"""A connection that is about to serve in, nothing out when every table keeps tenants apart; else UnfencedTables.

What is looked at is the database as it is, not what the migrations once made: tables of plugins are in there too.
"""

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Connection, inspect

from oms_app.store.schema import TableClass
from oms_app.store.tables import METADATA, tables_of
from oms_app.store.unit_of_work import UnfencedTables

OF_MIGRATIONS = "alembic_version"
SETTING = "app.tenant_id"
_DECLARE = "let its plugin declare it with the hook register_tables: RowsOf.PLATFORM, or RowsOf.TENANT and fenced"
_FENCE = (
    "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; ALTER TABLE {table} FORCE ROW LEVEL SECURITY; and one policy with"
    " USING and WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)"
)
_RELATIONS = """
SELECT n.nspname, c.relname, c.relkind, c.relrowsecurity AND c.relforcerowsecurity,
       coalesce('security_invoker=true' = ANY(c.reloptions) OR 'security_invoker=on' = ANY(c.reloptions), false),
       has_table_privilege(c.oid, 'TRUNCATE')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND (has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
       OR has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE, REFERENCES'))
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""
"""What the present role may use, apart from what an extension brought: name, kind, whether fenced, and so on."""
_POLICIES = """
SELECT c.relname, p.polname, coalesce(pg_get_expr(p.polqual, p.polrelid), ''),
       coalesce(pg_get_expr(p.polwithcheck, p.polrelid), ''), p.polcmd = '*'
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE p.polpermissive
"""
"""Permissive policies are joined by OR: one that lets more in opens the table."""


def check_fences(connection: Connection, plugin_tables: Mapping[str, TableClass]) -> None:
    """Nothing, when no table that may be used can show a tenant another one's rows; else UnfencedTables.

    plugin_tables: what plugins declared of tables that are not ours.
    """
    look = _on_postgres if connection.dialect.name == "postgresql" else _on_sqlite
    found = (*look(connection, plugin_tables), *_keys(connection, plugin_tables))
    if found:
        raise UnfencedTables(found)


def _on_postgres(connection: Connection, plugin_tables: Mapping[str, TableClass]) -> Iterator[str]:
    policies: dict[str, list[str]] = {}
    for table, policy, using, with_check, for_all in connection.exec_driver_sql(_POLICIES):
        lax = not for_all or not (_names_the_tenant(using) and _names_the_tenant(with_check))
        policies.setdefault(table, []).append(policy if lax else "")
    for schema, name, kind, is_fenced, as_invoker, may_truncate in connection.exec_driver_sql(_RELATIONS):
        shown = name if schema == "public" else f"{schema}.{name}"
        declared = _class_of(name, plugin_tables) if schema == "public" else plugin_tables.get(shown)
        if kind == "v":
            if not as_invoker:
                yield f"view {shown} shows what its owner may see: ALTER VIEW {shown} SET (security_invoker = true)"
            continue
        if declared is TableClass.PLATFORM:
            continue
        if kind in ("m", "f"):
            yield f"{shown} is a materialized view or foreign table, which no policy can fence: {_DECLARE}"
            continue
        lax_policies = [policy for policy in policies.get(name, ()) if policy]
        if lax_policies:
            yield f"table {shown}: policy {lax_policies[0]} does not keep to the tenant: drop it, or {_DECLARE}"
        elif not is_fenced or name not in policies:
            yield f"table {shown} has no row-level security: {_FENCE.format(table=shown)}; or {_DECLARE}"
        if may_truncate:
            yield f"table {shown} may be truncated, which no policy stops: REVOKE TRUNCATE ON {shown} FROM oms_app"


def _names_the_tenant(expression: str) -> bool:
    return "tenant_id" in expression and SETTING in expression and " OR " not in expression


def _on_sqlite(connection: Connection, plugin_tables: Mapping[str, TableClass]) -> Iterator[str]:
    for name in inspect(connection).get_table_names():
        if _class_of(name, plugin_tables) is None:
            yield f"table {name} is nobody's: {_DECLARE}"


def _keys(connection: Connection, plugin_tables: Mapping[str, TableClass]) -> Iterator[str]:
    """Keys of plugins' tables that would tell a tenant of another one's rows, or tie a row to one of them."""
    looked_at = inspect(connection)
    there = set(looked_at.get_table_names())
    for name, declared in plugin_tables.items():
        if declared is not TableClass.TENANT or name not in there:
            continue
        keys: list[Sequence[str | None]] = [looked_at.get_pk_constraint(name)["constrained_columns"]]
        keys += [key["column_names"] for key in looked_at.get_unique_constraints(name)]
        keys += [index["column_names"] for index in looked_at.get_indexes(name) if index["unique"]]
        keys += [
            key["constrained_columns"]
            for key in looked_at.get_foreign_keys(name)
            if _class_of(key["referred_table"], plugin_tables) is not TableClass.PLATFORM
        ]
        for columns in keys:
            if not columns or columns[0] != "tenant_id":
                listed = ", ".join(str(column) for column in columns) or "none"
                yield f"table {name} holds rows of tenants: a key ({listed}) must begin with tenant_id"


def _class_of(name: str, plugin_tables: Mapping[str, TableClass]) -> TableClass | None:
    """Whose rows a table of the main schema holds; None when nobody says so."""
    if name == OF_MIGRATIONS:
        return TableClass.PLATFORM
    if name in METADATA.tables:
        return TableClass.TENANT if name in _TENANT_TABLES else TableClass.PLATFORM
    return plugin_tables.get(name)


_TENANT_TABLES = frozenset(table.name for table in tables_of(TableClass.TENANT))
