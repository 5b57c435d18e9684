"""A log in, lines of JSON or CSV out, one by one: rows exactly as stored, so that anybody can check them elsewhere.

An export of every row can be verified; one that was filtered says so in its first line and cannot. Cells that a
spreadsheet would take for a formula are written with an apostrophe before them.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from oms_app.flow.audit_trail import AuditEntry, AuditTrail, entries
from oms_app.flow.csv_text import harmless
from oms_app.store import audit_index, audit_rows
from oms_app.store.audit_index import AuditFilter
from oms_app.store.audit_verifier import COLUMNS, EXPORT_FORMAT
from oms_app.store.sql_store import SqlStore
from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import RowsUnit, UnknownLedger
from oms_kernel.domain.errors import KernelError
from oms_kernel.domain.ids import LedgerId, TenantId

BESIDE = (
    "action", "actor", "on_behalf_of", "object_type", "object_id", "request_id", "decision", "address", "agent", "note",
)  # fmt: skip
"""What stands behind the columns of the log, for people; it is not part of what is hashed."""
PAGE = 500


class Format(StrEnum):
    """How an export is written."""

    JSONL = "jsonl"
    CSV = "csv"


class Range(msgspec.Struct, frozen=True):
    """Which rows: from a seq to a seq, both included; None to the end as it is now."""

    from_seq: int = 1
    to_seq: int | None = None


class Exporter:
    """Writes exports. Each page is read for itself: rows of a log never change."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._trail = AuditTrail(store)

    def lines(
        self,
        tenant_id: TenantId,
        ledger_id: LedgerId,
        form: Format,
        rows: Range = Range(),  # noqa: B008
        wanted: AuditFilter = AuditFilter(),  # noqa: B008
    ) -> Iterator[bytes]:
        """The export, line by line. wanted: a filter makes it one that cannot be verified. Raises UnknownLedger."""
        if not wanted.is_empty:
            self._trail.catch_up(tenant_id)
        with self._store.read_unit(tenant_id) as unit:
            head = audit_rows.head(unit, tenant_id, ledger_id)
            if head is None:
                raise UnknownLedger(ledger_id)
            first, last = rows.from_seq, min(rows.to_seq or head.seq, head.seq)
            if wanted.since is not None:
                first = max(first, audit_rows.seq_at(unit, tenant_id, ledger_id, wanted.since) + 1)
            if wanted.before is not None:
                last = min(last, audit_rows.seq_at(unit, tenant_id, ledger_id, wanted.before))
            before = audit_rows.hash_at(unit, tenant_id, ledger_id, first - 1) if first > 1 else None
        # Times cut the log at its ends only, which leaves a whole part of the chain.
        wanted = msgspec.structs.replace(wanted, since=None, before=None)
        header = {
            "format": EXPORT_FORMAT,
            "tenant_id": tenant_id,
            "ledger_id": ledger_id,
            "from_seq": first,
            "to_seq": max(last, first - 1),
            "is_end": last >= head.seq,
            "complete": wanted.is_empty,
            "before_hash": before.hex() if before is not None else "",
        }
        return self._written(header, form, wanted)

    def _written(self, header: dict[str, Any], form: Format, wanted: AuditFilter) -> Iterator[bytes]:
        tenant_id, ledger_id = TenantId(header["tenant_id"]), LedgerId(header["ledger_id"])
        if form is Format.JSONL:
            yield msgspec.json.encode(header) + b"\n"
        else:
            yield _csv_line([*COLUMNS, *BESIDE])
        after, last = header["from_seq"] - 1, header["to_seq"]
        while after < last:
            with self._store.read_unit(tenant_id) as unit:
                limit = min(PAGE, last - after)
                if wanted.is_empty:
                    rows = audit_rows.rows_after(unit, tenant_id, ledger_id, after, limit)
                else:
                    seqs = audit_index.seqs_after(unit, wanted, ledger_id, after, limit)
                    rows = audit_index.log_rows(unit, ledger_id, seqs)
                told = _told(unit, tenant_id, rows)
            if not rows:
                return
            after = rows[-1].seq
            for row, entry in zip(rows, told, strict=True):
                if row.seq > last:
                    return
                yield _line(row, entry, form)


def _told(unit: RowsUnit, tenant_id: TenantId, rows: Sequence[AnyRow]) -> list[AuditEntry | None]:
    """What each row tells; None for one that was tampered with until it cannot be read: it is exported all the same."""
    try:
        return [*entries(unit, tenant_id, rows)]
    except (msgspec.MsgspecError, KernelError):
        return [None] if len(rows) == 1 else [one for row in rows for one in _told(unit, tenant_id, [row])]


def _line(row: AnyRow, entry: AuditEntry | None, form: Format) -> bytes:
    stored = audit_rows.exported(row)._asdict()
    beside = {name: getattr(entry, name, "") for name in BESIDE}
    if form is Format.JSONL:
        return msgspec.json.encode({**stored, **beside}) + b"\n"
    return _csv_line([*stored.values(), *beside.values()])


def _csv_line(cells: list[Any]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow([harmless(str(cell)) for cell in cells])
    return line.getvalue().encode()
