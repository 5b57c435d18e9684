"""A process does not start on a database that could show a tenant another one's rows, whoever made the table."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, text

from oms_app.store import migrate
from oms_app.store.engines import parsed
from oms_app.store.scoping import UnscopedStatement
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import TableClass, tables_of
from oms_app.store.unit_of_work import UnfencedTables, UnsafeRole

POSTGRES = [pytest.param("postgresql", marks=pytest.mark.integration)]
on_postgres = pytest.mark.parametrize("database_url", POSTGRES, indirect=True)
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
NOTES = (
    "CREATE TABLE {name} (tenant_id {id} NOT NULL, note_id {id} NOT NULL, note TEXT, PRIMARY KEY (tenant_id, note_id))"
)
POLICY = (
    "CREATE POLICY {policy} ON {name} USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)"
    " WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)"
)
FENCE = ("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY", "ALTER TABLE {name} FORCE ROW LEVEL SECURITY", POLICY)


def run(url: str, *statements: str) -> None:
    engine = create_engine(parsed(url))
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def refusal(url: str, **plugin_tables: TableClass) -> str:
    """What the start says against the database; empty when it may serve."""
    store = SqlStore(url, plugin_tables=plugin_tables)
    try:
        store.check_serving()
    except (UnfencedTables, UnsafeRole) as error:
        return str(error)
    finally:
        store.close()
    return ""


@pytest.fixture
def notes(database_url: str) -> Iterator[Callable[..., str]]:
    """Makes the table `notes` of a plugin, which the serving role may use; statements may fence it. Gone afterwards."""
    kind = "uuid" if database_url.startswith("postgres") else "CHAR(36)"

    def make(*statements: str) -> str:
        made = [NOTES.format(name="notes", id=kind), *(one.format(name="notes", policy="mine") for one in statements)]
        if database_url.startswith("postgres"):
            made += ["ALTER TABLE notes OWNER TO oms_migrate", "GRANT SELECT, INSERT, UPDATE ON notes TO oms_app"]
        run(database_url, *made)
        return database_url

    yield make
    run(database_url, "DROP TABLE IF EXISTS notes")


def test_a_table_that_nobody_declared_is_refused_by_its_name_and_with_the_fix(notes: Callable[..., str]) -> None:
    told = refusal(notes())
    assert "table notes" in told
    assert "register_tables" in told


def test_a_table_of_the_platform_is_let_in_once_its_plugin_says_so(notes: Callable[..., str]) -> None:
    assert refusal(notes(), notes=TableClass.PLATFORM) == ""


@on_postgres
def test_a_fenced_table_of_a_plugin_is_let_in_and_keeps_tenants_apart(
    database_url: str, notes: Callable[..., str], new_scribe: Callable[[], Any]
) -> None:
    assert refusal(notes(*FENCE)) == ""
    mine, other = new_scribe(), new_scribe()
    with mine.store.tenant_unit(mine.tenant_id) as unit:
        unit.connection.execute(text(f"INSERT INTO notes VALUES ('{mine.tenant_id}', '{mine.ledger_id}', 'x')"))
    with mine.store.tenant_unit(other.tenant_id) as unit:
        assert unit.connection.scalar(text("SELECT count(*) FROM notes")) == 0


@on_postgres
@pytest.mark.parametrize(
    ("fence", "told"),
    [
        ((), "no row-level security"),
        (FENCE[:1] + FENCE[2:], "no row-level security"),
        (FENCE[:2], "no row-level security"),
        ((*FENCE, "CREATE POLICY wide ON notes USING (true) WITH CHECK (true)"), "policy wide"),
        ((*FENCE, "CREATE POLICY odd ON notes USING (tenant_id IS NOT NULL)"), "policy odd"),
        ((*FENCE[:2], "CREATE POLICY reads ON notes FOR SELECT USING (true)"), "policy reads"),
        ((*FENCE, "GRANT TRUNCATE ON notes TO oms_app"), "TRUNCATE"),
    ],
    ids=["none", "not_forced", "no_policy", "a_second_policy_for_all", "no_setting", "reads_only", "truncate"],
)
def test_a_table_whose_fence_has_a_gap_is_refused_although_it_is_declared(
    notes: Callable[..., str], fence: tuple[str, ...], told: str
) -> None:
    assert told in refusal(notes(*fence), notes=TableClass.TENANT)


def test_a_table_of_tenants_whose_keys_do_not_begin_with_the_tenant_is_refused(
    database_url: str, notes: Callable[..., str]
) -> None:
    fence = FENCE if database_url.startswith("postgres") else ()
    url = notes(*fence, "CREATE UNIQUE INDEX notes_note ON notes (note)")
    assert "a key (note) must begin with tenant_id" in refusal(url, notes=TableClass.TENANT)


@on_postgres
def test_a_table_that_the_serving_role_may_not_use_is_no_danger(database_url: str, notes: Callable[..., str]) -> None:
    notes()
    assert "notes" in refusal(database_url)
    run(database_url, "REVOKE ALL ON notes FROM oms_app")
    assert refusal(database_url) == ""


@on_postgres
@pytest.mark.parametrize("table", [table.name for table in tables_of(TableClass.TENANT)])
def test_a_table_of_ours_that_lost_its_fence_is_refused(database_url: str, table: str) -> None:
    run(database_url, f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    try:
        assert f"table {table} has no row-level security" in refusal(database_url)
    finally:
        run(database_url, f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    assert refusal(database_url) == ""


@on_postgres
def test_a_view_that_shows_what_its_owner_may_see_is_refused(database_url: str, store: SqlStore) -> None:
    run(database_url, "CREATE VIEW all_orders AS SELECT * FROM orders", "GRANT SELECT ON all_orders TO oms_app")
    try:
        assert "view all_orders shows what its owner may see" in refusal(database_url)
        run(database_url, "ALTER VIEW all_orders SET (security_invoker = true)")
        assert refusal(database_url) == ""
    finally:
        run(database_url, "DROP VIEW all_orders")


@on_postgres
def test_a_materialized_view_is_refused(database_url: str, store: SqlStore) -> None:
    run(database_url, "CREATE MATERIALIZED VIEW kept AS SELECT 1 AS one", "GRANT SELECT ON kept TO oms_app")
    try:
        assert "kept is a materialized view" in refusal(database_url)
        assert refusal(database_url, kept=TableClass.PLATFORM) == ""
    finally:
        run(database_url, "DROP MATERIALIZED VIEW kept")


@on_postgres
def test_a_role_that_may_become_an_unsafe_one_is_refused(database_url: str, store: SqlStore) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS oms_test_climber")
        connection.execute("CREATE ROLE oms_test_climber NOLOGIN NOINHERIT IN ROLE oms_migrate")
        try:
            climber = SqlStore(database_url, role="oms_test_climber")
            with pytest.raises(UnsafeRole, match="owns tables"):
                climber.check_serving()
            climber.close()
        finally:
            connection.execute("DROP ROLE oms_test_climber")


@on_sqlite
def test_on_sqlite_a_declared_table_is_scoped_as_ours_are(
    database_url: str, notes: Callable[..., str], new_scribe: Callable[[], Any]
) -> None:
    scribe = new_scribe()
    store = SqlStore(notes(), plugin_tables={"notes": TableClass.TENANT})
    store.check_serving()
    with pytest.raises(UnscopedStatement), store.tenant_unit(scribe.tenant_id) as unit:
        unit.connection.execute(text("SELECT note FROM notes"))
    with store.tenant_unit(scribe.tenant_id) as unit:
        found = unit.connection.execute(
            text("SELECT note FROM notes WHERE tenant_id = :tenant"), {"tenant": scribe.tenant_id}
        )
        assert found.all() == []
    store.close()


def test_tables_of_plugins_beside_ours_are_no_difference_of_the_schema(
    database_url: str, notes: Callable[..., str]
) -> None:
    notes()
    migrate.check(database_url)
