"""Every key of a tenant's table begins with its tenant, as declared and as the database has it; no code sets a scope
otherwise than for one transaction."""

import re
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import (
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    create_engine,
)
from sqlalchemy.pool import NullPool

from oms_app.store.engines import parsed
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import TableClass, tables_of

ROOT = Path(__file__).parents[2]
TENANT_TABLES = {table.name for table in tables_of(TableClass.TENANT)}
PLATFORM_TABLES = {table.name for table in tables_of(TableClass.PLATFORM)}
SOURCES = sorted(path for folder in ("app", "oms_kernel", "plugins") for path in (ROOT / folder).rglob("*.py"))
SESSION_STATE = re.compile(
    r"""\bSET\s+(?:SESSION\s+)?app\.|\bSET\s+LOCAL\s+app\.|set_config\(\s*'app\.[^)]*,\s*false\s*\)""", re.IGNORECASE
)
SESSION_STATEMENTS = re.compile(
    r"""["'(]\s*(?:SET\s+(?:SESSION|ROLE|search_path|row_security)|LISTEN\s|CREATE\s+TEMP|SELECT\s+pg_advisory_lock)"""
)
MAY_SET_SESSIONS = {"app/oms_app/store/engines.py"}
"""Where a new connection becomes the serving role, before anybody gets it."""


def faults(tables: list[Table]) -> list[str]:
    """Keys of tenants' tables that do not begin with tenant_id; references to the platform's rows may."""
    found = []
    for table in tables:
        for constraint in table.constraints:
            if isinstance(constraint, (PrimaryKeyConstraint, UniqueConstraint)):
                columns = [column.name for column in constraint.columns]
            elif isinstance(constraint, ForeignKeyConstraint) and constraint.referred_table.name not in PLATFORM_TABLES:
                columns = list(constraint.column_keys)
                targets = [element.column.name for element in constraint.elements]
                if columns[:1] == targets[:1] == ["tenant_id"]:
                    continue
                columns = ["->", constraint.referred_table.name]
            else:
                continue
            if columns[:1] != ["tenant_id"]:
                found.append(f"{table.name}: {', '.join(map(str, columns))}")
        found += [f"{table.name}: {index.name}" for index in table.indexes if _first(index) != "tenant_id"]
    return found


def _first(index: object) -> str:
    columns = list(index.columns)  # type: ignore[attr-defined]
    return columns[0].name if columns else "an expression"


def test_every_declared_key_reference_and_index_of_a_tenants_table_begins_with_the_tenant() -> None:
    assert faults(list(tables_of(TableClass.TENANT))) == []


def test_every_key_reference_and_index_in_the_database_begins_with_the_tenant(
    database_url: str, store: SqlStore
) -> None:
    engine = create_engine(parsed(database_url), poolclass=NullPool)
    there = MetaData()
    with engine.connect() as connection:
        there.reflect(connection)
    engine.dispose()
    tables = [table for name, table in there.tables.items() if name in TENANT_TABLES]
    assert len(tables) == len(TENANT_TABLES)
    assert faults(tables) == []


def test_a_key_that_does_not_begin_with_the_tenant_is_found() -> None:
    planted = MetaData()
    Table("other", planted, Column("tenant_id", Integer, primary_key=True), Column("id", Integer, primary_key=True))
    bad = Table(
        "bad",
        planted,
        Column("tenant_id", Integer, primary_key=True),
        Column("coid", Integer, unique=True),
        Column("other_id", Integer, ForeignKey("other.id")),
        Index("ix_bad", "coid"),
    )
    assert sorted(faults([bad])) == ["bad: ->, other", "bad: coid", "bad: ix_bad"]


@pytest.mark.parametrize("database_url", [pytest.param("postgresql", marks=pytest.mark.integration)], indirect=True)
def test_every_constraint_that_the_server_itself_lists_names_the_tenant_first(
    database_url: str, store: SqlStore
) -> None:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT c.conrelid::regclass::text, c.conname, a.attname, coalesce(c.confrelid::regclass::text, '')"
            " FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]"
            " WHERE c.contype IN ('p', 'u', 'f', 'x')"
        ).fetchall()
    mine = [row for row in rows if row[0] in TENANT_TABLES and row[3] not in PLATFORM_TABLES]
    assert len(mine) >= len(TENANT_TABLES)
    assert [row for row in mine if row[2] != "tenant_id"] == []


def test_no_code_keeps_a_tenant_or_anything_else_in_a_session_of_the_database() -> None:
    assert len(SOURCES) > 150
    found = []
    for path in SOURCES:
        name, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        if SESSION_STATE.search(text) or (name not in MAY_SET_SESSIONS and SESSION_STATEMENTS.search(text)):
            found.append(name)
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        'connection.execute("SET app.tenant_id = %s")',
        "cursor.execute(\"SET SESSION app.tenant_id TO 'x'\")",
        "text(\"SELECT set_config('app.tenant_id', :tenant, false)\")",
    ],
)
def test_code_that_sets_the_tenant_for_a_session_is_found(line: str) -> None:
    assert SESSION_STATE.search(line)


def test_what_sets_the_tenant_for_one_transaction_is_let_through() -> None:
    assert not SESSION_STATE.search("SELECT set_config('app.tenant_id', :tenant, true)")
