"""Tenants: superusers of the platform make, list and close them; a tenant's administrators change their own."""

from typing import Any

import msgspec

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Access, Answer, Call, Endpoint
from oms_app.api.fields import JsonObject, Text
from oms_app.api.json_text import plain
from oms_app.api.paging import list_query
from oms_app.api.paths import v1
from oms_app.api.people_answers import settings_fields
from oms_app.api.reading.asked import made_between, part_of
from oms_app.flow import wording
from oms_app.flow.errors import NotPermitted
from oms_app.flow.invitations import Draft
from oms_app.flow.scopes import Role, Scope
from oms_app.flow.tenancy import NAMES, NewTenant
from oms_app.flow.tenant_settings import settings_of
from oms_app.store.tenants import TenantRow
from oms_kernel.domain.ids import TenantId

TENANT = "/tenants/<uuid:tenant_id>"


def create_tenant(call: Call) -> Answer:
    """Make a tenant with an empty ledger; superusers only. `admin_email`: invite its first administrator."""
    tenancy = call.services.tenancy
    tenancy.require_superuser(call.principal)
    asked = dict(call.body)
    admin_email = asked.pop("admin_email", None)
    if admin_email is not None:
        wording.email_address(admin_email, "admin_email")
    made = tenancy.create(call.actor, NewTenant(**{**asked, "settings": plain(asked.get("settings", {}))}))
    if admin_email is not None:
        theirs = msgspec.structs.replace(
            call.principal, tenant_id=made.tenant_id, scopes=frozenset(Scope), account_ids=None
        )
        call.services.invitations.create(theirs, call.actor, Draft(email=admin_email, role=Role.ADMIN))
    return Answer(_shown(made), 201, {"Location": v1(f"/tenants/{made.tenant_id}")})


def list_tenants(call: Call) -> Answer:
    """The tenants that the caller may see, newest first: a superuser all, everybody else their own."""
    tenancy = call.services.tenancy
    listed = part_of(made_between(tenancy.list(call.principal), call.query), call.query)
    listed["items"] = [_shown(tenancy.get(one.tenant_id)) for one in listed["items"]]
    return Answer(listed)


def get_tenant(call: Call, tenant_id: str) -> Answer:
    """A tenant."""
    return Answer(_shown(call.services.tenancy.get(_seen(call, tenant_id))))


def get_current_tenant(call: Call) -> Answer:
    """The tenant that the caller's token or key names."""
    return Answer(_shown(call.services.tenancy.get(call.principal.tenant_id)))


def change_tenant(call: Call, tenant_id: str) -> Answer:
    """Change name, time zone or base currency; slug and domain only as a superuser."""
    seen = _seen(call, tenant_id)
    names = [name for name in NAMES if name in call.body]
    if names and not call.services.tenancy.is_superuser(call.principal):
        raise NotPermitted(
            "only superusers of the platform give slugs and domains, which are unique for all tenants",
            field=names[0],
            fix="leave it out, or ask whoever runs the platform",
        )
    return Answer(_shown(call.services.tenancy.update(call.actor, seen, call.body)))


def deactivate_tenant(call: Call, tenant_id: str) -> Answer:
    """Close a tenant; superusers only. Nobody signs in, keys are refused, strategies stop; its orders stay."""
    return _set_active(call, tenant_id, False)


def activate_tenant(call: Call, tenant_id: str) -> Answer:
    """Open a closed tenant again; superusers only."""
    return _set_active(call, tenant_id, True)


def get_tenant_settings(call: Call, tenant_id: str) -> Answer:
    """What the tenant decided for itself."""
    return Answer(plain(call.services.tenancy.settings(_seen(call, tenant_id))))


def replace_tenant_settings(call: Call, tenant_id: str) -> Answer:
    """Replace the tenant's settings; what is left out has its default.

    To take a safeguard of risk away, a person must have stepped up; where limits take two persons, see
    POST /api/v1/risk/limits/apply.
    """
    caller = call.caller
    assert caller is not None
    seen = _seen(call, tenant_id)
    changed = call.services.tenancy.change_settings(
        call.actor,
        seen,
        call.body,
        before_loosening=lambda: call.services.identity.sessions.require_step_up(caller),
    )
    return Answer(plain(changed))


