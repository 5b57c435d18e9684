"""A place to measure at: a fresh database with the system and the floor running on it, both with the same workers."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from benchmarks import floor
from benchmarks.system import System
from tests.services.postgres import PostgresServer, create_database, drop_database
from tests.services.server_process import free_port, remove_folder

THREADS = 16
WORKERS = {"pg": 2, "sqlite": 1}
"""As the two homes run: SQLite has one writer, so there is one worker, also of the floor."""


class Site(msgspec.Struct, frozen=True):
    """The system and where the floor takes orders."""

    system: System
    floor_url: str
    nothing_url: str


@contextmanager
def site(database: str, *, sessions: bool) -> Iterator[Site]:
    """A site on `pg` or `sqlite`; sessions: with the broker's session and the simulated broker."""
    with ExitStack() as stack:
        system = stack.enter_context(bare_site(database))
        # Two files of SQLite: the writers of the one do not wait for the other's, as two tables of one file would.
        beside = f"sqlite:///{system.home.parent}/floor.db" if database == "sqlite" else system.settings.database_url
        floor.make_table(beside)
        system.start(*(["sim_broker", "session"] if sessions else []), "api")
        port = stack.enter_context(served_floor(beside, WORKERS[database], system.home.parent))
        yield Site(system, f"http://127.0.0.1:{port}/orders", f"http://127.0.0.1:{port}/nothing")


@contextmanager
def bare_site(
    database: str,
    *,
    workers: int | None = None,
    more: Mapping[str, str] | None = None,
    kind: type[System] = System,
) -> Iterator[System]:
    """A system that is prepared and not started. more: further variables of its environment."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="oms-bench-"))
        stack.callback(remove_folder, folder)
        home = folder / "home"
        home.mkdir(mode=0o700)
        url = f"sqlite:///{home}/oms.db" if database == "sqlite" else stack.enter_context(_postgres_database(folder))
        system = kind(
            home, url, port=free_port(), stream_port=free_port(), workers=workers or WORKERS[database],
            threads=THREADS, more=more,
        )  # fmt: skip
        stack.callback(system.stop)
        system.prepare()
        yield system


@contextmanager
def _postgres_database(folder: Path) -> Iterator[str]:
    """A new database on OMS_TEST_POSTGRES_URL, else on a server of our own with fsync on."""
    server_url = os.environ.get("OMS_TEST_POSTGRES_URL")
    if server_url:
        url = create_database(server_url, "bench")
        try:
            yield url
        finally:
            drop_database(server_url, url)
        return
    # The server may run as another user, who has to reach its folder.
    folder.chmod(0o755)
    place = folder / "postgres"
    place.mkdir()
    server = PostgresServer(place)
    server.start()
    try:
        yield create_database(server.url, "bench")
    finally:
        server.stop()


@contextmanager
def served_floor(database: str, workers: int, folder: Path) -> Iterator[int]:
    """The port at which the floor answers."""
    with floor_process(database, workers, folder) as (port, _pid):
        yield port


@contextmanager
def floor_process(database: str, workers: int, folder: Path) -> Iterator[tuple[int, int]]:
    """(port, process id) of the floor."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.floor", "--database", database, "--port", str(port)]
    log = (folder / "floor.log").open("wb")
    process = subprocess.Popen(
        [*command, "--workers", str(workers), "--threads", str(THREADS)],
        cwd=Path(__file__).parent.parent, stdout=log, stderr=log,
    )  # fmt: skip
    log.close()
    try:
        _await(f"http://127.0.0.1:{port}/nothing", process)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError("the floor did not answer")
