"""Get each service once, on first use, say why where it cannot be had, and stop all at the end."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from tests.services import browser, postgres, redis_server
from tests.services.server_process import ServiceUnavailable, new_run_folder, remove_folder

ServiceName = Literal["postgres", "redis", "chromium"]
TITLES: dict[ServiceName, str] = {"postgres": "PostgreSQL", "redis": "Redis", "chromium": "Chromium"}


class Service(msgspec.Struct, frozen=True):
    """Where a service is, or why it is not: exactly one of the two is set.

    named: an environment variable pointed at it, so that its absence is a mistake and not a circumstance.
    """

    address: str | None = None
    missing: str | None = None
    named: bool = False


class Provision:
    """Services of one test run. The process that obtains them owns them; others `receive` their addresses."""

    def __init__(self) -> None:
        self._services: dict[str, Service] = {}
        self._servers: list[postgres.PostgresServer | redis_server.RedisServer] = []
        self._folder: Path | None = None
        self._sources: dict[ServiceName, Callable[[], Service]] = {
            "postgres": self._postgres,
            "redis": self._redis,
            "chromium": self._chromium,
        }

    def obtain(self, name: ServiceName) -> Service:
        """The service, started or installed on first use; later the same answer."""
        if name not in self._services:
            try:
                self._services[name] = self._sources[name]()
            except ServiceUnavailable as error:
                variable = f"OMS_TEST_{name.upper()}" + ("" if name == "chromium" else "_URL")
                self._services[name] = Service(missing=str(error), named=variable in os.environ)
        return self._services[name]

    def obtain_all(self) -> bytes:
        """Every service, as bytes for `receive` in another process."""
        for name in self._sources:
            self.obtain(name)
        return msgspec.json.encode(self._services)

    def receive(self, services: bytes) -> None:
        """Use the services that another process owns."""
        self._services = msgspec.json.decode(services, type=dict[str, Service])

    def missing(self) -> dict[ServiceName, str]:
        """What was asked for and could not be had, with the reason."""
        return {
            name: service.missing
            for name in TITLES
            if (service := self._services.get(name)) is not None and service.missing is not None
        }

    def stop(self) -> None:
        """Stop what this process started and remove its folder. Safe to repeat."""
        while self._servers:
            self._servers.pop().stop()
        if self._folder is not None:
            remove_folder(self._folder)
            self._folder = None

    def _new_folder(self, name: str) -> Path:
        if self._folder is None:
            self._folder = new_run_folder()
            self._folder.chmod(0o755)  # PostgreSQL's user must reach its own folder below
            atexit.register(self.stop)
        folder = self._folder / name
        folder.mkdir(mode=0o700)
        return folder

    def _postgres(self) -> Service:
        if url := os.environ.get("OMS_TEST_POSTGRES_URL"):
            postgres.check_superuser(url)
            return Service(address=url, named=True)
        server = postgres.PostgresServer(self._new_folder("postgres"))
        server.start()
        self._servers.append(server)
        return Service(address=server.url)

    def _redis(self) -> Service:
        if url := os.environ.get("OMS_TEST_REDIS_URL"):
            redis_server.check_answers(url)
            return Service(address=url, named=True)
        server = redis_server.RedisServer(self._new_folder("redis"))
        server.start()
        self._servers.append(server)
        return Service(address=server.url)

    def _chromium(self) -> Service:
        return Service(address=browser.chromium())
