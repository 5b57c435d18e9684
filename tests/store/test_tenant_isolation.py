"""No tenant sees, changes or learns of another one's rows: by policy on PostgreSQL, by scoped statements on SQLite."""

import re
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.engine import make_url

from oms_app.store import (
    accounts,
    connections,
    cursors,
    leases,
    limits,
    migrate,
    queries,
    reconciliation_runs,
    strategies,
    tenants,
    webhooks,
)
from oms_app.store.queries import ExecutionFilter, OrderFilter, Paging, PositionFilter, alerts, breaks, reports, runs
from oms_app.store.queries.alerts import AlertFilter
from oms_app.store.queries.breaks import BreakFilter
from oms_app.store.queries.reports import ReportFilter
from oms_app.store.queries.runs import RunFilter
from oms_app.store.scoping import UnscopedStatement, check
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import APPEND_ONLY, LEDGERS, LIMITS, ORDERS, PERISHABLE, TENANTS, TableClass, tables_of
from oms_app.store.unit_of_work import Conflict, RowRefused, Snapshot, UnsafeRole
from oms_app.store.verify import verify
from oms_kernel.domain.lifecycle import Word
from oms_kernel.domain.scope import Scope

POSTGRES = [pytest.param("postgresql", marks=pytest.mark.integration)]
TENANT_TABLES = tables_of(TableClass.TENANT)
LEDGER_AND_DESK_TABLES = frozenset(
    (
        "account_routes alerts broker_accounts broker_connections cash_balances client_order_ids connector_storage"
        " day_counters event_log execution_ids executions idempotency_keys ledger_snapshots limits order_texts orders"
        " plugin_quarantines positions reconciliation_breaks reconciliation_runs rule_denials strategies strategy_runs"
        " tenants trading_accounts unbooked_reports webhooks"
    ).split()
)
on_postgres = pytest.mark.parametrize("database_url", POSTGRES, indirect=True)
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def superuser(url: str) -> "psycopg.Connection[Any]":
    return psycopg.connect(url, autocommit=True)


@on_postgres
def test_every_tenant_table_has_row_level_security_enabled_forced_and_a_policy_for_reads_and_writes(
    database_url: str, store: SqlStore
) -> None:
    with superuser(database_url) as connection:
        fenced = {
            row[0]
            for row in connection.execute(
                "SELECT c.relname FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid"
                " WHERE c.relrowsecurity AND c.relforcerowsecurity AND p.polcmd = '*' AND p.polpermissive"
                " AND p.polqual IS NOT NULL AND p.polwithcheck IS NOT NULL"
            )
        }
        with_tenant = {
            row[0]
            for row in connection.execute(
                "SELECT table_name FROM information_schema.columns JOIN information_schema.tables"
                " USING (table_schema, table_name)"
                " WHERE table_schema = 'public' AND column_name = 'tenant_id' AND table_type = 'BASE TABLE'"
            )
        }
        views = {
            row[0]: row[1]
            for row in connection.execute(
                "SELECT relname, coalesce('security_invoker=true' = ANY(reloptions), false) FROM pg_class"
                " WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace"
            )
        }
    declared = {table.name for table in TENANT_TABLES}
    assert fenced == declared
    assert views and all(views.values()), "a view shows what its reader may see, not what its owner may"
    assert with_tenant - declared == {table.name for table in tables_of(TableClass.PLATFORM) if "tenant_id" in table.c}


@on_postgres
def test_the_serving_role_owns_nothing_deletes_what_perishes_only_and_cannot_change_the_log(
    database_url: str, store: SqlStore
) -> None:
    with superuser(database_url) as connection:
        owners = {row[0] for row in connection.execute("SELECT tableowner FROM pg_tables WHERE schemaname = 'public'")}
        grants = connection.execute(
            "SELECT table_name, privilege_type FROM information_schema.role_table_grants WHERE grantee = 'oms_app'"
        ).fetchall()
        settings = connection.execute("SELECT rolconfig FROM pg_roles WHERE rolname = 'oms_app'").fetchone()
    assert owners == {"oms_migrate"}
    assert {right for _, right in grants} == {"SELECT", "INSERT", "UPDATE", "DELETE"}
    assert {name for name, right in grants if right == "DELETE"} == PERISHABLE
    for table in APPEND_ONLY:
        assert {right for name, right in grants if name == table} == {"SELECT", "INSERT"}
    assert settings is not None
    assert {"idle_in_transaction_session_timeout=6s", "lock_timeout=8s"} <= set(settings[0])


