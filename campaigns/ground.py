"""What cells stand on: a PostgreSQL with fsync on, a Redis, and a migrated, seeded database that each cell copies."""

import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from oms_app.bootstrap import build_services
from oms_app.cli.demo import TENANT_ID, derived_id, seed, sim_broker_config, starting_prices
from oms_app.config import load_settings
from oms_app.store import migrate
from oms_app.store import tables as t
from oms_app.store.rows import put
from oms_app.store.tenants import config_changed
from tests.services.postgres import PostgresServer, create_database, drop_database
from tests.services.redis_server import RedisServer, numbered

LIMITS: dict[str, dict[str, Any]] = {
    "max_order_quantity": {"max_quantity": "1000000"},
    "max_order_notional": {"max_notional": "10000000000"},
    "max_position": {"max_quantity": "100000000"},
    "message_rate": {"per_second": 100_000, "per_minute": 1_000_000},
}
"""Wide, so that nearly every order goes the whole way; the other rules and checks stay as the demo sets them."""


class Base(msgspec.Struct, frozen=True):
    """What one cell works on: a database of its own and a home. env: what its processes are told of it."""

    database_url: str
    api_key: str
    home: Path
    env: dict[str, str]
    close: Callable[[], None]


class Ground:
    """Servers and a template. Made by `ground`."""

    def __init__(self, postgres: PostgresServer, redis: RedisServer, folder: Path) -> None:
        self.postgres = postgres
        self.redis = redis
        self.folder = folder
        self.secret_key = secrets.token_hex(24)
        self._redis_number = 0
        self._filling = threading.Lock()
        self._template = create_database(postgres.url, "template")
        self.api_key = self.fill(self._template)

    def fill(self, database_url: str) -> str:
        """Migrate and seed an empty database with the demo and wide limits; the API key of its administrator."""
        env = {
            "OMS_HOME": str(self.folder / "seeding"), "OMS_DATABASE_URL": database_url,
            "OMS_SECRET_KEY": self.secret_key, "OMS_ARGON2_MEMORY_KIB": "1024", "OMS_ARGON2_TIME_COST": "1",
        }  # fmt: skip
        settings = load_settings(env)
        with self._filling:  # Alembic knows one migration at a time
            migrate.upgrade(settings.migrate_database_url)
        services = build_services(settings)
        try:
            facts = seed(services, None)
            with services.store.tenant_unit(TENANT_ID) as unit:
                for rule, params in LIMITS.items():
                    key = {"tenant_id": TENANT_ID, "limit_id": derived_id(f"limit {rule}")}
                    put(unit, t.LIMITS, key, rule=rule, params=params, version=2)
                config_changed(unit)
        finally:
            services.close()
        return facts.api_key

    def on_postgres(self, folder: Path) -> Base:
        """A copy of the template, and the next of Redis's numbered databases."""
        home = _new(folder / "home")
        url = create_database(self.postgres.url, "cell", self._template)
        self._redis_number = (self._redis_number + 1) % 60
        redis_url = numbered(self.redis.url, self._redis_number)
        env = {"OMS_DATABASE_URL": url, "OMS_REDIS_URL": redis_url, "OMS_SECRET_KEY": self.secret_key}
        return Base(url, self.api_key, home, env, lambda: drop_database(self.postgres.url, url))

    def on_sqlite(self, home: Path) -> Base:
        """A database file in a home, as `oms run` keeps it on one machine; no Redis."""
        _new(home)
        url = f"sqlite:///{home}/oms.db"
        api_key = self.fill(url)
        env = {"OMS_DATABASE_URL": url, "OMS_SECRET_KEY": self.secret_key}
        return Base(url, api_key, home, env, lambda: None)


def write_broker_config(home: Path) -> None:
    """What the simulated broker reads."""
    feed = {"kind": "synthetic", "seed": 7, "prices": starting_prices()}
    (home / "sim_broker.json").write_bytes(msgspec.json.encode(sim_broker_config(feed)))


def _new(home: Path) -> Path:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return home


@contextmanager
def ground(
    say: Callable[[str], None], *, keep: bool = False, settings: Mapping[str, str] | None = None
) -> Iterator[Ground]:
    """Servers in a temporary folder; both end with the block.

    keep: leave the folder for a look. settings: of PostgreSQL, besides its own.
    """
    place = tempfile.TemporaryDirectory(prefix="oms-campaign-") if not keep else None
    folder = Path(place.name if place is not None else tempfile.mkdtemp(prefix="oms-campaign-"))
    if keep:
        say(f"logs stay in {folder}")
    folder.chmod(0o755)
    for name in ("postgres", "redis", "seeding"):
        (folder / name).mkdir()
    postgres, redis = PostgresServer(folder / "postgres", settings), RedisServer(folder / "redis")
    try:
        postgres.start()
        redis.start()
        yield Ground(postgres, redis, folder)
    finally:
        redis.stop()
        postgres.stop()
        if place is not None:
            place.cleanup()
