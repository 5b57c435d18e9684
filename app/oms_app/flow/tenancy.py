"""Tenants made, changed, closed and opened again: each change, its audit event and the auth epoch in one transaction.

Only superusers of the platform see, make and close tenants; of everybody else a tenant is hidden that is not their own.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from oms_app.flow import wording
from oms_app.flow.audit import CLI, Actor, AdminAction, record
from oms_app.flow.errors import FlowError, NotPermitted
from oms_app.flow.loosening import loosened_settings
from oms_app.flow.principal import Principal
from oms_app.flow.tenant_settings import TenantSettings, checked, settings_of
from oms_app.store import auth_epochs, people
from oms_app.store import tenants as rows
from oms_app.store.platform import PLATFORM_TENANT
from oms_app.store.sql_store import SqlStore
from oms_app.store.tenants import Listed, TenantRow
from oms_app.store.unit_of_work import Conflict, RowsUnit
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import LedgerId, TenantId

NAMES = ("slug", "domain")


class UnknownTenant(FlowError):
    """There is no such tenant, or it is not yours."""

    code = "not_found"


class NewTenant(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant begins with. Without a slug one is made from its name."""

    name: str
    slug: str | None = None
    domain: str | None = None
    time_zone: str = "UTC"
    base_currency: str = "USD"
    settings: dict[str, Any] = {}


class Tenancy:
    """The one door for tenants as such. Thread-safe. known_rules: of which limits may be required; None: any."""

    def __init__(self, store: SqlStore, new_id: Callable[[], str], known_rules: Collection[str] | None = None) -> None:
        self._known_rules = known_rules
        self._store = store
        self._new_id = new_id
        self._settings: dict[TenantId, tuple[int, TenantSettings]] = {}

    # Who may ----------------------------------------------------------------------------------------------

    def is_superuser(self, principal: Principal) -> bool:
        """Whether the principal is a person who runs the platform, as of now; a key never is."""
        kind, _, user_id = principal.principal_id.partition(":")
        if kind != "user":
            return False
        with self._store.read_unit(None) as unit:
            person = people.get_person(unit, user_id)
        return person is not None and person.is_superuser and person.is_active

    def require_superuser(self, principal: Principal) -> None:
        """Nothing for a superuser. Raises NotPermitted for everybody else."""
        if not self.is_superuser(principal):
            raise NotPermitted("only superusers of the platform do this", fix="ask whoever runs the platform")

    def seen_by(self, principal: Principal, tenant_id: str) -> TenantId:
        """The tenant's id, when the principal may see it. Raises UnknownTenant."""
        if tenant_id != principal.tenant_id and not self.is_superuser(principal):
            raise _unknown()
        return TenantId(tenant_id)

    # Reading ----------------------------------------------------------------------------------------------

    def get(self, tenant_id: TenantId) -> TenantRow:
        """A tenant. Raises UnknownTenant."""
        with self._store.read_unit(tenant_id) as unit:
            return _tenant(unit)

    def find(self, name: str) -> TenantId:
        """The tenant with this slug or id. Raises UnknownTenant."""
        with self._store.read_unit(None) as unit:
            found = rows.find_tenant(unit, slug=name)
            known = {one.tenant_id for one in rows.list_tenants(unit)} if found is None else set()
        if found is not None:
            return found
        if name not in known:
            raise _unknown()
        return TenantId(name)

    def list(self, principal: Principal) -> Sequence[Listed]:
        """The tenants that the principal may see, newest first."""
        is_superuser = self.is_superuser(principal)
        with self._store.read_unit(None) as unit:
            found = rows.list_tenants(unit)
        return [one for one in found if is_superuser or one.tenant_id == principal.tenant_id]

    def settings(self, tenant_id: TenantId) -> TenantSettings:
        """What the tenant decided for itself. Raises UnknownTenant."""
        return settings_of(self.get(tenant_id).settings)

    def settings_at(self, tenant_id: TenantId, epoch: int) -> TenantSettings:
        """The same, remembered for the tenant's auth epoch, which every change of them moves."""
        known = self._settings.get(tenant_id)
        if known is None or known[0] != epoch:
            known = self._settings[tenant_id] = (epoch, self.settings(tenant_id))
        return known[1]

    # Changing ---------------------------------------------------------------------------------------------

    def create(self, actor: Actor, asked: NewTenant) -> TenantRow:
        """A new tenant with an empty ledger. Raises InvalidRequest, also when slug or domain are taken."""
        tenant_id = TenantId(self._new_id())
        with naming(), self._store.tenant_unit(tenant_id) as unit:
            self.begin(unit, actor, asked)
            return _tenant(unit)

    def begin(self, unit: RowsUnit, actor: Actor, asked: NewTenant) -> None:
        """Make the unit's tenant: its rows, its ledger, its auth epoch and the event that tells of it."""
        slug = wording.slug(asked.slug) if asked.slug is not None else self._free_slug(unit, asked.name)
        domain = wording.domain(asked.domain) if asked.domain is not None else None
        _check_free(unit, slug=slug, domain=domain)
        rows.create_tenant(
            unit,
            wording.tenant_name(asked.name),
            checked(asked.settings, {}, self._known_rules),
            slug=slug,
            domain=domain,
            time_zone=wording.time_zone(asked.time_zone),
            base_currency=wording.currency(asked.base_currency),
        )
        rows.create_ledger(unit, LedgerId(self._new_id()))
        _tell(unit, actor, "tenant.created", None, _told(_tenant(unit)))

    def update(self, actor: Actor, tenant_id: TenantId, changes: dict[str, Any]) -> TenantRow:
        """The tenant with these fields changed: name, slug, domain, time_zone, base_currency.

        Raises UnknownTenant, InvalidRequest.
        """
        asked = {name: _checked(name, value) for name, value in changes.items()}
        with naming(), self._store.tenant_unit(tenant_id) as unit:
            before = _tenant(unit)
            changed = {name: value for name, value in asked.items() if value != getattr(before, name)}
            if not changed:
                return before
            names = {name: value for name, value in changed.items() if name in NAMES}
            _check_free(unit, **names)
            if names:
                rows.rename_tenant(unit, **names)
            if len(names) < len(changed):
                rows.update_tenant(unit, **{name: value for name, value in changed.items() if name not in NAMES})
            after = _tenant(unit)
            _tell(unit, actor, "tenant.updated", {name: getattr(before, name) for name in changed}, changed)
            return after

    def change_settings(
        self,
        actor: Actor,
        tenant_id: TenantId,
        asked: dict[str, Any],
        *,
        before_loosening: Callable[[], None] = lambda: None,
    ) -> TenantSettings:
        """The tenant's settings, which these replace. Raises UnknownTenant, InvalidRequest naming the key.

        before_loosening: called before a safeguard of risk is taken away; what it raises leaves all as it is. Where
        limits take two persons, whoever works on the machine itself alone takes one away here: raises NotPermitted.
        """
        with self._store.tenant_unit(tenant_id) as unit:
            stored = _tenant(unit).settings
            wanted = checked(asked, stored, self._known_rules)
            if wanted != stored:
                loosened = loosened_settings(settings_of(stored), settings_of(wanted))
                if loosened and settings_of(stored).second_person_limits and actor.principal_id != CLI:
                    raise NotPermitted(
                        f"{', '.join(loosened)}: limits take two persons here, and so does what guards them",
                        field=f"settings.{loosened[0]}",
                        fix="POST /api/v1/risk/limits/apply with these settings; another person then approves it",
                    )
                if loosened:
                    before_loosening()
                rows.set_tenant_settings(unit, wanted)
                rows.config_changed(unit)
                _tell(unit, actor, "tenant.settings_changed", stored, wanted)
            return settings_of(wanted)

    def set_active(self, actor: Actor, tenant_id: TenantId, is_active: bool) -> TenantRow:
        """The tenant, closed or open. Closed, nobody signs in, keys are refused and its strategies are stopped.

        Its orders stay as they are: an operator cancels them. Raises UnknownTenant.
        """
        with self._store.tenant_unit(tenant_id) as unit:
            before = _tenant(unit)
            if before.tenant_id == PLATFORM_TENANT:
                raise _unknown()
            if before.is_active == is_active:
                return before
            rows.update_tenant(unit, is_active=is_active)
            stopped = 0 if is_active else rows.stop_runs(unit)
            action = "tenant.activated" if is_active else "tenant.deactivated"
            after = {"is_active": is_active, **({"strategies_stopped": stopped} if stopped else {})}
            row = _tenant(unit)
            _tell(unit, actor, action, {"is_active": before.is_active}, after)
            return row

    def _free_slug(self, unit: RowsUnit, name: str) -> str:
        """A slug made from the name that nobody has."""
        wanted = wording.slug_from(name)
        try:
            if rows.find_tenant(unit, slug=wording.slug(wanted)) is None:
                return wanted
        except InvalidRequest:
            wanted = wanted or "desk"
        return wording.slug(f"{wanted}-{self._new_id().replace('-', '')[-8:]}")


