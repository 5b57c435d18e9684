"""A ledger's log in the database and its checkpoints in, what was tampered with out, by the first bad seq."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from oms_app.store import audit_rows
from oms_app.store.audit_verifier import Finding, Row, check_checkpoints, check_rows, read_checkpoints
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import UnknownLedger
from oms_kernel.domain.ids import LedgerId, TenantId


class AuditReport(msgspec.Struct, frozen=True):
    """What checking one log found. checkpoints: how many were compared with the log."""

    tenant_id: TenantId
    ledger_id: LedgerId
    events: int
    checkpoints: int
    signatures: int
    first_bad_seq: int | None
    findings: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether the log is what was once recorded, as far as chain and checkpoints tell."""
        return not self.findings


def check(
    store: SqlStore, tenant_id: TenantId, ledger_id: LedgerId, checkpoints: Path, public_key: str = ""
) -> AuditReport:
    """Compare a log with its own chain, with the ledger's head and with its file of checkpoints.

    Raises UnknownLedger, StoreUnavailable, Unreadable. Rows that come while this runs are left for the next time.
    """
    with store.read_unit(tenant_id) as unit:
        head = audit_rows.head(unit, tenant_id, ledger_id)
    if head is None:
        raise UnknownLedger(ledger_id)
    points = read_checkpoints(checkpoints) if checkpoints.exists() else []
    findings, signatures = check_checkpoints(points, public_key)
    known = [point for point in points if int(point["seq"]) <= head.seq]
    result = check_rows(_rows(store, tenant_id, ledger_id, head.seq), known)
    findings += result.findings
    if not result.findings:
        findings += _end(store, tenant_id, ledger_id, head, result.last_seq)
        if len(known) < len(points):
            text = f"the log ends at seq {head.seq}; a checkpoint vouches for {points[-1]['seq']}"
            findings.append(Finding(head.seq + 1, text))
    return AuditReport(
        tenant_id=tenant_id,
        ledger_id=ledger_id,
        events=result.rows,
        checkpoints=result.checkpoints,
        signatures=signatures,
        first_bad_seq=min((finding.seq for finding in findings), default=None),
        findings=tuple(f"seq {finding.seq}: {finding.text}" for finding in findings),
    )


def _end(
    store: SqlStore, tenant_id: TenantId, ledger_id: LedgerId, head: audit_rows.Head, last_seq: int
) -> list[Finding]:
    """Whether the log ends where the ledger says."""
    if last_seq != head.seq:
        return [Finding(last_seq + 1, f"the log ends at seq {last_seq}, the ledger says {head.seq}")]
    with store.read_unit(tenant_id) as unit:
        stored = audit_rows.hash_at(unit, tenant_id, ledger_id, head.seq)
    if stored != head.hash:
        return [Finding(head.seq, "the ledger's hash is not that of its last row")]
    return []


def _rows(store: SqlStore, tenant_id: TenantId, ledger_id: LedgerId, last: int) -> Iterator[Row]:
    after = 0
    while after < last:
        with store.read_unit(tenant_id) as unit:
            page = audit_rows.rows_after(unit, tenant_id, ledger_id, after, min(audit_rows.PAGE, last - after))
        if not page:
            return
        yield from map(audit_rows.exported, page)
        after = page[-1].seq
