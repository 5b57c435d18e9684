"""Fixtures and hooks of every test: services handed to xdist workers, markers by themselves, a loud summary.

Guarantee: a service that could not be had is named at the end of the run; under CI=true, or when an
environment variable named it, the tests that need it fail instead of being skipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tests.services import postgres, redis_server
from tests.services.provision import TITLES, Provision, ServiceName
from tests.services.scratch import Scratch

PROVISION = pytest.StashKey[Provision]()
SCRATCH = pytest.StashKey[Scratch]()
PASSED = pytest.StashKey[bool]()
HANDED_OVER = "oms_test_services"
# A test that asks for one of these uses more than its own process.
INTEGRATION_FIXTURES = frozenset(
    {"postgres_url", "new_postgres_database", "postgres_server_url", "redis_url", "chromium_path"}
)


def pytest_configure(config: pytest.Config) -> None:
    provision = Provision()
    config.stash[PROVISION] = provision
    worker_input = getattr(config, "workerinput", None)
    if worker_input is not None:
        provision.receive(worker_input[HANDED_OVER])
        return
    config.stash[SCRATCH] = Scratch()
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(_HandOver(provision))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[PASSED] = exitstatus == pytest.ExitCode.OK


def pytest_unconfigure(config: pytest.Config) -> None:
    provision = config.stash.get(PROVISION, None)
    if provision is not None:
        provision.stop()
    scratch = config.stash.get(SCRATCH, None)
    if scratch is not None:
        scratch.leave(keep=not config.stash.get(PASSED, False))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if INTEGRATION_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.integration)
        if item.get_closest_marker("integration") is None:
            item.add_marker(pytest.mark.unit)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    missing = config.stash[PROVISION].missing()
    if not missing:
        return
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    terminalreporter.section("NOT EVERYTHING WAS TESTED", sep="!", red=True, bold=True)
    for name, reason in missing.items():
        tests = sum(_absence(name) in text for text in skipped)
        terminalreporter.write_line(f"{TITLES[name]}: {reason}", red=True, bold=True)
        terminalreporter.write_line(f"    {tests} tests that need it were skipped", red=True)


class _HandOver:
    """The controller of a distributed run: gets every service once, before the first worker starts."""

    def __init__(self, provision: Provision) -> None:
        self._provision = provision

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: object) -> None:
        node.workerinput[HANDED_OVER] = self._provision.obtain_all()  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def postgres_server_url(pytestconfig: pytest.Config) -> str:
    """The superuser's URL of database `postgres` on the server that all workers share."""
    return _address(pytestconfig, "postgres")


@pytest.fixture(scope="session")
def new_postgres_database(
    postgres_server_url: str, worker_label: str, pytestconfig: pytest.Config
) -> Iterator[Callable[..., str]]:
    """Makes a fresh database at each call and gives its superuser URL; on a server that stays all are dropped at last.

    Empty, or with `new_postgres_database(template=url)` a copy of one that nobody is connected to: a schema that was
    migrated once is copied in some 50 ms.
    """
    made: list[str] = []

    def new(template: str | None = None) -> str:
        made.append(postgres.create_database(postgres_server_url, worker_label, template))
        return made[-1]

    yield new
    if not pytestconfig.stash[PROVISION].obtain("postgres").named:
        return  # the server goes with all of its data: to drop a hundred databases takes a minute
    for url in made:
        postgres.drop_database(postgres_server_url, url)


@pytest.fixture
def postgres_url(postgres_server_url: str, worker_label: str) -> Iterator[str]:
    """The superuser's URL of a fresh, empty database for this test alone."""
    url = postgres.create_database(postgres_server_url, worker_label)
    yield url
    postgres.drop_database(postgres_server_url, url)


@pytest.fixture
def redis_url(pytestconfig: pytest.Config, worker_label: str) -> str:
    """The URL of this worker's own Redis database, emptied before the test."""
    number = int(worker_label.removeprefix("gw")) + 1 if worker_label.startswith("gw") else 0
    url = redis_server.numbered(_address(pytestconfig, "redis"), number)
    redis_server.flush(url)
    return url


@pytest.fixture(scope="session")
def chromium_path(pytestconfig: pytest.Config) -> str:
    """The path of a Chromium; start it with `tests.services.browser.LAUNCH_ARGUMENTS`."""
    return _address(pytestconfig, "chromium")


@pytest.fixture(scope="session")
def worker_label() -> str:
    """`gw0`, `gw1`, ... in a distributed run, `main` otherwise."""
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


def _address(config: pytest.Config, name: ServiceName) -> str:
    service = config.stash[PROVISION].obtain(name)
    if service.address is not None:
        return service.address
    text = f"{_absence(name)}: {service.missing}"
    if service.named or os.environ.get("CI", "").lower() in {"1", "true", "yes"}:
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


def _absence(name: ServiceName) -> str:
    return f"{TITLES[name]} could not be had"
