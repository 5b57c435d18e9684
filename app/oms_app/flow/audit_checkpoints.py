"""The heads of logs in, signed lines of a file outside the database out: what was recorded cannot be denied later.

Guarantee: a checkpoint is written only when the log still holds the row that the last checkpoint vouches for; lines are
added and flushed to the disk, none is changed. Whoever signs needs the key, and only the worker does.
"""

import base64
import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from oms_app.store import audit_rows, chain
from oms_app.store.audit_verifier import CHECKPOINT_FORMAT, MARK, fingerprint, signed_bytes
from oms_app.store.platform import PLATFORM
from oms_app.store.sql_store import SqlStore
from oms_kernel.domain.ids import LedgerId, TenantId

EVERY = timedelta(seconds=60)
"""A log that got longer has a checkpoint at least this often."""
AT_MOST = 1_000
"""How many records one checkpoint vouches for; so many new ones are not kept waiting."""
AT_ONCE = 50
LONGEST_LINE = 65_536
Point = dict[str, Any]


class LogDiffers(Exception):
    """The log is not the one that was vouched for: rows were changed, or an older state was restored."""

    code = "log_differs"


class Signer:
    """Signs checkpoints with one ed25519 key."""

    def __init__(self, key: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(key)
        self.public_key = self._key.public_key().public_bytes_raw().hex()

    @property
    def key_id(self) -> str:
        """The short name of the key."""
        return self.public_key[:16]

    def signed(self, point: Point) -> Point:
        """The checkpoint with key and signature."""
        named = {**point, "key_id": self.key_id, "public_key": self.public_key}
        return {**named, "signature": base64.b64encode(self._key.sign(signed_bytes(named))).decode()}


def signer_of(path: Path) -> Signer:
    """The signer whose key stands in the file (mode 0600), which is made on first use. Raises OSError, ValueError."""
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(os.urandom(32).hex())
    return Signer(bytes.fromhex(path.read_text().strip()))


class Checkpoints:
    """Writes and knows the checkpoints of all ledgers. signer is called when first needed."""

    def __init__(
        self, store: SqlStore, folder: Path, signer: Callable[[], Signer], clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._folder = folder
        self._make_signer = signer
        self._signer: Signer | None = None
        self._clock = clock
        self._last: dict[LedgerId, Point | None] = {}
        self._written_at: dict[LedgerId, datetime] = {}

    def path(self, ledger_id: LedgerId) -> Path:
        """Where the checkpoints of a ledger stand."""
        return self._folder / f"{ledger_id}.jsonl"

    def turn(self, *, at_once: bool = False) -> int:
        """How many checkpoints were written: of logs with news of a minute, or with many; at_once: with any.

        Raises LogDiffers after all other ledgers had their turn.
        """
        ledgers = [*self._store.ledgers(), PLATFORM]
        heads = self._store.heads([ledger_id for _, ledger_id in ledgers])
        written, wrong = 0, []
        for tenant_id, ledger_id in ledgers:
            if not self._is_due(ledger_id, heads.get(ledger_id, 0), at_once):
                continue
            try:
                written += self._extend(tenant_id, ledger_id)
            except LogDiffers as error:
                wrong.append(f"{ledger_id}: {error}")
        if wrong:
            raise LogDiffers("; ".join(wrong))
        return written

    def _is_due(self, ledger_id: LedgerId, head: int, at_once: bool) -> bool:
        if ledger_id not in self._last:
            self._last[ledger_id] = _last_of(self.path(ledger_id))
        last = self._last[ledger_id]
        news = head - (int(last["seq"]) if last is not None else 0)
        written_at = self._written_at.get(ledger_id)
        waited = written_at is None or self._clock() - written_at >= EVERY
        return news < 0 or (news > 0 and (at_once or news >= AT_MOST or waited))

    def _extend(self, tenant_id: TenantId, ledger_id: LedgerId) -> int:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path, written = self.path(ledger_id), 0
        with _alone(path) as file:
            last = self._last[ledger_id] = _last_of(path)
            while written < AT_ONCE:
                point = self._next(tenant_id, ledger_id, last)
                if point is None:
                    break
                file.write(json.dumps(point, sort_keys=True).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
                last = self._last[ledger_id] = point
                written += 1
        self._written_at[ledger_id] = self._clock()
        return written

    def _next(self, tenant_id: TenantId, ledger_id: LedgerId, last: Point | None) -> Point | None:
        """The checkpoint behind the last one; None when there is nothing new. Raises LogDiffers."""
        after = int(last["seq"]) if last is not None else 0
        with self._store.read_unit(tenant_id) as unit:
            known = audit_rows.hash_at(unit, tenant_id, ledger_id, after)
            rows = audit_rows.rows_after(unit, tenant_id, ledger_id, after, AT_MOST)
        if last is not None and (known is None or known.hex() != last["hash"]):
            raise LogDiffers(f"row {after} is not the one that was vouched for at {last['at']}")
        if not rows:
            return None
        present, marks = known or b"", b""
        for place, row in enumerate(rows, after + 1):
            present = chain.hash_of_row(present, row)
            if row.seq != place or row.hash != present:
                raise LogDiffers(f"row {place} is missing or was changed")
            marks += present[:MARK]
        if self._signer is None:
            self._signer = self._make_signer()
        return self._signer.signed(
            {
                "format": CHECKPOINT_FORMAT,
                "tenant_id": tenant_id,
                "ledger_id": ledger_id,
                "seq": rows[-1].seq,
                "hash": present.hex(),
                "at": chain.instant_text(self._clock()),
                "marks": base64.b64encode(marks).decode(),
                "previous": fingerprint(last) if last is not None else "",
            }
        )


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[Any]:
    """The file, to add to; one process at a time."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    with os.fdopen(descriptor, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        whole = _whole_lines(path)
        if whole != file.tell():  # the machine stopped in the middle of a line, which vouches for nothing
            file.truncate(whole)
        yield file


def _whole_lines(path: Path) -> int:
    """How many bytes of the file are whole lines."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - LONGEST_LINE)
        file.seek(start)
        return start + file.read().rfind(b"\n") + 1


def _last_of(path: Path) -> Point | None:
    """The last checkpoint of a file, None without one. Raises ValueError when the last line is none."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LONGEST_LINE))
        lines = file.read().splitlines()
    return json.loads(lines[-1]) if lines else None
