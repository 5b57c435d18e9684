"""Keys for programs: made with no more than their maker may do, shown once, listed without secret, rotated, revoked.

A key that may place orders, and whatever changes one or shows a new secret of it, needs a person who proved it anew.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import marshmallow as ma
from flask import request

from oms_app.api.authentication import presented_key
from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Access, Answer, Call, Endpoint
from oms_app.api.fields import Count, Flag, IdText, Instant, Text
from oms_app.api.paging import list_query
from oms_app.api.paths import v1
from oms_app.api.problems import Problem, invalid
from oms_app.api.reading.asked import made_between, part_of
from oms_app.flow.key_terms import MOST_NETWORKS, MOST_REQUESTS_PER_S
from oms_app.flow.machine_keys import LONGEST_OVERLAP, KeyWish, NewApiKey
from oms_app.flow.scopes import Scope
from oms_app.store.key_rows import KeyRow

KEY = "/api-keys/<uuid:key_id>"
OVERLAP_S = 24 * 3600
LONGEST_OVERLAP_S = int(LONGEST_OVERLAP.total_seconds())


def create_api_key(call: Call) -> Answer:
    """Make a key. Its text is in this answer and nowhere else."""
    wish, keys = _wish(call.body), call.services.identity.machine_keys
    if wish.account_ids is not None:
        keys.check_accounts(call.principal.tenant_id, wish.account_ids)
    made = keys.create(call.principal, wish, call.actor)
    return _new(made, 201)


def list_api_keys(call: Call) -> Answer:
    """The tenant's keys, newest first, without their secrets."""
    keys = made_between(call.services.identity.keys(call.principal.tenant_id), call.query)
    return Answer(part_of([_shown(row) for row in keys], call.query))


def get_api_key(call: Call, key_id: str) -> Answer:
    """A key, without its secret."""
    return Answer(_shown(call.services.identity.machine_keys.key(call.principal.tenant_id, key_id)))


def change_api_key(call: Call, key_id: str) -> Answer:
    """Change a key's name, networks, quota or expiry; null takes a quota or an expiry away. Scopes stay as they are."""
    if not call.body:
        raise invalid(
            "", "the body names nothing to change", "send name, networks, requests_per_s, burst or expires_at"
        )
    _require_fresh_proof(call, key_id)
    row = call.services.identity.machine_keys.change(
        call.principal, key_id, fields=tuple(call.body), wish=_wish(call.body), actor=call.actor
    )
    return Answer(_shown(row))


def rotate_api_key(call: Call, key_id: str) -> Answer:
    """Give a key a new secret, shown in this answer only. The old one works until the overlap has passed."""
    _require_fresh_proof(call, key_id)
    made = call.services.identity.machine_keys.rotate(
        call.principal, key_id, overlap=timedelta(seconds=call.body["overlap_s"]), actor=call.actor
    )
    return _new(made, 200)


def rotate_own_api_key(call: Call) -> Answer:
    """Give the key that asks a new secret, shown in this answer only; ask with its present secret, not an outgoing one.

    The old one works until the overlap has passed. Neither the key's rights nor its expiry change.
    """
    caller, presented = call.caller, presented_key(request)
    if caller is None or caller.terms is None or presented is None:
        raise Problem("conflict", "only an API key rotates itself; people rotate a key by POST /api-keys/<id>/rotate")
    made = call.services.identity.machine_keys.rotate(
        call.principal,
        caller.terms.key_id,
        overlap=timedelta(seconds=call.body["overlap_s"]),
        presented=presented,
        actor=call.actor,
    )
    return _new(made, 200)


def revoke_api_key(call: Call, key_id: str) -> Answer:
    """Revoke a key, with the secret that a rotation left valid; it is refused everywhere from now on."""
    call.services.identity.machine_keys.revoke(call.principal, key_id, call.actor)
    return Answer(None, 204)


