"""Endpoints in, their OpenAPI 3.1 document and its reader out: what is served is what is documented, to the route."""

import mimetypes
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import flask
import msgspec
from flask import Flask, Response, request
from flask_smorest import Api, Blueprint

from oms_app.api.answers import answer_schemas
from oms_app.api.call import Access, Endpoint
from oms_app.api.fields import openapi_attributes
from oms_app.api.paths import V1
from oms_app.api.problems import PROBLEM_TYPE, STATUS_OF_CODE, not_found
from oms_app.flow.scopes import Scope

STATIC = Path(__file__).parent / "static"
TITLE = "Order management"
_CSP_OF_DOCS = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""Everything that the reader is made of comes from this server."""
_VENDOR = STATIC / "vendor" / "swagger-ui"
_READER_FILES = {
    "docs.html": STATIC / "docs.html",
    "docs.js": STATIC / "docs.js",
    "swagger-ui.css": _VENDOR / "swagger-ui.css",
    "swagger-ui-bundle.js": _VENDOR / "swagger-ui-bundle.js",
    "favicon-32x32.png": _VENDOR / "favicon-32x32.png",
}
_ALWAYS = (400, 422, 429, 500)
_NEEDS_NO_STORE = frozenset({"live"})
"""Every other operation reads or writes the store, and says so when it is away."""
_RETRY_AFTER = {
    "description": "After so many seconds it is worth trying again.",
    "schema": {"type": "integer", "minimum": 1},
}
_CSV = {"text/csv": {"schema": {"type": "string"}}}
_YAML = {"application/yaml": {"schema": {"type": "string"}}}
_LINES = {"application/x-ndjson": {"schema": {"type": "string"}}}
_ETAG = {"description": 'The version of the order, such as "v42".', "schema": {"type": "string"}}
_TITLES = dict(reversed(list(STATUS_OF_CODE.values())))

View = Callable[..., Response]


def document_api(app: Flask, served: Iterable[tuple[Endpoint, View]]) -> None:
    """Register every endpoint and alias on the app, and serve the document and its reader."""
    served = list(served)
    by_tag: dict[str, flask.Blueprint] = {}
    for endpoint, view in served:
        blueprint = by_tag.setdefault(endpoint.tag, flask.Blueprint(endpoint.tag, __name__))
        for operation in _operations(endpoint):
            operation.register(blueprint, view)
    for blueprint in by_tag.values():
        app.register_blueprint(blueprint)
    _serve_document(app, document_of(tuple(endpoint for endpoint, _view in served)))


def document_of(endpoints: tuple[Endpoint, ...]) -> dict[str, Any]:
    """The OpenAPI document of these endpoints; of the same ones it is made once in a process."""
    made = _MADE.get(tuple(map(id, endpoints)))
    if made is None:
        made = _Made(endpoints, _document(endpoints))
        if len(_MADE) < _MOST_MADE:
            _MADE[tuple(map(id, endpoints))] = made
    return made.document


class _Made(NamedTuple):
    """A document, and what it is of: as long as that is held here, nothing else has its ids."""

    endpoints: tuple[Endpoint, ...]
    document: dict[str, Any]


_MADE: dict[tuple[int, ...], _Made] = {}
_MOST_MADE = 4


def _document(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """What flask-smorest makes of the endpoints, on an application that serves nothing."""
    app = Flask(__name__, static_folder=None)
    app.config.update(API_TITLE=TITLE, API_VERSION="1", OPENAPI_VERSION="3.1.0", OPENAPI_URL_PREFIX=None)
    api = Api(app, spec_kwargs={"info": {"description": _INTRODUCTION}, "security": []})
    converter = api.ma_plugin.converter
    converter.add_attribute_function(openapi_attributes)
    for name, schema in answer_schemas().items():
        api.spec.components.schema(name, schema=schema)
    for name, scheme in _SECURITY_SCHEMES.items():
        api.spec.components.security_scheme(name, scheme)
    by_tag: dict[str, Any] = {}
    for endpoint in endpoints:
        blueprint = by_tag.setdefault(endpoint.tag, Blueprint(endpoint.tag, __name__, description=_TAGS[endpoint.tag]))
        if endpoint.body is not None and endpoint.body.schema_name not in api.spec.components.schemas:
            api.spec.components.schema(endpoint.body.schema_name, schema=endpoint.body.schema)
        parameters = []
        if endpoint.query is not None:
            parameters = converter.schema2parameters(endpoint.query, location="query")
        for operation in _operations(endpoint):
            told = _operation(endpoint, operation.operation_id, parameters, deprecated=operation.is_alias)
            operation.register(blueprint, _unserved, told)
    for blueprint in by_tag.values():
        api.register_blueprint(blueprint)
    return _cleaned(api.spec.to_dict())


def _unserved(**_arguments: Any) -> Response:
    raise NotImplementedError("this application is looked at only")


class _Operation(NamedTuple):
    """One method and path of an endpoint."""

    endpoint: Endpoint
    operation_id: str
    method: str
    path: str
    is_alias: bool

    def register(self, blueprint: flask.Blueprint, view: View, told: dict[str, Any] | None = None) -> None:
        """Let the view serve it under a name of its own. told: what the document says of it."""

        def serve(**arguments: Any) -> Response:
            return view(**arguments)

        serve.__name__ = self.operation_id
        serve.__doc__ = self.endpoint.view.__doc__
        serve.oms_scope = self.endpoint.scope  # type: ignore[attr-defined]
        if told is not None:
            serve._apidoc = {"manual_doc": told}  # type: ignore[attr-defined]
        blueprint.add_url_rule(self.path, self.operation_id, serve, methods=[self.method])


def _operations(endpoint: Endpoint) -> Iterator[_Operation]:
    """Its own path, then its aliases."""
    yield _Operation(endpoint, endpoint.operation_id, endpoint.method, endpoint.path, is_alias=False)
    for number, (method, path) in enumerate(endpoint.aliases, start=1):
        yield _Operation(endpoint, f"{endpoint.operation_id}_alias_{number}", method, path, is_alias=True)


def _cleaned(document: dict[str, Any]) -> dict[str, Any]:
    """The document without the web framework's own error form, which no route answers with.

    A problem may have members of its own beside those that all have (RFC 9457): the scope that is missing, and others.
    """
    components = document["components"]
    for name in ("Error", "PaginationMetadata"):
        components["schemas"].pop(name, None)
    components["schemas"]["Problem"]["additionalProperties"] = True
    components.pop("responses", None)
    components.pop("headers", None)
    document.pop("security", None)
    for operations in document["paths"].values():
        for operation in operations.values():
            if isinstance(operation, dict):
                operation.get("responses", {}).pop("default", None)
    return document


def _operation(
    endpoint: Endpoint, operation_id: str, parameters: list[dict[str, Any]], *, deprecated: bool
) -> dict[str, Any]:
    """What the document says of one operation."""
    operation: dict[str, Any] = {
        "operationId": operation_id,
        "responses": {
            **{str(status): _answer(status, schema, endpoint) for status, schema in endpoint.answers.items()},
            **({"304": {"description": "The order is as you know it"}} if _is_conditional(endpoint) else {}),
            **{str(status): _problem(status) for status in _problem_statuses(endpoint)},
        },
        "parameters": [*parameters, *_headers(endpoint)],
    }
    if endpoint.scope == Access.PUBLIC:
        operation["security"] = []
    else:
        scopes = [endpoint.scope.value] if isinstance(endpoint.scope, Scope) else []
        operation["security"] = [{"apiKey": scopes}, {"bearer": scopes}, {"cookie": scopes}]
        if scopes:
            operation["x-scope"] = scopes[0]
    if endpoint.body is not None:
        reference = {"$ref": f"#/components/schemas/{endpoint.body.schema_name}"}
        operation["requestBody"] = {
            "required": not endpoint.body_optional,
            "content": {
                "application/json": {"schema": reference, **_example(endpoint)},
                **(_CSV if endpoint.takes_csv else {}),
                **(_YAML if endpoint.takes_yaml else {}),
            },
        }
    if deprecated:
        operation["deprecated"] = True
        operation["x-alias-of"] = endpoint.operation_id
    return operation


def _example(endpoint: Endpoint) -> dict[str, Any]:
    return {"example": dict(endpoint.body_example)} if endpoint.body_example is not None else {}


def _is_conditional(endpoint: Endpoint) -> bool:
    """Whether the operation answers 304 to who knows the present version."""
    return endpoint.gives_etag and endpoint.method == "GET"


def _answer(status: int, schema: str | None, endpoint: Endpoint) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": _SUCCESSES.get(status, "Success")}
    if endpoint.gives_etag:
        answer["headers"] = {"ETag": _ETAG}
    if endpoint.answers_csv:
        answer["content"] = _CSV
    if endpoint.answers_lines:
        answer["content"] = {**answer.get("content", {}), **_LINES}
    if schema is not None:
        answer["content"] = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return answer


def _problem(status: int) -> dict[str, Any]:
    reference = {"$ref": "#/components/schemas/Problem"}
    problem = {"description": _TITLES.get(status, "Problem"), "content": {PROBLEM_TYPE: {"schema": reference}}}
    return {**problem, "headers": {"Retry-After": _RETRY_AFTER}} if status in (429, 503) else problem


def _problem_statuses(endpoint: Endpoint) -> list[int]:
    statuses = {*_ALWAYS, *endpoint.problems}
    if endpoint.operation_id not in _NEEDS_NO_STORE:
        statuses.add(503)
        statuses |= {504} if endpoint.method != "GET" else set()
    if endpoint.scope != Access.PUBLIC:
        # Any key may be refused: what only a signed-in person may do, or only from its networks.
        statuses |= {401, 403}
    if endpoint.body is not None:
        statuses |= {413, 415}
    if "<" in endpoint.path:
        statuses.add(404)
    return sorted(statuses - set(endpoint.answers))


def _headers(endpoint: Endpoint) -> list[dict[str, Any]]:
    headers = []
    if endpoint.takes_idempotency_key:
        headers.append(
            {
                "in": "header",
                "name": "Idempotency-Key",
                "description": "1 to 255 printable characters; the same key with the same body repeats the answer.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            }
        )
    if endpoint.takes_if_match:
        headers.append(
            {
                "in": "header",
                "name": "If-Match",
                "description": 'The ETag of what you read, such as "v42"; 412 when it has changed since.',
                "schema": {"type": "string"},
            }
        )
    if _is_conditional(endpoint):
        headers.append(
            {
                "in": "header",
                "name": "If-None-Match",
                "description": "The ETag of the order as you know it; 304 while it is the same.",
                "schema": {"type": "string"},
            }
        )
    return headers


def _serve_document(app: Flask, document: dict[str, Any]) -> None:
    body = msgspec.json.encode(document)

    def openapi_json() -> Response:
        """The OpenAPI document."""
        response = Response(body, mimetype="application/json")
        response.headers["Cache-Control"] = "no-cache"
        response.add_etag()
        response.make_conditional(request)
        return response

    def docs() -> Response:
        """The document's reader."""
        return _page("docs.html")

    def docs_file(name: str) -> Response:
        """What the reader is made of."""
        return _page(name)

    for path, view in (
        (f"{V1}/openapi.json", openapi_json),
        ("/api/docs", docs),
        ("/api/docs/<name>", docs_file),
    ):
        setattr(view, "oms_scope", Access.PUBLIC)  # noqa: B010
        app.add_url_rule(path, view.__name__, view, methods=["GET"])
    app.extensions["oms_openapi"] = document


