"""Records in, durable lines out: nothing counts as written before `sync` has returned, and one process writes.

A last line that a crash tore is cut off: it was never synced, so nobody was told of it.
"""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from oms_sim_broker.records import AnyRecord, decoder, encoder

FILE_NAME = "sim_broker.ledger"


class LedgerLocked(Exception):
    """Another server writes this ledger; stop that one, or give this one another home."""


class CorruptLedger(Exception):
    """A line in the middle of the ledger cannot be read; restore the file from a copy."""


class Ledger(Protocol):
    """Where the broker writes down what it knows."""

    def records(self) -> Iterator[AnyRecord]:
        """Everything that was written, in order."""

    def append(self, record: AnyRecord) -> None:
        """Add a record; it is durable once a later `sync` returned."""

    def sync(self) -> None:
        """Make everything appended so far durable."""

    def close(self) -> None:
        """Sync and let go."""


class MemoryLedger:
    """A ledger that lasts as long as the process, for the test kit."""

    def __init__(self) -> None:
        self._records: list[AnyRecord] = []

    def records(self) -> Iterator[AnyRecord]:
        """Everything that was appended."""
        return iter(tuple(self._records))

    def append(self, record: AnyRecord) -> None:
        """Add a record."""
        self._records.append(record)

    def sync(self) -> None:
        """Memory is all the durability there is."""

    def close(self) -> None:
        """Nothing is held."""


class FileLedger:
    """A file of JSON lines, locked for this process. Appends gather; one sync makes all of them durable at once."""

    def __init__(self, path: Path) -> None:
        """Open or create the file, take its lock and cut a torn last line. Raises LedgerLocked and CorruptLedger."""
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise LedgerLocked(f"{path} is in use by another simulated broker") from None
        try:
            self._cut_torn_line()
            _sync_folder(path.parent)
        except BaseException:
            os.close(self._file)
            raise
        self._waiting: list[bytes] = []
        self._open = True

    def records(self) -> Iterator[AnyRecord]:
        """Everything in the file. Raises CorruptLedger."""
        return read_records(self.path)

    def append(self, record: AnyRecord) -> None:
        """Add a record to what the next sync writes."""
        self._waiting.append(encoder.encode(record))

    def take(self) -> list[bytes]:
        """The lines that wait to be written; whoever takes them writes them, one after the other."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def write(self, lines: list[bytes]) -> None:
        """Write lines and make them durable; may run in another thread than `append`, but only one at a time."""
        _write_all(self._file, b"\n".join([*lines, b""]))
        os.fdatasync(self._file)

    def sync(self) -> None:
        """Write what waits and make it durable."""
        lines = self.take()
        if lines:
            self.write(lines)

    def close(self) -> None:
        """Sync, unlock and close; may be called twice."""
        if self._open:
            self._open = False
            self.sync()
            os.close(self._file)

    def _cut_torn_line(self) -> None:
        size = os.fstat(self._file).st_size
        whole = size
        while whole:
            start = max(0, whole - 65_536)
            newline = os.pread(self._file, whole - start, start).rfind(b"\n")
            if newline >= 0:
                whole = start + newline + 1
                break
            whole = start
        if whole != size:
            os.ftruncate(self._file, whole)
            os.fsync(self._file)


def read_records(path: Path) -> Iterator[AnyRecord]:
    """The whole lines of a ledger file, without its lock; a torn last line is left out. Raises CorruptLedger."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield decoder.decode(line)
            except (msgspec.MsgspecError, ValueError) as error:
                raise CorruptLedger(f"{path}, line {number}: {error}") from None


def _sync_folder(folder: Path) -> None:
    """Make the file's name durable too."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
