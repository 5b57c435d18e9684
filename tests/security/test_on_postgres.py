"""On PostgreSQL no row of another tenant is reached without its filter or over a shared pool; planted gaps show."""

import gc
import warnings
from collections.abc import Callable, Iterator

import pytest

from oms_app.store import migrate
from security import foreign_rows, shared_pool
from security.foreign_rows import unfiltered
from security.sides import Sides, two_sides

CALLS = 1_000
REQUESTS = 2_000
cut_while_in_use = pytest.mark.filterwarnings("ignore:.*WatchedConnection.*:ResourceWarning")
"""Connections that were cut while a thread had them are closed by nobody; that may be seen in the middle of a test."""


@pytest.fixture(scope="module")
def url(new_postgres_database: Callable[..., str]) -> str:
    made = new_postgres_database()
    migrate.upgrade(made)
    return made


@pytest.fixture(scope="module")
def sides(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    with two_sides(url, tmp_path_factory.mktemp("sides"), api_threads=shared_pool.CONNECTIONS - 4) as made:
        yield made
    with warnings.catch_warnings():  # connections that were cut while a thread had them are closed by nobody
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_no_call_without_its_filter_shows_a_row_of_another_tenant(sides: Sides, url: str) -> None:
    result = foreign_rows.called(sides, url, CALLS, 7, "")
    assert result.failures == []
    assert result.figures["foreign_rows"] == 0
    assert result.figures["without_filter"] > 500
    assert result.figures["rows"] > 1000


@pytest.mark.parametrize("plant", foreign_rows.PLANTS)
def test_a_table_that_lost_its_fence_is_found(sides: Sides, url: str, plant: str) -> None:
    assert foreign_rows.called(sides, url, 150, 7, plant).figures["foreign_rows"] > 0


@cut_while_in_use
def test_no_row_changes_hands_over_a_shared_pool(sides: Sides, url: str) -> None:
    result = shared_pool.sent(sides, url, REQUESTS, 7, "")
    assert result.failures == []
    assert result.figures["broken_off"] > 10
    assert result.figures["lost"] > 0


@cut_while_in_use
@pytest.mark.parametrize("plant", shared_pool.PLANTS)
def test_a_store_that_mixes_tenants_or_keeps_a_transaction_is_found(sides: Sides, url: str, plant: str) -> None:
    assert shared_pool.sent(sides, url, 100, 7, plant).exit_code == 1


def test_filters_are_cut_out_of_tenants_tables_only() -> None:
    assert unfiltered("SELECT 1 FROM orders WHERE orders.tenant_id = %(t)s::UUID AND orders.side = %(s)s") == (
        "SELECT 1 FROM orders WHERE (%(t)s::UUID IS NOT NULL) AND orders.side = %(s)s"
    )
    joined = "SELECT 1 FROM orders o JOIN executions e ON e.tenant_id = o.tenant_id WHERE o.tenant_id = %(t)s"
    assert "tenant_id" not in unfiltered(joined)
    platform = "SELECT 1 FROM user_sessions WHERE user_sessions.tenant_id = %(t)s"
    assert unfiltered(platform) == platform
    mixed = "SELECT 1 FROM orders, leases WHERE orders.tenant_id = %(t)s AND leases.tenant_id = %(t)s"
    assert unfiltered(mixed).count("tenant_id =") == 1
