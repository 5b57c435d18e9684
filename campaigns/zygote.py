"""One process that has imported everything and forks the processes of the system on demand: a start takes 0.1 s.

The driver talks to it over a socket: a line of JSON asks for a process, a line answers with its id, and a line tells of
each end. What runs after the fork is the main function of `oms api`, `oms session` and so on, with an environment, a
log and a working directory of its own; no connection, thread or lock exists before the fork. Only the worker process
of `oms api` is forked too, where production spawns it.
"""

import json
import multiprocessing
import os
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from campaigns import clocks, failpoints, plants
from oms_app.config import Settings, load_settings
from oms_app.lifeline import Pulse, die_with_parent
from oms_app.logs import configure_logging
from oms_kernel.watchdog import Watchdog

READY = b"ready\n"
END_LIMIT_S = 20.0
CHECKPOINT = "checkpoint"
"""A role that is none of the system's: it checkpoints SQLite until it dies of an alarm."""


class Birth(msgspec.Struct, frozen=True):
    """What the zygote is asked for. point: a failpoint, or empty; tuning: `module:NAME` -> a pause in seconds.

    factor: how much longer a plugin may take before it counts as hung; on a busy machine it waits for its turn.
    """

    role: str
    env: dict[str, str]
    log: str
    seed: int
    point: str = ""
    passes: int = 1
    plant: str = ""
    tuning: dict[str, float] = {}
    factor: float = 1.0


class Ended(msgspec.Struct, frozen=True):
    """The end of a process. point: the failpoint at which it killed itself, or empty."""

    pid: int
    status: int
    point: str


class Child:
    """A forked process, known by itself and not by its number: another one may have the number once it ended.

    end: how it ended, or None while it lives.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.end: Ended | None = None

    def signal(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send it a signal, or with it all that it forked; one that ended gets none."""
        if self.end is not None:
            return
        if group:
            with suppress(ProcessLookupError):  # so young that it leads no group yet, or gone
                os.killpg(self.pid, number)
                return
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


class Zygote:
    """The driver's side; thread-safe. `close` ends it and, by the kernel, all that it forked."""

    def __init__(self, log: Path) -> None:
        ours, theirs = socket.socketpair()
        with theirs, log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "campaigns.zygote", str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                cwd=Path(__file__).parent.parent, start_new_session=True,
                env={name: value for name, value in os.environ.items() if not name.startswith("OMS_")},
            )  # fmt: skip
        self._socket = ours
        self._lines = ours.makefile("rb")
        self._asking = threading.Lock()
        self._told = threading.Condition()
        self._born: list[Child] = []
        self._living: dict[int, Child] = {}
        if self._lines.readline() != READY:
            raise RuntimeError(f"the zygote did not start: {log.read_text()[-1500:]}")
        threading.Thread(target=self._listen, name="zygote", daemon=True).start()

    def start(self, birth: Birth) -> Child:
        """A new process."""
        with self._asking, self._told:
            self._socket.sendall(msgspec.json.encode(birth) + b"\n")
            if not self._told.wait_for(lambda: self._born, END_LIMIT_S):
                raise RuntimeError("the zygote does not answer")
            return self._born.pop()

    def await_end(self, child: Child, limit_s: float = END_LIMIT_S) -> Ended | None:
        """How the process ended, or None when it still lives after `limit_s`."""
        with self._told:
            self._told.wait_for(lambda: child.end is not None, limit_s)
            return child.end

    def close(self) -> None:
        """End everything that is left."""
        self._process.kill()
        self._process.wait()
        self._socket.close()

    def _listen(self) -> None:
        with self._lines:
            for line in self._lines:
                self._hear(json.loads(line))

    def _hear(self, told: dict[str, Any]) -> None:
        with self._told:
            if "born" in told:
                child = self._living[told["born"]] = Child(told["born"])
                self._born.append(child)
            else:
                ended = msgspec.convert(told, Ended)
                self._living.pop(ended.pid).end = ended
            self._told.notify_all()


# The zygote's own side -------------------------------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    """Import everything, then fork on demand until the driver hangs up. arguments: descriptor, driver's process id."""
    die_with_parent(int(arguments[1]))
    driver = socket.socket(fileno=int(arguments[0]))
    mains = _import_everything()
    wake, woken = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    reports: dict[int, int] = {}
    driver.sendall(READY)
    waiting = b""
    while True:
        readable, _, _ = select.select([driver.fileno(), wake], [], [], 1.0)
        if driver.fileno() in readable:
            received = driver.recv(65536)
            if not received:
                return 0
            *lines, waiting = (waiting + received).split(b"\n")
            for line in lines:
                pid, report = _fork(msgspec.json.decode(line, type=Birth), mains, driver, (wake, woken))
                reports[pid] = report
                driver.sendall(json.dumps({"born": pid}).encode() + b"\n")
        if wake in readable:
            os.read(wake, 4096)
        for ended in _reap(reports):
            driver.sendall(msgspec.json.encode(ended) + b"\n")


