"""Edits that one person asked for in, approved by another out: the second pair of eyes over limits.

With the tenant's setting second_person_limits every edit but a new limit waits here, at most 24 hours. Who asked may
withdraw it and never approve it; a key counts as its owner. It is carried out at the approval, if nothing moved since.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta

from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.errors import NotPermitted
from oms_app.flow.limit_draft import check_draft, check_scope, from_values
from oms_app.flow.limit_edits import Edit, EditKind, as_rows, carry_out, from_rows
from oms_app.flow.principal import Principal
from oms_app.flow.strategies import StateConflict, UnknownThing
from oms_app.store import limit_changes as rows
from oms_app.store.limit_changes import LimitChange
from oms_app.store.queries.paging import Page, Paging
from oms_app.store.sql_store import SqlStore
from oms_app.store.tenants import lock_tenant
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.registry import Registries

LASTS = timedelta(hours=24)
APPROVED, REJECTED, WITHDRAWN = "APPROVED", "REJECTED", "WITHDRAWN"


class LimitChanges:
    """The one door for changes that wait. Thread-safe."""

    def __init__(self, store: SqlStore, registries: Registries, new_id: Callable[[], str]) -> None:
        self._store = store
        self._registries = registries
        self._new_id = new_id

    def list(self, principal: Principal, paging: Paging, *, status: str | None = None) -> Page[LimitChange]:
        """The tenant's changes, newest first. Raises NotPermitted for who reaches some accounts only."""
        check_reach(principal)
        with self._store.read_unit(principal.tenant_id) as unit:
            return rows.list_changes(unit, paging, status=status)

    def get(self, principal: Principal, change_id: str) -> LimitChange:
        """A change. Raises UnknownThing."""
        check_reach(principal)
        with self._store.read_unit(principal.tenant_id) as unit:
            return _found(unit, change_id)

    def ask(self, unit: RowsUnit, actor: Actor, edits: Sequence[Edit], reason: str) -> LimitChange:
        """Let the edits wait for another person; the same edits that wait already are not asked for twice.

        Raises InvalidRequest without a reason, StateConflict when something else waits for one of the limits.
        """
        if not reason.strip():
            raise InvalidRequest("a second person decides over this, and needs to know why you ask", field="reason")
        wanted = as_rows(edits)
        touched = {_subject(edit) for edit in edits}
        for waiting in rows.pending_changes(unit):
            if waiting.changes == wanted:
                return waiting
            if touched & {_subject(edit) for edit in from_rows(waiting.changes)}:
                raise StateConflict(
                    f"another change of it waits for a second person: {waiting.change_id}; have that one decided first"
                )
        change_id = self._new_id()
        rows.add_change(unit, change_id, wanted, asked_by=person_of(actor), reason=reason, expires_at=unit.now + LASTS)
        told = {"limits": [edit.limit_id or edit.kind.value for edit in edits]}
        record(unit, actor, AdminAction("limit_change.asked", "limit_change", change_id, after=told, note=reason))
        return _found(unit, change_id)

    def approve(self, principal: Principal, actor: Actor, change_id: str, reason: str) -> LimitChange:
        """Carry the change out: it is in force from the next order on. Another person than who asked.

        Raises UnknownThing, NotPermitted, StateConflict when it is decided or a limit was changed since,
        InvalidRequest when what is asked for is not valid any more.
        """
        check_reach(principal)
        with self._store.tenant_unit(principal.tenant_id) as unit:
            lock_tenant(unit)
            waiting = _waiting(unit, change_id)
            if person_of(actor) == waiting.asked_by:
                raise NotPermitted(
                    "you asked for this change yourself", fix="another person who may manage risk approves it"
                )
            for edit in from_rows(waiting.changes):
                if edit.kind is EditKind.CHANGE:
                    after, before = from_values(edit.after), from_values(edit.before)
                    check_draft(after, self._registries, unit.now, before)
                    check_scope(unit, after.scope)
                carry_out(unit, actor, edit, note=waiting.reason, asked_by=waiting.asked_by)
            return _decide(unit, actor, change_id, APPROVED, reason)

    def reject(self, principal: Principal, actor: Actor, change_id: str, reason: str) -> LimitChange:
        """End the change without effect. Raises UnknownThing, StateConflict when it is decided."""
        check_reach(principal)
        with self._store.tenant_unit(principal.tenant_id) as unit:
            _waiting(unit, change_id)
            return _decide(unit, actor, change_id, REJECTED, reason)

    def withdraw(self, principal: Principal, actor: Actor, change_id: str) -> LimitChange:
        """Take back what one asked for. Raises UnknownThing, NotPermitted, StateConflict when it is decided."""
        check_reach(principal)
        with self._store.tenant_unit(principal.tenant_id) as unit:
            waiting = _waiting(unit, change_id)
            if person_of(actor) != waiting.asked_by:
                raise NotPermitted("somebody else asked for this change", fix="reject it instead")
            return _decide(unit, actor, change_id, WITHDRAWN, "")


def person_of(actor: Actor) -> str:
    """Who is behind an action: for a key the person to whom it belongs."""
    return actor.on_behalf_of or actor.principal_id


def check_reach(principal: Principal) -> None:
    """Nothing, unless the principal reaches some accounts only. Raises NotPermitted."""
    if principal.account_ids is not None:
        raise NotPermitted("this is about limits of the whole tenant, and you reach some accounts only")


def _subject(edit: Edit) -> str:
    return edit.limit_id or edit.kind.value


def _found(unit: RowsUnit, change_id: str) -> LimitChange:
    found = rows.get_change(unit, change_id)
    if found is None:
        raise UnknownThing(f"there is no change of limits {change_id}")
    return found


def _waiting(unit: RowsUnit, change_id: str) -> LimitChange:
    found = _found(unit, change_id)
    if found.status != rows.PENDING:
        raise StateConflict(f"the change is {found.status} already; ask again for what is still wanted")
    return found


def _decide(unit: RowsUnit, actor: Actor, change_id: str, status: str, reason: str) -> LimitChange:
    if not rows.decide_change(unit, change_id, status, decided_by=person_of(actor), reason=reason):
        raise StateConflict("the change was decided just now")
    decided = _found(unit, change_id)
    action = AdminAction(
        f"limit_change.{status.lower()}",
        "limit_change",
        change_id,
        after={"asked_by": decided.asked_by, "status": status},
        note=reason,
    )
    record(unit, actor, action)
    return decided
