"""What people say about themselves: profile, preferences, and the proof that their e-mail address is theirs."""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

import msgspec
from sqlalchemy import select

from oms_app.flow import wording
from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.errors import NotPermitted
from oms_app.flow.mail_kinds import MailKind
from oms_app.flow.mailing import Mailing
from oms_app.flow.principal import Principal
from oms_app.flow.strategies import StateConflict, UnknownThing
from oms_app.store import one_time_tokens, people, tenants
from oms_app.store.people import Person
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import SECOND_FACTORS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import TenantId

MOST_PREFERENCES = 4096
"""Bytes of JSON."""


class Belonging(msgspec.Struct, frozen=True):
    """A tenant that a person may sign in to."""

    tenant_id: TenantId
    name: str
    slug: str
    role: str
    is_current: bool


class Profile(msgspec.Struct, frozen=True):
    """A person, and where that person belongs."""

    person: Person
    has_second_factor: bool
    tenants: tuple[Belonging, ...]


class Profiles:
    """What each person may see and change of themselves. Thread-safe."""

    def __init__(self, store: SqlStore, mailing: Mailing, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._mailing = mailing
        self._clock = clock

    def get(self, principal: Principal) -> Profile:
        """The profile of the person who asks. Raises NotPermitted for keys."""
        user_id = own_id(principal)
        with self._store.read_unit(None) as unit:
            person = _person(unit, user_id)
            confirmed = select(SECOND_FACTORS.c.user_id).where(
                SECOND_FACTORS.c.user_id == user_id, SECOND_FACTORS.c.confirmed_at.is_not(None)
            )
            has_second_factor = unit.connection.execute(confirmed).first() is not None
            belongs = people.tenants_of(unit, user_id)
        return Profile(
            person=person,
            has_second_factor=has_second_factor,
            tenants=tuple(self._belongings(user_id, belongs, principal.tenant_id)),
        )

    def change(self, principal: Principal, actor: Actor, changes: dict[str, Any]) -> Profile:
        """The profile with these fields changed. Raises InvalidRequest, NotPermitted for keys."""
        user_id = own_id(principal)
        asked = {name: self._checked(name, value) for name, value in changes.items()}
        with self._store.tenant_unit(principal.tenant_id) as unit:
            before = _person(unit, user_id)
            changed = {name: value for name, value in asked.items() if value != getattr(before, name)}
            if changed:
                people.update_person(unit, user_id, **changed)
                action = AdminAction(
                    action="profile.changed",
                    object_type="profile",
                    object_id=user_id,
                    before={name: getattr(before, name) for name in changed},
                    after=changed,
                )
                record(unit, actor, action)
        return self.get(principal)

    def ask_to_verify(self, principal: Principal, actor: Actor) -> None:
        """Send the person's address a mail that verifies it. Raises StateConflict when that is done already."""
        user_id = own_id(principal)
        with self._store.tenant_unit(principal.tenant_id) as unit:
            person = _person(unit, user_id)
            if person.email_verified_at is not None:
                raise StateConflict("the e-mail address is verified already")
            if not self._mailing.post(
                unit, MailKind.VERIFY_EMAIL, person.email, user_id, tenant_id=principal.tenant_id
            ):
                raise StateConflict("too many such mails were asked for in the last hour; wait")
            record(unit, actor, AdminAction(action="user.verification_asked", object_type="user", object_id=user_id))

    def verify(self, token: str, actor: Actor) -> str:
        """The id of the person whose address the token proves. Raises InvalidRequest when it is worth nothing."""
        with self._store.platform_unit() as unit:
            ticket = one_time_tokens.use(unit, MailKind.VERIFY_EMAIL, token)
            if ticket is None:
                raise InvalidRequest("the link was used or is too old; ask for a new one", field="token")
            people.update_person(unit, ticket.subject, email_verified_at=unit.now)
            themselves = msgspec.structs.replace(actor, principal_id=f"user:{ticket.subject}")
            action = AdminAction(action="user.email_verified", object_type="user", object_id=ticket.subject)
            record(unit, themselves, action, tenant_id=ticket.tenant_id)
            return ticket.subject

    def _belongings(self, user_id: str, tenant_ids: Sequence[str], current: str) -> Sequence[Belonging]:
        found = []
        for tenant_id in tenant_ids:
            with self._store.read_unit(TenantId(tenant_id)) as unit:
                tenant, member = tenants.get_tenant(unit), people.get_member(unit, user_id)
            if tenant is None or member is None or not (tenant.is_active and member.is_active):
                continue
            found.append(
                Belonging(
                    tenant_id=tenant.tenant_id,
                    name=tenant.name,
                    slug=tenant.slug,
                    role=member.role,
                    is_current=tenant_id == current,
                )
            )
        return found

    def _checked(self, name: str, value: Any) -> Any:
        if name == "date_of_birth":
            return None if value is None else wording.date_of_birth(_date(value), self._clock().date())
        if name == "preferences":
            return _preferences(value)
        return _CHECKS[name](value)


def own_id(principal: Principal) -> str:
    """The id of the person who asks. Raises NotPermitted for keys."""
    kind, _, user_id = principal.principal_id.partition(":")
    if kind != "user":
        raise NotPermitted("an API key has no profile", fix="sign in as the person")
    return user_id


def _person(unit: RowsUnit, user_id: str) -> Person:
    found = people.get_person(unit, user_id)
    if found is None:
        raise UnknownThing("there is no such person")
    return found


def _date(value: Any) -> date:
    try:
        return value if isinstance(value, date) else date.fromisoformat(value)
    except (ValueError, TypeError):
        raise InvalidRequest("a date such as 1990-12-31 is needed", field="date_of_birth") from None


def _preferences(value: dict[str, Any]) -> dict[str, Any]:
    encoded = msgspec.json.encode(value, enc_hook=str)
    if len(encoded) > MOST_PREFERENCES:
        raise InvalidRequest(f"preferences have at most {MOST_PREFERENCES} bytes as JSON", field="preferences")
    if b"\\u0000" in encoded:
        raise InvalidRequest("preferences must not hold the character NUL", field="preferences")
    return value


_CHECKS: dict[str, Callable[[str], str]] = {
    "first_name": lambda text: wording.person_name(text, "first_name"),
    "last_name": lambda text: wording.person_name(text, "last_name"),
    "phone_number": wording.phone_number,
    "locale": wording.locale,
    "time_zone": lambda text: wording.time_zone(text) if text else "",
}
