"""Who belongs to a tenant, and as what: each change, its audit event and the auth epoch in one transaction.

Guarantee: nobody changes a member who may do more than they, and a tenant never loses its last active ADMIN.
"""

from collections.abc import Collection, Sequence
from typing import Any

from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.errors import FlowError
from oms_app.flow.granting import check_reach, checked_role, checked_scopes
from oms_app.flow.principal import Principal
from oms_app.flow.scopes import Role, scopes_of
from oms_app.flow.strategies import StateConflict
from oms_app.store import auth_epochs, invitations, people
from oms_app.store.people import Member
from oms_app.store.sql_store import SqlStore
from oms_app.store.tenants import lock_tenant
from oms_app.store.unit_of_work import RowsUnit


class UnknownMember(FlowError):
    """The tenant has no such member."""

    code = "not_found"


class Members:
    """The one door for members. Thread-safe."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    def list(self, principal: Principal, *, role: str | None = None) -> Sequence[Member]:
        """The members of the principal's tenant, inactive ones too, newest first."""
        with self._store.read_unit(principal.tenant_id) as unit:
            return people.list_members(unit, role=role)

    def get(self, principal: Principal, user_id: str) -> Member:
        """A member. Raises UnknownMember."""
        with self._store.read_unit(principal.tenant_id) as unit:
            return _member(unit, user_id)

    def change(
        self,
        principal: Principal,
        actor: Actor,
        user_id: str,
        *,
        role: str | None = None,
        scopes: Collection[str] | None = None,
    ) -> Member:
        """The member with another role or other scopes beside it.

        Raises UnknownMember, InvalidRequest, NotPermitted, StateConflict for the last active ADMIN.
        """
        with self._store.tenant_unit(principal.tenant_id) as unit:
            before = _locked(unit, principal, user_id)
            new_role = checked_role(role) if role is not None else before.role
            new_scopes = checked_scopes(scopes) if scopes is not None else before.scopes
            if (new_role, set(new_scopes)) == (before.role, set(before.scopes)):
                return before
            check_reach(principal, new_role, new_scopes)
            if new_role != Role.ADMIN:
                _keep_an_admin(unit, before)
            people.update_member(unit, user_id, role=new_role, scopes=list(new_scopes))
            if scopes_of(before.role, before.scopes) - scopes_of(new_role, new_scopes):
                _revoke_invitations_by(unit, user_id)
            action = "member.role_changed" if new_role != before.role else "member.scopes_changed"
            shown = {"role": before.role, "scopes": list(before.scopes)}
            _tell(unit, actor, action, user_id, shown, {"role": new_role, "scopes": list(new_scopes)})
            return _member(unit, user_id)

    def set_active(self, principal: Principal, actor: Actor, user_id: str, is_active: bool) -> Member:
        """The member, let in or kept out: inactive, nobody signs in as that person here, and their keys are refused.

        Raises UnknownMember, NotPermitted, StateConflict for the last active ADMIN.
        """
        with self._store.tenant_unit(principal.tenant_id) as unit:
            before = _locked(unit, principal, user_id)
            if before.is_active == is_active:
                return before
            if not is_active:
                _keep_an_admin(unit, before)
                _revoke_invitations_by(unit, user_id)
            people.update_member(unit, user_id, is_active=is_active)
            action = "member.activated" if is_active else "member.deactivated"
            _tell(unit, actor, action, user_id, {"is_active": before.is_active}, {"is_active": is_active})
            return _member(unit, user_id)

    def remove(self, principal: Principal, actor: Actor, user_id: str) -> None:
        """End a membership: the person's sessions and keys in this tenant end with it, the person stays.

        Raises UnknownMember, NotPermitted, StateConflict for the last active ADMIN.
        """
        with self._store.tenant_unit(principal.tenant_id) as unit:
            before = _locked(unit, principal, user_id)
            _keep_an_admin(unit, before)
            people.update_member(unit, user_id, is_active=False, removed_at=unit.now)
            people.end_access(unit, user_id)
            _revoke_invitations_by(unit, user_id)
            shown = {"role": before.role, "scopes": list(before.scopes), "is_active": before.is_active}
            _tell(unit, actor, "member.removed", user_id, shown, None)


def _member(unit: RowsUnit, user_id: str) -> Member:
    found = people.get_member(unit, user_id)
    if found is None:
        raise UnknownMember("there is no such member")
    return found


def _locked(unit: RowsUnit, principal: Principal, user_id: str) -> Member:
    """The member, when the principal may change it; no other change of members comes between."""
    lock_tenant(unit)
    found = _member(unit, user_id)
    check_reach(principal, found.role, found.scopes)
    return found


def _keep_an_admin(unit: RowsUnit, member: Member) -> None:
    """Nothing, unless the member is the last who administers the tenant. Raises StateConflict."""
    counts = member.role == Role.ADMIN and member.is_active and member.is_user_active
    if counts and people.active_count(unit, Role.ADMIN) < 2:
        raise StateConflict("this is the tenant's last active ADMIN; make another one first", field="role")


def _revoke_invitations_by(unit: RowsUnit, user_id: str) -> None:
    """Whoever lost a right does not pass it on by an invitation that is still open."""
    for one in invitations.list_invitations(unit):
        if one.invited_by == f"user:{user_id}":
            invitations.change_open(unit, one.invitation_id, revoked_at=unit.now)


def _tell(
    unit: RowsUnit,
    actor: Actor,
    action: str,
    user_id: str,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
) -> None:
    told = AdminAction(action=action, object_type="member", object_id=user_id, before=before, after=after)
    record(unit, actor, told)
    auth_epochs.bump(unit, str(unit.tenant_id))
