"""Limits as people keep them: listed, made, changed, ended; in force from the next order on, each change on record.

What lets more through needs a fresh proof of the person or, where the tenant says so, the approval of a second one.
The firm's limits cover every tenant: their superusers keep them, tenants see them.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from oms_app.flow.audit import Actor
from oms_app.flow.errors import StaleVersion
from oms_app.flow.limit_changes import LimitChanges
from oms_app.flow.limit_draft import LimitDraft, check_draft, check_firm_scope, check_scope, draft_of
from oms_app.flow.limit_edits import Edit, carry_out, changed, created, ended, shelf_of
from oms_app.flow.loosening import loosened
from oms_app.flow.principal import Principal
from oms_app.flow.strategies import StateConflict, UnknownThing
from oms_app.flow.tenant_settings import settings_of
from oms_app.store import firm_limits, limits
from oms_app.store.limit_changes import LimitChange
from oms_app.store.limits import StoredLimit
from oms_app.store.sql_store import SqlStore
from oms_app.store.tenants import get_tenant, lock_tenant
from oms_app.store.unit_of_work import LimitRow, RowsUnit
from oms_kernel.registry import Registries

CHANGEABLE = frozenset(LimitDraft.__struct_fields__) - {"rule"}
Proof = Callable[[], None]


def no_proof() -> None:
    """Asks for nothing: of whoever may do it anyway."""


class Limits:
    """The one door for limits. Thread-safe.

    firm_defaults: limits of the installation that stand in its settings. Methods that change take `is_firm`: then the
    caller has seen to it that a superuser asks. before_loosening: called before a change that lets more through; what
    it raises leaves all as it is.
    """

    def __init__(
        self,
        store: SqlStore,
        registries: Registries,
        new_id: Callable[[], str],
        changes: LimitChanges,
        firm_defaults: Sequence[LimitRow] = (),
    ) -> None:
        self._store = store
        self._registries = registries
        self._new_id = new_id
        self._changes = changes
        self.firm_defaults = tuple(firm_defaults)

    # Reading ----------------------------------------------------------------------------------------------

    def list(self, principal: Principal, *, with_ended: bool = False) -> Sequence[StoredLimit]:
        """The firm's limits and the tenant's, as far as they cover an account that the principal may use."""
        with self._store.read_unit(principal.tenant_id) as unit:
            firm = firm_limits.stored_limits(unit)
            own = limits.stored_limits(unit, with_ended=with_ended)
            built_in = [StoredLimit(row, True, unit.now, unit.now) for row in self.firm_defaults]
        return [*built_in, *firm, *(one for one in own if _is_seen(one, principal))]

    def get(self, principal: Principal, limit_id: str) -> StoredLimit:
        """A limit of the tenant or the firm, also an ended one. Raises UnknownThing."""
        with self._store.read_unit(principal.tenant_id) as unit:
            found = limits.stored_limit(unit, limit_id) or firm_limits.stored_limit(unit, limit_id)
        if found is None or not _is_seen(found, principal):
            raise _unknown(limit_id)
        return found

    def list_firm(self, *, with_ended: bool = False) -> Sequence[StoredLimit]:
        """The firm's limits, for superusers."""
        with self._store.read_unit(None) as unit:
            built_in = [StoredLimit(row, True, unit.now, unit.now) for row in self.firm_defaults]
            return [*built_in, *firm_limits.stored_limits(unit, with_ended=with_ended)]

    # Changing ---------------------------------------------------------------------------------------------

    def create(
        self, principal: Principal, actor: Actor, draft: LimitDraft, *, reason: str = "", is_firm: bool = False
    ) -> StoredLimit:
        """A new limit; it can only deny more, so nobody has to approve it. Raises InvalidRequest, UnknownAccount."""
        draft = _of_firm(draft, is_firm)
        with self._unit(principal, is_firm) as unit:
            hold(unit, is_firm)
            check_draft(draft, self._registries, unit.now)
            self._check_scope(unit, principal, draft)
            limit_id = carry_out(unit, actor, created(self._new_id(), draft), note=reason)
            return _stored(unit, limit_id, is_firm)

    def change(
        self,
        principal: Principal,
        actor: Actor,
        limit_id: str,
        values: dict[str, Any],
        *,
        version: int | None = None,
        reason: str = "",
        before_loosening: Proof = no_proof,
        is_firm: bool = False,
    ) -> StoredLimit | LimitChange:
        """The limit with these values of CHANGEABLE instead, or the change that now waits for a second person.

        version: which one the caller has seen; None: whichever. Raises UnknownThing, StaleVersion, InvalidRequest.
        """
        with self._unit(principal, is_firm) as unit:
            stored = self._found(unit, principal, limit_id, version, is_firm)
            before = draft_of(stored.limit)
            draft = _of_firm(msgspec.structs.replace(before, **values), is_firm)
            check_draft(draft, self._registries, unit.now, before)
            self._check_scope(unit, principal, draft)
            if draft == before:
                return stored
            edit = changed(stored, draft, loosened(before, draft, unit.now))
            return self._decide(unit, actor, edit, reason, before_loosening)

    def end(
        self,
        principal: Principal,
        actor: Actor,
        limit_id: str,
        *,
        version: int | None = None,
        reason: str = "",
        before_loosening: Proof = no_proof,
        is_firm: bool = False,
    ) -> StoredLimit | LimitChange:
        """The limit, ended, or the change that now waits for a second person. Raises UnknownThing, StaleVersion."""
        with self._unit(principal, is_firm) as unit:
            stored = self._found(unit, principal, limit_id, version, is_firm)
            return self._decide(unit, actor, ended(stored), reason, before_loosening)

    def _decide(
        self, unit: RowsUnit, actor: Actor, edit: Edit, reason: str, before_loosening: Proof
    ) -> StoredLimit | LimitChange:
        """Carry the edit out, or let it wait for a second person."""
        if not edit.is_firm and needs_second_person(unit):
            return self._changes.ask(unit, actor, [edit], reason)
        if edit.loosens:
            before_loosening()
        carry_out(unit, actor, edit, note=reason)
        return _stored(unit, edit.limit_id, edit.is_firm)

    def _unit(self, principal: Principal, is_firm: bool) -> AbstractContextManager[RowsUnit]:
        return self._store.platform_unit() if is_firm else self._store.tenant_unit(principal.tenant_id)

    def _check_scope(self, unit: RowsUnit, principal: Principal, draft: LimitDraft) -> None:
        if draft.scope.is_firm:
            check_firm_scope(unit, draft.scope)
        else:
            check_scope(unit, draft.scope, principal.account_ids)

    def _found(
        self, unit: RowsUnit, principal: Principal, limit_id: str, version: int | None, is_firm: bool
    ) -> StoredLimit:
        """The limit, which stays as it is until the unit ends."""
        hold(unit, is_firm)
        stored = shelf_of(is_firm).stored_limit(unit, limit_id)
        if stored is None or not (is_firm or _is_within_reach(stored, principal)):
            raise _unknown(limit_id)
        if not stored.is_active:
            raise StateConflict("the limit is ended; make a new one instead")
        if version is not None and version != stored.limit.version:
            raise StaleVersion(
                f"the limit's version is {stored.limit.version}, not {version}", fix="read it again and decide anew"
            )
        return stored


