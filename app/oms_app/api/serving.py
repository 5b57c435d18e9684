"""An Endpoint in, a Flask view out: authenticate, permit, limit, read, call, encode, always in this order."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Request, Response, request
from structlog.contextvars import bind_contextvars
from werkzeug.datastructures import Headers, MultiDict

from oms_app.api.authentication import admit
from oms_app.api.bodies import load
from oms_app.api.call import Access, Answer, ApiServices, Call, Endpoint
from oms_app.api.json_text import NotJson, decode, encode
from oms_app.api.problems import FieldError, Problem
from oms_app.api.proving import confirm, recognised, require_step_up
from oms_app.api.quotas import Quotas
from oms_app.api.rate_limit import Bucket, Grant
from oms_app.api.requests import current_request_id, tell_limits
from oms_app.api.schema_from_struct import make_schema
from oms_app.flow.errors import FlowError
from oms_app.flow.hosts import unknown_here
from oms_app.flow.known_callers import Caller
from oms_app.flow.scopes import Scope
from oms_kernel.domain.errors import KernelError

MAX_IDEMPOTENCY_KEY = 255
YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml"})
_NO_FIELDS = make_schema("Empty", {})
_VERSION = re.compile(r'(?:W/)?"v([0-9]{1,18})"\Z', re.ASCII)


def make_view(endpoint: Endpoint, services: ApiServices, quotas: Quotas) -> Callable[..., Response]:
    """The Flask view of an endpoint. Raises ValueError when it declares no permission."""
    scope = endpoint.scope
    if scope not in (Access.PUBLIC, Access.AUTHENTICATED) and scope not in set(Scope):
        raise ValueError(f"{endpoint.operation_id} declares no permission: name a Scope or an Access")

    def serve(**path: Any) -> Response:
        http: Request = request._get_current_object()  # type: ignore[attr-defined]
        if (refusal := quotas.at_door(endpoint.bucket, http.remote_addr or "")) is not None:
            raise _too_many(refusal)
        caller = recognised(
            endpoint, http, services.identity, partial(_require_idempotency_key, endpoint, http, services)
        )
        if caller is not None:
            admit(caller, http.remote_addr or "", services.identity)
        host_tenant = services.hosts.tenant_of(http.host)
        if caller is not None and host_tenant not in (None, caller.principal.tenant_id):
            raise unknown_here(caller)
        who = caller.principal.principal_id if caller is not None else f"address:{http.remote_addr}"
        if caller is not None:
            bind_contextvars(tenant_id=caller.principal.tenant_id, principal=who)
        if path:
            bind_contextvars(**{name: str(value) for name, value in path.items()})
        _limit(quotas, endpoint, caller, http)
        try:
            call = Call(
                services=services,
                caller=caller,
                body=_body(endpoint, http),
                query=_query(endpoint, http.args),
                idempotency_key=_idempotency_key(http) if endpoint.takes_idempotency_key else None,
                if_match=_if_match(http) if endpoint.takes_if_match else None,
                remote=http.remote_addr or "",
                agent=http.headers.get("User-Agent", ""),
                request_id=current_request_id(),
                host_tenant=host_tenant,
            )
            require_step_up(endpoint, call)
            answer = endpoint.view(call, **{name: str(value) for name, value in path.items()})
        except (Problem, FlowError, KernelError) as error:
            confirm(caller, error)
            raise
        confirm(caller)
        response = respond(answer)
        if endpoint.gives_etag and endpoint.method == "GET" and "If-None-Match" in request.headers:
            response.make_conditional(request)
        return response

    serve.__name__ = endpoint.operation_id
    serve.__doc__ = endpoint.view.__doc__
    serve.oms_scope = scope  # type: ignore[attr-defined]
    return serve


class JsonResponse(Response):
    """A response with a body and all its headers: there is nothing left to complete when it is sent."""

    def get_wsgi_headers(self, environ: Any) -> Headers:
        """The headers as they are."""
        return self.headers


def respond(answer: Answer) -> Response:
    """The HTTP response of an answer."""
    if answer.body is None:
        response = Response(b"", answer.status, headers=dict(answer.headers))
        del response.headers["Content-Type"]
    else:
        body = encode(answer.body)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **answer.headers}
        response = JsonResponse(body, answer.status, Headers(list(headers.items())))
    if answer.edit is not None:
        answer.edit(response)
    return response


def _limit(quotas: Quotas, endpoint: Endpoint, caller: Caller | None, http: Request) -> None:
    if caller is None:
        grant = quotas.of_caller(endpoint.bucket, f"address:{http.remote_addr}", None)
    else:
        own = caller.terms.quota if caller.terms is not None else None
        principal = caller.principal
        grant = quotas.of_caller(endpoint.bucket, principal.principal_id, principal.tenant_id, own)
    if grant is None:
        return
    if not grant.allowed:
        raise _too_many(grant)
    tell_limits(http.environ, grant.headers())


def _too_many(grant: Grant) -> Problem:
    detail = f"the limit {grant.policy} is used up; wait {grant.wait_s:.1f} s"
    return Problem("too_many_requests", detail, headers=dict(grant.headers()))


def _body(endpoint: Endpoint, http: Request) -> Any:
    if endpoint.body is None or endpoint.body_optional:
        data = http.get_data(cache=True)
        if not data:
            return endpoint.body.read({}) if endpoint.body is not None else None
    if endpoint.takes_csv and endpoint.body is not None and http.mimetype == "text/csv":
        return endpoint.body.read({"csv": _text_of(http, "csv", "save the table as CSV in UTF-8")})
    if endpoint.takes_yaml and endpoint.body is not None and http.mimetype in YAML_TYPES:
        return endpoint.body.read({"yaml": _text_of(http, "yaml", "save the file in UTF-8")})
    if http.content_type != "application/json" and http.mimetype != "application/json":
        raise Problem(
            "unsupported_media_type",
            "the body must be JSON",
            errors=[FieldError("Content-Type", f"is {http.mimetype or 'missing'}", "send application/json")],
        )
    try:
        value = decode(http.get_data())
    except NotJson as error:
        raise Problem("malformed_json", f"the body is not valid JSON: {error}") from None
    return endpoint.body.read(value) if endpoint.body is not None else load(_NO_FIELDS, value)


def _text_of(http: Request, field: str, fix: str) -> str:
    try:
        return http.get_data().decode("utf-8")
    except UnicodeDecodeError:
        error = FieldError(field, "is not UTF-8", fix)
        raise Problem("invalid_request", "the body is not UTF-8", errors=[error]) from None


def _query(endpoint: Endpoint, arguments: "MultiDict[str, str]") -> dict[str, Any]:
    if endpoint.query is None:
        if arguments:
            name = next(iter(arguments))
            raise Problem(
                "invalid_request",
                f"{name}: is unknown",
                errors=[FieldError(name, "is unknown", "remove it; this route takes no query parameters")],
            )
        return {}
    for name, values in arguments.lists():
        if len(values) > 1:
            raise Problem(
                "invalid_request",
                f"{name}: is given twice",
                errors=[FieldError(name, "is given twice", "give it once; several words go in one, with commas")],
            )
    return load(endpoint.query, arguments.to_dict())


def _idempotency_key(http: Request) -> str | None:
    key = http.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY or not key.isascii() or not key.isprintable():
        fix = f"send 1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters"
        raise Problem(
            "invalid_request",
            "the Idempotency-Key is not valid",
            errors=[FieldError("Idempotency-Key", "is not valid", fix)],
        )
    return key


def _require_idempotency_key(endpoint: Endpoint, http: Request, services: ApiServices, caller: Caller) -> None:
    """Nothing, unless the tenant wants every order to carry a key and this one has none. Cancels never need one."""
    if endpoint.bucket is not Bucket.ORDERS or "Idempotency-Key" in http.headers:
        return
    tenancy, tenant_id = services.tenancy, caller.principal.tenant_id
    if not tenancy.settings_at(tenant_id, caller.epoch).require_idempotency_key:
        return  # a caller remembered from before a change is recognised, and checked, anew before the order counts
    if not tenancy.settings(tenant_id).require_idempotency_key:
        return
    error = FieldError("Idempotency-Key", "is required", "send a header that is unique for this request, as a UUID is")
    raise Problem("invalid_request", "this tenant requires an Idempotency-Key", errors=[error])


def _if_match(http: Request) -> int | None:
    value = http.headers.get("If-Match")
    if value is None or value.strip() == "*":
        return None
    match = _VERSION.match(value.strip())
    if match is None:
        raise Problem(
            "invalid_request",
            "If-Match is not valid",
            errors=[FieldError("If-Match", "is no version", 'send the ETag of what you read, such as "v42"')],
        )
    return int(match.group(1))
