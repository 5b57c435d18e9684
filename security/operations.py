"""An application in, every operation that it serves out: where each takes an id, and how a good request looks.

All of it is read from the OpenAPI document and the table of routes, so that a route that is added later is in.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from flask import Flask

from oms_app.api.documentation import flask_path_to_openapi

METHODS = ("get", "post", "put", "patch", "delete")
_PARAMETER = re.compile(r"\{(\w+)\}")
_DEEPEST = 4


class Slot(msgspec.Struct, frozen=True):
    """One place of an operation that takes an id. place: path, query, body or form. at: its name, or its way in."""

    place: str
    name: str
    at: tuple[str | int, ...]

    def __str__(self) -> str:
        return f"{self.place} {'.'.join(map(str, self.at))}"


class Operation(msgspec.Struct, frozen=True):
    """One operation under one path."""

    name: str
    method: str
    path: str
    query: tuple[str, ...] = ()
    body: Mapping[str, Any] | None = None
    """JSON Schema of the body, references resolved."""
    example: Mapping[str, Any] | None = None
    alias_of: str = ""
    is_page: bool = False
    takes_idempotency_key: bool = False

    @property
    def parameters(self) -> list[str]:
        """Names in the path."""
        return _PARAMETER.findall(self.path)

    def slots(self) -> Iterator[Slot]:
        """Every place that takes an id: in the path every name, elsewhere what is called an id."""
        yield from (Slot("path", name, (name,)) for name in self.parameters)
        yield from (Slot("query", singular(name), (name,)) for name in self.query if is_id(name))
        if self.body is not None:
            yield from (Slot("body", singular(str(_named(way))), way) for way in _ways(self.body, ()))

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def is_id(name: str) -> bool:
    """Whether a field or parameter of this name holds an id, or several."""
    return name.endswith(("_id", "_ids")) and name not in {"last_event_id"}


def singular(name: str) -> str:
    """`order_ids` holds ids that are called `order_id`."""
    return name[:-1] if name.endswith("_ids") else name


def operations(app: Flask) -> list[Operation]:
    """All of the API and the dashboard, aliases too."""
    document = app.extensions["oms_openapi"]
    found = list(_of_api(document))
    known = {(one.method, one.path) for one in found}
    for rule in app.url_map.iter_rules():
        path = flask_path_to_openapi(rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            if (method, path) not in known and not path.startswith("/static/"):
                found.append(Operation(name=rule.endpoint, method=method, path=path, is_page=True))
    return found


def _of_api(document: Mapping[str, Any]) -> Iterator[Operation]:
    schemas = document["components"]["schemas"]
    for path, told in document["paths"].items():
        for method in METHODS:
            operation = told.get(method)
            if operation is None:
                continue
            parameters = [*told.get("parameters", ()), *operation.get("parameters", ())]
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            yield Operation(
                name=operation["operationId"],
                method=method.upper(),
                path=path,
                query=tuple(one["name"] for one in parameters if one["in"] == "query"),
                body=resolved(content["schema"], schemas) if content else None,
                example=content.get("example"),
                alias_of=operation.get("x-alias-of", ""),
                takes_idempotency_key=any(one["name"] == "Idempotency-Key" for one in parameters),
            )


def resolved(schema: Any, schemas: Mapping[str, Any], deep: int = 0) -> Any:
    """The schema with references replaced by what they name, to some depth."""
    if isinstance(schema, list):
        return [resolved(one, schemas, deep) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return {} if deep > _DEEPEST else resolved(schemas[name], schemas, deep + 1)
    return {name: resolved(value, schemas, deep) for name, value in schema.items()}


def sample(schema: Mapping[str, Any]) -> Any:
    """A small value that the schema takes, ids left as `$name`."""
    return _sample(schema, "")


def _sample(schema: Mapping[str, Any], name: str) -> Any:
    for word in ("allOf", "anyOf", "oneOf"):
        if schema.get(word):
            return _sample(schema[word][0], name)
    if is_id(name):
        kind = _kind(schema)
        return [f"${singular(name)}"] if kind == "array" else f"${name}"
    if "enum" in schema:
        return schema["enum"][0]
    kind = _kind(schema)
    if kind == "object":
        properties = schema.get("properties", {})
        return {field: _sample(properties[field], field) for field in schema.get("required", ()) if field in properties}
    if kind == "array":
        return [_sample(schema.get("items", {}), singular(name))] * max(1, schema.get("minItems", 0))
    if kind == "integer":
        return schema.get("minimum", 1)
    return {"boolean": True, "number": 1}.get(kind) if kind in ("boolean", "number") else _text(schema)


def _text(schema: Mapping[str, Any]) -> str:
    by_format = {"date-time": "2030-01-01T00:00:00Z", "date": "2030-01-01", "decimal": "10", "uuid": "$uuid",
                 "email": "somebody@example.com", "uri": "https://example.com/"}  # fmt: skip
    found = by_format.get(schema.get("format", ""))
    return found if found is not None else "x" * max(3, min(schema.get("minLength", 3), 40))


def _kind(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return next((one for one in kind if one != "null"), "string") if isinstance(kind, list) else kind


def _ways(schema: Any, way: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """The way to each id in a body; into lists by their first item."""
    if not isinstance(schema, Mapping) or len(way) > _DEEPEST:
        return
    for word in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(word, ()):
            yield from _ways(part, way)
    for name, field in schema.get("properties", {}).items():
        if is_id(name):
            yield (*way, name, 0) if _kind(field) == "array" else (*way, name)
        else:
            yield from _ways(field, (*way, name))
    if isinstance(schema.get("items"), Mapping):
        yield from _ways(schema["items"], (*way, 0))


def _named(way: tuple[str | int, ...]) -> str | int:
    return next(step for step in reversed(way) if isinstance(step, str))
