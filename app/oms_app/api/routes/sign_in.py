"""Passwords and refresh tokens in, sessions out; programs get tokens, the dashboard gets HttpOnly cookies as well."""

from typing import Any

from flask import Response, request
from flask_jwt_extended import set_access_cookies, set_refresh_cookies, unset_jwt_cookies

from oms_app.api.authentication import REFRESH_COOKIE, check_cookie
from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Access, Answer, Call, Endpoint
from oms_app.api.fields import Flag, IdText, Text
from oms_app.api.paths import v1
from oms_app.api.problems import FieldError, Problem
from oms_app.api.rate_limit import Bucket
from oms_app.flow.identity import TokenPair


def log_in(call: Call) -> Answer:
    """Sign in with e-mail and password. `use_cookies`: set the tokens as HttpOnly cookies too."""
    asked = call.body
    pair = call.services.identity.sign_in(asked["email"], asked["password"], tenant_id=asked.get("tenant_id"))
    return _signed_in(pair, cookies=asked["use_cookies"])


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
    return _signed_in(call.services.identity.refresh(token), cookies=from_cookie)


def log_out(call: Call) -> Answer:
    """Close the session: its tokens are refused from now on."""
    caller = call.caller
    if caller is None or caller.session_id is None:
        raise Problem("conflict", "an API key has no session; revoke the key instead")
    call.services.identity.sign_out(caller.session_id)
    return Answer(None, 204, edit=unset_jwt_cookies)


def who_am_i(call: Call) -> Answer:
    """Who the caller is and what it may do."""
    principal = call.principal
    return Answer(
        {
            "principal": principal.principal_id,
            "tenant_id": principal.tenant_id,
            "scopes": sorted(principal.scopes),
            "account_ids": sorted(principal.account_ids) if principal.account_ids is not None else None,
            "expires_at": call.caller.expires_at if call.caller is not None else None,
        }
    )


def _signed_in(pair: TokenPair, *, cookies: bool) -> Answer:
    def set_cookies(response: Response) -> None:
        set_access_cookies(response, pair.access_token)
        set_refresh_cookies(response, pair.refresh_token)

    body: dict[str, Any] = {
        "access_token": pair.access_token,
        "refresh_token": pair.refresh_token,
        "token_type": "Bearer",
        "expires_at": pair.expires_at,
        "user_id": pair.user_id,
        "tenant_id": pair.tenant_id,
        "scopes": list(pair.scopes),
    }
    return Answer(body, edit=set_cookies if cookies else None)


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
                "tenant_id": IdText(),
                "use_cookies": Flag(load_default=False),
            },
        ),
        answers={200: "Tokens"},
        problems=(401, 503),
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
        method="GET",
        path=v1("/auth/me"),
        view=who_am_i,
        scope=Access.AUTHENTICATED,
        tag="sign-in",
        answers={200: "Me"},
    ),
)
