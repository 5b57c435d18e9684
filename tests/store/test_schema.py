"""The schema: migrations up, down and checked; CHECK constraints; columns that give back what was put in."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, insert, inspect, select, text, update
from sqlalchemy.engine import make_url

from oms_app.store import limits, migrate, projected_tables, tables, tenants
from oms_app.store.engines import parsed
from oms_app.store.schema import APPEND_ONLY
from oms_app.store.tables import ORDERS, POSITIONS, STRATEGIES, TENANTS, TableClass, tables_of
from oms_app.store.types import Day, ExactDecimal, Id, UtcDateTime, instant_to_text
from oms_app.store.unit_of_work import RowRefused
from oms_kernel.domain.errors import InvalidNumber

DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)]


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    url: str = request.getfixturevalue("new_postgres_database")()
    return url


def table_names(url: str) -> set[str]:
    engine = create_engine(parsed(url))
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_migrations_go_up_agree_with_the_tables_and_go_down_again(empty_url: str) -> None:
    with pytest.raises(migrate.SchemaDiffers, match="is at revision None"):
        migrate.check(empty_url)
    newest = migrate.newest_revision()
    assert migrate.upgrade(empty_url) == newest
    assert migrate.upgrade(empty_url) == newest
    migrate.check(empty_url)
    assert table_names(empty_url) == {*tables.METADATA.tables, "alembic_version"}
    assert migrate.downgrade(empty_url, "base") == ""
    assert table_names(empty_url) == {"alembic_version"}
    assert migrate.upgrade(empty_url) == newest
    migrate.check(empty_url)


def test_a_table_that_is_not_as_the_build_says_is_named(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    engine = create_engine(parsed(empty_url))
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE tenants ADD COLUMN colour TEXT"))
        connection.execute(text("DROP INDEX ix_orders_tenant_id_accepted_at"))
    engine.dispose()
    with pytest.raises(migrate.SchemaDiffers) as caught:
        migrate.check(empty_url)
    found = " ".join(caught.value.differences)
    assert "colour" in found
    assert "ix_orders_tenant_id_accepted_at" in found


def test_a_revision_is_written_from_what_differs(empty_url: str, tmp_path: Path, monkeypatch: Any) -> None:
    before = migrate.upgrade(empty_url)
    folder = tmp_path / "migrations"
    for source in migrate.FOLDER.rglob("*"):
        if source.suffix in {".py", ".mako"}:
            target = folder / source.relative_to(migrate.FOLDER)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(source.read_text())
    extra = Table("extra_things", tables.METADATA, Column("id", Integer, primary_key=True), Column("at", UtcDateTime()))
    try:
        monkeypatch.setattr(migrate, "FOLDER", folder)
        path = migrate.revision("Add extra things", empty_url)
    finally:
        tables.METADATA.remove(extra)
    written = path.read_text()
    assert path.is_relative_to(folder)
    assert "extra_things" in written
    assert "types.UtcDateTime()" in written
    newest = re.search(r"down_revision = ['\"](\w+)['\"]", written)
    assert newest is not None and newest[1] == before


def test_every_tenant_table_begins_with_its_tenant_in_key_and_indexes() -> None:
    for table in tables_of(TableClass.TENANT):
        assert next(iter(table.primary_key.columns)).name == "tenant_id", table.name
        for index in table.indexes:
            assert next(iter(index.columns)).name == "tenant_id", index.name
        for constraint in table.constraints:
            if type(constraint).__name__ == "UniqueConstraint":
                assert next(iter(constraint.columns)).name == "tenant_id", constraint.name  # type: ignore[attr-defined]


def test_no_index_of_orders_holds_what_changes_but_the_status() -> None:
    indexed = {column.name for index in ORDERS.indexes for column in index.columns}
    changing = projected_tables.ORDERS.changing
    assert changing is not None
    assert indexed & set(changing) == {"status"}


def test_every_table_whose_rows_change_says_when() -> None:
    exempt = {
        "audit_texts",
        "idempotency_keys",
        "rule_denials",
        "order_texts",
        "user_tenants",
        "last_quotes",
        "platform_versions",
    }
    exempt |= {"auth_epochs", "throttles"}
    for name, table in tables.METADATA.tables.items():
        if name not in APPEND_ONLY | exempt:
            assert "updated_at" in table.c, name


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("quantity of 0", {"quantity": Decimal(0)}),
    ("negative quantity", {"quantity": Decimal(-1)}),
    ("negative filled quantity", {"filled_quantity": Decimal("-0.000000000001")}),
    ("unknown side", {"side": "HOLD"}),
    ("unknown order type", {"order_type": "MAGIC"}),
    ("unknown time in force", {"time_in_force": "XXX"}),
    ("unknown product", {"product": "ABC"}),
    ("unknown status", {"status": "LOST"}),
    ("unknown state", {"state": "LOST"}),
    ("no document", {"document": None}),
]


@pytest.mark.parametrize("change", [change for _, change in REFUSED], ids=[name for name, _ in REFUSED])
def test_an_impossible_order_is_refused_by_the_database(scribe: Any, change: dict[str, Any]) -> None:
    scribe.write(scribe.accepted())
    with pytest.raises(RowRefused), scribe.store.tenant_unit(scribe.tenant_id) as unit:
        unit.connection.execute(update(ORDERS).where(ORDERS.c.tenant_id == scribe.tenant_id).values(**change))


def test_other_impossible_rows_are_refused_too(scribe: Any) -> None:
    order = scribe.accepted()
    scribe.write(order, scribe.filled(order, 1))
    with pytest.raises(RowRefused), scribe.store.tenant_unit(scribe.tenant_id) as unit:
        unit.connection.execute(
            update(POSITIONS).where(POSITIONS.c.tenant_id == scribe.tenant_id).values(closed_at=unit.now)
        )
    with pytest.raises(RowRefused), scribe.store.tenant_unit(scribe.tenant_id) as unit:
        unit.connection.execute(
            insert(STRATEGIES).values(
                tenant_id=scribe.tenant_id,
                strategy_id=scribe.ledger_id,
                name="s",
                strategy="echo",
                account_id=scribe.account_id,
                params={},
                status="DANCING",
                created_at=unit.now,
                updated_at=unit.now,
            )
        )


def test_the_store_keeps_updated_at(scribe: Any) -> None:
    def stamps() -> tuple[datetime, datetime]:
        with scribe.store.read_unit(scribe.tenant_id) as unit:
            row = unit.connection.execute(
                select(TENANTS.c.created_at, TENANTS.c.updated_at).where(TENANTS.c.tenant_id == scribe.tenant_id)
            ).one()
            return row.created_at, row.updated_at

    created_at, before = stamps()
    with scribe.store.tenant_unit(scribe.tenant_id) as unit:
        tenants.set_tenant_settings(unit, {"a": 1})
    assert stamps()[0] == created_at
    assert stamps()[1] > before
    with scribe.store.tenant_unit(scribe.tenant_id) as unit:
        first = limits.put_limit(unit, scribe.ledger_id, rule="r", params={"max": "1.5"})
        assert limits.put_limit(unit, scribe.ledger_id, rule="r", params={"max": "2.5"}) == first + 1
        assert [limit.params for limit in limits.list_limits(unit)] == [{"max": "2.5"}]


COLUMNS = Table(
    "column_samples",
    MetaData(),
    Column("id", Id(), primary_key=True),
    Column("amount", ExactDecimal()),
    Column("at", UtcDateTime()),
    Column("day", Day()),
)


@pytest.fixture
def keep(database_url: str) -> Any:
    engine = create_engine(parsed(database_url))
    COLUMNS.create(engine, checkfirst=True)

    def put_and_get(**values: Any) -> Any:
        key = "01a1f848-2976-7474-8874-6a87a2d6fcef"
        with engine.begin() as connection:
            connection.execute(COLUMNS.delete())
            connection.execute(insert(COLUMNS).values(id=key, **values))
            row = connection.execute(select(COLUMNS).where(COLUMNS.c.id == key)).one()
        assert row.id == key
        return row

    yield put_and_get
    engine.dispose()


@pytest.mark.parametrize(
    "amount",
    ["0", "-0", "1", "-1.5", "1E+3", "12.340000", "999999999999999999.999999999999", "-0.000000000001"],
)
def test_a_decimal_comes_back_exact_and_canonical(keep: Callable[..., Any], amount: str) -> None:
    found = keep(amount=Decimal(amount)).amount
    assert found == Decimal(amount)
    assert found.as_tuple().exponent <= 0  # type: ignore[operator]
    assert not ("." in str(found) and str(found).endswith("0"))
    assert str(found) != "-0"


def test_numbers_that_do_not_fit_and_floats_never_reach_the_database(keep: Callable[..., Any]) -> None:
    for amount in ("1000000000000000000", "0.0000000000001", "NaN", "Infinity"):
        with pytest.raises(Exception) as caught:
            keep(amount=Decimal(amount))
        assert isinstance(caught.value.__cause__ or caught.value, InvalidNumber) or "InvalidNumber" in repr(
            caught.value
        )
    with pytest.raises(Exception, match="Decimal is needed"):
        keep(amount=1.5)


def test_an_instant_comes_back_aware_in_utc_to_the_microsecond(keep: Callable[..., Any]) -> None:
    local = datetime(2026, 11, 20, 9, 30, 0, 1, timezone(timedelta(hours=-5)))
    found = keep(at=local).at
    assert found == local
    assert found.utcoffset() == timedelta(0)
    assert found.isoformat() == "2026-11-20T14:30:00.000001+00:00"
    with pytest.raises(Exception, match="needs a time zone"):
        keep(at=datetime(2026, 11, 20))  # noqa: DTZ001


def test_instants_as_text_sort_by_time() -> None:
    moments = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=step) for step in (0, 1, 999_999, 1_000_000)]
    assert sorted(map(instant_to_text, moments)) == [instant_to_text(moment) for moment in moments]


def test_a_day_comes_back_as_a_date(keep: Callable[..., Any]) -> None:
    assert keep(day=date(2026, 2, 28)).day == date(2026, 2, 28)


def test_databases_that_are_not_supported_are_refused() -> None:
    for url in ("mysql://x/y", "sqlite://", "sqlite:///:memory:"):
        with pytest.raises(ValueError, match=r"SQLite|must be"):
            parsed(url)
    assert parsed("postgresql://u@h/d").drivername == "postgresql+psycopg"
    assert make_url("sqlite:///x.db").get_backend_name() == "sqlite"