def _wish(asked: Mapping[str, Any]) -> KeyWish:
    account_ids = asked.get("account_ids")
    return KeyWish(
        name=asked.get("name", ""),
        scopes=tuple(asked.get("scopes", ())),
        account_ids=tuple(account_ids) if account_ids is not None else None,
        expires_at=asked.get("expires_at"),
        is_test=asked.get("is_test", False),
        networks=tuple(asked.get("networks") or ()),
        requests_per_s=asked.get("requests_per_s"),
        burst=asked.get("burst"),
    )


def _may_place(call: Call) -> bool:
    return Scope.PLACE_ORDERS in call.body["scopes"]


def _require_fresh_proof(call: Call, key_id: str) -> None:
    """Nothing, when the key may place no orders or the caller proved who they are. Raises StepUpRequired."""
    row = call.services.identity.machine_keys.key(call.principal.tenant_id, key_id)
    if Scope.PLACE_ORDERS in row.scopes and call.caller is not None:
        call.services.identity.sessions.require_step_up(call.caller)


def _new(made: NewApiKey, status: int) -> Answer:
    return Answer({"api_key": made.api_key, **_shown(made.row)}, status)


def _shown(row: KeyRow) -> dict[str, Any]:
    return {
        "key_id": row.key_id,
        "name": row.name,
        "prefix": row.prefix,
        "scopes": list(row.scopes),
        "account_ids": list(row.account_ids) if row.account_ids is not None else None,
        "is_test": row.is_test,
        "networks": list(row.networks),
        "requests_per_s": row.quota_per_s,
        "burst": row.quota_burst,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
        "created_at": row.created_at,
        "rotated_at": row.rotated_at,
        "previous_prefix": row.previous_prefix,
        "previous_until": row.previous_until,
        "last_used_at": row.last_used_at,
        "last_used_address": row.last_used_address or None,
    }


def _terms() -> dict[str, ma.fields.Field[Any]]:
    """What may be said of a key when it is made, and changed later."""
    return {
        "networks": ma.fields.List(Text(longest=50), allow_none=True, validate=ma.validate.Length(0, MOST_NETWORKS)),
        "requests_per_s": Count(low=1, high=MOST_REQUESTS_PER_S, allow_none=True),
        "burst": Count(low=1, high=2 * MOST_REQUESTS_PER_S, allow_none=True),
        "expires_at": Instant(allow_none=True),
    }


def _rotation(name: str) -> SchemaBody:
    return SchemaBody(name, {"overlap_s": Count(low=0, high=LONGEST_OVERLAP_S, load_default=OVERLAP_S)})


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
                "is_test": Flag(load_default=False),
                **_terms(),
            },
        ),
        answers={201: "NewApiKey"},
        step_up=_may_place,
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
        method="GET",
        path=v1(KEY),
        view=get_api_key,
        scope=Scope.ADMIN_TENANTS,
        tag="api keys",
        answers={200: "ApiKey"},
    ),
    Endpoint(
        method="PATCH",
        path=v1(KEY),
        view=change_api_key,
        scope=Scope.ADMIN_TENANTS,
        tag="api keys",
        body=SchemaBody("ApiKeyChange", {"name": Text(longest=200), **_terms()}),
        answers={200: "ApiKey"},
        problems=(409,),
    ),
    Endpoint(
        method="POST",
        path=v1(KEY + "/rotate"),
        view=rotate_api_key,
        scope=Scope.ADMIN_TENANTS,
        tag="api keys",
        body=_rotation("ApiKeyRotation"),
        body_optional=True,
        answers={200: "NewApiKey"},
        problems=(409,),
    ),
    Endpoint(
        method="DELETE",
        path=v1(KEY),
        view=revoke_api_key,
        scope=Scope.ADMIN_TENANTS,
        tag="api keys",
        answers={204: None},
    ),
    Endpoint(
        method="POST",
        path=v1("/auth/rotate-api-key"),
        view=rotate_own_api_key,
        scope=Access.AUTHENTICATED,
        tag="api keys",
        body=_rotation("OwnApiKeyRotation"),
        body_optional=True,
        answers={200: "NewApiKey"},
        problems=(409,),
    ),
)
