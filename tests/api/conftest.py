"""A migrated database and a tenant for tests of the API; databases are files of their own, made once and copied."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from oms_app.api import create_api
from oms_app.bootstrap import Services, build_services
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
    copy = tmp_path / "oms.db"
    for file in migrated_file.parent.glob("oms.db*"):
        shutil.copy(file, tmp_path / file.name)
    return f"sqlite:///{copy}"


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
def services(database_url: str, tmp_path: Path) -> Iterator[Services]:
    """The real services of one process on a fresh database."""
    settings = Settings(
        home=tmp_path,
        database_url=database_url,
        secret_key=Secret("a secret of the tests that is long enough"),
        argon2_memory_kib=1024,
        argon2_time_cost=1,
        argon2_parallelism=1,
        rate_limit_per_s=100_000.0,
        rate_limit_burst=100_000,
    )
    made = build_services(settings)
    yield made
    made.close()


@pytest.fixture
def desk(services: Services) -> Desk:
    """A tenant that can trade, over HTTP."""
    return Desk(services, seed(services), create_api(services))