def hold(unit: RowsUnit, is_firm: bool) -> None:
    """Let no other unit change limits of the tenant, or of the firm, until this one ends."""
    if is_firm:
        firm_limits.every_config_changed(unit)
    else:
        lock_tenant(unit)


def needs_second_person(unit: RowsUnit) -> bool:
    """Whether the unit's tenant wants a second person for changes of limits."""
    tenant = get_tenant(unit)
    return tenant is not None and settings_of(tenant.settings).second_person_limits


def _of_firm(draft: LimitDraft, is_firm: bool) -> LimitDraft:
    return msgspec.structs.replace(draft, scope=msgspec.structs.replace(draft.scope, is_firm=is_firm))


def _is_seen(stored: StoredLimit, principal: Principal) -> bool:
    account_id = stored.limit.scope.account_id
    return account_id is None or principal.may_use(account_id)


def _is_within_reach(stored: StoredLimit, principal: Principal) -> bool:
    """Whether the principal may change the limit: one of the whole tenant only who reaches all of it."""
    account_id = stored.limit.scope.account_id
    return principal.account_ids is None or (account_id is not None and principal.may_use(account_id))


def _stored(unit: RowsUnit, limit_id: str, is_firm: bool) -> StoredLimit:
    stored = shelf_of(is_firm).stored_limit(unit, limit_id)
    if stored is None:
        raise _unknown(limit_id)
    return stored


def _unknown(limit_id: str) -> UnknownThing:
    return UnknownThing(f"there is no limit {limit_id}")
