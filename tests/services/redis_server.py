"""A Redis server for tests on a free port of loopback, with one numbered database for each test worker."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import redis

from tests.services.server_process import ServerProcess, ServiceUnavailable, free_port, wait_until
from tests.services.system_packages import install

DATABASES = 64


class RedisServer:
    """A server of its own that keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self._program = _program()
        self._folder = folder
        self._port = free_port()
        self._process: ServerProcess | None = None

    @property
    def url(self) -> str:
        """The URL of database 0."""
        return f"redis://127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int:
        """The process id of the server that was started."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        process = ServerProcess(
            [
                self._program,
                *("--bind", "127.0.0.1", "--port", str(self._port), "--databases", str(DATABASES)),
                *("--save", "", "--appendonly", "no", "--dir", str(self._folder)),
            ],
            log=self._folder / "redis.log",
            stop_signal=signal.SIGTERM,
        )
        self._process = process

        def answers() -> bool:
            if process.ended():
                raise ServiceUnavailable(f"Redis did not start: {process.last_words()}")
            return _answers(self.url)

        try:
            wait_until(answers, timeout_s=30, what="Redis")
        except BaseException:
            process.stop()
            raise

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        self._process.kill()

    def stop(self) -> None:
        """End the server. Safe to repeat."""
        if self._process is not None:
            self._process.stop()


def check_answers(url: str) -> None:
    """Return when the server behind `url` answers. Raises ServiceUnavailable otherwise."""
    if not _answers(url):
        raise ServiceUnavailable("Redis does not answer")


def numbered(url: str, number: int) -> str:
    """The URL of the database that lies `number` after the one `url` names."""
    parts = urlsplit(url)
    first = int(parts.path.removeprefix("/") or 0)
    return urlunsplit(parts._replace(path=f"/{first + number}"))


def flush(url: str) -> None:
    """Empty the one database that `url` names."""
    client = redis.Redis.from_url(url)
    try:
        client.flushdb()
    finally:
        client.close()


def _answers(url: str) -> bool:
    client = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
    try:
        return bool(client.ping())
    except (redis.ConnectionError, redis.TimeoutError):
        return False
    finally:
        client.close()


def _program() -> str:
    found = shutil.which("redis-server")
    if found is None:
        install({"apt-get": ["redis-server"], "dnf": ["redis"], "brew": ["redis"]})
        found = shutil.which("redis-server")
    if found is None:
        raise ServiceUnavailable("redis-server is not installed; install it or set OMS_TEST_REDIS_URL")
    return found