def _reap(reports: dict[int, int]) -> list[Ended]:
    found = []
    while reports:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            break
        report = reports.pop(pid)
        try:
            point = os.read(report, 4096).decode().strip()
        except BlockingIOError:  # a process that it forked is just dying and has not let go of the other end
            point = ""
        os.close(report)
        found.append(Ended(pid, os.waitstatus_to_exitcode(status), point))
    return found


def _import_everything() -> Mapping[str, Callable[..., None]]:
    """The main function of each role, with all that it will import."""
    import granian  # noqa: F401
    import psycopg  # noqa: F401
    from dramatiq.brokers.redis import RedisBroker  # noqa: F401

    import oms_app.sessions.process
    import oms_app.sessions.sql_rows
    import oms_app.store.postgres_ledger_unit
    import oms_app.strategies.run
    import oms_app.strategies.server
    import oms_app.stream.server
    import oms_app.workers.server
    import oms_app.wsgi  # noqa: F401
    import oms_strategies.plugin
    from campaigns.witness import Witness
    from oms_app.bootstrap import build_services, create_app, processes
    from oms_app.flow.chores import Queue

    vars(oms_strategies.plugin)["Echo"] = Witness
    with tempfile.TemporaryDirectory() as home:
        services = build_services(load_settings({"OMS_HOME": home}))
        create_app(services)
        services.close()
    return {
        "api": processes.serve_api,
        "session": processes.serve_sessions,
        "worker": partial(processes.serve_worker, queues=tuple(Queue)),
        "stream": processes.serve_stream,
        "strategy": processes.serve_strategies,
        "sim_broker": _serve_broker,
    }


def _checkpoint(settings: Settings, told: int) -> None:
    """Checkpoint the home's SQLite again and again, until an alarm ends the process; `(` was written on the way in."""
    import sqlite3

    connection = sqlite3.connect(settings.home / "oms.db", timeout=5, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process at once, in whatever call it is
    signal.setitimer(signal.ITIMER_REAL, random.uniform(0.002, 0.15))
    while True:
        os.write(told, b"(")
        connection.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
        os.write(told, b")")


def _serve_broker(settings: Settings, pulse: Pulse) -> None:
    """`oms-sim-broker` on the home."""
    from oms_sim_broker.server import main as serve

    home = settings.home
    code = serve(["--home", str(home), "--config", str(home / "sim_broker.json"), "--port", "0"])
    if code:
        raise SystemExit(code)


def _fork(
    birth: Birth, mains: Mapping[str, Callable[..., None]], driver: socket.socket, ours: tuple[int, int]
) -> tuple[int, int]:
    """(process id, descriptor from which its failpoint can be read)."""
    report, told = os.pipe()
    os.set_blocking(report, False)
    zygote = os.getpid()
    pid = os.fork()
    if pid:
        os.close(told)
        return pid, report
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        driver.close()
        for descriptor in (report, *ours):
            os.close(descriptor)
        code = _live(birth, mains, told, zygote)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def tune(module: ModuleType, name: str, seconds: float) -> None:
    """Shorten a pause that the product keeps as a constant. Raises AttributeError when it is no more."""
    present = getattr(module, name)
    if isinstance(present, timedelta):
        setattr(module, name, timedelta(seconds=seconds))
    elif isinstance(present, tuple):
        setattr(module, name, tuple(seconds for _ in present))
    else:
        setattr(module, name, type(present)(seconds))


def _live(birth: Birth, mains: Mapping[str, Callable[..., None]], told: int, zygote: int) -> int:
    """One process of the system, until it ends by itself."""
    os.setsid()
    die_with_parent(zygote)
    log = os.open(birth.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(birth.env)
    random.seed(birth.seed)
    multiprocessing.set_start_method("fork", force=True)
    for place, seconds in birth.tuning.items():
        module, _, name = place.partition(":")
        tune(import_module(module), name, seconds)
    if clocks.VARIABLE in birth.env:
        clocks.shift(float(birth.env[clocks.VARIABLE]))
    patience = Watchdog.__init__.__kwdefaults__
    assert patience is not None
    for name in ("limit_s", "fatal_s"):
        patience[name] *= birth.factor
    if birth.plant:
        plants.plant(birth.plant)
    if birth.point:
        point = failpoints.BY_NAME[birth.point]
        failpoints.arm(point, birth.passes, failpoints.dying(told, os.getpid()))
    settings = load_settings()
    configure_logging(birth.role, settings.log_level)
    print(f"--- {time.time():.3f} {birth.role} {os.getpid()} {birth.point} {birth.passes}", flush=True)
    if birth.role == CHECKPOINT:
        _checkpoint(settings, told)
    else:
        mains[birth.role](settings, Pulse(birth.role, None))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
