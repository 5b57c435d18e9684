"""A wired application on a fresh SQLite home with the demo tenant, for tests of the edges."""

from __future__ import annotations

from pathlib import Path

from oms_app.bootstrap import Services, build_services
from oms_app.cli.demo import DemoFacts, seed
from oms_app.config import Settings, load_settings
from oms_app.store import migrate

CHEAP = {"OMS_ARGON2_MEMORY_KIB": "1024", "OMS_ARGON2_TIME_COST": "1"}


def demo_settings(home: Path, **variables: str) -> Settings:
    """Settings of a home of its own with a migrated database."""
    settings = load_settings({"OMS_HOME": str(home), **CHEAP, **variables})
    migrate.upgrade(settings.migrate_database_url)
    return settings


def demo_services(settings: Settings) -> tuple[Services, DemoFacts]:
    """The wired application and the facts of its demo tenant. Close the services at the end."""
    services = build_services(settings)
    return services, seed(services, None)
