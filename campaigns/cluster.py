"""Processes of the system side by side on one PostgreSQL: each started, killed, stopped and continued by its name.

Guarantee: nothing that was started here outlives `close`, nor the process that started it.
"""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from campaigns.home import SETTINGS
from campaigns.timing import scaled
from campaigns.zygote import Birth, Child, Zygote
from oms_app.bootstrap import Services, build_services
from oms_app.config import load_settings
from oms_app.store import migrate
from oms_sim_broker.link import ENDPOINT_FILE, Endpoint
from tests.services.postgres import PostgresServer, create_database
from tests.services.server_process import free_port, new_run_folder, remove_folder

READY_S = 60.0
STOP_S = 20.0
KEEP = "OMS_CAMPAIGN_KEEP"
"""When this variable is set the folder with all logs stays."""


class NotWell(Exception):
    """A process ended by itself, or the system did not become well in time."""


class Member(msgspec.Struct, frozen=True):
    """A process that was started, the first of its process group; port: where it answers, if it does."""

    name: str
    role: str
    port: int
    child: Child


class Cluster:
    """One home, one database, any number of processes."""

    def __init__(self, folder: Path, postgres: PostgresServer, *, plant: str = "", **settings: str) -> None:
        self.folder = folder
        self.postgres = postgres
        self.members: dict[str, Member] = {}
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("OMS_")}
        self.env |= {**SETTINGS, **settings, "OMS_HOME": str(folder / "home"), "OMS_SECRET_KEY": "campaign-" * 5}
        self.env |= {"OMS_DATABASE_URL": create_database(postgres.url, "campaign"), "OMS_API_WORKERS": "1"}
        self.plant = plant
        self._zygote = Zygote(folder / "zygote.log")
        self._broker: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        """OMS_HOME of all processes."""
        return self.folder / "home"

    @contextmanager
    def services(self) -> Iterator[Services]:
        """The wired system in this process, for preparing and looking on; without any planted defect."""
        made = build_services(load_settings(self.env))
        try:
            yield made
        finally:
            made.close()

    def migrate(self) -> None:
        """Make every table."""
        migrate.upgrade(load_settings(self.env).migrate_database_url)

    def start(self, name: str, role: str, **variables: str) -> Member:
        """Start `oms role`; again under the same name on the same port."""
        before = self.members.get(name)
        port = before.port if before is not None else free_port()
        env = {**self.env, "OMS_PORT": str(port), **variables}
        birth = Birth(role, env, str(self.folder / f"{name}.log"), seed=port, plant=self.plant)
        member = Member(name, role, port, self._zygote.start(birth))
        self.members[name] = member
        return member

    def start_broker(self, config: Mapping[str, object]) -> None:
        """Start the simulated broker in the same home; again under the same port and with its ledger."""
        path = self.home / "sim_broker.json"
        path.write_bytes(msgspec.json.encode(config))
        (self.home / ENDPOINT_FILE).unlink(missing_ok=True)
        command = [sys.executable, "-m", "oms_sim_broker.server", "--home", str(self.home), "--config", str(path)]
        with (self.folder / "broker.log").open("ab") as log:
            self._broker = subprocess.Popen(
                [*command, "--exit-with-pid", str(os.getpid())],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.wait((self.home / ENDPOINT_FILE).exists, "the simulated broker listens")

    def kill_broker(self) -> None:
        """kill -9 of the simulated broker."""
        if self._broker is not None:
            self._broker.kill()
            self._broker.wait()

    def kill(self, name: str) -> None:
        """kill -9 of the process and its children, as in a power cut."""
        member = self.members[name]
        member.child.signal(signal.SIGKILL, group=True)
        if self._zygote.await_end(member.child) is None:
            raise NotWell(f"{name} outlives kill -9")

    def stop(self, name: str) -> None:
        """Let it stand still, mid-instruction."""
        self.members[name].child.signal(signal.SIGSTOP, group=True)

    def end(self, name: str, limit_s: float = STOP_S) -> float | None:
        """Ask it to end, as Ctrl-C does; the seconds that it took, or None when it goes on after the limit."""
        began = time.monotonic()
        self.members[name].child.signal(signal.SIGTERM)
        ended = self._zygote.await_end(self.members[name].child, limit_s)
        return None if ended is None else time.monotonic() - began

    def verify(self) -> str:
        """What `oms verify` complains of; empty when every row agrees with its log."""
        done = subprocess.run(
            [sys.executable, "-m", "oms_app.cli.main", "verify"],
            env=self.env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return "" if done.returncode == 0 else f"`oms verify` ended with {done.returncode}: {done.stderr[-500:]}"

    def broker_endpoint(self) -> Endpoint:
        """Where the simulated broker listens now. Raises OSError while it does not."""
        try:
            return msgspec.json.decode((self.home / ENDPOINT_FILE).read_bytes(), type=Endpoint)
        except msgspec.DecodeError as error:
            raise OSError(str(error)) from None

    def go_on(self, name: str) -> None:
        """Continue one that stands still."""
        self.members[name].child.signal(signal.SIGCONT, group=True)

    def is_alive(self, name: str) -> bool:
        """Whether its main process runs or stands still."""
        return name in self.members and self.members[name].child.end is None

    def answers(self, name: str) -> bool:
        """Whether the API of this name answers now."""
        return _answers(self.members[name].port, "/api/v1/health/live")

    def await_api(self, name: str, path: str = "/api/v1/health/live") -> None:
        """Return once it answers. Raises NotWell."""
        member = self.members[name]
        self.wait(lambda: _answers(member.port, path), f"{name} answers", of=name)

    def wait(self, condition: Callable[[], bool], what: str, *, seconds: float = READY_S, of: str = "") -> None:
        """Return once the condition holds. Raises NotWell when it does not, or the process `of` ends, in time."""
        deadline = time.monotonic() + scaled(seconds)
        while not condition():
            if of and not self.is_alive(of):
                raise NotWell(f"{of} ended: {self.last_words(of)}")
            if time.monotonic() > deadline:
                raise NotWell(f"not within {scaled(seconds):g} s: {what}")
            time.sleep(0.02)

    def last_words(self, name: str) -> str:
        """The end of what a process said."""
        log = self.folder / f"{name}.log"
        return log.read_text(errors="replace")[-1500:] if log.exists() else ""

    def close(self) -> None:
        """End everything, in order where that is possible."""
        for member in self.members.values():
            member.child.signal(signal.SIGCONT, group=True)
            member.child.signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        for member in self.members.values():
            self._zygote.await_end(member.child, max(0.1, deadline - time.monotonic()))
        self.kill_broker()
        self._zygote.close()


@contextmanager
def cluster(*, plant: str = "", **settings: str) -> Iterator[Cluster]:
    """A migrated cluster without processes on a PostgreSQL server of its own; everything is gone afterwards."""
    folder = new_run_folder()
    folder.chmod(0o755)  # PostgreSQL's user must reach its own folder below
    (folder / "postgres").mkdir()
    (folder / "home").mkdir(mode=0o700)
    postgres = PostgresServer(folder / "postgres")
    postgres.start()
    try:
        made = Cluster(folder, postgres, plant=plant, **settings)
        made.migrate()
        try:
            yield made
        finally:
            made.close()
    finally:
        postgres.stop()
        if KEEP in os.environ:
            print(f"the logs are kept in {folder}", file=sys.stderr)
        else:
            remove_folder(folder)


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
