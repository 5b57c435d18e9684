"""A person's id in, everything that is kept about the person out, or erased: the logs stay whole, and name nobody.

What an erasure leaves: the opaque id in logs and rows, roles and scopes, and events whose salted hashes fit nothing
that exists. It may be repeated: a second one finishes what a first one that was interrupted left.
"""

from typing import Any

import msgspec

from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.audit_trail import AuditTrail
from oms_app.flow.principal import Principal
from oms_app.flow.profiles import own_id
from oms_app.flow.strategies import StateConflict, UnknownThing
from oms_app.flow.tenancy import Tenancy
from oms_app.store import auth_epochs, people
from oms_app.store import personal_rows as rows
from oms_app.store.platform import PLATFORM_TENANT
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import TenantId

ADMIN = "ADMIN"


class PersonalData:
    """The one door for a person's data as a whole. Thread-safe."""

    def __init__(self, store: SqlStore, tenancy: Tenancy) -> None:
        self._store = store
        self._tenancy = tenancy
        self._trail = AuditTrail(store)

    def own(self, principal: Principal) -> dict[str, Any]:
        """Everything that is kept about the person who asks. Raises NotPermitted for keys."""
        return self.export(own_id(principal))

    def export(self, user_id: str) -> dict[str, Any]:
        """Everything that is kept about a person, without hashes of secrets. Raises UnknownThing."""
        with self._store.read_unit(None) as unit:
            found = rows.in_the_platform(unit, user_id)
        if found is None:
            raise _unknown()
        found["tenants"] = []
        for tenant_id in self._tenants():
            self._trail.catch_up(tenant_id)
            with self._store.read_unit(tenant_id) as unit:
                held = rows.in_the_tenant(unit, user_id, found["person"]["email"])
            if any(value for name, value in held.items() if name != "tenant_id"):
                found["tenants"].append(held)
        plain: dict[str, Any] = msgspec.to_builtins(found, enc_hook=str)
        return plain

    def erase_member(self, principal: Principal, actor: Actor, user_id: str) -> None:
        """Erase a person of the caller's tenant; of any tenant for superusers.

        Raises UnknownThing, and StateConflict while the person belongs to another tenant or is the last administrator.
        """
        if not self._tenancy.is_superuser(principal):
            with self._store.read_unit(principal.tenant_id) as unit:
                if not rows.was_member(unit, user_id):
                    raise _unknown()
                member = people.get_member(unit, user_id)
                is_admin = member is not None and member.role == ADMIN and member.is_active
                if is_admin and people.active_count(unit, ADMIN) == 1:
                    raise StateConflict("this is the tenant's last administrator: make another one first")
                others = [one for one in rows.tenants_of(unit, user_id) if one != principal.tenant_id]
            if others:
                raise StateConflict("the person belongs to another tenant too: only whoever runs the platform erases")
        self.erase(actor, user_id)

    def erase(self, actor: Actor, user_id: str) -> None:
        """Erase a person everywhere; sessions and keys are refused at once. Raises UnknownThing."""
        with self._store.read_unit(None) as unit:
            person = people.get_person(unit, user_id)
            if person is None:
                raise _unknown()
            belongs = set(rows.tenants_of(unit, user_id))
        for tenant_id in self._tenants():
            self._trail.catch_up(tenant_id)
            with self._store.tenant_unit(tenant_id) as unit:
                gone = rows.scrub_in_tenant(unit, user_id, person.email)
                if tenant_id in belongs:
                    _end_membership(unit, user_id)
                if gone or tenant_id in belongs:
                    record(unit, actor, AdminAction("user.erased", "user", user_id, after={"is_active": False}))
                    # The actor may be the person: what was just written about them goes as well.
                    rows.scrub_in_tenant(unit, user_id, person.email)
                    auth_epochs.bump(unit, tenant_id)
        with self._store.platform_unit() as unit:
            record(unit, actor, AdminAction("user.erased", "user", user_id, after={"is_active": False}))
            auth_epochs.bump_user(unit, user_id)
            rows.scrub_person(unit, user_id, person.email)

    def _tenants(self) -> list[TenantId]:
        """Every tenant, whether or not the person belongs to it now."""
        return sorted({PLATFORM_TENANT, *(tenant_id for tenant_id, _ in self._store.ledgers())})


def _end_membership(unit: RowsUnit, user_id: str) -> None:
    people.end_access(unit, user_id)
    people.update_member(unit, user_id, is_active=False, removed_at=unit.now)


def _unknown() -> UnknownThing:
    return UnknownThing("there is no such person")
