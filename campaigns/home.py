"""One home with `oms run` in it: start, find its processes by that home, kill any of them, wait until it is well."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from campaigns.books import present_session
from oms_app.lifeline import PROCESSES
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import StoreUnavailable
from tests.services.server_process import free_port

SUPERVISOR = "supervisor"
GROUP = "group"
TARGETS = (SUPERVISOR, GROUP, *PROCESSES)
READY_S = 60.0
GONE_S = 10.0
PLANTED = Path(__file__).parent / "planted"
SETTINGS = {
    "OMS_LEASE_S": "2",
    "OMS_MAXIMUM_PAUSE_S": "0.5",
    "OMS_ACK_TIMEOUT_FACTOR": "0.2",
    "OMS_SEND_WINDOW_S": "5",
    "OMS_QUOTE_MAX_AGE_S": "300",
    "OMS_RATE_LIMIT_PER_S": "100000",
    "OMS_RATE_LIMIT_BURST": "100000",
    "OMS_ARGON2_MEMORY_KIB": "1024",
    "OMS_ARGON2_TIME_COST": "1",
    "OMS_LOG_LEVEL": "warning",
}
"""Every pause is short, so that many kills take little time; what is checked does not depend on them."""


class Stuck(Exception):
    """The system did not become well in time."""


class Proc(msgspec.Struct, frozen=True):
    """A live process of the home; name: which of TARGETS it belongs to."""

    pid: int
    parent: int
    name: str


class Home:
    """A home and the supervisor that this campaign started in it."""

    def __init__(self, folder: Path, *, database_url: str = "", plant: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("OMS_")}
        self.env |= {**SETTINGS, "OMS_HOME": str(folder), "OMS_PORT": str(self.port), "OMS_STREAM_PORT": "0"}
        if database_url:
            self.env |= {"OMS_DATABASE_URL": database_url, "OMS_SECRET_KEY": "campaign-" * 5}
        if plant:
            self.env |= {"OMS_CAMPAIGN_PLANT": plant, "PYTHONPATH": str(PLANTED)}
        self.database_url = database_url or f"sqlite:///{folder}/oms.db"
        self.store = SqlStore(self.database_url, pool_size=2)
        """For looking on."""
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._dead_token = 0

    def start(self) -> None:
        """Start `oms run`."""
        with (self.folder / "campaign.log").open("ab") as log:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-m", "oms_app.cli.main", "run", "--port", str(self.port)],
                env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def await_ready(self) -> None:
        """Return once every process lives and the API says that it is ready. Raises Stuck."""
        deadline = time.monotonic() + READY_S
        while not self._is_ready():
            if self._supervisor is None or self._supervisor.poll() is not None:
                raise Stuck(f"the supervisor ended: {self.last_words()}")
            if time.monotonic() > deadline:
                raise Stuck(f"not ready after {READY_S:g} s; alive: {sorted({one.name for one in self.processes()})}")
            time.sleep(0.05)

    def stop(self) -> int:
        """Stop it in order, as Ctrl-C does; the exit code."""
        if self._supervisor is None:
            return 0
        self._supervisor.send_signal(signal.SIGINT)
        try:
            return self._supervisor.wait(60)
        except subprocess.TimeoutExpired:
            self.kill_everything()
            return -1

    def kill(self, target: str, pick: float) -> None:
        """kill -9 one process of a target, chosen by `pick` in [0, 1), or all of the home at once."""
        if target in (SUPERVISOR, GROUP, "session"):
            self._dead_token = present_session(self.store).token
        if target == GROUP:
            self.kill_everything()
            return
        mine = sorted((one for one in self.processes() if one.name == target), key=lambda one: one.pid)
        if mine:
            _signal(mine[int(pick * len(mine))].pid, signal.SIGKILL)
        if target == SUPERVISOR and self._supervisor is not None:
            self._supervisor.wait()

    def kill_everything(self) -> None:
        """kill -9 every process of the home; none of them sees another one's end before its own."""
        alive = self.processes()
        for one in alive:
            _signal(one.pid, signal.SIGSTOP)
        for one in alive:
            _signal(one.pid, signal.SIGKILL)
        if self._supervisor is not None:
            self._supervisor.wait()

    def await_gone(self) -> list[Proc]:
        """What is left of the home's processes after a while; nothing, when no orphan goes on."""
        deadline = time.monotonic() + GONE_S
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def processes(self) -> list[Proc]:
        """Every live process that was given this home, zombies left out."""
        found: dict[int, tuple[int, str]] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            told = _told(entry, self.folder)
            if told is not None:
                found[int(entry.name)] = told
        return [Proc(pid, parent, _name(pid, found)) for pid, (parent, _) in found.items()]

    def last_words(self) -> str:
        """The end of what `oms run` said."""
        log = self.folder / "campaign.log"
        return log.read_text(errors="replace")[-1500:] if log.exists() else ""

    def _is_ready(self) -> bool:
        if not {SUPERVISOR, *PROCESSES} <= {one.name for one in self.processes()}:
            return False
        if not self._has_new_session():
            return False
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/api/v1/health/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _has_new_session(self) -> bool:
        """Whether a session is ready that was not killed."""
        try:
            session = present_session(self.store)
        except StoreUnavailable:
            return False
        return session.is_ready and session.token > self._dead_token

    def facts(self) -> dict[str, str]:
        """What demo.json says."""
        facts: dict[str, str] = json.loads((self.folder / "demo.json").read_text())
        return facts


def _told(entry: Path, folder: Path) -> tuple[int, str] | None:
    """(parent, command line) of a process of the home, or None."""
    try:
        variables = (entry / "environ").read_bytes().split(b"\0")
        if f"OMS_HOME={folder}".encode() not in variables:
            return None
        command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
    except (OSError, ValueError):
        return None
    return None if state == "Z" else (int(parent), command)


def _name(pid: int, found: dict[int, tuple[int, str]]) -> str:
    """Which target a process belongs to: by its own command line, else by its nearest named ancestor's."""
    while pid in found:
        parent, command = found[pid]
        if "oms_sim_broker" in command or "oms-sim-broker" in command:
            return "sim_broker"
        words = command.split()
        if "oms_app.cli.main" in words:
            role = words[words.index("oms_app.cli.main") + 1]
            return SUPERVISOR if role == "run" else role
        pid = parent
    return "orphan"


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
