"""A migrated database and a tenant for tests of the API; databases are files of their own, made once and copied."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from oms_app.api import create_api
from oms_app.bootstrap import build_services
from oms_app.config import Settings
from oms_app.store import migrate
from oms_app.store.sql_store import SqlStore
from oms_app.store.tenants import create_tenant
from oms_kernel.contracts.plugin import Secret
from oms_kernel.domain.ids import TenantId
from tests.api.desk import Desk, seed


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite database with every table."""
    path = tmp_path_factory.mktemp("database") / "oms.db"
    migrate.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def database_url(migrated_file: Path, tmp_path: Path) -> str:
    """The URL of a fresh database."""
    return copied(migrated_file, tmp_path)


@pytest.fixture
def store(database_url: str) -> Iterator[SqlStore]:
    """A store on a fresh database."""
    made = SqlStore(database_url)
    yield made
    made.close()


@pytest.fixture
def tenant_id(store: SqlStore) -> TenantId:
    """A tenant that has nothing yet."""
    made = TenantId(str(uuid.uuid4()))
    with store.tenant_unit(made) as unit:
        create_tenant(unit, "Test")
    return made


@pytest.fixture
def desk(migrated_file: Path, tmp_path: Path) -> Iterator[Desk]:
    """A tenant that can trade, over HTTP, on a fresh database."""
    with opened(migrated_file, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def quiet_desk(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A tenant that can trade, shared by the tests of a module that store nothing."""
    with opened(migrated_file, tmp_path_factory.mktemp("quiet")) as made:
        yield made


@pytest.fixture(scope="module")
def postgres_desk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A tenant that can trade, over HTTP, on PostgreSQL."""
    url = request.getfixturevalue("new_postgres_database")()
    migrate.upgrade(url)
    with serving(url, tmp_path_factory.mktemp("postgres")) as made:
        yield made


@contextmanager
def opened(migrated_file: Path, folder: Path, **settings: Any) -> Iterator[Desk]:
    """A tenant that can trade, on the real services of one process and a fresh database."""
    with serving(copied(migrated_file, folder), folder, **settings) as made:
        yield made


@contextmanager
def serving(database_url: str, folder: Path, **more: Any) -> Iterator[Desk]:
    """A tenant that can trade, on the real services of one process."""
    settings = Settings(
        home=folder,
        database_url=database_url,
        secret_key=Secret("a secret of the tests that is long enough"),
        argon2_memory_kib=1024,
        argon2_time_cost=1,
        argon2_parallelism=1,
        rate_limit_per_s=100_000.0,
        rate_limit_burst=100_000,
        **more,
    )
    services = build_services(settings)
    try:
        yield Desk(services, seed(services), create_api(services))
    finally:
        services.close()


def copied(migrated_file: Path, folder: Path) -> str:
    """The URL of a copy of the database."""
    for file in migrated_file.parent.glob("oms.db*"):
        shutil.copy(file, folder / file.name)
    return f"sqlite:///{folder / 'oms.db'}"
