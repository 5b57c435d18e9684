"""Keys for programs: made with no more than their maker may do, shown once, listed without their secret, revoked."""

from typing import Any

import marshmallow as ma

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.fields import IdText, Instant, Text
from oms_app.api.paging import list_query
from oms_app.api.paths import v1
from oms_app.api.problems import not_found
from oms_app.api.reading.asked import made_between, part_of
from oms_app.flow.scopes import Scope
from oms_app.store.identity_rows import ApiKeyRow


def create_api_key(call: Call) -> Answer:
    """Make a key. Its text is in this answer and nowhere else."""
    asked = call.body
    made = call.services.identity.create_key(
        call.principal,
        asked["name"],
        asked["scopes"],
        account_ids=asked.get("account_ids"),
        expires_at=asked.get("expires_at"),
    )
    return Answer({"api_key": made.api_key, **_shown(made.row)}, 201)


def list_api_keys(call: Call) -> Answer:
    """The tenant's keys, newest first, without their secrets."""
    keys = made_between(call.services.identity.keys(call.principal.tenant_id), call.query)
    return Answer(part_of([_shown(row) for row in keys], call.query))


def revoke_api_key(call: Call, key_id: str) -> Answer:
    """Revoke a key; it is refused everywhere within a second."""
    if not call.services.identity.revoke_key(call.principal.tenant_id, key_id):
        raise not_found("API key")
    return Answer(None, 204)


def _shown(row: ApiKeyRow) -> dict[str, Any]:
    return {
        "key_id": row.key_id,
        "name": row.name,
        "prefix": row.prefix,
        "scopes": list(row.scopes),
        "account_ids": list(row.account_ids) if row.account_ids is not None else None,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
        "created_at": row.created_at,
        "last_used_at": row.last_used_at,
    }


ENDPOINTS = (
    Endpoint(
        method="POST",
        path=v1("/api-keys"),
        view=create_api_key,
        scope=Scope.ADMIN_TENANTS,
        tag="api keys",
        body=SchemaBody(
            "ApiKeyRequest",
            {
                "name": Text(longest=200, required=True),
                "scopes": ma.fields.List(Text(longest=60), required=True, validate=ma.validate.Length(1, 50)),
                "account_ids": ma.fields.List(IdText(), allow_none=True, validate=ma.validate.Length(1, 1000)),
                "expires_at": Instant(allow_none=True),
            },
        ),
        answers={201: "NewApiKey"},
    ),
    Endpoint(
        method="GET",
        path=v1("/api-keys"),
        view=list_api_keys,
        scope=Scope.ADMIN_TENANTS,
        tag="api keys",
        query=list_query(),
        answers={200: "ApiKeyList"},
    ),
    Endpoint(
        method="DELETE",
        path=v1("/api-keys/<uuid:key_id>"),
        view=revoke_api_key,
        scope=Scope.ADMIN_TENANTS,
        tag="api keys",
        answers={204: None},
    ),
)