@on_postgres
def test_rows_of_another_tenant_are_invisible_and_cannot_be_changed(new_scribe: Callable[[], Any]) -> None:
    mine, other = new_scribe(), new_scribe()
    mine.write(mine.accepted())
    with mine.store.tenant_unit(other.tenant_id) as unit:
        for table in TENANT_TABLES:
            foreign = select(func.count()).select_from(table).where(table.c.tenant_id == mine.tenant_id)
            assert unit.connection.scalar(foreign) == 0, table.name
        changed = unit.connection.execute(
            update(ORDERS).where(ORDERS.c.tenant_id == mine.tenant_id).values(symbol="STOLEN")
        )
        assert changed.rowcount == 0


@on_postgres
def test_a_statement_without_its_filter_sees_the_own_tenant_only(new_scribe: Callable[[], Any]) -> None:
    mine, other = new_scribe(), new_scribe()
    for scribe in (mine, other, other):
        scribe.write(scribe.accepted())
    with mine.store.tenant_unit(mine.tenant_id) as unit:
        assert unit.connection.scalar(select(func.count()).select_from(ORDERS)) == 1


@on_postgres
def test_without_a_tenant_no_tenant_table_shows_a_row_also_on_a_connection_that_was_used(
    database_url: str, prepared: Callable[[SqlStore], Any]
) -> None:
    store = SqlStore(database_url, pool_size=1)
    scribe = prepared(store)
    scribe.write(scribe.accepted())
    for _ in range(2):
        with store.platform_unit() as unit:
            for table in TENANT_TABLES:
                assert unit.connection.scalar(select(func.count()).select_from(table)) == 0, table.name
            setting = unit.connection.scalar(text("SELECT current_setting('app.tenant_id', true)"))
            assert not setting
        with store.ledger_unit(scribe.tenant_id, scribe.ledger_id):
            pass
    with store.writer.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(ORDERS)) == 0
    store.close()


@on_postgres
def test_a_row_for_another_tenant_is_refused(new_scribe: Callable[[], Any]) -> None:
    mine, other = new_scribe(), new_scribe()
    with pytest.raises(RowRefused, match="row-level security"), mine.store.tenant_unit(mine.tenant_id) as unit:
        unit.connection.execute(
            insert(LIMITS).values(
                tenant_id=other.tenant_id,
                limit_id=mine.ledger_id,
                rule="x",
                params={},
                version=1,
                created_at=unit.now,
                updated_at=unit.now,
            )
        )


def test_a_reference_to_another_tenants_row_is_refused(new_scribe: Callable[[], Any]) -> None:
    mine, other = new_scribe(), new_scribe()
    with pytest.raises(RowRefused), mine.store.tenant_unit(mine.tenant_id) as unit:
        accounts.put_route(unit, mine.account_id, other.broker_account_id)
    with pytest.raises(RowRefused), mine.store.tenant_unit(mine.tenant_id) as unit:
        limits.put_limit(unit, mine.ledger_id, rule="x", params={}, scope=Scope(account_id=other.account_id))


def test_two_tenants_may_use_the_same_ids_and_do_not_learn_of_each_other(new_scribe: Callable[[], Any]) -> None:
    mine, other = new_scribe(), new_scribe()
    other.account_id = mine.account_id  # even the same account id is another tenant's account
    other.open()
    for scribe in (mine, other):
        order = scribe.accepted(client_order_id="same")
        scribe.write(order, scribe.filled(order, 1, exec_id="same", broker_account_id=mine.broker_account_id))
    with pytest.raises(Conflict):
        mine.write(mine.accepted(client_order_id="same"))


@on_postgres
def test_a_superuser_and_the_owner_are_refused_at_the_start(database_url: str, store: SqlStore) -> None:
    as_superuser = SqlStore(database_url, role=None)
    with pytest.raises(UnsafeRole, match="is a superuser"):
        as_superuser.check_serving()
    as_superuser.close()
    as_owner = SqlStore(database_url, role="oms_migrate")
    with pytest.raises(UnsafeRole, match="owns tables"):
        as_owner.check_serving()
    as_owner.close()
    store.check_serving()


@on_postgres
def test_the_owner_itself_sees_no_tenants_rows(database_url: str, scribe: Any) -> None:
    with superuser(database_url) as connection:
        connection.execute("SET ROLE oms_migrate")
        for table in TENANT_TABLES:
            row = connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()
            assert row == (0,), table.name


@on_postgres
def test_a_role_of_its_own_serves_when_it_may_log_in(database_url: str, scribe: Any) -> None:
    with superuser(database_url) as connection:
        connection.execute("DROP ROLE IF EXISTS oms_test_login")
        connection.execute("CREATE ROLE oms_test_login LOGIN PASSWORD 'x' NOSUPERUSER IN ROLE oms_app")
    url = make_url(database_url).set(username="oms_test_login", password="x").render_as_string(hide_password=False)
    store = SqlStore(url)
    store.check_serving()
    assert store.heads([scribe.ledger_id]) == {scribe.ledger_id: 2}
    store.close()
    with superuser(database_url) as connection:
        connection.execute("DROP ROLE oms_test_login")


