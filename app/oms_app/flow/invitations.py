"""An address in, a person of the tenant out: invited by mail, accepted once within seven days with the mail's token.

Guarantee: the token proves the address, so an accepted invitation verifies it; nobody invites to more than they may do.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from oms_app.flow import wording
from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.errors import FlowError
from oms_app.flow.granting import check_reach, checked_role, checked_scopes
from oms_app.flow.mail_kinds import MailKind
from oms_app.flow.mailing import Mailing, Wanted
from oms_app.flow.passwords import Passwords
from oms_app.flow.principal import Principal
from oms_app.flow.strategies import StateConflict
from oms_app.store import auth_epochs, one_time_tokens, people, tenants
from oms_app.store import invitations as rows
from oms_app.store.invitations import Invitation
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import Conflict, RowsUnit
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import TenantId

GOOD_FOR = timedelta(days=7)


class UnknownInvitation(FlowError):
    """The tenant has no such invitation."""

    code = "not_found"


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """Whom somebody wants to invite, as what."""

    email: str
    role: str
    scopes: tuple[str, ...] = ()
    first_name: str = ""
    last_name: str = ""


class Offer(msgspec.Struct, frozen=True):
    """What an invitation offers to whoever holds its token. needs_password: the address has no account yet."""

    email: str
    tenant: str
    role: str
    needs_password: bool
    expires_at: datetime


class Accepted(msgspec.Struct, frozen=True):
    """Who joined which tenant as what. is_new: an account was made."""

    user_id: str
    tenant_id: TenantId
    email: str
    role: str
    is_new: bool


class Invitations:
    """The one door for invitations. Thread-safe."""

    def __init__(self, store: SqlStore, mailing: Mailing, passwords: Passwords, new_id: Callable[[], str]) -> None:
        self._store = store
        self._mailing = mailing
        self._passwords = passwords
        self._new_id = new_id

    def create(self, principal: Principal, actor: Actor, draft: Draft) -> Invitation:
        """An invitation whose mail goes out soon; an expired one to the same address gives way.

        Raises InvalidRequest, NotPermitted, StateConflict when the address is a member or invited already.
        """
        draft = cleaned(draft)
        check_reach(principal, draft.role, draft.scopes)
        try:
            with self._store.tenant_unit(principal.tenant_id) as unit:
                if draft.email in people.member_emails(unit):
                    raise StateConflict("the address belongs to a member already", field="email")
                old = next((one for one in rows.list_invitations(unit) if one.email == draft.email), None)
                if old is not None and old.expires_at > unit.now:
                    raise StateConflict("the address is invited already; send that invitation again", field="email")
                (made,) = self.invite(unit, actor, [draft], replacing=[old] if old is not None else [])
                _tell(unit, actor, "invitation.created", made)
                return made
        except Conflict as error:
            if error.table != "invitations":
                raise
            raise StateConflict("the address is invited already; send that invitation again", field="email") from None

    def invite(
        self, unit: RowsUnit, actor: Actor, drafts: Sequence[Draft], *, replacing: Sequence[Invitation]
    ) -> Sequence[Invitation]:
        """Store invitations and post their mails; drafts are cleaned, their giver may give them, the caller records.

        replacing: the expired invitations of the same addresses, which give way.
        """
        for old in replacing:
            rows.change_open(unit, old.invitation_id, revoked_at=unit.now)
        made = [
            Invitation(
                invitation_id=self._new_id(),
                email=draft.email,
                first_name=draft.first_name,
                last_name=draft.last_name,
                role=draft.role,
                scopes=draft.scopes,
                invited_by=actor.principal_id,
                expires_at=unit.now + GOOD_FOR,
                created_at=unit.now,
            )
            for draft in drafts
        ]
        rows.add_invitations(unit, made)
        self._post(unit, actor, made)
        return made

    def list(self, principal: Principal, *, with_closed: bool = False) -> Sequence[Invitation]:
        """The tenant's open and expired invitations, or all, newest first."""
        with self._store.read_unit(principal.tenant_id) as unit:
            return rows.list_invitations(unit, with_closed=with_closed)

    def get(self, principal: Principal, invitation_id: str) -> Invitation:
        """An invitation. Raises UnknownInvitation."""
        with self._store.read_unit(principal.tenant_id) as unit:
            return _invitation(unit, invitation_id)

    def resend(self, principal: Principal, actor: Actor, invitation_id: str) -> Invitation:
        """The invitation, good for seven days from now, with another mail. Raises UnknownInvitation, StateConflict."""
        with self._store.tenant_unit(principal.tenant_id) as unit:
            known = _invitation(unit, invitation_id)
            check_reach(principal, known.role, known.scopes)
            if not rows.change_open(unit, invitation_id, expires_at=unit.now + GOOD_FOR):
                raise StateConflict("the invitation was accepted or revoked; make a new one")
            made = _invitation(unit, invitation_id)
            self._post(unit, actor, [made])
            _tell(unit, actor, "invitation.resent", made)
            return made

    def revoke(self, principal: Principal, actor: Actor, invitation_id: str) -> None:
        """End an invitation: its mails are worth nothing. Raises UnknownInvitation, StateConflict once accepted."""
        with self._store.tenant_unit(principal.tenant_id) as unit:
            known = _invitation(unit, invitation_id)
            if known.revoked_at is not None:
                return
            if not rows.change_open(unit, invitation_id, revoked_at=unit.now):
                raise StateConflict("the invitation was accepted; remove the member instead")
            one_time_tokens.void(unit, MailKind.INVITATION, invitation_id)
            _tell(unit, actor, "invitation.revoked", known)

    # Whoever holds the token ------------------------------------------------------------------------------

    def look(self, token: str) -> Offer:
        """What the token's invitation offers. Raises InvalidRequest when it is worth nothing."""
        tenant_id, invitation_id = self._named_by(token)
        with self._store.read_unit(tenant_id) as unit:
            open_one, tenant = _acceptable(unit, invitation_id)
            known = people.find_person(unit, open_one.email)
        return Offer(
            email=open_one.email,
            tenant=tenant,
            role=open_one.role,
            needs_password=known is None,
            expires_at=open_one.expires_at,
        )

    def accept(
        self, token: str, actor: Actor, *, password: str | None = None, first_name: str = "", last_name: str = ""
    ) -> Accepted:
        """The member that the invitation made. An address without an account gets one, with this password.

        Raises InvalidRequest on a token that is worth nothing and on a missing, superfluous or weak password.
        """
        tenant_id, invitation_id = self._named_by(token)
        with self._store.read_unit(tenant_id) as unit:
            offered, _tenant = _acceptable(unit, invitation_id)
            known = people.find_person(unit, offered.email)
        if known is None and password is None:
            raise InvalidRequest("choose a password for your new account", field="password")
        if known is not None and password is not None:
            raise InvalidRequest("you have an account already; leave the password out", field="password")
        hashed = self._passwords.hash(password) if password is not None else ""
        names = {
            "first_name": wording.person_name(first_name, "first_name") or offered.first_name,
            "last_name": wording.person_name(last_name, "last_name") or offered.last_name,
        }
        with self._store.tenant_unit(tenant_id) as unit:
            tenants.lock_tenant(unit)
            if one_time_tokens.use(unit, MailKind.INVITATION, token) is None:
                raise _worthless()
            offered, _tenant = _acceptable(unit, invitation_id)
            known = people.find_person(unit, offered.email)
            user_id = known.user_id if known is not None else self._new_id()
            if known is None:
                people.add_person(unit, user_id, offered.email, hashed, email_verified_at=unit.now, **names)
            elif known.email_verified_at is None:
                people.update_person(unit, user_id, email_verified_at=unit.now)
            people.put_member(unit, user_id, offered.role, offered.scopes)
            if not rows.change_open(unit, invitation_id, accepted_at=unit.now, accepted_by=user_id):
                raise _worthless()
            themselves = msgspec.structs.replace(actor, principal_id=f"user:{user_id}")
            told = {"user_id": user_id, "role": offered.role, "scopes": list(offered.scopes)}
            record(
                unit,
                themselves,
                AdminAction(
                    action="invitation.accepted",
                    object_type="invitation",
                    object_id=invitation_id,
                    after=told,
                    subject=f"user:{user_id}",
                ),
            )
            auth_epochs.bump(unit, tenant_id)
        return Accepted(
            user_id=user_id, tenant_id=tenant_id, email=offered.email, role=offered.role, is_new=known is None
        )

    def _named_by(self, token: str) -> tuple[TenantId, str]:
        with self._store.read_unit(None) as unit:
            ticket = one_time_tokens.look(unit, MailKind.INVITATION, token)
        if ticket is None or ticket.tenant_id is None:
            raise _worthless()
        return ticket.tenant_id, ticket.subject

    def _post(self, unit: RowsUnit, actor: Actor, made: Sequence[Invitation]) -> None:
        kind, _, user_id = actor.principal_id.partition(":")
        inviter = people.get_person(unit, user_id) if kind == "user" else None
        tenant = tenants.get_tenant(unit)
        name = tenant.name if tenant is not None else ""
        common = {"tenant": name, "inviter": inviter.email if inviter is not None else name}
        wanted = [Wanted(one.email, one.invitation_id, {**common, "role": one.role}) for one in made]
        if full := self._mailing.post_many(unit, MailKind.INVITATION, wanted, tenant_id=unit.tenant_id):
            raise StateConflict(f"{min(full)} had too many invitations in the last hour; wait", field="email")


