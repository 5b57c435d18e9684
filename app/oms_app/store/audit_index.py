"""The log in, one narrow search row for each event out, behind the order path; and the rows that a search asks for.

Guarantee: what is indexed is a gap-free beginning of the log, so that a search over an index that reached the head has
seen every event.
"""

import base64
import binascii
import uuid
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Select, bindparam, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from oms_app.store import audit_rows
from oms_app.store.queries import InvalidCursor
from oms_app.store.rows import scope_of
from oms_app.store.tables import AUDIT_ENTRIES, EVENT_LOG
from oms_app.store.types import AnyRow, instant_from_text, instant_to_text
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.events import EVENT_CLASSES, AdminActed
from oms_kernel.domain.ids import LedgerId, TenantId

LONGEST_OBJECT = 200
LONGEST_TYPE = 40
LONGEST_WORD = 100
_OBJECTS = (
    ("order_id", "order"),
    ("alert_id", "alert"),
    ("break_id", "break"),
    ("liquidation_id", "liquidation"),
    ("switch_id", "kill_switch"),
    ("breach_id", "breach"),
    ("plugin", "plugin"),
    ("account_id", "account"),
)
"""The field of an event that names what it is about, and what that is called; the first that is there counts."""
_OWN_ID = {
    "alert_raised": "alert",
    "break_found": "break",
    "limit_breached": "breach",
    "kill_switch_activated": "kill_switch",
    "liquidation_started": "liquidation",
}
"""Kinds of events whose own id is that of what they began."""
_KINDS = frozenset(cls.kind for cls in EVENT_CLASSES)
_FIELDS = msgspec.json.Decoder(dict[str, Any])


class AuditFilter(msgspec.Struct, frozen=True):
    """What a search lets through; None lets everything. `before` is excluded.

    action: an administrative action, or a kind of event. allowed_accounts: only what concerns these accounts.
    """

    actor: str | None = None
    action: str | None = None
    kind: str | None = None
    object_type: str | None = None
    object_id: str | None = None
    account_id: str | None = None
    order_id: str | None = None
    request_id: str | None = None
    since: datetime | None = None
    before: datetime | None = None
    ledger_id: str | None = None
    allowed_accounts: frozenset[str] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether everything passes."""
        return self == AuditFilter()


class Found(NamedTuple):
    """A page of a search, newest first: rows of the log, and the cursor of the next page."""

    rows: list[AnyRow]
    next_cursor: str | None
    total_count: int | None


def indexed_to(unit: RowsUnit, ledger_id: LedgerId) -> int:
    """The last seq that searches see."""
    last: int | None = unit.connection.scalar(
        select(func.max(AUDIT_ENTRIES.c.seq)).where(
            AUDIT_ENTRIES.c.tenant_id == scope_of(unit), AUDIT_ENTRIES.c.ledger_id == ledger_id
        )
    )
    return last or 0


def extend(unit: RowsUnit, ledger_id: LedgerId, limit: int = audit_rows.PAGE) -> int:
    """How many more events searches see now, at most `limit`; two that do this at once do no harm."""
    tenant_id = scope_of(unit)
    rows = audit_rows.rows_after(unit, tenant_id, ledger_id, indexed_to(unit, ledger_id), limit)
    if rows:
        insert = postgres_insert if unit.connection.dialect.name == "postgresql" else sqlite_insert
        entries = [_entry(tenant_id, row) for row in rows]
        unit.connection.execute(insert(AUDIT_ENTRIES).on_conflict_do_nothing(), entries)
    return len(rows)


def search(
    unit: RowsUnit, wanted: AuditFilter, limit: int, cursor: str | None = None, *, with_total: bool = False
) -> Found:
    """The next rows of the log that pass, newest first. Raises InvalidCursor."""
    entries = AUDIT_ENTRIES.c
    order = (entries.recorded_at, entries.ledger_id, entries.seq)
    query = _passing(scope_of(unit), wanted)
    some = query.order_by(*(column.desc() for column in order)).limit(limit + 1)
    if cursor is not None:
        some = some.where(tuple_(*order) < tuple_(*_behind(cursor)))
    keys = unit.connection.execute(some).all()
    following = None
    if len(keys) > limit:
        keys = keys[:limit]
        following = _cursor(keys[-1])
    total = unit.connection.scalar(select(func.count()).select_from(query.subquery())) if with_total else None
    return Found(_log_rows(unit, keys), following, total)


def seqs_after(unit: RowsUnit, wanted: AuditFilter, ledger_id: LedgerId, after_seq: int, limit: int) -> list[int]:
    """The next seqs of one ledger that pass, oldest first."""
    query = _passing(scope_of(unit), wanted).where(
        AUDIT_ENTRIES.c.ledger_id == ledger_id, AUDIT_ENTRIES.c.seq > after_seq
    )
    ordered = query.order_by(AUDIT_ENTRIES.c.seq).limit(limit)
    return [row.seq for row in unit.connection.execute(ordered)]


def log_rows(unit: RowsUnit, ledger_id: LedgerId, seqs: list[int]) -> list[AnyRow]:
    """These rows of one ledger's log, oldest first."""
    query = select(EVENT_LOG).where(
        EVENT_LOG.c.tenant_id == scope_of(unit), EVENT_LOG.c.ledger_id == ledger_id, EVENT_LOG.c.seq.in_(seqs)
    )
    return list(unit.connection.execute(query.order_by(EVENT_LOG.c.seq)))


