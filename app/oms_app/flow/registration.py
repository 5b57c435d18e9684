"""A stranger's address in, a person with a tenant of their own out: closed unless the platform opens it.

Guarantee: asking says the same and does as much whether or not the address has an account, and makes nothing; the
account and its password are made by whoever reads the mail.
"""

import uuid
from collections.abc import Callable

import msgspec

from oms_app.config import Registration
from oms_app.flow import wording
from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.errors import NotPermitted
from oms_app.flow.invitations import Accepted
from oms_app.flow.mail_kinds import MailKind
from oms_app.flow.mailing import Mailing
from oms_app.flow.passwords import Passwords
from oms_app.flow.scopes import Role
from oms_app.flow.tenancy import NewTenant, Tenancy, naming
from oms_app.store import one_time_tokens, people
from oms_app.store.sql_store import SqlStore
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import TenantId


class Register:
    """Lets strangers in, where that is wanted. Thread-safe."""

    def __init__(
        self,
        store: SqlStore,
        mailing: Mailing,
        passwords: Passwords,
        tenancy: Tenancy,
        new_id: Callable[[], str],
        policy: Registration,
    ) -> None:
        self._store = store
        self._mailing = mailing
        self._passwords = passwords
        self._tenancy = tenancy
        self._new_id = new_id
        self._policy = policy

    def ask(self, email: str, tenant_name: str, *, first_name: str = "", last_name: str = "") -> None:
        """Send the address a mail: to finish the registration, or that it has an account already.

        Raises NotPermitted while registration is closed, InvalidRequest.
        """
        self._require_open()
        address = wording.email_address(email)
        params = {
            "tenant": _tenant_name(tenant_name),
            "first_name": wording.person_name(first_name, "first_name"),
            "last_name": wording.person_name(last_name, "last_name"),
        }
        with self._store.platform_unit() as unit:
            is_known = people.find_person(unit, address) is not None
            kind = MailKind.ALREADY_REGISTERED if is_known else MailKind.REGISTRATION
            self._mailing.post(unit, kind, address, address, params=params)

    def finish(self, token: str, password: str, actor: Actor) -> Accepted:
        """The person and the tenant that the mail's token stood for. Raises InvalidRequest, NotPermitted."""
        self._require_open()
        with self._store.read_unit(None) as unit:
            ticket = one_time_tokens.look(unit, MailKind.REGISTRATION, token)
        if ticket is None:
            raise _worthless()
        hashed = self._passwords.hash(password)
        tenant_id, user_id, email = TenantId(self._new_id()), str(uuid.uuid4()), ticket.subject
        themselves = msgspec.structs.replace(actor, principal_id=f"user:{user_id}")
        with naming(), self._store.tenant_unit(tenant_id) as unit:
            if one_time_tokens.use(unit, MailKind.REGISTRATION, token) is None:
                raise _worthless()
            if people.find_person(unit, email) is not None:
                raise InvalidRequest("the address has an account by now; sign in instead", field="token")
            names = {name: ticket.params.get(name, "") for name in ("first_name", "last_name")}
            people.add_person(unit, user_id, email, hashed, email_verified_at=unit.now, **names)
            self._tenancy.begin(unit, themselves, NewTenant(name=ticket.params["tenant"]))
            people.put_member(unit, user_id, Role.ADMIN, ())
            action = AdminAction(
                action="user.registered",
                object_type="user",
                object_id=user_id,
                after={"email": email, "role": Role.ADMIN.value, "tenant_id": tenant_id},
            )
            record(unit, themselves, action)
        return Accepted(user_id=user_id, tenant_id=tenant_id, email=email, role=Role.ADMIN, is_new=True)

    def _require_open(self) -> None:
        if self._policy is not Registration.OPEN:
            raise NotPermitted("registration is closed", fix="ask an administrator for an invitation")


def _tenant_name(text: str) -> str:
    try:
        return wording.tenant_name(text)
    except InvalidRequest as error:
        raise InvalidRequest(error.detail, field="tenant_name") from None


def _worthless() -> InvalidRequest:
    return InvalidRequest("the link was used or is too old; register again", field="token")