def _page(name: str) -> Response:
    """One of the reader's files; any other name is 404."""
    path = _READER_FILES.get(name)
    if path is None:
        raise not_found("file")
    mimetype = mimetypes.guess_type(name)[0] or "text/plain"
    response = Response(path.read_bytes(), mimetype=mimetype)
    response.headers["Content-Security-Policy"] = _CSP_OF_DOCS
    response.headers["Cache-Control"] = "no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response


def flask_path_to_openapi(rule: str) -> str:
    """`/orders/<uuid:order_id>` as `/orders/{order_id}`."""
    return re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule)


_SUCCESSES = {200: "Done", 201: "Made", 202: "Under way", 204: "Done", 307: "Elsewhere"}
_SECURITY_SCHEMES = {
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "A key from /api-keys."},
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token from /auth/login.",
    },
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "oms_access",
        "description": "The dashboard's session.",
    },
}
_TAGS = {
    "orders": "Place, read, change and cancel orders, one or many.",
    "executions": "What was traded.",
    "alerts": "What people should see, and what to do about it.",
    "reconciliation": "Where broker and book differ, the runs that compared them, and reports that wait for a person.",
    "risk": "Limits, what the rules said, orders that wait for an approval, and what stops trading.",
    "compliance": "Cases of surveillance: evidence, notes and findings.",
    "positions": "What is held, and today's profit and loss.",
    "accounts": "Trading accounts and the broker accounts they are routed to.",
    "instruments": "What can be traded.",
    "market data": "Quotes and the stream of events.",
    "brokers": "Connections to brokers.",
    "strategies": "Strategies and their runs.",
    "webhooks": "Messages to other systems.",
    "consumers": "Who reads the log, and how far behind.",
    "plugins": "What is installed.",
    "sign-in": "Sessions.",
    "api keys": "Keys for programs.",
    "audit": "Who did what; what is kept about a person, and its erasure.",
    "tenants": "Tenants and their settings.",
    "members": "Who belongs to the tenant, and as what.",
    "invitations": "Inviting people by e-mail.",
    "profile": "What people say about themselves, and how strangers register.",
    "health": "Whether the system works.",
}
_INTRODUCTION = (
    "Decimals are texts in answers; requests take texts or numbers. Times are RFC 3339 in UTC. Errors are RFC 9457 "
    "problems with a stable `code`. Unknown fields are refused. Operations marked deprecated are other systems' "
    "spellings of the same operation."
)
