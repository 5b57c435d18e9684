"""The roles of a PostgreSQL database and what they may do: oms_migrate owns, oms_app serves. On SQLite: nothing."""

from alembic import op
from sqlalchemy import Connection

OWNER = "oms_migrate"
SERVER = "oms_app"
_SETTINGS = ("idle_in_transaction_session_timeout = '6s'", "lock_timeout = '8s'")
_TENANT = "NULLIF(current_setting('app.tenant_id', true), '')::uuid"
"""Nobody's id while no tenant is named: the setting is NULL at first, and empty after a transaction that had set it."""


def create() -> None:
    """Both roles exist, may use the schema, and the present user may act as each of them.

    Roles belong to the whole server: another database may have made them, perhaps at this moment.
    """
    if not _on_postgres():
        return
    for role in (OWNER, SERVER):
        settings = " ".join(f"ALTER ROLE {role} SET {setting};" for setting in _SETTINGS)
        op.execute(
            f"""
            DO $$ BEGIN
              IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
                CREATE ROLE {role} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION;
                {settings}
              END IF;
            EXCEPTION
              WHEN duplicate_object OR unique_violation THEN NULL;
              WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'role {role} does not exist and % may not create it', current_user
                  USING HINT = 'As a superuser: CREATE ROLE {role} NOLOGIN; GRANT {role} TO this user.';
            END $$
            """
        )
        # A user that serves and migrates under one URL acts as both; an owner with a login of its own need not.
        _if_permitted(f"EXECUTE format('GRANT {role} TO %I', current_user)", f"NOT pg_has_role('{role}', 'MEMBER')")
    _if_permitted(f"GRANT USAGE, CREATE ON SCHEMA public TO {OWNER}")
    _if_permitted(f"GRANT USAGE ON SCHEMA public TO {SERVER}")
    _if_permitted("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    op.execute(f"ALTER TABLE alembic_version OWNER TO {OWNER}")
    op.execute(f"GRANT SELECT ON alembic_version TO {SERVER}")


def become_owner(connection: Connection | None = None) -> None:
    """Act as the owner until the transaction ends, so that all tables have the same one; if the role is there."""
    bind = connection or op.get_bind()
    if bind.dialect.name != "postgresql":
        return
    known = bind.exec_driver_sql(
        f"SELECT count(*) FROM pg_roles WHERE rolname = '{OWNER}' AND pg_has_role(current_user, oid, 'MEMBER')"  # noqa: S608
    ).scalar_one()
    if known:
        bind.exec_driver_sql(f"SET LOCAL ROLE {OWNER}")


def let_serve(table: str, *, append_only: bool = False) -> None:
    """The serving role may read and add rows of the table, and change them unless it is append-only; never delete."""
    if _on_postgres():
        rights = "SELECT, INSERT" if append_only else "SELECT, INSERT, UPDATE"
        op.execute(f"GRANT {rights} ON {table} TO {SERVER}")


def let_delete(table: str) -> None:
    """The serving role may delete rows of the table, which nobody needs after some time."""
    if _on_postgres():
        op.execute(f"GRANT DELETE ON {table} TO {SERVER}")


def forbid_delete(table: str) -> None:
    """Take that back."""
    if _on_postgres():
        op.execute(f"REVOKE DELETE ON {table} FROM {SERVER}")


def fence(table: str) -> None:
    """Rows of the table are seen and written only by transactions that name their tenant; the owner included."""
    if _on_postgres():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON {table}"
            f" USING (tenant_id = {_TENANT}) WITH CHECK (tenant_id = {_TENANT})"
        )


def _if_permitted(statement: str, condition: str = "true") -> None:
    op.execute(
        f"DO $$ BEGIN IF {condition} THEN {statement}; END IF;"
        " EXCEPTION WHEN insufficient_privilege OR unique_violation THEN NULL; END $$"
    )


def _on_postgres() -> bool:
    return op.get_bind().dialect.name == "postgresql"
