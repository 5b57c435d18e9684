"""Passwords and refresh tokens in, sessions out; programs get tokens, the dashboard gets HttpOnly cookies as well."""

from typing import Any

from flask import Response, request
from flask_jwt_extended import set_access_cookies, set_refresh_cookies, unset_jwt_cookies

from oms_app.api.authentication import REFRESH_COOKIE, check_cookie
from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Access, Answer, Call, Endpoint
from oms_app.api.fields import Flag, IdText, Text
from oms_app.api.paths import v1
from oms_app.api.problems import FieldError, Problem, invalid
from oms_app.api.rate_limit import Bucket
from oms_app.flow.identity import SignInFailed, TokenPair
from oms_app.flow.known_callers import Caller
from oms_kernel.domain.ids import TenantId


def log_in(call: Call) -> Answer:
    """Sign in with e-mail and password, and with `totp_code` where a second factor is enrolled.

    `tenant_id` or `tenant`, its slug, says in which tenant; without them it is the first of yours. A `device_token`
    from an earlier answer keeps strangers who guess your password from slowing you down. `use_cookies`: set the tokens
    as HttpOnly cookies too.
    """
    asked = call.body
    tenant_id, slug = named_tenant(asked)
    if call.host_tenant is not None:
        tenant_id, slug = _tenant_of_host(call, call.host_tenant, tenant_id, slug), None
    pair = call.services.identity.sign_in(
        asked["email"],
        asked["password"],
        tenant_id=tenant_id,
        tenant_slug=slug,
        totp_code=asked.get("totp_code"),
        device_token=asked.get("device_token"),
        actor=call.actor,
    )
    return signed_in(pair, cookies=asked["use_cookies"])


def _tenant_of_host(call: Call, own: TenantId, tenant_id: TenantId | None, slug: str | None) -> TenantId:
    """The tenant whose host this is; there is no other one here. Raises SignInFailed when another is named."""
    if tenant_id not in (None, own) or slug not in (None, call.services.tenancy.get(own).slug):
        raise SignInFailed("e-mail or password is wrong", fix="check both; passwords are case-sensitive")
    return own


def refresh_tokens(call: Call) -> Answer:
    """Exchange a refresh token for new tokens; each works once. Without one in the body the cookie's is taken."""
    token = call.body.get("refresh_token")
    from_cookie = token is None
    if from_cookie:
        token = request.cookies.get(REFRESH_COOKIE)
        if token is None:
            error = FieldError("refresh_token", "is required", "send the refresh token of the sign-in")
            raise Problem("invalid_request", "refresh_token: is required", errors=[error])
        check_cookie(refresh=True)
    return signed_in(call.services.identity.refresh(token, call.actor), cookies=from_cookie)


def log_out(call: Call) -> Answer:
    """Close the session: its tokens are refused from now on."""
    call.services.identity.sign_out(session_of(call).session_id or "", call.actor)
    return Answer(None, 204, edit=unset_jwt_cookies)


def switch_tenant(call: Call) -> Answer:
    """Get a session in another of your tenants, named by `tenant_id` or `tenant`, its slug. This one stays."""
    tenant_id, slug = named_tenant(call.body)
    if tenant_id is None and slug is None:
        raise invalid("tenant_id", "tenant_id: is required", "send tenant_id, or tenant with its slug")
    pair = call.services.identity.signing_in.switch(session_of(call), call.actor, tenant_id, slug)
    return signed_in(pair, cookies=call.body["use_cookies"])


def who_am_i(call: Call) -> Answer:
    """Who the caller is, what it may do, and which tenants the person has."""
    principal, caller = call.principal, call.caller
    user_id = caller.user_id if caller is not None else None
    tenants = call.services.identity.signing_in.tenants(user_id) if user_id is not None else []
    return Answer(
        {
            "principal": principal.principal_id,
            "tenant_id": principal.tenant_id,
            "scopes": sorted(principal.scopes),
            "account_ids": sorted(principal.account_ids) if principal.account_ids is not None else None,
            "expires_at": caller.expires_at if caller is not None else None,
            "session_id": caller.session_id if caller is not None else None,
            "has_second_factor": call.services.identity.second_factors.is_enrolled(user_id) if user_id else False,
            "tenants": [
                {
                    "tenant_id": tenant.tenant_id,
                    "slug": tenant.slug,
                    "name": tenant.name,
                    "role": tenant.role,
                    "is_current": tenant.tenant_id == principal.tenant_id,
                }
                for tenant in tenants
            ],
        }
    )


