"""Tie a process to its supervisor: it dies with its parent and beats a heart in shared memory; a hung one is seen.

The heartbeat file is mapped memory, not the database: a stuck database must not look like a stuck process.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

PROCESSES = ("sim_broker", "api", "stream", "session", "strategy", "worker")
"""Who beats; the place in this tuple is the place in the file."""
BEAT_INTERVAL_S = 1.0
_PR_SET_PDEATHSIG = 1
_SLOT = struct.Struct("=qq")
_FILE_BYTES = 4096


class AlreadyRunning(Exception):
    """Another supervisor holds the home; `pid` is its process id."""

    code = "already_running"

    def __init__(self, pid: str, home: Path) -> None:
        super().__init__(f"{home} is in use by `oms run` with process id {pid}: stop that one or set another OMS_HOME")
        self.pid = pid


def die_with_parent(parent_pid: int | None = None) -> None:
    """From now on the kernel kills this process when the thread that started it ends; at once if it is gone already.

    Linux only; elsewhere a supervisor's crash leaves its children to their own leases.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if parent_pid is not None and os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def holder_name(process: str, pid: int) -> str:
    """How a process is named in leases and claims."""
    return f"{process}@{socket.gethostname()}:{pid}"


class Heartbeats:
    """The mapped file of all hearts in a home. Written by each process in its own slot, read by the supervisor."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(descriptor).st_size < _FILE_BYTES:
                os.ftruncate(descriptor, _FILE_BYTES)
            self._map = mmap.mmap(descriptor, _FILE_BYTES)
        finally:
            os.close(descriptor)

    def beat(self, name: str) -> None:
        """Write that the process is alive now; costs about a microsecond."""
        _SLOT.pack_into(self._map, PROCESSES.index(name) * _SLOT.size, time.monotonic_ns(), os.getpid())

    def clear(self, name: str) -> None:
        """Forget the heart of a process that is about to be started."""
        _SLOT.pack_into(self._map, PROCESSES.index(name) * _SLOT.size, 0, 0)

    def age_s(self, name: str) -> float | None:
        """Seconds since the last beat, or None before the first since `clear`."""
        beat_at, _pid = _SLOT.unpack_from(self._map, PROCESSES.index(name) * _SLOT.size)
        return (time.monotonic_ns() - beat_at) / 1e9 if beat_at else None

    def close(self) -> None:
        """Free the mapping."""
        self._map.close()


class Pulse:
    """The heart of one process: call `beat` from its duty loop as often as is convenient; without a file it is idle."""

    def __init__(self, name: str, path: Path | None) -> None:
        self.name = name
        self.path = path
        self._hearts = Heartbeats(path) if path else None

    def beat(self) -> None:
        """Say that the duty loop turns."""
        if self._hearts is not None:
            self._hearts.beat(self.name)

    def beat_in_thread(self) -> None:
        """Beat each second from a daemon thread, for a process whose threads all belong to a server."""
        if self._hearts is None:
            return

        def run() -> None:
            while True:
                self.beat()
                time.sleep(BEAT_INTERVAL_S)

        threading.Thread(target=run, name="heartbeat", daemon=True).start()


class HomeLock:
    """The lock of one home, held while the supervisor lives; the kernel frees it when the process dies."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._descriptor: int | None = None

    def __enter__(self) -> "HomeLock":
        """Hold the lock. Raises AlreadyRunning naming the process that holds it."""
        descriptor = os.open(self._home / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise
            raise AlreadyRunning(holder, self._home) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode("ascii"))
        self._descriptor = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
