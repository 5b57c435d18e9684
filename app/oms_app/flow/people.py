"""People as whoever runs the platform makes and steers them, from the command line: with or without a tenant.

A superuser belongs to the platform itself, so that there is always a tenant to sign in to.
"""

from collections.abc import Callable, Sequence

from oms_app.flow import wording
from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.granting import checked_role
from oms_app.flow.passwords import Passwords
from oms_app.flow.scopes import Role
from oms_app.flow.strategies import UnknownThing
from oms_app.store import auth_epochs
from oms_app.store import people as rows
from oms_app.store.people import Person
from oms_app.store.platform import PLATFORM_TENANT
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import Conflict
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import TenantId


class People:
    """Everybody on the platform. Thread-safe."""

    def __init__(self, store: SqlStore, passwords: Passwords, new_id: Callable[[], str]) -> None:
        self._store = store
        self._passwords = passwords
        self._new_id = new_id

    def create(
        self,
        actor: Actor,
        email: str,
        password: str,
        *,
        tenant_id: TenantId | None = None,
        role: str = Role.VIEWER,
        is_superuser: bool = False,
        first_name: str = "",
        last_name: str = "",
    ) -> str:
        """The id of a new person: a member of the tenant, a superuser, or both. The address counts as verified.

        Raises InvalidRequest, also when the address is taken.
        """
        email = wording.email_address(email)
        names = {
            "first_name": wording.person_name(first_name, "first_name"),
            "last_name": wording.person_name(last_name, "last_name"),
        }
        checked_role(role)
        if tenant_id is None and not is_superuser:
            raise InvalidRequest("name the tenant that the person belongs to", field="tenant")
        user_id, hashed = self._new_id(), self._passwords.hash(password)
        home = tenant_id if tenant_id is not None else PLATFORM_TENANT
        try:
            with self._store.tenant_unit(home) as unit:
                rows.add_person(
                    unit, user_id, email, hashed, email_verified_at=unit.now, is_superuser=is_superuser, **names
                )
                rows.put_member(unit, user_id, role if tenant_id is not None else Role.ADMIN, ())
                told = {"email": email, "role": role, "is_superuser": is_superuser}
                action = AdminAction(action="user.created", object_type="user", object_id=user_id, after=told)
                record(unit, actor, action)
        except Conflict as error:
            if error.table != "users":
                raise
            raise InvalidRequest("the e-mail address is taken", field="email") from None
        if is_superuser and tenant_id is not None:
            with self._store.tenant_unit(PLATFORM_TENANT) as unit:
                rows.put_member(unit, user_id, Role.ADMIN, ())
        return user_id

    def set_superuser(self, actor: Actor, email: str, is_superuser: bool) -> Person:
        """The person, who runs the platform from now on or no longer. Raises UnknownThing."""
        person = self.find(email)
        with self._store.tenant_unit(PLATFORM_TENANT) as unit:
            rows.update_person(unit, person.user_id, is_superuser=is_superuser)
            if is_superuser:
                rows.put_member(unit, person.user_id, Role.ADMIN, ())
            else:
                rows.update_member(unit, person.user_id, is_active=False, removed_at=unit.now)
                rows.end_access(unit, person.user_id)
            action = AdminAction(
                action="user.superuser_granted" if is_superuser else "user.superuser_revoked",
                object_type="user",
                object_id=person.user_id,
                before={"is_superuser": person.is_superuser},
                after={"is_superuser": is_superuser},
            )
            record(unit, actor, action)
            auth_epochs.bump_user(unit, person.user_id)
        return self.find(email)

    def list(self) -> Sequence[Person]:
        """Everybody, by e-mail address."""
        with self._store.read_unit(None) as unit:
            return rows.list_people(unit)

    def find(self, email: str) -> Person:
        """The person with this e-mail address. Raises UnknownThing."""
        with self._store.read_unit(None) as unit:
            found = rows.find_person(unit, email.strip().lower())
        if found is None:
            raise UnknownThing("nobody has this e-mail address")
        return found

    def set_active(self, actor: Actor, email: str, is_active: bool) -> Person:
        """The person, let in or kept out everywhere: inactive, no session and no key of theirs is taken."""
        person = self.find(email)
        action = "user.activated" if is_active else "user.deactivated"
        with self._store.platform_unit() as unit:
            rows.update_person(unit, person.user_id, is_active=is_active)
            told = AdminAction(
                action=action,
                object_type="user",
                object_id=person.user_id,
                before={"is_active": person.is_active},
                after={"is_active": is_active},
            )
            record(unit, actor, told)
            auth_epochs.bump_user(unit, person.user_id)
        return self.find(email)