def _set_active(call: Call, tenant_id: str, is_active: bool) -> Answer:
    tenancy = call.services.tenancy
    seen = _seen(call, tenant_id)
    tenancy.require_superuser(call.principal)
    return Answer(_shown(tenancy.set_active(call.actor, seen, is_active)))


def _seen(call: Call, tenant_id: str) -> TenantId:
    return call.services.tenancy.seen_by(call.principal, tenant_id)


def _shown(tenant: TenantRow) -> dict[str, Any]:
    return {
        "tenant_id": tenant.tenant_id,
        "name": tenant.name,
        "slug": tenant.slug,
        "domain": tenant.domain,
        "time_zone": tenant.time_zone,
        "base_currency": tenant.base_currency,
        "is_active": tenant.is_active,
        "settings": plain(settings_of(tenant.settings)),
        "created_at": tenant.created_at,
        "updated_at": tenant.updated_at,
    }


def _text(longest: int, **options: Any) -> Text:
    return Text(longest=longest, **options)


_COMMON: dict[str, Any] = {"slug": 63, "time_zone": 60, "base_currency": 12}

ENDPOINTS = (
    Endpoint(
        method="POST",
        path=v1("/tenants"),
        view=create_tenant,
        scope=Scope.ADMIN_TENANTS,
        tag="tenants",
        body=SchemaBody(
            "TenantRequest",
            {
                "name": _text(200, required=True),
                "domain": _text(253),
                **{name: _text(longest) for name, longest in _COMMON.items()},
                "settings": JsonObject(),
                "admin_email": _text(254),
            },
        ),
        answers={201: "Tenant"},
        problems=(409,),
    ),
    Endpoint(
        method="GET",
        path=v1("/tenants"),
        view=list_tenants,
        scope=Scope.ADMIN_TENANTS,
        tag="tenants",
        query=list_query(),
        answers={200: "TenantList"},
    ),
    Endpoint(
        method="GET",
        path=v1("/tenants/current"),
        view=get_current_tenant,
        scope=Access.AUTHENTICATED,
        tag="tenants",
        answers={200: "Tenant"},
        problems=(404,),
    ),
    Endpoint(
        method="GET",
        path=v1(TENANT),
        view=get_tenant,
        scope=Scope.ADMIN_TENANTS,
        tag="tenants",
        answers={200: "Tenant"},
    ),
    Endpoint(
        method="PATCH",
        path=v1(TENANT),
        view=change_tenant,
        scope=Scope.ADMIN_TENANTS,
        tag="tenants",
        body=SchemaBody(
            "TenantChange",
            {
                "name": _text(200),
                "domain": _text(253, allow_none=True),
                **{name: _text(longest) for name, longest in _COMMON.items()},
            },
        ),
        answers={200: "Tenant"},
    ),
    Endpoint(
        method="POST",
        path=v1(TENANT + "/deactivate"),
        view=deactivate_tenant,
        scope=Scope.ADMIN_TENANTS,
        tag="tenants",
        answers={200: "Tenant"},
    ),
    Endpoint(
        method="POST",
        path=v1(TENANT + "/activate"),
        view=activate_tenant,
        scope=Scope.ADMIN_TENANTS,
        tag="tenants",
        answers={200: "Tenant"},
    ),
    Endpoint(
        method="GET",
        path=v1(TENANT + "/settings"),
        view=get_tenant_settings,
        scope=Scope.ADMIN_TENANTS,
        tag="tenants",
        answers={200: "TenantSettings"},
    ),
    Endpoint(
        method="PUT",
        path=v1(TENANT + "/settings"),
        view=replace_tenant_settings,
        scope=Scope.ADMIN_TENANTS,
        tag="tenants",
        body=SchemaBody("TenantSettings", settings_fields()),
        answers={200: "TenantSettings"},
    ),
)
