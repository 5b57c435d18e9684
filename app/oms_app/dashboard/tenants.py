"""The pages of tenants: one's own for administrators, all of them for superusers of the platform."""

from typing import Any

import msgspec
from flask import request
from flask.typing import ResponseReturnValue

from oms_app.dashboard import forms
from oms_app.dashboard.answering import Routes, caller
from oms_app.dashboard.forms import Form
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sheets import Sheets, acting
from oms_app.flow import wording
from oms_app.flow.errors import FlowError
from oms_app.flow.invitations import Draft
from oms_app.flow.scopes import Role, Scope
from oms_app.flow.tenancy import NAMES, NewTenant
from oms_app.flow.tenant_settings import settings_of
from oms_app.store.platform import PLATFORM_TENANT
from oms_app.store.tenants import TenantRow
from oms_kernel.domain.errors import InvalidRequest, KernelError
from oms_kernel.domain.ids import TenantId

FIELDS = ("name", "slug", "domain", "time_zone", "base_currency")
TENANT = "/tenants/<uuid:tenant_id>"
MEANINGS = {
    "require_idempotency_key": "Placing orders needs an Idempotency-Key",
    "require_totp": "Members sign in with a second factor",
    "allow_private_webhooks": "Webhooks may go to private addresses, where the platform allows it too",
    "second_person_release": "A kill switch is released by another person than who asked for it",
    "second_person_limits": "Every change of a limit but a new one needs the approval of another person",
}
"""Setting -> what it means; the settings themselves are those of the type."""


class TenantPages:
    """The views of tenants."""

    def __init__(self, services: DashboardServices, sheets: Sheets) -> None:
        self._tenancy = services.tenancy
        self._sessions = services.identity.sessions
        self._invitations = services.invitations
        self._sheets = sheets

    def routes(self) -> Routes:
        """Rule, view, scope and method of each."""
        scope = Scope.ADMIN_TENANTS
        return (
            ("/tenant", self.show_own_tenant, scope, "GET"),
            ("/tenants", self.show_tenants, scope, "GET"),
            ("/tenants", self.create_tenant, scope, "POST"),
            (TENANT, self.show_tenant, scope, "GET"),
            (f"{TENANT}/names", self.change_tenant, scope, "POST"),
            (f"{TENANT}/settings", self.change_settings, scope, "POST"),
            (f"{TENANT}/activate", self.activate_tenant, scope, "POST"),
            (f"{TENANT}/deactivate", self.deactivate_tenant, scope, "POST"),
        )

    def show_own_tenant(self) -> ResponseReturnValue:
        """The tenant of the session."""
        return self._sheets.page("tenant", **self._one(self._tenancy.get(caller().principal.tenant_id)))

    def show_tenant(self, tenant_id: str) -> ResponseReturnValue:
        """Any tenant, to superusers."""
        return self._sheets.page("tenant", **self._one(self._tenancy.get(self._seen(tenant_id))))

    def change_tenant(self, tenant_id: str) -> ResponseReturnValue:
        """Name, time zone and currency; slug and domain by superusers only."""
        seen = self._seen(tenant_id)
        may_name = self._tenancy.is_superuser(caller().principal)
        form = forms.read(*(name for name in FIELDS if may_name or name not in NAMES))
        changes: dict[str, Any] = dict(form.values)
        if may_name:
            changes["domain"] = changes["domain"] or None
        try:
            row = self._tenancy.update(acting(), seen, changes)
        except (FlowError, KernelError) as error:
            return self._sheets.board("tenant", status=422, **self._one(self._tenancy.get(seen), form.refused(error)))
        return self._sheets.board("tenant", "The tenant is changed.", **self._one(row))

    def change_settings(self, tenant_id: str) -> ResponseReturnValue:
        """What the tenant decides for itself."""
        seen = self._seen(tenant_id)
        ticked = request.form.getlist("settings")
        stored = msgspec.structs.asdict(self._tenancy.settings(seen))
        asked = {name: name in ticked if isinstance(value, bool) else value for name, value in stored.items()}
        self._tenancy.change_settings(
            acting(), seen, asked, before_loosening=lambda: self._sessions.require_step_up(caller())
        )
        return self._sheets.board("tenant", "The settings are changed.", **self._one(self._tenancy.get(seen)))

    def activate_tenant(self, tenant_id: str) -> ResponseReturnValue:
        """Open a tenant again."""
        return self._set_active(tenant_id, True)

    def deactivate_tenant(self, tenant_id: str) -> ResponseReturnValue:
        """Close a tenant."""
        return self._set_active(tenant_id, False)

    # All tenants ------------------------------------------------------------------------------------------

    def show_tenants(self) -> ResponseReturnValue:
        """Every tenant of the platform."""
        self._tenancy.require_superuser(caller().principal)
        return self._sheets.page("tenants", **self._listed())

    def create_tenant(self) -> ResponseReturnValue:
        """Make a tenant, and invite its first administrator when one is named."""
        self._tenancy.require_superuser(caller().principal)
        form = forms.read(*FIELDS, "admin_email")
        values: dict[str, Any] = dict(form.values)
        admin_email = values.pop("admin_email")
        try:
            if admin_email:
                wording.email_address(admin_email, "admin_email")
            made = self._tenancy.create(acting(), NewTenant(**{name: text for name, text in values.items() if text}))
            if admin_email:
                theirs = msgspec.structs.replace(
                    caller().principal, tenant_id=made.tenant_id, scopes=frozenset(Scope), account_ids=None
                )
                self._invitations.create(theirs, acting(), Draft(email=admin_email, role=Role.ADMIN))
        except TypeError:
            form = form.refused(InvalidRequest("a name is needed", field="name"))
            return self._sheets.board("tenants", status=422, **self._listed(form))
        except (FlowError, KernelError) as error:
            return self._sheets.board("tenants", status=422, **self._listed(form.refused(error)))
        return self._sheets.board("tenants", f"{made.name} is made.", **self._listed())

    def _set_active(self, tenant_id: str, is_active: bool) -> ResponseReturnValue:
        self._tenancy.require_superuser(caller().principal)
        row = self._tenancy.set_active(acting(), TenantId(tenant_id), is_active)
        notice = f"{row.name} is {'open' if is_active else 'closed'}."
        return self._sheets.board("tenants", notice, **self._listed())

    def _seen(self, tenant_id: str) -> TenantId:
        return self._tenancy.seen_by(caller().principal, tenant_id)

    def _one(self, row: TenantRow, form: Form | None = None) -> dict[str, Any]:
        stored = {name: str(getattr(row, name) or "") for name in FIELDS}
        shown = form or Form(values=stored)
        return {
            "tenant": row,
            "form": msgspec.structs.replace(shown, values={**stored, **shown.values}),
            "is_own": row.tenant_id == caller().principal.tenant_id,
            "may_name": self._tenancy.is_superuser(caller().principal),
            "settings": {
                name: value
                for name, value in msgspec.structs.asdict(settings_of(row.settings)).items()
                if isinstance(value, bool)
            },
            "meanings": MEANINGS,
        }

    def _listed(self, form: Form | None = None) -> dict[str, Any]:
        empty = {**dict.fromkeys((*FIELDS, "admin_email"), ""), "time_zone": "UTC", "base_currency": "USD"}
        listed = self._tenancy.list(caller().principal)
        return {
            "tenants": [self._tenancy.get(one.tenant_id) for one in listed],
            "platform": PLATFORM_TENANT,
            "form": form or Form(values=empty),
        }