def _log_rows(unit: RowsUnit, keys: Any) -> list[AnyRow]:
    by_ledger: dict[str, list[int]] = {}
    for key in keys:
        by_ledger.setdefault(key.ledger_id, []).append(key.seq)
    found = {
        (row.ledger_id, row.seq): row
        for ledger_id, seqs in by_ledger.items()
        for row in log_rows(unit, LedgerId(ledger_id), seqs)
    }
    return [found[key.ledger_id, key.seq] for key in keys if (key.ledger_id, key.seq) in found]


def _passing(tenant_id: TenantId, wanted: AuditFilter) -> Select[Any]:
    entries = AUDIT_ENTRIES.c
    query = select(entries.recorded_at, entries.ledger_id, entries.seq).where(entries.tenant_id == tenant_id)
    for name in ("actor", "kind", "account_id", "order_id", "request_id", "ledger_id"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(entries[name] == value)
    if wanted.action is not None:
        query = query.where((entries.kind if wanted.action in _KINDS else entries.action) == wanted.action)
    if wanted.object_type is not None:
        query = query.where(_of_type(wanted.object_type))
    if wanted.object_id is not None:
        query = query.where(_of_object(wanted.object_id))
    if wanted.allowed_accounts is not None:
        query = query.where(entries.account_id.in_(sorted(wanted.allowed_accounts)))
    if wanted.since is not None:
        query = query.where(entries.recorded_at >= wanted.since)
    if wanted.before is not None:
        query = query.where(entries.recorded_at < wanted.before)
    return query


def _of_type(object_type: str) -> ColumnElement[bool]:
    entries = AUDIT_ENTRIES.c
    if object_type == "order":
        return entries.order_id.is_not(None)
    if object_type == "account":
        return entries.account_id.is_not(None)
    return entries.object_type == object_type


def _of_object(object_id: str) -> ColumnElement[bool]:
    entries = AUDIT_ENTRIES.c
    try:
        known = str(uuid.UUID(object_id))
    except ValueError:
        return entries.object_id == object_id
    return or_(entries.object_id == object_id, entries.order_id == known, entries.account_id == known)


def _entry(tenant_id: TenantId, row: AnyRow) -> dict[str, Any]:
    fields = _FIELDS.decode(row.payload)
    object_type, object_id = about(row, fields)
    # The columns of order and account name these already.
    said = (object_type, object_id) in (("order", row.order_id), ("account", row.account_id))
    return {
        "tenant_id": tenant_id,
        "ledger_id": row.ledger_id,
        "seq": row.seq,
        "recorded_at": row.recorded_at,
        "kind": row.kind,
        "action": str(fields["action"])[:LONGEST_WORD] if row.kind == AdminActed.kind else None,
        "actor": str(fields.get("principal") or "")[:LONGEST_WORD] or None,
        "object_type": None if said else object_type[:LONGEST_TYPE],
        "object_id": None if said else object_id[:LONGEST_OBJECT],
        "account_id": row.account_id,
        "order_id": row.order_id,
        "request_id": fields.get("request_id") or None,
    }


def about(row: AnyRow, fields: dict[str, Any]) -> tuple[str, str]:
    """(type, id) of what an event is about."""
    if row.kind == AdminActed.kind:
        return str(fields["object_type"]), str(fields["object_id"])
    if row.kind in _OWN_ID:
        return _OWN_ID[row.kind], row.event_id
    for name, kind in _OBJECTS:
        if fields.get(name):
            return kind, str(fields[name])
    return "ledger", row.ledger_id


def _cursor(key: AnyRow) -> str:
    text = f"{instant_to_text(key.recorded_at)} {key.ledger_id} {key.seq}"
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _behind(cursor: str) -> tuple[Any, Any, Any]:
    """The key behind a cursor, as bound values of the columns' types. Raises InvalidCursor."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        at, ledger_id, seq = text.split(" ")
        values = (instant_from_text(at), str(uuid.UUID(ledger_id)), int(seq))
    except (ValueError, OverflowError, binascii.Error):
        raise InvalidCursor("the cursor is not one of this list") from None
    if not 0 <= values[2] < 2**63:
        raise InvalidCursor("the cursor is not one of this list")
    entries = AUDIT_ENTRIES.c
    columns = (entries.recorded_at, entries.ledger_id, entries.seq)
    bound = (bindparam(None, value, type_=column.type) for value, column in zip(values, columns, strict=True))
    first, second, third = bound
    return first, second, third