@contextmanager
def naming() -> Iterator[None]:
    """Tell a name that somebody else took just now as what it is: InvalidRequest."""
    try:
        yield
    except Conflict as error:
        if error.table != "tenant_directory":
            raise
        raise InvalidRequest("the slug or domain is taken; choose another", field="slug") from None


def _check_free(unit: RowsUnit, **names: str | None) -> None:
    for field, name in names.items():
        if name is None:
            continue
        holder = rows.find_tenant(unit, **{field: name})
        if holder is not None and holder != unit.tenant_id:
            raise InvalidRequest(f"the {field} {name} is taken; choose another", field=field)


def _tenant(unit: RowsUnit) -> TenantRow:
    found = rows.get_tenant(unit)
    if found is None:
        raise _unknown()
    return found


def _unknown() -> UnknownTenant:
    return UnknownTenant("there is no such tenant")


def _told(tenant: TenantRow) -> dict[str, Any]:
    fields = ("name", "slug", "domain", "time_zone", "base_currency", "settings")
    return {name: getattr(tenant, name) for name in fields}


def _tell(unit: RowsUnit, actor: Actor, action: str, before: dict[str, Any] | None, after: dict[str, Any]) -> None:
    """Record what was done to the unit's tenant, and have everybody of it recognised anew."""
    tenant_id = str(unit.tenant_id)
    record(
        unit, actor, AdminAction(action=action, object_type="tenant", object_id=tenant_id, before=before, after=after)
    )
    auth_epochs.bump(unit, tenant_id)


def _checked(name: str, value: str | None) -> str | None:
    if value is None and name == "domain":
        return None
    return _CHECKS[name](value or "")


_CHECKS: dict[str, Callable[[str], str]] = {
    "name": wording.tenant_name,
    "slug": wording.slug,
    "domain": wording.domain,
    "time_zone": wording.time_zone,
    "base_currency": wording.currency,
}
