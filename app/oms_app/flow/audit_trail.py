"""What an auditor asks in, events of the log out: who did what, from where, to which object, with which outcome.

Orders are told by the ledger's own events, everything else by administrative ones; both are found the same way. What an
erased person wrote is gone, and is shown as gone.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from oms_app.flow.audit import PERSONAL, REFUSED
from oms_app.flow.errors import FlowError
from oms_app.flow.principal import Principal
from oms_app.flow.publishing import public_event
from oms_app.store import audit_index, person_texts
from oms_app.store.audit_index import AuditFilter
from oms_app.store.log_rows import recorded_of
from oms_app.store.person_texts import Opened
from oms_app.store.platform import PLATFORM
from oms_app.store.sql_store import SqlStore
from oms_app.store.tenants import list_ledgers
from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.events import AdminActed
from oms_kernel.domain.ids import EventId, LedgerId, TenantId

MOST_PAGES = 50
"""How much of the log a search indexes by itself; a longer way is left to the worker."""
_REFUSED = frozenset({"order_denied", "replace_denied"})
ERASED = "(erased)"


class IndexBehind(FlowError):
    """The search rows of a long log are still being made: ask again in a minute; the export does not need them."""

    code = "audit_index_behind"


class AuditEntry(msgspec.Struct, frozen=True):
    """One event as an auditor sees it. address, agent and note are empty when they are not known, or erased."""

    event_id: str
    ledger_id: str
    seq: int
    recorded_at: datetime
    kind: str
    action: str
    actor: str
    on_behalf_of: str
    object_type: str
    object_id: str
    account_id: str | None
    order_id: str | None
    request_id: str
    decision: str
    address: str
    agent: str
    note: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    data: dict[str, Any]
    hash: str


class AuditPage(msgspec.Struct, frozen=True):
    """A page of entries, newest first."""

    items: list[AuditEntry]
    next_cursor: str | None
    total_count: int | None


class AuditTrail:
    """The one door for people who read the audit trail."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    def search(
        self,
        principal: Principal,
        wanted: AuditFilter,
        limit: int,
        cursor: str | None = None,
        *,
        with_total: bool = False,
    ) -> AuditPage:
        """The entries that pass, newest first; none is missing. Raises InvalidCursor, IndexBehind."""
        wanted = held_to(principal, wanted)
        self.catch_up(principal.tenant_id)
        with self._store.read_unit(principal.tenant_id) as unit:
            found = audit_index.search(unit, wanted, limit, cursor, with_total=with_total)
            return AuditPage(entries(unit, principal.tenant_id, found.rows), found.next_cursor, found.total_count)

    def catch_up(self, tenant_id: TenantId, most_pages: int = MOST_PAGES) -> None:
        """Let searches see every event of the tenant. Raises IndexBehind when that would take too long."""
        with self._store.read_unit(tenant_id) as unit:
            behind = [one for one in list_ledgers(unit) if audit_index.indexed_to(unit, one.ledger_id) < one.seq]
        for ledger in behind:
            for _ in range(most_pages):
                with self._store.tenant_unit(tenant_id) as unit:
                    if not audit_index.extend(unit, ledger.ledger_id):
                        break
            else:
                raise IndexBehind("the search rows are still being made")

    def catch_up_all(self) -> int:
        """How many events of all tenants and of the platform searches see now that they did not see before."""
        seen = 0
        for tenant_id, ledger_id in (*self._store.ledgers(), PLATFORM):
            more = 1
            while more:
                with self._store.tenant_unit(tenant_id) as unit:
                    more = audit_index.extend(unit, ledger_id)
                seen += more
        return seen

    def ledgers(self, tenant_id: TenantId) -> list[LedgerId]:
        """The tenant's ledgers, by id."""
        with self._store.read_unit(tenant_id) as unit:
            return [one.ledger_id for one in list_ledgers(unit)]


def held_to(principal: Principal, wanted: AuditFilter) -> AuditFilter:
    """The filter, narrowed to the accounts that the principal may use."""
    if principal.account_ids is None:
        return wanted
    return msgspec.structs.replace(wanted, allowed_accounts=frozenset(map(str, principal.account_ids)))


def entries(unit: RowsUnit, tenant_id: TenantId, rows: Sequence[AnyRow]) -> list[AuditEntry]:
    """Rows of the log as entries, in their order."""
    admin = [EventId(row.event_id) for row in rows if row.kind == AdminActed.kind]
    texts = person_texts.opened(unit, tenant_id, admin) if admin else {}
    return [_entry(row, texts) for row in rows]


def _entry(row: AnyRow, texts: dict[tuple[EventId, str], Opened]) -> AuditEntry:
    recorded = recorded_of(row)
    event = recorded.event
    if not isinstance(event, AdminActed):
        kind, object_id = audit_index.about(row, msgspec.to_builtins(event))
        return AuditEntry(
            event_id=row.event_id,
            ledger_id=row.ledger_id,
            seq=row.seq,
            recorded_at=row.recorded_at,
            kind=row.kind,
            action=row.kind,
            actor=getattr(event, "principal", ""),
            on_behalf_of="",
            object_type=kind,
            object_id=object_id,
            account_id=row.account_id,
            order_id=row.order_id,
            request_id=getattr(event, "request_id", ""),
            decision=REFUSED if row.kind in _REFUSED else "ALLOWED",
            address="",
            agent="",
            note="",
            before=None,
            after=None,
            data=public_event(recorded)["data"],
            hash=bytes(row.hash).hex(),
        )
    actor = texts.get((recorded.event_id, person_texts.ACTOR))
    subject = texts.get((recorded.event_id, person_texts.SUBJECT))
    told = _values(actor, event.actor_hash, ("address", "agent", "note"))
    return AuditEntry(
        event_id=row.event_id,
        ledger_id=row.ledger_id,
        seq=row.seq,
        recorded_at=row.recorded_at,
        kind=row.kind,
        action=event.action,
        actor=event.principal,
        on_behalf_of=event.on_behalf_of,
        object_type=event.object_type,
        object_id=event.object_id,
        account_id=row.account_id,
        order_id=row.order_id,
        request_id=event.request_id,
        decision=event.decision,
        address=told["address"],
        agent=told["agent"],
        note=told["note"],
        before=_filled(event.before, subject, "before"),
        after=_filled(event.after, subject, "after"),
        data={name: value for name, value in (("tenant_id", event.tenant_id),) if value},
        hash=bytes(row.hash).hex(),
    )


def _values(opened: Opened | None, hashed: str | None, names: tuple[str, ...]) -> dict[str, str]:
    """The values of a text; ERASED for all when there was one that cannot be read any more."""
    if hashed is None:
        return dict.fromkeys(names, "")
    if opened is None or opened.values is None:
        return dict.fromkeys(names, ERASED)
    return {name: str(opened.values.get(name, "")) for name in names}


def _filled(values: dict[str, Any] | None, opened: Opened | None, side: str) -> dict[str, Any] | None:
    """The values with the personal ones in their places, or ERASED."""
    if values is None:
        return None
    kept = (opened.values or {}).get(side, {}) if opened is not None else {}
    return {name: kept.get(name, ERASED) if value == PERSONAL else value for name, value in values.items()}