@on_sqlite
def test_on_sqlite_a_statement_without_its_tenant_is_refused(new_scribe: Callable[[], Any]) -> None:
    mine, other = new_scribe(), new_scribe()
    forgotten = (
        select(ORDERS.c.order_id),
        select(ORDERS.c.order_id).where(ORDERS.c.tenant_id == other.tenant_id),
        update(TENANTS).values(name="all of them"),
        delete(TENANTS),
    )
    for statement in forgotten:
        with pytest.raises(UnscopedStatement), mine.store.tenant_unit(mine.tenant_id) as unit:
            unit.connection.execute(statement)
        with pytest.raises(UnscopedStatement), mine.store.platform_unit() as unit:
            unit.connection.execute(statement)
    with mine.store.platform_unit() as unit:
        assert unit.connection.scalar(select(func.count()).select_from(LEDGERS)) >= 2


def test_the_scope_check_wants_the_tenant_in_every_row_of_parameters() -> None:
    statement = "INSERT INTO orders (tenant_id, order_id) VALUES (?, ?)"
    check(statement, [("t", "1"), ("t", "2")], "t")
    with pytest.raises(UnscopedStatement):
        check(statement, [("t", "1"), ("other", "2")], "t")
    check("SELECT 1 FROM user_tenants", (), None)


def test_the_scope_check_wants_the_tenant_of_each_table_of_a_join() -> None:
    joined = "SELECT 1 FROM orders o JOIN executions e ON e.order_id = o.order_id WHERE o.tenant_id = ?"
    with pytest.raises(UnscopedStatement, match="is not compared"):
        check(joined, ("t",), "t")
    check(joined.replace("ON", "ON e.tenant_id = o.tenant_id AND"), ("t",), "t")
    check("UPDATE orders SET symbol = ? WHERE tenant_id IN (?)", ("x", "t"), "t")
    with pytest.raises(UnscopedStatement, match="is not compared"):
        check("DELETE FROM orders WHERE symbol = ?", ("t",), "t")


@on_sqlite
def test_every_statement_of_the_store_on_a_tenant_table_names_the_tenant(
    database_url: str, new_scribe: Callable[[], Any]
) -> None:
    """The log of what really reached SQLite, with its parameters filled in, while every part of the store is used."""
    scribe = new_scribe()
    store = SqlStore(database_url)
    seen: list[str] = []
    for engine in (store.writer, store.readers):
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            driver.set_trace_callback(seen.append)
    scribe.store = store
    use_everything(scribe)
    store.close()
    names = re.compile(r"\b(" + "|".join(table.name for table in TENANT_TABLES) + r")\b")
    # Checks of foreign keys are SQLite's own statements; they begin with a comment.
    touching = [sql for sql in seen if names.search(sql) and not sql.startswith("--")]
    assert len(touching) > 40
    assert [sql for sql in touching if scribe.tenant_id not in sql] == []
    # The check itself runs in every test on SQLite; what people, keys, mail and audit need is used in tests of theirs.
    used = {name for sql in touching for name in names.findall(sql)}
    assert {table.name for table in TENANT_TABLES if table.name in LEDGER_AND_DESK_TABLES} <= used


