"""Rows of a ledger's log in, one hash for each out, where every hash covers the row and all rows before it.

hash = SHA-256(hash of the row before || canonical bytes of this row). The first row follows a hash that is made from
the ids of tenant and ledger, so that no log can take the place of another's. Changing, dropping, adding or reordering
a row changes every hash after it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

FORMAT = "oms-log-1"
"""Names the canonical form; another one gets another name."""


def genesis(tenant_id: str, ledger_id: str) -> bytes:
    """The hash that the first row of a ledger follows; 32 bytes."""
    return sha256(f"{FORMAT}\ngenesis\n{tenant_id}\n{ledger_id}".lower().encode()).digest()


def row_bytes(
    tenant_id: str,
    ledger_id: str,
    seq: int,
    event_id: str,
    kind: str,
    version: int,
    account_id: str | None,
    order_id: str | None,
    recorded_at: str,
    payload: bytes,
) -> bytes:
    """The canonical bytes of a row: its values in lines, the payload last, as it is stored.

    recorded_at: UTC, to the microsecond, as 2026-01-31T09:30:00.000000+00:00. No value but the payload can hold a line
    break, and the payload is JSON text, which holds none either: two different rows never have the same bytes.
    """
    ids = f"{tenant_id}\n{ledger_id}\n{seq}\n{event_id}".lower()
    concerned = f"{account_id or ''}\n{order_id or ''}".lower()
    return f"{FORMAT}\n{ids}\n{kind}\n{version}\n{concerned}\n{recorded_at}\n".encode() + payload


def next_hash(before: bytes, row: bytes) -> bytes:
    """The hash of a row that follows one with the hash `before`."""
    return sha256(before + row).digest()


def instant_text(at: datetime) -> str:
    """An aware instant as the canonical form has it."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def extended(
    tenant_id: str, ledger_id: str, head: bytes | None, rows: Sequence[tuple[Any, ...]]
) -> tuple[list[tuple[Any, ...]], bytes]:
    """(new rows of the log, each with its hash behind it; the hash of the last one).

    head: the hash of the last row that is stored; None for an empty log. A row is (seq, event_id, kind, version,
    account_id, order_id, recorded_at, payload as bytes); the hash is a bytearray, as binary columns are written.
    """
    present = head or genesis(tenant_id, ledger_id)
    chained = []
    told_at, at = None, ""
    for row in rows:
        seq, event_id, kind, version, account_id, order_id, recorded_at, payload = row
        if recorded_at is not told_at:  # the events of a batch have one moment
            told_at, at = recorded_at, instant_text(recorded_at)
        present = next_hash(
            present,
            row_bytes(tenant_id, ledger_id, seq, event_id, kind, version, account_id, order_id, at, payload),
        )
        chained.append((*row, bytearray(present)))
    return chained, present


def hash_of_row(before: bytes, row: Any) -> bytes:
    """The hash that a row of event_log must have when the row before it has the hash `before`."""
    return next_hash(
        before,
        row_bytes(
            row.tenant_id,
            row.ledger_id,
            row.seq,
            row.event_id,
            row.kind,
            row.version,
            row.account_id,
            row.order_id,
            instant_text(row.recorded_at),
            row.payload.encode(),
        ),
    )