def session_of(call: Call) -> Caller:
    """The caller, who is signed in as a person. Raises Problem (409) for an API key."""
    if call.caller is None or call.caller.user_id is None:
        raise Problem("conflict", "an API key has no session; sign in as a person")
    return call.caller


def named_tenant(asked: dict[str, Any]) -> tuple[TenantId | None, str | None]:
    """(id, slug) of the tenant that a body names; at most one of both is given."""
    tenant_id = asked.get("tenant_id")
    return (TenantId(tenant_id) if tenant_id else None), asked.get("tenant") if not tenant_id else None


def signed_in(pair: TokenPair, *, cookies: bool) -> Answer:
    """The tokens as an answer, in cookies too where that is wanted."""

    def set_cookies(response: Response) -> None:
        set_access_cookies(response, pair.access_token)
        set_refresh_cookies(response, pair.refresh_token)

    body: dict[str, Any] = {
        "access_token": pair.access_token,
        "refresh_token": pair.refresh_token,
        "token_type": "Bearer",
        "expires_at": pair.expires_at,
        "session_id": pair.session_id,
        "user_id": pair.user_id,
        "tenant_id": pair.tenant_id,
        "scopes": list(pair.scopes),
        "needs_second_factor": pair.needs_second_factor,
        "device_token": pair.device_token or None,
    }
    return Answer(body, edit=set_cookies if cookies else None)


TENANT_FIELDS = {"tenant_id": IdText(), "tenant": Text(longest=63)}

ENDPOINTS = (
    Endpoint(
        method="POST",
        path=v1("/auth/login"),
        view=log_in,
        scope=Access.PUBLIC,
        tag="sign-in",
        body=SchemaBody(
            "Login",
            {
                "email": Text(longest=254, required=True),
                "password": Text(longest=1024, required=True),
                **TENANT_FIELDS,
                "totp_code": Text(longest=40),
                "device_token": Text(longest=100),
                "use_cookies": Flag(load_default=False),
            },
        ),
        answers={200: "Tokens"},
        problems=(401, 429, 503),
        bucket=Bucket.SIGN_IN,
    ),
    Endpoint(
        method="POST",
        path=v1("/auth/refresh"),
        view=refresh_tokens,
        scope=Access.PUBLIC,
        tag="sign-in",
        body=SchemaBody("Refresh", {"refresh_token": Text(longest=4096)}),
        body_optional=True,
        answers={200: "Tokens"},
        aliases=(("POST", v1("/refresh")),),
        problems=(401,),
        bucket=Bucket.SIGN_IN,
    ),
    Endpoint(
        method="POST",
        path=v1("/auth/logout"),
        view=log_out,
        scope=Access.AUTHENTICATED,
        tag="sign-in",
        answers={204: None},
        aliases=(("POST", v1("/logout")),),
        problems=(409,),
    ),
    Endpoint(
        method="POST",
        path=v1("/auth/switch-tenant"),
        view=switch_tenant,
        scope=Access.AUTHENTICATED,
        tag="sign-in",
        body=SchemaBody("SwitchTenant", {**TENANT_FIELDS, "use_cookies": Flag(load_default=False)}),
        answers={200: "Tokens"},
        problems=(404, 409),
        bucket=Bucket.SIGN_IN,
    ),
    Endpoint(
        method="GET",
        path=v1("/auth/me"),
        view=who_am_i,
        scope=Access.AUTHENTICATED,
        tag="sign-in",
        answers={200: "Me"},
    ),
)