def use_everything(scribe: Any) -> None:
    """Every unit and row module once."""
    store, tenant_id = scribe.store, scribe.tenant_id
    order = scribe.accepted(client_order_id="c")
    filled = scribe.filled(order, 4)

    def also(unit: Any) -> None:
        unit.put_text(order.order_id, "tags", "{}", b"s")
        unit.tail(0), unit.config(), unit.connection_states(), unit.has_events([scribe.ledger_id])
        unit.storage_put(scribe.connection_id, "k", "v"), unit.storage_get(scribe.connection_id, "k")
        unit.lease_token(scribe.connection_id), unit.events_at([1]), unit.answer("p", "o", "k")

    scribe.write(order, filled, also=also)
    scribe.write(scribe.busted(filled, Word.UNFILLED))
    scribe.write(scribe.denied(()))
    with store.tenant_unit(tenant_id) as unit:
        tenants.get_tenant(unit), tenants.set_tenant_settings(unit, {"a": 1})
        limits.put_limit(unit, scribe.ledger_id, rule="x", params={}), limits.list_limits(unit)
        limits.end_limit(unit, scribe.ledger_id)
        accounts.describe_account(unit, scribe.account_id, name="n", settings={}), accounts.get_route(unit, "x")
        (
            connections.set_status(unit, scribe.connection_id, "READY", ""),
            connections.load_connection(unit, scribe.connection_id),
        )
        connections.set_desired(unit, scribe.connection_id, "DISCONNECTED")
        strategies.create_strategy(
            unit, scribe.ledger_id, name="s", strategy="echo", account_id=scribe.account_id, params={}
        )
        strategies.start_run(unit, scribe.ledger_id, scribe.ledger_id, scribe.ledger_id, cursor_seq=0)
        strategies.append_run_log(unit, scribe.ledger_id, "x"), strategies.move_run_cursor(unit, scribe.ledger_id, 0, 1)
        strategies.set_run_status(unit, scribe.ledger_id, "STOPPED", expected=["STARTING"])
        webhooks.create_webhook(unit, scribe.ledger_id, url="https://x", sink="http", params={}, event_kinds=[])
        webhooks.update_webhook(unit, scribe.ledger_id, name="w")
        run = reconciliation_runs.request(unit, scribe.ledger_id, scribe.connection_id, None, "user:test")
        reconciliation_runs.requested(unit, scribe.connection_id), reconciliation_runs.keep(unit, run)
        leases.acquire(unit, "run:1", "me", timedelta(seconds=1)), cursors.advance(unit, "c", scribe.ledger_id, 0, 1)
    with store.read_unit(tenant_id) as unit:
        page = Paging()
        queries.list_orders(unit, OrderFilter(), page), queries.get_order(unit, order.order_id)
        queries.order_events(unit, order.order_id), queries.order_text(unit, order.order_id, "tags")
        queries.list_denials(unit), queries.list_executions(unit, ExecutionFilter(), page)
        queries.list_positions(unit, PositionFilter()), queries.list_cash(unit), queries.list_days(unit)
        queries.list_accounts(unit), queries.get_account(unit, scribe.account_id), queries.list_broker_accounts(unit)
        queries.list_connections(unit), queries.get_connection(unit, scribe.connection_id)
        strategies.list_strategies(unit, page), strategies.list_runs(unit, page), webhooks.list_webhooks(unit, page)
        webhooks.list_deliveries(unit, page), webhooks.get_webhook(unit, scribe.ledger_id)
        alerts.list_alerts(unit, AlertFilter(), page), alerts.get_alerts(unit, [scribe.ledger_id], AlertFilter())
        alerts.count_open_alerts(unit, "CRITICAL"), breaks.list_breaks(unit, BreakFilter(), page)
        breaks.get_break(unit, scribe.ledger_id, BreakFilter()), breaks.break_texts(unit, [scribe.ledger_id])
        runs.list_runs(unit, RunFilter(), page), runs.get_run(unit, scribe.ledger_id, RunFilter())
        reports.list_reports(unit, ReportFilter(), page), reports.get_report(unit, scribe.ledger_id, ReportFilter())
    store.account_directory(tenant_id), store.ledger_of_order(tenant_id, order.order_id)
    store.events(tenant_id, scribe.ledger_id, 0)
    store.put_snapshot(tenant_id, scribe.ledger_id, Snapshot(seq=1, version="v", book=b"b"))
    store.snapshot(tenant_id, scribe.ledger_id, "v"), store.snapshot_seq(tenant_id, scribe.ledger_id, "v")
    with store.tenant_unit(tenant_id) as unit:
        unit.connection.execute(
            text("SELECT count(*) FROM unbooked_reports WHERE tenant_id = :tenant"), {"tenant": tenant_id}
        )
        strategies.close_strategy(unit, scribe.ledger_id), webhooks.close_webhook(unit, scribe.ledger_id)
        accounts.close_account(unit, scribe.account_id)
    assert verify(store, tenant_id, scribe.ledger_id).is_clean


@on_sqlite
def test_the_database_files_are_private(database_url: str, scribe: Any) -> None:
    path = make_url(database_url).database
    from pathlib import Path

    assert path is not None
    for suffix in ("", "-wal", "-shm"):
        assert Path(path + suffix).stat().st_mode & 0o777 == 0o600


@on_sqlite
def test_sqlite_is_durable_and_checks_references(database_url: str, store: SqlStore) -> None:
    with store.writer.connect() as connection:
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 8000)):
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value
    with store.readers.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA query_only").scalar() == 1


@on_postgres
def test_a_fresh_database_of_the_same_server_gets_the_same_roles(
    new_postgres_database: Callable[[], str], store: SqlStore
) -> None:
    url = new_postgres_database()
    migrate.upgrade(url)
    other = SqlStore(url)
    other.check_serving()
    other.close()