def cleaned(draft: Draft) -> Draft:
    """The draft with every field in its stored form. Raises InvalidRequest."""
    return Draft(
        email=wording.email_address(draft.email),
        role=checked_role(draft.role),
        scopes=checked_scopes(draft.scopes),
        first_name=wording.person_name(draft.first_name, "first_name"),
        last_name=wording.person_name(draft.last_name, "last_name"),
    )


def _invitation(unit: RowsUnit, invitation_id: str) -> Invitation:
    found = rows.get_invitation(unit, invitation_id)
    if found is None:
        raise UnknownInvitation("there is no such invitation")
    return found


def _acceptable(unit: RowsUnit, invitation_id: str) -> tuple[Invitation, str]:
    """(the invitation, its tenant's name), while it can be accepted. Raises InvalidRequest."""
    found, tenant = rows.get_invitation(unit, invitation_id), tenants.get_tenant(unit)
    if found is None or tenant is None or not tenant.is_active or found.status(unit.now) != "OPEN":
        raise _worthless()
    return found, tenant.name


def _worthless() -> InvalidRequest:
    return InvalidRequest("the invitation was used, revoked or is too old; ask for a new one", field="token")


def _tell(unit: RowsUnit, actor: Actor, action: str, made: Invitation) -> None:
    told = {"email": made.email, "role": made.role, "scopes": list(made.scopes), "expires_at": made.expires_at}
    record(
        unit,
        actor,
        AdminAction(action=action, object_type="invitation", object_id=made.invitation_id, after=told),
    )
