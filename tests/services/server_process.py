"""Run a server as a child process on loopback; it never outlives the process that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
RUN_PREFIX = "oms-test-"


class ServiceUnavailable(Exception):
    """A service could not be had; the text says why and what would help."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(ready: Callable[[], bool], *, timeout_s: float, what: str) -> None:
    """Return as soon as `ready()` holds. Raises ServiceUnavailable after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            raise ServiceUnavailable(f"{what} was not ready after {timeout_s:g} s")
        time.sleep(0.02)


def new_run_folder(root: Path | None = None) -> Path:
    """A new temporary folder of this process; those of processes that died are removed on the way.

    root: where, the folder for temporary files by default.
    """
    root = root or Path(tempfile.gettempdir())
    for old in root.glob(f"{RUN_PREFIX}*"):
        owner = old.name.removeprefix(RUN_PREFIX).partition("-")[0]
        if owner.isdigit() and not _alive(int(owner)):
            remove_folder(old)
    return Path(tempfile.mkdtemp(prefix=f"{RUN_PREFIX}{os.getpid()}-", dir=root))


def remove_folder(folder: Path) -> None:
    """Remove `folder` and what is in it, as far as that is ours."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


class ServerProcess:
    """One child process; `stop` ends it, and on Linux the kernel does so when this process dies."""

    def __init__(
        self, command: Sequence[str], *, log: Path, stop_signal: signal.Signals, user: str | None = None
    ) -> None:
        self.log = log
        self._stop_signal = stop_signal
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                user=user,
                extra_groups=[] if user else None,
                start_new_session=True,  # Ctrl-C reaches pytest only, which stops its servers in order
                preexec_fn=_die_with_parent(stop_signal),
            )

    @property
    def pid(self) -> int:
        """The operating system's id of the process."""
        return self._process.pid

    def ended(self) -> bool:
        """Whether the process is over."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()

    def stop(self, timeout_s: float = 10) -> None:
        """End it with its own stop signal, with SIGKILL after `timeout_s`. Safe to repeat."""
        if self.ended():
            return
        self._process.send_signal(self._stop_signal)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def last_words(self) -> str:
        """The end of its log, for the message of an error."""
        return self.log.read_text(errors="replace")[-1500:].strip()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _die_with_parent(stop_signal: signal.Signals) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def in_the_child() -> None:
        # After setuid, which clears it. The signal comes when the thread that forked ends: start servers
        # from the main thread.
        prctl(PR_SET_PDEATHSIG, int(stop_signal), 0, 0, 0)

    return in_the_child
