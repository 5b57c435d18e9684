"""The file of cancels that a session sends before it can record them: appended and on disk before the first byte.

Guarantee: what `append` returned from survives a kill -9 of the session; the next owner on this host books it. An
entry leaves the file only after the transaction that booked it.
"""

import fcntl
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import structlog

from oms_app.flow.early_cancels import EarlyCancel
from oms_kernel.domain.ids import ConnectionId

log = structlog.get_logger(__name__)


class CancelJournal:
    """The journal of one connection in `folder`. Blocking; processes of one host may share it."""

    def __init__(self, folder: Path, connection_id: ConnectionId) -> None:
        self._folder = folder
        self._path = folder / f"{connection_id}.jsonl"
        self._decoder = msgspec.json.Decoder(EarlyCancel)

    @property
    def exists(self) -> bool:
        """Whether something may not be booked yet."""
        return self._path.exists()

    def append(self, entries: Sequence[EarlyCancel]) -> None:
        """The entries are on disk when this returns. Raises OSError."""
        lines = b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
        with self._locked():
            with open(os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "ab") as file:
                if self._ends_torn():
                    file.write(b"\n")
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            self._sync_folder()

    def pending(self) -> list[EarlyCancel]:
        """What is not booked yet. A last line that was cut off was never sent and counts as absent."""
        if not self._path.exists():
            return []
        with self._locked():
            return self._read()

    def settle(self, entry_ids: Collection[str]) -> None:
        """These entries are booked: the file forgets them."""
        if not entry_ids or not self._path.exists():
            return
        with self._locked():
            left = [entry for entry in self._read() if entry.entry_id not in entry_ids]
            if not left:
                self._path.unlink(missing_ok=True)
                return
            fresh = self._path.with_suffix(".new")
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(b"".join(msgspec.json.encode(entry) + b"\n" for entry in left))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)

    def _read(self) -> list[EarlyCancel]:
        entries: list[EarlyCancel] = []
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        for number, line in enumerate(lines, 1):
            if not line:
                continue
            try:
                entries.append(self._decoder.decode(line))
            except msgspec.MsgspecError as error:
                log.error("journal_line_not_read", path=str(self._path), line=number, error=str(error))
        return entries

    def _ends_torn(self) -> bool:
        """Whether somebody died while appending the last line."""
        data = self._path.read_bytes()
        return bool(data) and not data.endswith(b"\n")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
