"""The dashboard on the real services of one process, with a tenant that can trade and a browser-like client."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oms_app.bootstrap import Services, build_services
from oms_app.config import Settings
from oms_app.store import migrate
from oms_kernel.contracts.plugin import Secret
from tests.api.desk import seed
from tests.dashboard.person import Person


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite database with every table."""
    path = tmp_path_factory.mktemp("database") / "oms.db"
    migrate.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def services(migrated_file: Path, tmp_path: Path) -> Iterator[Services]:
    """The real services on a fresh database."""
    made = build_services(fresh_home(migrated_file, tmp_path))
    yield made
    made.close()


def fresh_home(migrated_file: Path, home: Path, **other: Any) -> Settings:
    """Settings of a home with a fresh database and cheap passwords; `other` settings beside them."""
    for file in migrated_file.parent.glob("oms.db*"):
        shutil.copy(file, home / file.name)
    return Settings(
        home=home,
        database_url=f"sqlite:///{home / 'oms.db'}",
        secret_key=Secret("a secret of the tests that is long enough"),
        argon2_memory_kib=1024,
        argon2_time_cost=1,
        argon2_parallelism=1,
        quote_max_age_s=3600,
        **other,
    )


@pytest.fixture
def person(services: Services) -> Person:
    """An administrator who is signed in."""
    someone = Person(services, seed(services), "admin@example.com", "ADMIN")
    someone.sign_in()
    return someone
